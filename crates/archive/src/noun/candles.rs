//! Candles: width by width, by symbol, newest first.

use std::{
    collections::{HashMap, HashSet},
    io::Write,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use live_store::{CandleQuery, LiveStore, LiveStoreError, mark_complete_days};
use market::{Candle, CandleFields, CandleSource, Interval, Symbol};
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
    /// Candles.
    pub const CANDLES: Self = Self::new("candles");
}

pub(super) struct Candles;

/// Of this width the symbols before this one; and of this one the candles from this time on, or all.
#[derive(Serialize, Deserialize)]
pub(super) struct Place {
    interval: Interval,
    symbol: Symbol,
    before: Option<DateTime<Utc>>,
}

/// What is to be read yet, last first; and what is being read.
pub(super) struct WidthPages {
    rest: Vec<(Interval, Symbol)>,
    current: Option<(Interval, Symbol, CandlePages)>,
}

#[async_trait]
impl Noun for Candles {
    type Row = Candle;
    type Place = Place;
    type Pages = WidthPages;

    const KIND: Kind = Kind::CANDLES;

    async fn pages(source: &Source<'_>, after: Option<Place>) -> Result<WidthPages> {
        let mut rest = Vec::new();
        for interval in Interval::ALL {
            rest.extend(source.symbols.iter().map(|symbol| (interval, *symbol)));
        }
        let mut current = None;
        if let Some(Place { interval, symbol, before }) = after {
            rest.retain(|other| *other > (interval, symbol));
            current = before.map(|before| {
                let pages = CandlePages::new(symbol, interval, source.selection.from(), before);
                (interval, symbol, pages)
            });
        }
        rest.reverse();
        Ok(WidthPages { rest, current })
    }

    fn encode(candle: &Candle, text: &mut Vec<u8>) -> serde_json::Result<()> {
        let _ = writeln!(
            text,
            r#"{{"symbol":"{}","interval":"{}","time":"{}","open":{},"high":{},"low":{},"close":{},"volume":{},"ticks":{},"source":"{}","final":{}}}"#,
            candle.symbol,
            candle.interval,
            written(candle.time),
            candle.open.normalize(),
            candle.high.normalize(),
            candle.low.normalize(),
            candle.close.normalize(),
            candle.volume.map_or_else(|| "null".to_owned(), |volume| volume.normalize().to_string()),
            candle.ticks,
            candle.source,
            candle.is_final,
        );
        Ok(())
    }

    fn decode(line: &str) -> Result<Candle, String> {
        let row: CandleRow = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let CandleRow { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final } =
            row;
        let fields =
            CandleFields { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final };
        Candle::new(fields).map_err(|error| error.to_string())
    }

    fn prices(candle: &Candle) -> Option<(Prices, Symbol)> {
        Some((Prices::of(candle.source.feed), candle.symbol))
    }

    fn is_selected(candle: &Candle, selection: &Selection) -> bool {
        selection.has_candle(candle)
    }

    /// Only where the target has none or a less complete one.
    async fn store(candles: &[Candle], target: &mut Target<'_>) -> Result<()> {
        let mut counts = RowCounts::default();
        let mut missing = Vec::new();
        for group in groups(candles) {
            let there = find(target.store, group).await?;
            for candle in group {
                match there.get(&(candle.time, candle.source)) {
                    Some(known) if known == candle => counts.there += 1,
                    Some(known) if !is_more_complete(candle, known) => counts.kept += 1,
                    _ => missing.push(*candle),
                }
            }
        }
        if !missing.is_empty() {
            patiently(|| target.store.write_candles(&missing)).await?;
            let minutes = missing.iter().filter(|candle| candle.interval == Interval::Minute);
            let times: Vec<_> = minutes.map(|candle| (candle.symbol, candle.time)).collect();
            patiently(|| mark_complete_days(target.store, times.iter().copied(), Utc::now())).await?;
        }
        for group in groups(&missing) {
            let there = find(target.store, group).await?;
            if let Some(lost) = group.iter().find(|sent| there.get(&(sent.time, sent.source)) != Some(sent)) {
                return Err(ArchiveError::ReadBack(format!(
                    "the candle {} is missing or another",
                    lost.id()
                )));
            }
        }
        counts.new = missing.len() as u64;
        target.counts.add(Kind::CANDLES, counts);
        Ok(())
    }
}

