//! All selected rows of a store, page by page, in an order that can be taken up anywhere: checkpoints, the ticks day
//! by day, the bars width by width.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use live_store::{Checkpoint, LiveStore, StoredTick};
use market::{Candle, Interval, Symbol};
use serde::{Deserialize, Serialize};

use crate::{
    Kind, Prices, Result, Selection,
    held::held,
    pages::{CandlePages, TickPages, first_tick, patiently},
    prices::Held,
};

/// The processors whose checkpoints are taken along.
const PROCESSORS: [&str; 1] = ["consumer"];

/// Rows of one kind, at most a page of them.
pub(crate) enum Rows {
    Checkpoints(Vec<Checkpoint>),
    Ticks(Vec<StoredTick>),
    Candles(Vec<Candle>),
}

impl Rows {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Checkpoints(_) => Kind::Checkpoints,
            Self::Ticks(_) => Kind::Ticks,
            Self::Candles(_) => Kind::Candles,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Checkpoints(rows) => rows.len(),
            Self::Ticks(rows) => rows.len(),
            Self::Candles(rows) => rows.len(),
        }
    }
}

/// Rows that belong together, and where they end.
pub(crate) struct Page {
    pub(crate) rows: Rows,
    /// The day, or the width.
    pub(crate) part: String,
    pub(crate) end: Place,
}

/// Everything up to here has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Place {
    Checkpoints,
    /// Of this day the symbols before this one; and this one up to the cursor, or whole where there is none.
    Ticks {
        day: NaiveDate,
        symbol: Symbol,
        cursor: Option<String>,
    },
    /// Of this width the symbols before this one; and of this one the bars from this time on, or all.
    Candles {
        interval: Interval,
        symbol: Symbol,
        before: Option<DateTime<Utc>>,
    },
}

/// A walk through a store.
pub(crate) struct Walk<'a> {
    store: &'a dyn LiveStore,
    selection: &'a Selection,
    symbols: Vec<Symbol>,
    phase: Phase,
    held: Held,
}

enum Phase {
    Checkpoints,
    Ticks(Ticks),
    Candles(Candles),
    Done,
}

/// The time of each symbol's next tick, and the symbol and day that is being read.
struct Ticks {
    next: BTreeMap<Symbol, DateTime<Utc>>,
    current: Option<(NaiveDate, Symbol, TickPages)>,
}

/// What is to be read yet, last first; and what is being read.
struct Candles {
    rest: Vec<(Interval, Symbol)>,
    current: Option<(Interval, Symbol, CandlePages)>,
}

impl<'a> Walk<'a> {
    /// Behind `after`, or from the beginning.
    pub(crate) async fn start(
        store: &'a dyn LiveStore,
        selection: &'a Selection,
        after: Option<&Place>,
    ) -> Result<Self> {
        let mut symbols = patiently(|| store.symbols()).await?;
        symbols.retain(|symbol| selection.has_symbol(*symbol));
        let mut walk = Self { store, selection, symbols, phase: Phase::Done, held: Held::default() };
        walk.held = held(store, selection).await?;
        walk.held.only()?;
        walk.phase = match after {
            None => Phase::Checkpoints,
            Some(Place::Checkpoints) => Phase::Ticks(walk.ticks(None).await?),
            Some(Place::Ticks { day, symbol, cursor }) => {
                Phase::Ticks(walk.ticks(Some((*day, *symbol, cursor.clone()))).await?)
            }
            Some(Place::Candles { interval, symbol, before }) => {
                Phase::Candles(walk.candles(Some((*interval, *symbol, *before))))
            }
        };
        Ok(walk)
    }

    /// Which prices were met.
    pub(crate) fn prices(&self) -> Result<Option<Prices>> {
        self.held.only()
    }

