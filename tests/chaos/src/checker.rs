//! Compares acknowledged ticks with stored ones. Needs one bit for each tick and a few dozen bytes for each candle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Message, Pages, TopicPartition};
use live_store::{CandleQuery, LiveStore, MAX_CANDLES, MAX_PAGE_TICKS, StoredTick, TickQuery};
use market::{Candle, CandleOrigin, Interval, Symbol};
use rust_decimal::Decimal;

use crate::{
    SeqSet,
    ledger::LedgerContent,
    plan::{LANES, Plan},
    seq_set::listed,
};

/// Records of one page of the log.
const READ_AT_ONCE: usize = 5_000;

/// The ticks of a plan in the store.
#[derive(Debug)]
pub struct Stored {
    plan: Plan,
    /// Sequence numbers, by lane.
    pub seqs: [SeqSet; LANES],
    /// Offsets, by topic and partition.
    pub offsets: BTreeMap<(&'static str, i32), SeqSet>,
    /// Number of ticks whose identity was counted before.
    pub doubled: u64,
    /// Number of ticks that do not belong to the plan: another symbol than that of their number, or an unknown symbol.
    pub strange: u64,
    minutes: BTreeMap<(Symbol, DateTime<Utc>), Minute>,
}

/// The expected candle of one minute, computed from the stored ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Minute {
    first: (DateTime<Utc>, u64),
    last: (DateTime<Utc>, u64),
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    ticks: u64,
}

impl Stored {
    /// No ticks yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            seqs: Default::default(),
            offsets: BTreeMap::new(),
            doubled: 0,
            strange: 0,
            minutes: BTreeMap::new(),
        }
    }

    /// Reads all ticks of the plan's source from the store, page by page.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn read(store: &dyn LiveStore, plan: &Plan) -> anyhow::Result<Self> {
        let mut stored = Self::new(plan);
        for lane in &plan.lanes {
            for symbol in &lane.symbols {
                pages(store, *symbol, |page| stored.count(page)).await?;
            }
        }
        Ok(stored)
    }

    /// Counts ticks; ignores those of another source.
    pub fn count(&mut self, ticks: &[StoredTick]) {
        for stored in ticks.iter().filter(|stored| stored.tick.source == self.plan.source) {
            let tick = &stored.tick;
            let lane = self.plan.lane_of(tick.symbol);
            let Some(lane) = lane.filter(|lane| self.plan.symbol(*lane, tick.seq) == tick.symbol) else {
                self.strange += 1;
                continue;
            };
            if !self.seqs[lane].insert(tick.seq) {
                self.doubled += 1;
                continue;
            }
            let partition = (self.plan.lanes[lane].topic, stored.partition);
            self.offsets.entry(partition).or_default().insert(stored.offset);
            let minute = (tick.symbol, Interval::Minute.floor(tick.timestamp));
            let order = (tick.timestamp, tick.seq);
            self.minutes
                .entry(minute)
                .and_modify(|minute| minute.add(order, tick.price))
                .or_insert_with(|| Minute::new(order, tick.price));
        }
    }

    /// Number of ticks in all lanes.
    pub fn len(&self) -> u64 {
        self.seqs.iter().map(SeqSet::len).sum()
    }

    /// Whether there are no ticks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares the stored ticks with the acknowledged ones.
    pub fn verdict(&self, content: &LedgerContent) -> Verdict {
        let mut verdict = Verdict {
            acknowledged: content.acknowledged_len(),
            stored: self.len(),
            doubled: self.doubled,
            strange: self.strange,
            ..Verdict::default()
        };
        for lane in 0..LANES {
            let topic = self.plan.lanes[lane].topic;
            let (acknowledged, stored) = (&content.acknowledged[lane], &self.seqs[lane]);
            let readable = |seq: &u64| !self.plan.is_poison(*seq);
            verdict.poison += acknowledged.iter().filter(|seq| !readable(seq)).count() as u64;
            let lost: SeqSet = acknowledged.without(stored).filter(readable).collect();
            verdict.lost += lost.len();
            if !lost.is_empty() {
                verdict.lost_listed.push(format!("{topic} {}", listed(lost.iter())));
            }
            verdict.unacknowledged += stored.without(acknowledged).count() as u64;
            verdict.strange += stored.iter().filter(|seq| *seq >= content.reserved[lane]).count() as u64;
        }
        verdict
    }

    /// Compares the one-minute candles of the store with those computed from its ticks: number of ticks, and prices.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn candles(&self, store: &dyn LiveStore) -> anyhow::Result<CandleCheck> {
        let symbols: BTreeSet<Symbol> = self.minutes.keys().map(|(symbol, _)| *symbol).collect();
        let mut result = CandleCheck::default();
        let mut missing: BTreeSet<_> = self.minutes.keys().copied().collect();
        for symbol in symbols {
            let query = CandleQuery {
                symbol,
                interval: Interval::Minute,
                from: DateTime::UNIX_EPOCH,
                to: Utc::now() + TimeDelta::days(1),
                limit: MAX_CANDLES,
            };
            for candle in store.candles(&query).await? {
                let is_ours =
                    candle.source.feed == self.plan.source && candle.source.origin == CandleOrigin::Ticks;
                if !is_ours {
                    continue;
                }
                missing.remove(&(symbol, candle.time));
                result.right += 1;
                let expected = self.minutes.get(&(symbol, candle.time));
                if let Some(difference) = difference(&candle, expected) {
                    result.right -= 1;
                    result.wrong.push(format!("{symbol} {}: {difference}", candle.time.format("%H:%M")));
                }
            }
        }
        result.missing =
            missing.iter().map(|(symbol, time)| format!("{symbol} {}", time.format("%H:%M"))).collect();
        Ok(result)
    }
}

