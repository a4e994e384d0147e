//! Ticks: day by day, by symbol and time.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use live_store::{LiveStore, StoredTick, TickOutcome, TickQuery, mark_complete_days};
use market::{Source as Feed, Symbol, Tick, TickFields};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Noun, PageOf, Pages, Source};
use crate::{
    ArchiveError, Kind, Prices, Result, Selection,
    json::{self, written},
    pages::{PAGE_ROWS, patiently, range_of},
    target::{RowCounts, Target},
};

impl Kind {
    /// Ticks.
    pub const TICKS: Self = Self::new("ticks");
}

pub(super) struct Ticks;

/// Of this day the symbols before this one; and this one up to the cursor, or whole where there is none.
#[derive(Serialize, Deserialize)]
pub(super) struct Place {
    day: NaiveDate,
    symbol: Symbol,
    cursor: Option<String>,
}

/// The time of each symbol's next tick, and the symbol and day that is being read.
pub(super) struct DayPages {
    next: BTreeMap<Symbol, DateTime<Utc>>,
    current: Option<(NaiveDate, Symbol, TickPages)>,
}

#[async_trait]
impl Noun for Ticks {
    type Row = StoredTick;
    type Place = Place;
    type Pages = DayPages;

    const KIND: Kind = Kind::TICKS;

    async fn pages(source: &Source<'_>, after: Option<Place>) -> Result<DayPages> {
        let mut ticks = DayPages { next: BTreeMap::new(), current: None };
        let (start, end) = (source.selection.from(), source.selection.to());
        for symbol in &source.symbols {
            let from = match &after {
                None => start,
                Some(Place { day, symbol: reached, cursor: None }) if symbol <= reached => end_of(*day),
                Some(Place { day, symbol: reached, .. }) if symbol < reached => end_of(*day),
                Some(Place { day, .. }) => start_of(*day),
            };
            if let Some(time) = first_tick(source.store, *symbol, from.max(start), end).await? {
                ticks.next.insert(*symbol, time);
            }
        }
        if let Some(Place { day, symbol, cursor: Some(cursor) }) = after {
            ticks.begin(day, symbol, Some(cursor), source.selection);
        }
        Ok(ticks)
    }

