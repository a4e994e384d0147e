//! `tapedeck backfill --daily`: the daily candles of past years that the store lacks, from the providers.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::bail;
use archive::Progress;
use chrono::{DateTime, Months, NaiveDate, Utc};
use consumer::ConsumerConfig;
use indicatif::HumanCount;
use live_store::LiveStore;
use market::{Symbol, Watchlist, day_bounds, session};
use producer::{
    Backfilled, DEFAULT_WATCHLIST, HistorySettings, MissingDays, WatchlistParser, backfill_daily,
};

use crate::{
    cli::Places,
    log_and_store::{Pipeline, publish_and_store},
    moving::ProgressView,
    output::print_line,
    stored_candles::quoted_days,
};

#[derive(Debug, clap::Args)]
pub(crate) struct BackfillArgs {
    /// Daily candles; others cannot be filled in.
    #[arg(long, required = true)]
    daily: bool,
    /// The symbols: AAPL,BTC/USDT.
    #[arg(long, env = "WATCHLIST", default_value = DEFAULT_WATCHLIST, value_name = "SYMBOLS", value_parser = WatchlistParser)]
    symbols: Watchlist,
    /// How many years back.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=30))]
    years: u8,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    history: HistorySettings,
    #[command(flatten)]
    consumer: ConsumerConfig,
}

pub(crate) async fn backfill(args: BackfillArgs) -> anyhow::Result<ExitCode> {
    let BackfillArgs { symbols, years, places, history, consumer, .. } = args;
    let fetch = move |pipeline: Pipeline| async move {
        // What an interrupted run has left in the log.
        pipeline.wait_until_stored().await?;
        let missing = missing_days(&*pipeline.store, symbols.symbols(), years, Utc::now()).await?;
        let days = missing.iter().map(|missing| missing.days.len() as u64).sum();
        let progress_view = ProgressView::new(Some(days), "days")?;
        let mut rows = 0;
        let results = backfill_daily(&history, &missing, &pipeline.runtime, |result| {
            let asked = missing.iter().find(|missing| missing.symbol == result.symbol);
            rows += asked.map_or(0, |missing| missing.days.len() as u64);
            progress_view.show(Progress { rows, part: result.symbol.as_str() });
        })
        .await?;
        pipeline.wait_until_stored().await?;
        Ok((days, results))
    };
    let named = ("tapedeck-backfill", "filling in candles");
    let (data, Some((days, results))) = publish_and_store(named, &places, consumer, fetch).await? else {
        bail!("stopped before the end; what was fetched is stored, and the next run fetches the rest")
    };
    let is_complete = results.iter().all(|result| result.failure.is_none());
    print_line(described(days, &results))?;
    print_line(format_args!("data     {}", data.path().display()))?;
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Of each symbol the trading days of the last years that have ended and have no candle of a provider.
async fn missing_days(
    store: &dyn LiveStore,
    symbols: &[Symbol],
    years: u8,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<MissingDays>> {
    let mut missing = Vec::new();
    for symbol in symbols {
        let expected = expected_days(*symbol, years, now);
        let Some(first) = expected.first() else { continue };
        let stored = quoted_days(store, *symbol, *first, now).await?;
        missing.push(MissingDays { symbol: *symbol, days: expected.difference(&stored).copied().collect() });
    }
    Ok(missing)
}

/// The trading days of the last years that have ended.
fn expected_days(symbol: Symbol, years: u8, now: DateTime<Utc>) -> BTreeSet<NaiveDate> {
    let class = symbol.asset_class();
    let today = day_bounds(class, now).date;
    let begin = today.checked_sub_months(Months::new(u32::from(years) * 12)).unwrap_or(today);
    let has_session = |date: &NaiveDate| session(class, *date).is_some();
    let days = begin.iter_days().take_while(|date| *date < today);
    days.filter(has_session).collect()
}

fn described(days: u64, results: &[Backfilled]) -> String {
    let candles: u64 = results.iter().map(|result| result.candles).sum();
    let fetched = results.iter().filter(|result| result.candles > 0);
    let mut lines: Vec<String> = fetched
        .map(|result| format!("{:<12} {} daily candles", result.symbol, HumanCount(result.candles)))
        .collect();
    lines.extend(results.iter().filter_map(|result| {
        let failure = result.failure.as_ref()?;
        Some(format!("{:<12} failed: {failure}", result.symbol))
    }));
    lines.push(format!(
        "stored   {} candles; of {} symbols {} days were missing",
        HumanCount(candles),
        results.len(),
        HumanCount(days)
    ));
    if candles < days && results.iter().all(|result| result.failure.is_none()) {
        lines.push("note     the providers have no candles of the other days".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_days_are_the_sessions_that_have_ended() {
        let symbol = |name| Symbol::parse(name).expect("a symbol");
        // 20:00 in New York.
        let now = "2026-01-14T01:00:00Z".parse().expect("a time");
        let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let stock = expected_days(symbol("AAPL"), 2, now);
        assert_eq!(stock.last(), Some(&date("2026-01-12")), "the 13th has not ended");
        assert!(!stock.contains(&date("2025-12-25")) && !stock.contains(&date("2026-01-10")));
        assert_eq!(stock.first(), Some(&date("2024-01-16")), "after a weekend and a holiday");
        let crypto = expected_days(symbol("BTC/USDT"), 1, now);
        assert_eq!((crypto.len(), crypto.last()), (365, Some(&date("2026-01-13"))));
    }

    #[test]
    fn the_report_has_what_was_stored_and_what_failed() {
        let result = |name, candles, failure: Option<&str>| Backfilled {
            symbol: Symbol::parse(name).expect("a symbol"),
            candles,
            failure: failure.map(str::to_owned),
        };
        let results = [
            result("AAPL", 502, None),
            result("NOPE", 0, Some("yahoo: the provider reports: no data")),
            result("MSFT", 0, None),
        ];
        let expected = [
            "AAPL         502 daily candles",
            "NOPE         failed: yahoo: the provider reports: no data",
            "stored   502 candles; of 3 symbols 1,004 days were missing",
        ];
        assert_eq!(described(1_004, &results), expected.join("\n"));
    }
}
