//! `tapedeck tail SYMBOL`: prints every tick of a symbol as it is stored.

use std::{
    collections::HashMap,
    io::{IsTerminal, stdout},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::TailArgs,
    http::Remote,
    output::{note, print_line},
};

/// Interval between two requests.
const INTERVAL_MS: u64 = 250;
/// Time range before the newest tick that each request repeats, for ticks that arrive out of order; the first request prints it.
const OVERLAP_SECONDS: i64 = 5;
/// Limit of ticks in one response.
const PAGE: &str = "1000";

#[derive(Deserialize)]
struct Page {
    ticks: Vec<Shown>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Shown {
    timestamp: DateTime<Utc>,
    price: serde_json::Number,
    volume: serde_json::Number,
    change_percent: f64,
    source: String,
    seq: u64,
}

pub(crate) async fn tail(args: TailArgs) -> anyhow::Result<()> {
    let remote = Remote::new(&args.instance.url)?;
    let symbol = args.symbol.to_string();
    let overlap = TimeDelta::seconds(OVERLAP_SECONDS);
    let newest = newest_tick(&remote, &symbol).await?;
    if newest.is_none() {
        note(waiting(&symbol, &known_symbols(&remote).await?))?;
    }
    let mut from = newest.unwrap_or_else(Utc::now) - overlap;
    let mut shown: HashMap<(String, u64), DateTime<Utc>> = HashMap::new();
    let mut due = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    loop {
        tokio::select! {
            _ = due.tick() => {}
            stopped = tokio::signal::ctrl_c() => return stopped.context("cannot listen for Ctrl-C"),
        }
        let mut cursor = None;
        let mut newest = from + overlap;
        loop {
            let page = page(&remote, &symbol, from, cursor.as_deref()).await?;
            for tick in page.ticks {
                newest = newest.max(tick.timestamp);
                let is_new = shown.insert((tick.source.clone(), tick.seq), tick.timestamp).is_none();
                if is_new {
                    show(&tick, &symbol)?;
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        from = newest - overlap;
        shown.retain(|_, at| *at >= from);
    }
}

/// Time of the symbol's newest tick; that of a recording is in the past.
async fn newest_tick(remote: &Remote, symbol: &str) -> anyhow::Result<Option<DateTime<Utc>>> {
    let quotes = remote.get("/v1/quotes", &[("symbols", symbol)]).await?;
    let Some(timestamp) = quotes.pointer("/quotes/0/timestamp") else { return Ok(None) };
    let parsed = DateTime::deserialize(timestamp).context("/v1/quotes returned an invalid time")?;
    Ok(Some(parsed))
}

/// The symbols of the instance.
async fn known_symbols(remote: &Remote) -> anyhow::Result<Vec<String>> {
    let answer = remote.get("/v1/symbols", &[]).await?;
    let symbols = answer.get("symbols").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |symbol: &Value| symbol.get("symbol").and_then(Value::as_str).map(str::to_owned);
    Ok(symbols.iter().filter_map(name).collect())
}

/// Why nothing is printed yet.
fn waiting(symbol: &str, known: &[String]) -> String {
    /// As many fit into two lines.
    const SHOWN: usize = 12;
    if known.iter().any(|name| name == symbol) {
        return format!("no tick of {symbol} yet; waiting for the first, Ctrl-C ends");
    }
    let some = known.get(..SHOWN).unwrap_or(known).join(", ");
    let there_are = match known.len() {
        0 => "none yet".to_owned(),
        1..=SHOWN => some,
        count => format!("{some} and {} more", count - SHOWN),
    };
    format!("no symbol {symbol} here; waiting for its first tick, Ctrl-C ends. The symbols are: {there_are}")
}

async fn page(
    remote: &Remote,
    symbol: &str,
    from: DateTime<Utc>,
    cursor: Option<&str>,
) -> anyhow::Result<Page> {
    let from = from.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut query = vec![("symbol", symbol), ("from", from.as_str()), ("limit", PAGE)];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = remote.get("/v1/ticks", &query).await?;
    serde_json::from_value(answer).context("/v1/ticks returned a format that this version does not support")
}

fn show(tick: &Shown, symbol: &str) -> anyhow::Result<()> {
    let arrow = if tick.change_percent < 0.0 { '▼' } else { '▲' };
    let mark = if tick.source == "simulated" { "  SIMULATED" } else { "" };
    let mut line = format!(
        "{}  {symbol:<10} {:>14}  {arrow} {:>+7.2} %  volume {:>14}  {}{mark}",
        tick.timestamp.with_timezone(&chrono::Local).format("%H:%M:%S%.3f"),
        tick.price.to_string(),
        tick.change_percent,
        tick.volume.to_string(),
        tick.source,
    );
    if stdout().is_terminal() {
        let colour = if tick.change_percent < 0.0 { "\u{1b}[38;5;208m" } else { "\u{1b}[38;5;39m" };
        line = format!("{colour}{line}\u{1b}[0m");
    }
    print_line(line)
}
