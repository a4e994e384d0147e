//! The text part: what a reader without HTML sees, of the same blocks.

use std::fmt::Write;

use url::Url;

use super::{Block, Letter, Span, Table, one_line};

/// Between the columns of a table.
const GAP: &str = "  ";
/// A wider cell is not padded to, and moves the rest of its row only.
const MAX_PADDING: usize = 40;

pub(super) fn render(letter: &Letter) -> String {
    let mut parts = vec![one_line(&letter.title)];
    parts.extend(letter.blocks.iter().map(block));
    let mut end = format!("-- \n{}", one_line(&letter.reason));
    if let Some(url) = &letter.unsubscribe {
        end.push_str("\nUnsubscribe: ");
        end.push_str(url.as_str());
    }
    parts.push(end);
    let mut text = parts.join("\n\n");
    text.push('\n');
    text
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(heading) => {
            let heading = one_line(heading);
            let line = "-".repeat(heading.chars().count());
            format!("{heading}\n{line}")
        }
        Block::Paragraph(spans) | Block::Note(spans) => line(spans),
        Block::List(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("- {}", line(item))).collect();
            items.join("\n")
        }
        Block::Table(rows) => table(rows),
        Block::Button { label, url } => link(label, url),
        Block::Image { alt, .. } => format!("[{}]", one_line(alt)),
    }
}

fn line(spans: &[Span]) -> String {
    spans.iter().map(span).collect()
}

fn span(span: &Span) -> String {
    match span {
        Span::Link { text, url } => link(text, url),
        Span::Text(text) | Span::Strong(text) | Span::Rise(text) | Span::Fall(text) => one_line(text),
    }
}

fn link(text: &str, url: &Url) -> String {
    format!("{}: {url}", one_line(text))
}

/// Columns of equal width, aligned as in the HTML part. A cell that is a link is its text: the URL would not fit.
fn table(table: &Table) -> String {
    let titles: Vec<String> = table.columns.iter().map(|column| one_line(&column.title)).collect();
    let rows = table.rows.iter().map(|row| {
        let cells =
            table.cells(row).map(|(_, cell)| cell.iter().map(|span| one_line(span.as_str())).collect());
        cells.collect::<Vec<String>>()
    });
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| {
        let widest = lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        widest.min(MAX_PADDING)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for ((cell, &width), column) in line.iter().zip(&widths).zip(&table.columns) {
            // Writing to a string does not fail.
            let _ = if column.is_number {
                write!(row, "{cell:>width$}{GAP}")
            } else {
                write!(row, "{cell:<width$}{GAP}")
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}
