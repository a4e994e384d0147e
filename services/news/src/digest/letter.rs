//! A digest as a letter. Pure.

use analytics_store::DailyAggregate;
use chrono::NaiveDate;
use live_store::NewsArticle;
use mailer::{Block, Column, Letter, Span, Table};
use market::{AssetClass, Symbol};

use super::{alerts::AlertLine, reader::DigestReader};

/// Symbols in the table at most.
const MAX_MOVES: usize = 60;
/// Moves in the subject.
const SUBJECT_MOVES: usize = 2;
/// Longest summary of a story in the mail.
const MAX_SUMMARY_CHARS: usize = 240;
/// RSI from which on a symbol counts as overbought, and up to which as oversold.
const OVERBOUGHT: f64 = 70.0;
const OVERSOLD: f64 = 30.0;

/// What a digest is made of.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) date: NaiveDate,
    /// The newest day of each symbol; `None`: the analytics store is not set or does not answer.
    pub(crate) moves: Option<Vec<DailyAggregate>>,
    pub(crate) alerts: Vec<AlertLine>,
    pub(crate) stories: Vec<NewsArticle>,
}

pub(crate) fn letter(facts: &Facts, reader: &DigestReader) -> Letter {
    let mut moves = facts.moves.clone().unwrap_or_default();
    moves.sort_by(|one, other| {
        let size = |row: &DailyAggregate| row.daily_change_pct.abs();
        size(other).total_cmp(&size(one)).then(one.symbol.cmp(&other.symbol))
    });
    moves.truncate(MAX_MOVES);
    let mut blocks = Vec::new();
    moves_of(facts, &moves, &mut blocks);
    if !facts.alerts.is_empty() {
        blocks.push(Block::Heading("Alerts".to_owned()));
        let line = |alert: &AlertLine| {
            vec![Span::strong(alert.symbol.to_string()), Span::text(format!(" {}", alert.text))]
        };
        blocks.push(Block::List(facts.alerts.iter().map(line).collect()));
    }
    blocks.push(Block::Heading("News".to_owned()));
    if facts.stories.is_empty() {
        blocks.push(Block::note("No new stories about the watched symbols."));
    }
    facts.stories.iter().for_each(|story| story_of(story, reader, &mut blocks));
    Letter {
        subject: subject(facts.date, &moves),
        preview: facts.stories.first().map_or_else(String::new, |story| story.title.clone()),
        title: format!("Morning digest, {}", day(facts.date)),
        blocks,
        reason: reason(reader),
        images: Vec::new(),
        unsubscribe: reader.unsubscribe.clone(),
    }
}

fn reason(reader: &DigestReader) -> String {
    let reason = if reader.unsubscribe.is_some() {
        "You receive this because the morning digest is on in your account."
    } else {
        "You receive this because your address is among the digest recipients of this installation. To end it, ask its operator to \
         remove your address from DIGEST_RECIPIENTS, or from ALERT_RECIPIENTS where that is not set."
    };
    reason.to_owned()
}

fn subject(date: NaiveDate, moves: &[DailyAggregate]) -> String {
    let moves = moves.iter().take(SUBJECT_MOVES);
    let moves: Vec<String> =
        moves.map(|row| format!("{} {}", row.symbol, percent(row.daily_change_pct))).collect();
    let date = date.format("%-d %B");
    if moves.is_empty() {
        format!("Morning digest, {date}")
    } else {
        format!("Morning digest, {date}: {}", moves.join(", "))
    }
}

fn moves_of(facts: &Facts, moves: &[DailyAggregate], blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("Last day".to_owned()));
    if facts.moves.is_none() {
        blocks
            .push(Block::note("The moves are missing: the analytics store does not answer (ANALYTICS_URL)."));
        return;
    }
    if moves.is_empty() {
        blocks.push(Block::note("No day of a watched symbol was aggregated in the last week."));
        return;
    }
    let row = |row: &DailyAggregate| {
        let rsi = row.rsi_14.map_or_else(|| "–".to_owned(), |rsi| format!("{rsi:.0}{}", rsi_note(rsi)));
        vec![
            Span::strong(row.symbol.to_string()),
            Span::text(price(row)),
            Span::of_change(percent(row.daily_change_pct), row.daily_change_pct),
            Span::text(rsi),
            Span::text(row.date.to_string()),
        ]
    };
    blocks.push(Block::Table(Table {
        columns: vec![
            Column::text("Symbol"),
            Column::number("Close"),
            Column::number("Change"),
            Column::number("RSI 14"),
            Column::text("Day"),
        ],
        rows: moves.iter().map(row).collect(),
    }));
    if moves.iter().any(|row| row.source.starts_with("simulated")) {
        blocks.push(Block::note("These prices are SIMULATED: no real price is among them."));
    }
}

fn rsi_note(rsi: f64) -> &'static str {
    match rsi {
        _ if rsi >= OVERBOUGHT => " (high)",
        _ if rsi <= OVERSOLD => " (low)",
        _ => "",
    }
}

fn story_of(story: &NewsArticle, reader: &DigestReader, blocks: &mut Vec<Block>) {
    let is_read = |symbol: &Symbol| reader.symbols.as_ref().is_none_or(|symbols| symbols.contains(symbol));
    let symbols: Vec<String> = story.symbols().filter(is_read).map(|symbol| symbol.to_string()).collect();
    blocks.push(Block::Paragraph(vec![Span::Link { text: story.title.clone(), url: story.url.clone() }]));
    let time = story.published_at.with_timezone(&reader.zone).format("%a %H:%M");
    let others = match story.duplicates.len() {
        0 => String::new(),
        1 => " · 1 other outlet".to_owned(),
        n => format!(" · {n} other outlets"),
    };
    blocks.push(Block::note(format!("{} · {} · {time}{others}", symbols.join(" "), story.publisher)));
    if !story.summary.is_empty() {
        blocks.push(Block::note(shortened(&story.summary)));
    }
}

fn shortened(summary: &str) -> String {
    match summary.char_indices().nth(MAX_SUMMARY_CHARS) {
        Some((end, _)) => format!("{}…", summary[..end].trim_end()),
        None => summary.to_owned(),
    }
}

fn day(date: NaiveDate) -> String {
    date.format("%A, %-d %B %Y").to_string()
}

fn price(row: &DailyAggregate) -> String {
    let decimals = if row.symbol.asset_class() == AssetClass::Stock { 2 } else { 8 };
    row.close_price.round_dp(decimals).normalize().to_string()
}

fn percent(value: f64) -> String {
    format!("{value:+.2} %")
}

#[cfg(test)]
mod tests;