    /// `price_change_pct` follows from the tick and is left out.
    fn encode(row: &StoredTick, text: &mut Vec<u8>) -> serde_json::Result<()> {
        let tick = &row.tick;
        // Symbols and sources hold no character that JSON escapes; writing to a Vec cannot fail.
        let _ = writeln!(
            text,
            r#"{{"symbol":"{}","timestamp":"{}","price":{},"volume":{},"open":{},"high":{},"low":{},"change_percent":{},"source":"{}","received_at":"{}","seq":{}{},"processed_at":"{}","partition":{},"offset":{}}}"#,
            tick.symbol,
            written(tick.timestamp),
            tick.price.normalize(),
            tick.volume.normalize(),
            tick.open.normalize(),
            tick.high.normalize(),
            tick.low.normalize(),
            tick.change_percent,
            tick.source,
            written(tick.received_at),
            tick.seq,
            tick.size.map(|size| format!(r#","size":{}"#, size.normalize())).unwrap_or_default(),
            written(row.processed_at),
            row.partition,
            row.offset,
        );
        Ok(())
    }

    fn decode(line: &str) -> Result<StoredTick, String> {
        let row: TickRow = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let fields = TickFields {
            symbol: row.symbol,
            timestamp: row.timestamp,
            price: row.price,
            volume: row.volume,
            open: row.open,
            high: row.high,
            low: row.low,
            change_percent: row.change_percent,
            source: row.source,
            received_at: row.received_at,
            seq: row.seq,
            size: row.size,
        };
        let tick = Tick::new(fields).map_err(|error| error.to_string())?;
        Ok(StoredTick { tick, processed_at: row.processed_at, partition: row.partition, offset: row.offset })
    }

    fn prices(row: &StoredTick) -> Option<(Prices, Symbol)> {
        Some((Prices::of(row.tick.source), row.tick.symbol))
    }

    fn is_selected(row: &StoredTick, selection: &Selection) -> bool {
        selection.has_tick(row)
    }

    async fn store(rows: &[StoredTick], target: &mut Target<'_>) -> Result<()> {
        let outcomes = patiently(|| target.store.write_ticks(rows)).await?;
        let kept = rows.iter().zip(&outcomes).filter(|(_, outcome)| **outcome != TickOutcome::Duplicate);
        let times: Vec<_> = kept.map(|(row, _)| (row.tick.symbol, row.tick.timestamp)).collect();
        patiently(|| mark_complete_days(target.store, times.iter().copied(), Utc::now())).await?;
        let mut outcomes = outcomes.into_iter();
        for of_symbol in rows.chunk_by(|one, other| one.tick.symbol == other.tick.symbol) {
            let outcomes: Vec<_> = outcomes.by_ref().take(of_symbol.len()).collect();
            compare(of_symbol, &outcomes, target).await?;
        }
        Ok(())
    }
}

/// Compares ticks of one symbol with those that the target returns.
async fn compare(rows: &[StoredTick], outcomes: &[TickOutcome], target: &mut Target<'_>) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let identity = |tick: &Tick| -> (Feed, u64) { (tick.source, tick.seq) };
    let mut counts = RowCounts::default();
    let mut wanted: HashMap<_, _> =
        rows.iter().zip(outcomes).map(|(row, outcome)| (identity(&row.tick), (row, *outcome))).collect();
    let (from, to) = range_of(rows.iter().map(|row| row.tick.timestamp));
    let mut pages = TickPages::new(first.tick.symbol, from, to, None);
    while !wanted.is_empty()
        && let Some(found) = pages.next(target.store).await?
    {
        for found in &found {
            let Some((row, outcome)) = wanted.remove(&identity(&found.tick)) else { continue };
            match (found == row, outcome) {
                (true, TickOutcome::New) => counts.new += 1,
                (true, _) => counts.there += 1,
                (false, TickOutcome::New) => {
                    let id = row.tick.id();
                    return Err(ArchiveError::ReadBack(format!("the tick {id} is another")));
                }
                (false, _) => counts.kept += 1,
            }
        }
    }
    // Another version may also lie at another time. The store has reported that it is there.
    for (row, outcome) in wanted.into_values() {
        if outcome != TickOutcome::Duplicate {
            return Err(ArchiveError::ReadBack(format!("the tick {} is missing", row.tick.id())));
        }
        counts.kept += 1;
    }
    target.counts.add(Kind::TICKS, counts);
    Ok(())
}

#[derive(Deserialize)]
struct TickRow {
    symbol: Symbol,
    #[serde(deserialize_with = "json::time")]
    timestamp: DateTime<Utc>,
    #[serde(deserialize_with = "json::decimal")]
    price: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    volume: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    open: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    high: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    low: Decimal,
    #[serde(deserialize_with = "json::double")]
    change_percent: f64,
    source: Feed,
    #[serde(deserialize_with = "json::time")]
    received_at: DateTime<Utc>,
    seq: u64,
    #[serde(default, deserialize_with = "json::optional_decimal")]
    size: Option<Decimal>,
    #[serde(deserialize_with = "json::time")]
    processed_at: DateTime<Utc>,
    partition: i32,
    offset: u64,
}

impl DayPages {
    fn begin(&mut self, day: NaiveDate, symbol: Symbol, cursor: Option<String>, selection: &Selection) {
        let from = start_of(day).max(selection.from());
        let to = end_of(day).min(selection.to());
        self.current = Some((day, symbol, TickPages::new(symbol, from, to, cursor)));
    }
}

#[async_trait]
impl Pages<Ticks> for DayPages {
    async fn next(&mut self, source: &Source<'_>) -> Result<Option<PageOf<Ticks>>> {
        let (store, selection) = (source.store, source.selection);
        loop {
            let Some((day, symbol, pages)) = &mut self.current else {
                // The first symbol of the first day.
                let first = self.next.iter().map(|(symbol, time)| (time.date_naive(), *symbol)).min();
                let Some((day, symbol)) = first else { return Ok(None) };
                self.begin(day, symbol, None, selection);
                continue;
            };
            let (day, symbol) = (*day, *symbol);
            if let Some(mut rows) = pages.next(store).await? {
                rows.retain(|row| selection.has_tick(row));
                let end = Place { day, symbol, cursor: pages.cursor().map(str::to_owned) };
                return Ok(Some(PageOf { rows, part: day.to_string(), end }));
            }
            self.current = None;
            match first_tick(store, symbol, end_of(day), selection.to()).await? {
                Some(time) => self.next.insert(symbol, time),
                None => self.next.remove(&symbol),
            };
        }
    }
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn end_of(day: NaiveDate) -> DateTime<Utc> {
    day.succ_opt().map_or(DateTime::<Utc>::MAX_UTC, start_of)
}

/// The ticks of one symbol and range, oldest first.
pub(super) struct TickPages {
    query: TickQuery,
    ended: bool,
}

impl TickPages {
    fn new(symbol: Symbol, from: DateTime<Utc>, to: DateTime<Utc>, cursor: Option<String>) -> Self {
        Self { query: TickQuery { symbol, from, to, limit: PAGE_ROWS, cursor }, ended: false }
    }

    /// The next page; `None` at the end.
    async fn next(&mut self, store: &dyn LiveStore) -> Result<Option<Vec<StoredTick>>> {
        if self.ended {
            return Ok(None);
        }
        let page = patiently(|| store.ticks(&self.query)).await?;
        self.ended = page.next_cursor.is_none();
        self.query.cursor = page.next_cursor;
        Ok(Some(page.ticks))
    }

    /// Behind the last page; `None` at the end.
    fn cursor(&self) -> Option<&str> {
        self.query.cursor.as_deref()
    }
}

/// The time of a symbol's first tick of a range.
async fn first_tick(
    store: &dyn LiveStore,
    symbol: Symbol,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    if from >= to {
        return Ok(None);
    }
    let query = TickQuery { symbol, from, to, limit: 1, cursor: None };
    let page = patiently(|| store.ticks(&query)).await?;
    Ok(page.ticks.first().map(|row| row.tick.timestamp))
}
