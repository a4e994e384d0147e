//! Candles as a client reads them again and again, while intervals end.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use live_store::{CandleQuery, LiveStore, best_candles};
use market::{CandleFields, TickFields, prefer, rollup};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;

/// A read every so often, in milliseconds.
const STEP_MS: i64 = 1_000;
/// So long, from 160 s before a turn to 110 s after it.
const STEPS: i64 = 270;

/// One-minute candles of the provider from before the ticks.
const HISTORY_MINUTES: i64 = 130;

/// A tick on its way: when it happened, when it is in the log, and its price in cents.
#[derive(Clone, Debug)]
struct Trade {
    at_ms: i64,
    late_ms: i64,
    feed: &'static str,
    cents: i64,
}

fn trades() -> impl Strategy<Value = Vec<Trade>> {
    let feed = prop_oneof![9 => Just("binance"), 1 => Just("coinbase")];
    let trade = (0..STEPS * STEP_MS, prop_oneof![0_i64..300, 0_i64..4_000], feed, 9_000_i64..11_000);
    prop::collection::vec(trade, 1..400).prop_map(|trades| {
        let trade = |(at_ms, late_ms, feed, cents)| Trade { at_ms, late_ms, feed, cents };
        let mut trades: Vec<Trade> = trades.into_iter().map(trade).collect();
        trades.sort_by_key(|trade| trade.at_ms + trade.late_ms);
        trades
    })
}

struct Market {
    start: DateTime<Utc>,
    symbol: Symbol,
    store: Arc<dyn LiveStore>,
    quotes: LiveQuotes,
    consumer: CandleBuilder,
    /// Closed candles that were published and not received yet.
    published: VecDeque<Candle>,
    /// Of each interval and time the candle that was final, or the volume of the one in progress.
    seen: BTreeMap<(Interval, DateTime<Utc>), Result<CandleFields, Decimal>>,
}

impl Market {
    async fn new(turn: DateTime<Utc>, store: Arc<dyn LiveStore>) -> Self {
        let symbol = Symbol::parse("BTC/USDT").expect("a symbol");
        let start = turn - chrono::TimeDelta::seconds(160);
        // The provider's history, which does not count trades, ends before the ticks begin.
        let history = |ago: i64| {
            Candle::new(CandleFields {
                symbol,
                interval: Interval::Minute,
                time: Interval::Minute.floor(start) - chrono::TimeDelta::minutes(ago),
                open: Decimal::from(100 + ago % 7),
                high: Decimal::from(120),
                low: Decimal::from(80),
                close: Decimal::from(100 + ago % 5),
                volume: Some(Decimal::from(3)),
                ticks: 0,
                source: "binance".parse().expect("a source"),
                is_final: true,
            })
            .expect("a candle")
        };
        let history: Vec<Candle> = (1..=HISTORY_MINUTES).map(history).collect();
        store.write_candles(&history).await.expect("stored");
        let mut quotes = LiveQuotes::new(&[symbol]);
        quotes.end_loading();
        let consumer = CandleBuilder::new(&Interval::ALL, CandleTiming::default());
        Self { start, symbol, store, quotes, consumer, published: VecDeque::new(), seen: BTreeMap::new() }
    }

    fn time(&self, at_ms: i64) -> DateTime<Utc> {
        self.start + chrono::TimeDelta::milliseconds(at_ms)
    }

    fn tick(&self, trade: &Trade, seq: u64) -> Tick {
        let price = Decimal::new(trade.cents, 2);
        Tick::new(TickFields {
            symbol: self.symbol,
            timestamp: self.time(trade.at_ms),
            price,
            volume: price,
            open: price,
            high: price,
            low: price,
            size: Some(Decimal::ONE),
            change_percent: 0.0,
            source: Source::parse(trade.feed).expect("a source"),
            received_at: self.time(trade.at_ms + trade.late_ms),
            seq,
        })
        .expect("a tick")
    }

