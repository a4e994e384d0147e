//! What a person reads of a gathering.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use crate::gather::{Counts, Gathering, SourceOutcome};

/// Longest reason in a table.
const MAX_REASON_CHARS: usize = 160;

/// What came of each source, and the sums.
pub(crate) fn of_gathering(gathering: &Gathering) -> String {
    if gathering.sources.is_empty() {
        return "no source of news; set NEWS_FEEDS, or NEWS_SOURCES and WATCHLIST".to_owned();
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["source", "items", "new", "other outlets", "left out", "result"]);
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut sums = Counts::default();
    let mut failed = 0;
    for source in &gathering.sources {
        let (numbers, result) = match &source.outcome {
            SourceOutcome::Items(counts) => {
                sums.new += counts.new;
                sums.duplicates += counts.duplicates;
                let left_out = counts.irrelevant + counts.skipped.sum();
                let numbers = [counts.items, counts.new, counts.duplicates, left_out].map(|n| n.to_string());
                (numbers, reasons(counts))
            }
            SourceOutcome::Unchanged => (Default::default(), "nothing new".to_owned()),
            SourceOutcome::Waiting { until, error: None } => {
                (Default::default(), format!("next at {}", time(*until)))
            }
            SourceOutcome::Waiting { until, error: Some(error) } => {
                (Default::default(), format!("failed before: {}; next at {}", short(error), time(*until)))
            }
            SourceOutcome::Failed { reason, next_try_at } => {
                (Default::default(), format!("FAILED: {}; next at {}", short(reason), time(*next_try_at)))
            }
        };
        failed += usize::from(source.outcome.error().is_some());
        let [items, new, duplicates, left_out]: [String; 4] = numbers;
        table.add_row([source.name.clone(), items, new, duplicates, left_out, result]);
    }
    let mut text = format!("{table}\n");
    let _ = write!(
        text,
        "{} sources, {failed} fail; {} new stories, {} at other outlets",
        gathering.sources.len(),
        sums.new,
        sums.duplicates
    );
    text
}

/// Why items were left out.
fn reasons(counts: &Counts) -> String {
    let skipped = counts.skipped;
    let all = [
        (counts.irrelevant, "about no watched symbol"),
        (skipped.too_old, "too old"),
        (skipped.too_many, "past the most items"),
        (skipped.without_title, "without a title"),
        (skipped.without_link, "without a link"),
    ];
    let named = all.iter().filter(|(n, _)| *n > 0).map(|(n, reason)| format!("{n} {reason}"));
    let named: Vec<String> = named.collect();
    if named.is_empty() { "ok".to_owned() } else { format!("ok; {}", named.join(", ")) }
}

fn short(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}
