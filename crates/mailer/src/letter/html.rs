//! The HTML part: tables and inline styles, because mail clients ignore most of a style sheet. Dark where the client supports it.

use askama::Template;
use url::Url;

use super::{Block, Column, LEFT_OUT, Letter, MAX_HTML_BYTES, Span, one_line};

#[derive(Template)]
#[template(path = "letter.html")]
struct HtmlLetter<'a> {
    title: &'a str,
    preview: &'a str,
    blocks: &'a str,
    reason: &'a str,
    unsubscribe: Option<&'a Url>,
}

#[derive(Template)]
#[template(path = "block.html")]
struct HtmlBlock<'a> {
    block: &'a Block,
}

impl Column {
    fn align(&self) -> &'static str {
        if self.is_number { "right" } else { "left" }
    }
}

/// Replaces the blocks of `letter` that have no room by a note.
pub(super) fn render(letter: &mut Letter) -> String {
    let note = Block::note(LEFT_OUT);
    let free = MAX_HTML_BYTES.saturating_sub(around(letter, "").len());
    let mut blocks = String::new();
    for (index, block) in letter.blocks.iter().enumerate() {
        let html = rendered(block);
        if blocks.len() + html.len() + rendered(&note).len() + 2 > free {
            letter.blocks.truncate(index);
            blocks.push_str(&rendered(&note));
            letter.blocks.push(note);
            break;
        }
        blocks.push_str(&html);
        blocks.push('\n');
    }
    around(letter, &blocks)
}

fn around(letter: &Letter, blocks: &str) -> String {
    let [title, preview, reason] =
        [&letter.title, &letter.preview, &letter.reason].map(|text| one_line(text));
    let unsubscribe = letter.unsubscribe.as_ref();
    text_of(&HtmlLetter { title: &title, preview: &preview, blocks, reason: &reason, unsubscribe })
}

fn rendered(block: &Block) -> String {
    text_of(&HtmlBlock { block })
}

/// Writing to a string does not fail, and no template here calls what fails.
fn text_of(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}
