//! Ticks and bars to store.

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{LiveStore, PruneRange, StoredTick, TickQuery};
use market::{Candle, CandleFields, Interval, Source, Symbol, Tick, TickFields};
use rust_decimal::Decimal;

pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).expect("a symbol")
}

/// So many seconds behind a fixed morning.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    time("2026-01-13T15:30:00Z") + TimeDelta::seconds(seconds)
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// A tick of `AAPL`, a second and an offset per `seq`.
pub(crate) fn tick(seq: u64) -> StoredTick {
    tick_of("AAPL", seq, at(seq as i64))
}

pub(crate) fn tick_of(name: &str, seq: u64, timestamp: DateTime<Utc>) -> StoredTick {
    StoredTick {
        tick: Tick::new(fields(name, seq, timestamp)).expect("a tick"),
        processed_at: timestamp + TimeDelta::milliseconds(250),
        partition: 1,
        offset: seq,
    }
}

pub(crate) fn fields(name: &str, seq: u64, timestamp: DateTime<Utc>) -> TickFields {
    let price = Decimal::new(26_105 + (seq % 97) as i64, 2);
    TickFields {
        symbol: symbol(name),
        timestamp,
        price,
        volume: Decimal::from(287_051),
        open: Decimal::new(26_022, 2),
        high: price,
        low: Decimal::new(26_019, 2),
        // Some venues quote it, others do not.
        size: seq.is_multiple_of(2).then(|| Decimal::new(125, 2)),
        change_percent: 0.32,
        source: Source::parse("binance").expect("a source"),
        received_at: timestamp + TimeDelta::microseconds(214_007),
        seq,
    }
}

pub(crate) fn ticks(seqs: std::ops::Range<u64>) -> Vec<StoredTick> {
    seqs.map(tick).collect()
}

pub(crate) fn candle(interval: Interval, time: DateTime<Utc>, source: &str, close: i64) -> Candle {
    Candle::new(CandleFields {
        symbol: symbol("BTC/USDT"),
        interval,
        time,
        open: Decimal::from(100),
        high: Decimal::from(close.max(100)),
        low: Decimal::from(close.min(100)),
        close: Decimal::from(close),
        volume: Some(Decimal::new(15, 1)),
        ticks: 7,
        source: source.parse().expect("a source of bars"),
        is_final: true,
    })
    .expect("a candle")
}

/// Everything that is stored of a symbol, to be removed.
pub(crate) fn everything_of(name: &str) -> PruneRange {
    let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    PruneRange { symbol: symbol(name), from, to, stored_before: to }
}

/// The same candle with some fields changed.
pub(crate) fn changed(candle: Candle, change: impl FnOnce(&mut CandleFields)) -> Candle {
    let mut fields = candle.into_fields();
    change(&mut fields);
    Candle::new(fields).expect("a candle")
}

/// All ticks of a symbol, page by page.
pub(crate) async fn all_ticks(store: &dyn LiveStore, name: &str, page: usize) -> Vec<StoredTick> {
    let mut query = everything(name, page);
    let mut all = Vec::new();
    loop {
        let found = store.ticks(&query).await.expect("a page");
        assert!(found.ticks.len() <= page, "{} ticks on a page of {page}", found.ticks.len());
        all.extend(found.ticks);
        match found.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return all,
        }
    }
}

pub(crate) fn everything(name: &str, limit: usize) -> TickQuery {
    TickQuery {
        symbol: symbol(name),
        from: DateTime::<Utc>::MIN_UTC,
        to: DateTime::<Utc>::MAX_UTC,
        limit,
        cursor: None,
    }
}