impl Minute {
    fn new(order: (DateTime<Utc>, u64), price: Decimal) -> Self {
        Self { first: order, last: order, open: price, high: price, low: price, close: price, ticks: 1 }
    }

    fn add(&mut self, order: (DateTime<Utc>, u64), price: Decimal) {
        self.ticks += 1;
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        if order < self.first {
            (self.first, self.open) = (order, price);
        }
        if order > self.last {
            (self.last, self.close) = (order, price);
        }
    }
}

fn difference(candle: &Candle, expected: Option<&Minute>) -> Option<String> {
    let Some(expected) = expected else { return Some("a candle without ticks".to_owned()) };
    if candle.ticks != expected.ticks {
        return Some(format!("{} ticks in the candle, {} stored", candle.ticks, expected.ticks));
    }
    let (found, computed) = (
        (candle.open, candle.high, candle.low, candle.close),
        (expected.open, expected.high, expected.low, expected.close),
    );
    (found != computed).then(|| format!("the candle has {found:?}, its ticks {computed:?}"))
}

/// Result for the ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Number of acknowledged records, including poison.
    pub acknowledged: u64,
    /// Number of acknowledged records that cannot be decoded.
    pub poison: u64,
    /// Number of ticks in the store.
    pub stored: u64,
    /// Number of acknowledged ticks that are not stored.
    pub lost: u64,
    /// The first lost ticks, by topic.
    pub lost_listed: Vec<String>,
    /// Number of stored ticks that were not acknowledged, because their producer was killed before.
    pub unacknowledged: u64,
    /// Number of ticks that are stored more than once.
    pub doubled: u64,
    /// Number of stored ticks that were never sent.
    pub strange: u64,
}

impl Verdict {
    /// Violations of the guarantee, as text; empty without any.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.lost > 0 {
            problems.push(format!("{} acknowledged ticks lost: {}", self.lost, self.lost_listed.join("; ")));
        }
        if self.doubled > 0 {
            problems.push(format!("{} ticks stored more than once", self.doubled));
        }
        if self.strange > 0 {
            problems.push(format!("{} ticks stored that were never sent", self.strange));
        }
        problems
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} stored, {} lost, {} doubled",
            self.acknowledged, self.stored, self.lost, self.doubled
        )?;
        if self.unacknowledged > 0 {
            write!(f, ", {} stored but not acknowledged", self.unacknowledged)?;
        }
        Ok(())
    }
}

