//! Stores with something in them, and everything that is in them.

use std::{path::Path, sync::Arc};

use archive::{Exported, Imported, Importing, Manifest, Progress, Selection};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore, StoredTick, TickQuery};
use market::{Candle, CandleFields, Interval, Source, Symbol, Tick, TickFields};
use rust_decimal::Decimal;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).expect("a symbol")
}

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    "2026-01-13T15:30:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::seconds(seconds)
}

pub(crate) fn tick(name: &str, source: &str, seq: u64, timestamp: DateTime<Utc>) -> StoredTick {
    let price = Decimal::new(26_105 + (seq % 97) as i64, 2);
    let fields = TickFields {
        symbol: symbol(name),
        timestamp,
        price,
        volume: Decimal::from(287_051 + seq),
        open: Decimal::new(26_022, 2),
        high: price,
        low: Decimal::new(26_019, 2),
        size: seq.is_multiple_of(2).then(|| Decimal::new(125, 2)),
        change_percent: 0.32,
        source: Source::parse(source).expect("a source"),
        received_at: timestamp + TimeDelta::microseconds(214_007),
        seq,
    };
    StoredTick {
        tick: Tick::new(fields).expect("a tick"),
        processed_at: timestamp + TimeDelta::milliseconds(250),
        partition: 1,
        offset: seq,
    }
}

pub(crate) fn candle(name: &str, interval: Interval, time: DateTime<Utc>, source: &str) -> Candle {
    Candle::new(CandleFields {
        symbol: symbol(name),
        interval,
        time,
        open: Decimal::from(100),
        high: Decimal::from(120),
        low: Decimal::from(90),
        close: Decimal::from(110),
        volume: Some(Decimal::new(15, 1)),
        ticks: 7,
        source: source.parse().expect("a source of bars"),
        is_final: true,
    })
    .expect("a candle")
}

/// A store of its own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn LiveStore>,
}

pub(crate) async fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    Place { store: live_store::open(&url).await.expect("opens"), folder }
}

pub(crate) async fn place_with(ticks: &[StoredTick], bars: &[Candle]) -> Place {
    let place = place().await;
    fill(&*place.store, ticks, bars).await;
    place
}

pub(crate) async fn fill(store: &dyn LiveStore, ticks: &[StoredTick], bars: &[Candle]) {
    for chunk in ticks.chunks(10_000) {
        store.write_ticks(chunk).await.expect("stored");
    }
    for chunk in bars.chunks(10_000) {
        store.write_candles(chunk).await.expect("stored");
    }
}

/// Everything in a store, in its order.
pub(crate) async fn contents(store: &dyn LiveStore) -> (Vec<StoredTick>, Vec<Candle>) {
    let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let (mut ticks, mut bars) = (Vec::new(), Vec::new());
    for symbol in store.symbols().await.expect("read") {
        let mut query = TickQuery { symbol, from, to, limit: 10_000, cursor: None };
        loop {
            let page = store.ticks(&query).await.expect("read");
            ticks.extend(page.ticks);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        for interval in Interval::ALL {
            let query = CandleQuery { symbol, interval, from, to, limit: 50_000 };
            let found = store.candles(&query).await.expect("read");
            assert!(found.len() < 50_000, "more bars than one answer holds");
            bars.extend(found);
        }
    }
    (ticks, bars)
}

pub(crate) async fn export(store: &dyn LiveStore, folder: &Path) -> archive::Result<Exported> {
    export_selected(store, folder, &Selection::default()).await
}

pub(crate) async fn export_selected(
    store: &dyn LiveStore,
    folder: &Path,
    selection: &Selection,
) -> archive::Result<Exported> {
    archive::export(store, "here", folder, selection, at(0), &CancellationToken::new(), &|_| {}).await
}

/// An export that is stopped when it has read so many rows.
pub(crate) async fn export_and_stop(
    store: &dyn LiveStore,
    folder: &Path,
    after_rows: u64,
) -> archive::ArchiveError {
    let stop = CancellationToken::new();
    let on_progress = |progress: Progress<'_>| {
        if progress.rows >= after_rows {
            stop.cancel();
        }
    };
    archive::export(store, "here", folder, &Selection::default(), at(0), &stop, &on_progress)
        .await
        .expect_err("it was stopped")
}

pub(crate) async fn import(folder: &Path, store: &dyn LiveStore) -> archive::Result<Imported> {
    import_as(folder, store, &Importing::default()).await
}

pub(crate) async fn import_as(
    folder: &Path,
    store: &dyn LiveStore,
    importing: &Importing,
) -> archive::Result<Imported> {
    let manifest = Manifest::read(folder)?;
    archive::import(folder, &manifest, store, importing, &CancellationToken::new(), &|_| {}).await
}