    /// The consumer reads what it has not read yet, a restart in between where it is due.
    async fn consume(&mut self, ticks: &[Tick], restarts: bool, now: DateTime<Utc>) {
        if restarts {
            self.consumer =
                CandleBuilder::restore(self.consumer.state(), &Interval::ALL, CandleTiming::default());
        }
        let mut closed = Vec::new();
        for tick in ticks {
            self.consumer.apply(tick, now, &mut closed);
        }
        self.consumer.advance(now, &mut closed);
        self.store.write_candles(&closed).await.expect("stored");
        self.published.extend(closed);
    }

    async fn read(&self, interval: Interval, live: &[Candle], now: DateTime<Utc>) -> Vec<Candle> {
        let from = self.start - chrono::TimeDelta::days(2);
        let to = now + chrono::TimeDelta::days(1);
        let query = CandleQuery { symbol: self.symbol, interval, from, to, limit: 5_000 };
        best_candles(&*self.store, &query, live, now).await.expect("candles")
    }

    async fn check(&mut self, now: DateTime<Utc>) {
        let live = self.quotes.unstored_candles(self.symbol);
        let minutes = self.read(Interval::Minute, &live, now).await;
        assert_eq!(prefer(&minutes), minutes);
        for interval in Interval::ALL {
            let candles = self.read(interval, &live, now).await;
            let parts =
                if interval == Interval::Minute { minutes.clone() } else { rollup(&minutes, interval) };
            let numbers = |c: &Candle| (c.time, c.open, c.high, c.low, c.close, c.volume, c.ticks);
            assert_eq!(
                candles.iter().map(numbers).collect::<Vec<_>>(),
                parts.iter().map(numbers).collect::<Vec<_>>(),
                "{interval} at {now}"
            );
            for candle in candles {
                self.compare(&candle, now);
            }
        }
    }

    /// With what was read before.
    fn compare(&mut self, candle: &Candle, now: DateTime<Utc>) {
        let volume = candle.volume.expect("every trade has a size");
        let key = (candle.interval, candle.time);
        match self.seen.get(&key) {
            Some(Ok(known)) => assert_eq!(*known, candle.into_fields(), "final, and changed at {now}"),
            Some(Err(before)) => assert!(*before <= volume, "{before} fell at {now}: {candle:?}"),
            None => {}
        }
        let seen = if candle.is_final { Ok(candle.into_fields()) } else { Err(volume) };
        self.seen.insert(key, seen);
    }
}

async fn follow(turn: &str, trades: &[Trade], consumer_lag_ms: i64, restart: i64) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let store = live_store::open(&url).await.expect("a store");
    let mut market = Market::new(turn.parse().expect("a time"), store).await;
    let ticks: Vec<(i64, Tick)> = trades
        .iter()
        .zip(0..)
        .map(|(trade, seq)| (trade.at_ms + trade.late_ms, market.tick(trade, seq)))
        .collect();
    let between = |from: i64, to: i64| {
        let due = ticks.iter().filter(move |(at, _)| (from..to).contains(at));
        due.map(|(_, tick)| *tick).collect::<Vec<Tick>>()
    };
    for step in 1..=STEPS {
        let (before, at) = ((step - 1) * STEP_MS, step * STEP_MS);
        let now = market.time(at);
        for tick in between(before, at) {
            market.quotes.apply_tick(&tick, now);
        }
        let due = between(before - consumer_lag_ms, at - consumer_lag_ms);
        for candle in std::mem::take(&mut market.published) {
            market.quotes.apply_candle(&candle, now);
        }
        market.consume(&due, step == restart, now).await;
        market.quotes.advance(now);
        market.check(now).await;
    }
    assert!(market.seen.values().filter(|seen| seen.is_ok()).count() > HISTORY_MINUTES as usize);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, ..ProptestConfig::default() })]

    #[test]
    fn a_final_candle_never_changes_none_is_missing_and_every_wide_one_equals_its_minutes(
        trades in trades(), is_midnight in any::<bool>(), consumer_lag_ms in 0_i64..3_000, restart in 0..STEPS,
    ) {
        let turn = if is_midnight { "2026-01-14T00:00:00Z" } else { "2026-01-13T12:00:00Z" };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(follow(turn, &trades, consumer_lag_ms, restart));
    }
}