    /// The next page, never empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>> {
        loop {
            let page = match &mut self.phase {
                Phase::Checkpoints => self.checkpoints().await?,
                Phase::Ticks(ticks) => ticks.next(self.store, self.selection).await?,
                Phase::Candles(candles) => candles.next(self.store, self.selection).await?,
                Phase::Done => return Ok(None),
            };
            match page {
                Some(page) if page.rows.len() > 0 => {
                    self.look_at(&page.rows)?;
                    if matches!(page.rows, Rows::Checkpoints(_)) {
                        self.next_phase().await?;
                    }
                    return Ok(Some(page));
                }
                Some(_) => {}
                None => self.next_phase().await?,
            }
        }
    }

    async fn next_phase(&mut self) -> Result<()> {
        self.phase = match &self.phase {
            Phase::Checkpoints => Phase::Ticks(self.ticks(None).await?),
            Phase::Ticks(_) => Phase::Candles(self.candles(None)),
            Phase::Candles(_) | Phase::Done => Phase::Done,
        };
        Ok(())
    }

    /// Real and invented prices are told apart row by row.
    fn look_at(&mut self, rows: &Rows) -> Result<()> {
        match rows {
            Rows::Checkpoints(_) => {}
            Rows::Ticks(rows) => {
                for row in rows {
                    self.held.add(Prices::of(row.tick.source), row.tick.symbol);
                }
            }
            Rows::Candles(rows) => {
                for bar in rows {
                    self.held.add(Prices::of(bar.source.feed), bar.symbol);
                }
            }
        }
        self.held.only().map(drop)
    }

    /// First of all: what they stand for is then there when the ticks are read.
    async fn checkpoints(&self) -> Result<Option<Page>> {
        let mut all = Vec::new();
        if self.selection.has_kind(Kind::Checkpoints) {
            for processor in PROCESSORS {
                all.extend(patiently(|| self.store.checkpoints(processor)).await?);
            }
        }
        let page = Page { rows: Rows::Checkpoints(all), part: "all".to_owned(), end: Place::Checkpoints };
        Ok((page.rows.len() > 0).then_some(page))
    }

    async fn ticks(&self, after: Option<(NaiveDate, Symbol, Option<String>)>) -> Result<Ticks> {
        let mut ticks = Ticks { next: BTreeMap::new(), current: None };
        if !self.selection.has_kind(Kind::Ticks) {
            return Ok(ticks);
        }
        for symbol in &self.symbols {
            let from = match &after {
                None => self.selection.from(),
                Some((day, reached, None)) if symbol <= reached => end_of(*day),
                Some((day, reached, _)) if symbol < reached => end_of(*day),
                Some((day, _, _)) => start_of(*day),
            };
            let from = from.max(self.selection.from());
            if let Some(time) = first_tick(self.store, *symbol, from, self.selection.to()).await? {
                ticks.next.insert(*symbol, time);
            }
        }
        if let Some((day, symbol, Some(cursor))) = after {
            ticks.begin(day, symbol, Some(cursor), self.selection);
        }
        Ok(ticks)
    }

    fn candles(&self, after: Option<(Interval, Symbol, Option<DateTime<Utc>>)>) -> Candles {
        let mut rest = Vec::new();
        if self.selection.has_kind(Kind::Candles) {
            for interval in Interval::ALL {
                rest.extend(self.symbols.iter().map(|symbol| (interval, *symbol)));
            }
        }
        let mut current = None;
        if let Some((interval, symbol, before)) = after {
            rest.retain(|other| *other > (interval, symbol));
            current = before.map(|before| {
                let pages = CandlePages::new(symbol, interval, self.selection.from(), before);
                (interval, symbol, pages)
            });
        }
        rest.reverse();
        Candles { rest, current }
    }
}

impl Ticks {
    fn begin(&mut self, day: NaiveDate, symbol: Symbol, cursor: Option<String>, selection: &Selection) {
        let from = start_of(day).max(selection.from());
        let to = end_of(day).min(selection.to());
        self.current = Some((day, symbol, TickPages::new(symbol, from, to, cursor)));
    }

    async fn next(&mut self, store: &dyn LiveStore, selection: &Selection) -> Result<Option<Page>> {
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
                let end = Place::Ticks { day, symbol, cursor: pages.cursor().map(str::to_owned) };
                return Ok(Some(Page { rows: Rows::Ticks(rows), part: day.to_string(), end }));
            }
            self.current = None;
            match first_tick(store, symbol, end_of(day), selection.to()).await? {
                Some(time) => self.next.insert(symbol, time),
                None => self.next.remove(&symbol),
            };
        }
    }
}

impl Candles {
    async fn next(&mut self, store: &dyn LiveStore, selection: &Selection) -> Result<Option<Page>> {
        loop {
            let Some((interval, symbol, pages)) = &mut self.current else {
                let Some((interval, symbol)) = self.rest.pop() else { return Ok(None) };
                let pages = CandlePages::new(symbol, interval, selection.from(), selection.to());
                self.current = Some((interval, symbol, pages));
                continue;
            };
            if let Some(mut bars) = pages.next(store).await? {
                bars.retain(|bar| selection.has_candle(bar));
                let end = Place::Candles { interval: *interval, symbol: *symbol, before: pages.before() };
                return Ok(Some(Page { rows: Rows::Candles(bars), part: interval.to_string(), end }));
            }
            self.current = None;
        }
    }
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn end_of(day: NaiveDate) -> DateTime<Utc> {
    day.succ_opt().map_or(DateTime::<Utc>::MAX_UTC, start_of)
}