/// Result for the candles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandleCheck {
    /// Number of candles that equal those computed from their ticks.
    pub right: u64,
    /// The other candles, each with the difference.
    pub wrong: Vec<String>,
    /// Minutes with ticks and without a candle.
    pub missing: Vec<String>,
}

impl CandleCheck {
    /// The problems, as text; only the first few of each kind.
    pub fn problems(&self) -> Vec<String> {
        let some = |what: &str, list: &[String]| {
            let first: Vec<&str> = list.iter().take(3).map(String::as_str).collect();
            (!list.is_empty()).then(|| format!("{} {what}: {}", list.len(), first.join("; ")))
        };
        let wrong = some("candles differ from their ticks", &self.wrong);
        let missing = some("minutes have ticks and no candle", &self.missing);
        wrong.into_iter().chain(missing).collect()
    }
}

/// Number of records that the consumers' groups have not committed: ticks, and quoted candles.
///
/// # Errors
/// Errors of the log.
pub async fn lag(log: &dyn EventLog, group: &str) -> anyhow::Result<u64> {
    let ticks = log.lag(group, &[topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES]).await?;
    let candles = log.lag(&format!("{group}-candles"), &[topics::quoted_candle::TOPIC]).await?;
    Ok(ticks.iter().chain(&candles).map(|partition| partition.lag).sum())
}

/// Symbol and number of every tick of a source.
pub type Ticks = BTreeSet<(Symbol, u64)>;

/// The ticks of a source in the log, and the number of duplicates.
///
/// # Errors
/// Errors of the log.
pub async fn logged(log: &dyn EventLog, source: &str) -> anyhow::Result<(Ticks, u64)> {
    let (mut ticks, mut doubled) = (Ticks::new(), 0);
    for topic in [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES] {
        for message in read_topic(log, topic).await? {
            let Ok(tick) = topics::tick::decode(&message.payload, Utc::now()) else { continue };
            if tick.source.as_str() == source {
                doubled += u64::from(!ticks.insert((tick.symbol, tick.seq)));
            }
        }
    }
    Ok((ticks, doubled))
}

/// The ticks of a source and of these symbols in the store.
///
/// # Errors
/// Errors of the store.
pub async fn stored_of(store: &dyn LiveStore, source: &str, symbols: &[Symbol]) -> anyhow::Result<Ticks> {
    let mut ticks = Ticks::new();
    for symbol in symbols {
        pages(store, *symbol, |page| {
            let ours = page.iter().filter(|stored| stored.tick.source.as_str() == source);
            ticks.extend(ours.map(|stored| (stored.tick.symbol, stored.tick.seq)));
        })
        .await?;
    }
    Ok(ticks)
}

/// All records of a topic.
///
/// # Errors
/// Errors of the log.
pub(crate) async fn read_topic(log: &dyn EventLog, topic: &str) -> anyhow::Result<Vec<Message>> {
    let mut all = Vec::new();
    for info in log.topics().await?.into_iter().filter(|info| info.name == topic) {
        for (partition, (first, next)) in (0..).zip(&info.partitions) {
            let partition = TopicPartition { topic: topic.into(), partition };
            let mut pages = Pages::new(log, partition.clone(), *first..*next, READ_AT_ONCE);
            let mut end = *first;
            while let Some(page) = pages.next().await? {
                end = page.last().map_or(end, |last| last.position.offset + 1);
                all.extend(page);
            }
            ensure!(end >= *next, "{partition} ends at {end} instead of {next}");
        }
    }
    Ok(all)
}

/// Passes all ticks of a symbol to `see`, page by page.
pub(crate) async fn pages(
    store: &dyn LiveStore,
    symbol: Symbol,
    mut see: impl FnMut(&[StoredTick]),
) -> anyhow::Result<()> {
    let mut query = TickQuery {
        symbol,
        from: DateTime::UNIX_EPOCH,
        to: Utc::now() + TimeDelta::days(1),
        limit: MAX_PAGE_TICKS,
        cursor: None,
    };
    loop {
        let page = store.ticks(&query).await?;
        see(&page.ticks);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}