/// Those of the same identities that a store holds.
async fn find(
    store: &dyn LiveStore,
    group: &[Candle],
) -> Result<HashMap<(DateTime<Utc>, CandleSource), Candle>> {
    let mut found = HashMap::new();
    let Some(first) = group.first() else { return Ok(found) };
    let wanted: HashSet<_> = group.iter().map(|candle| (candle.time, candle.source)).collect();
    let (from, to) = range_of(group.iter().map(|candle| candle.time));
    let mut pages = CandlePages::new(first.symbol, first.interval, from, to);
    while let Some(candles) = pages.next(store).await? {
        let candles = candles.into_iter().map(|candle| ((candle.time, candle.source), candle));
        found.extend(candles.filter(|(identity, _)| wanted.contains(identity)));
    }
    Ok(found)
}

/// Candles of one symbol and width that follow each other.
fn groups(candles: &[Candle]) -> impl Iterator<Item = &[Candle]> {
    candles.chunk_by(|one, other| (one.symbol, one.interval) == (other.symbol, other.interval))
}

/// A finished candle is never replaced; an unfinished one is by a finished one, or by one of more ticks.
fn is_more_complete(coming: &Candle, there: &Candle) -> bool {
    !there.is_final && (coming.is_final || coming.ticks > there.ticks)
}

#[derive(Deserialize)]
struct CandleRow {
    symbol: Symbol,
    interval: Interval,
    #[serde(deserialize_with = "json::time")]
    time: DateTime<Utc>,
    #[serde(deserialize_with = "json::decimal")]
    open: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    high: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    low: Decimal,
    #[serde(deserialize_with = "json::decimal")]
    close: Decimal,
    #[serde(deserialize_with = "json::optional_decimal")]
    volume: Option<Decimal>,
    ticks: u64,
    source: CandleSource,
    #[serde(rename = "final")]
    is_final: bool,
}

#[async_trait]
impl Pages<Candles> for WidthPages {
    async fn next(&mut self, source: &Source<'_>) -> Result<Option<PageOf<Candles>>> {
        let (store, selection) = (source.store, source.selection);
        loop {
            let Some((interval, symbol, pages)) = &mut self.current else {
                let Some((interval, symbol)) = self.rest.pop() else { return Ok(None) };
                let pages = CandlePages::new(symbol, interval, selection.from(), selection.to());
                self.current = Some((interval, symbol, pages));
                continue;
            };
            if let Some(mut rows) = pages.next(store).await? {
                rows.retain(|candle| selection.has_candle(candle));
                let end = Place { interval: *interval, symbol: *symbol, before: pages.before() };
                return Ok(Some(PageOf { rows, part: interval.to_string(), end }));
            }
            self.current = None;
        }
    }
}

/// The candles of one symbol, width and range, newest first: the port gives the newest of a range.
pub(super) struct CandlePages {
    query: CandleQuery,
    ended: bool,
}

impl CandlePages {
    fn new(symbol: Symbol, interval: Interval, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self { query: CandleQuery { symbol, interval, from, to, limit: PAGE_ROWS }, ended: false }
    }

    /// The next page; `None` at the end. Candles of one moment are never on two pages.
    async fn next(&mut self, store: &dyn LiveStore) -> Result<Option<Vec<Candle>>> {
        if self.ended {
            return Ok(None);
        }
        let mut candles = patiently(|| store.candles(&self.query)).await?;
        self.ended = candles.len() < PAGE_ROWS;
        if !self.ended
            && let Some(oldest) = candles.first().map(|candle| candle.time)
        {
            // There may be more of this moment, cut off by the limit.
            candles.retain(|candle| candle.time != oldest);
            let Some(last) = candles.first() else {
                let reason = format!("{} has {PAGE_ROWS} candles of one moment", self.query.symbol);
                let error = LiveStoreError::Refused { place: "candles".to_owned(), reason };
                return Err(ArchiveError::Store(error));
            };
            self.query.to = last.time;
        }
        candles.reverse();
        Ok(Some(candles))
    }

    /// The next page ends before this; `None` at the end.
    fn before(&self) -> Option<DateTime<Utc>> {
        (!self.ended).then_some(self.query.to)
    }
}
