//! Candles of the past beside the trades of a socket: what a chart shows at first, and the minutes after a disconnect.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use market::{Candle, Interval, Symbol};
use tokio::time::Instant;

use super::{DailyHistory, Span};
use crate::{
    publish::Outlet,
    supervise::{FeedError, patiently},
};

/// What is filled in at the start, and how far back: a day of minutes, two years of days, a month of hours.
const FILLED: [(Interval, TimeDelta); 3] = [
    (Interval::Minute, TimeDelta::days(1)),
    (Interval::Day, TimeDelta::days(730)),
    (Interval::Hour, TimeDelta::days(30)),
];
/// Minutes of a longer gap are not requested: `tapedeck backfill` is for those.
pub(crate) const REPAIRED: TimeDelta = TimeDelta::days(7);
/// After so long a venue has the candle of a minute.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// A venue's candles of the past. Candles outside the span are left out by the caller.
pub(crate) trait CandleHistory: Send + Sync {
    /// The longest span of one request, in candles.
    fn max_rows(&self) -> i32;

    /// Requests the candles of a span once; those that have not ended at `now` are left out.
    fn request(
        &self,
        symbol: Symbol,
        interval: Interval,
        span: Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>>;
}

/// The candles of a span that have ended, in as many requests as the venue needs.
pub(crate) async fn candles(
    history: &dyn CandleHistory,
    symbol: Symbol,
    interval: Interval,
    span: Span,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, FeedError> {
    let mut candles = Vec::new();
    for (from, to) in parts(span, interval, history.max_rows()) {
        let part = history.request(symbol, interval, (from, to), now).await?;
        // Some venues also return the candles beside a span.
        candles.extend(part.into_iter().filter(|candle| (from..to).contains(&candle.time)));
    }
    Ok(candles)
}

/// A span in parts of at most so many candles.
fn parts((from, to): Span, interval: Interval, max_rows: i32) -> Vec<Span> {
    let longest = interval.duration() * max_rows.max(1);
    let mut parts = Vec::new();
    let mut start = from;
    while start < to {
        let end = start.checked_add_signed(longest).map_or(to, |end| end.min(to));
        parts.push((start, end));
        start = end;
    }
    parts
}

impl<H: CandleHistory> DailyHistory for H {
    fn daily(
        &self,
        symbol: Symbol,
        span: Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>> {
        Box::pin(candles(self, symbol, Interval::Day, span, now))
    }
}

/// Keeps the requests to a venue apart, also those of several tasks.
pub(crate) struct Pace {
    pause: Duration,
    next: tokio::sync::Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(pause_ms: u64) -> Self {
        Self { pause: Duration::from_millis(pause_ms), next: tokio::sync::Mutex::new(None) }
    }

    /// Waits until the pause after the last request is over.
    pub(crate) async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            tokio::time::sleep_until(next).await;
        }
        *next = Some(Instant::now() + self.pause);
    }
}

/// Fills candles of the past into the log.
#[derive(Clone, Copy)]
pub(crate) struct Filling<'a> {
    pub(crate) history: &'a dyn CandleHistory,
    pub(crate) outlet: &'a Outlet,
}

impl Filling<'_> {
    /// Fills in what a chart shows at first, then what it shows on request.
    pub(crate) async fn start(self, symbols: &[Symbol]) -> anyhow::Result<()> {
        for (interval, back) in FILLED {
            let now = Utc::now();
            self.span(symbols, interval, (now - back, now)).await?;
        }
        Ok(())
    }

    /// Requests the minutes since the last data, at once, and then the one in which this connection began, once it is over.
    pub(crate) async fn repair(self, symbols: &[Symbol], gap_from: DateTime<Utc>) -> anyhow::Result<()> {
        let minute = |time: DateTime<Utc>| Interval::Minute.floor(time);
        let begun = minute(Utc::now());
        let from = minute(gap_from).max(begun - REPAIRED);
        if from < begun {
            self.span(symbols, Interval::Minute, (from, begun)).await?;
        }
        let end = begun + Interval::Minute.duration() + SETTLED;
        tokio::time::sleep((end - Utc::now()).to_std().unwrap_or_default()).await;
        self.span(symbols, Interval::Minute, (begun, begun + Interval::Minute.duration())).await
    }

    /// Fills in the candles of a span that have ended. A chart without history is better than no chart: a symbol that the venue does not
    /// have is left out, and a venue that does not answer is queried again.
    async fn span(self, symbols: &[Symbol], interval: Interval, span: Span) -> anyhow::Result<()> {
        for symbol in symbols {
            self.of_symbol(*symbol, interval, span).await?;
        }
        Ok(())
    }

    /// Fills in the minutes of one symbol; whether the venue answered.
    pub(crate) async fn minutes(self, symbol: Symbol, span: Span) -> anyhow::Result<bool> {
        self.of_symbol(symbol, Interval::Minute, span).await
    }

    async fn of_symbol(self, symbol: Symbol, interval: Interval, span: Span) -> anyhow::Result<bool> {
        let what = format!("candles of {symbol} ({interval})");
        let read = || candles(self.history, symbol, interval, span, Utc::now());
        let Some(candles) = patiently(what, self.outlet.metrics(), read).await? else { return Ok(false) };
        self.outlet.send_candles(&candles).await?;
        Ok(true)
    }
}

/// Since when minutes of a connection may lack trades.
pub(crate) struct Gap {
    /// When data came last, in milliseconds since 1970.
    last_data: AtomicI64,
    /// `None` where nothing is missing.
    from: Mutex<Option<DateTime<Utc>>>,
}

impl Gap {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self { last_data: AtomicI64::new(now.timestamp_millis()), from: Mutex::new(None) }
    }

    pub(crate) fn data_received(&self, now: DateTime<Utc>) {
        self.last_data.store(now.timestamp_millis(), Ordering::Relaxed);
    }

    /// At the start of a connection: since when trades may be missing. An earlier gap that was not repaired is still one.
    pub(crate) fn open(&self) -> DateTime<Utc> {
        let last_data = DateTime::from_timestamp_millis(self.last_data.load(Ordering::Relaxed));
        *self.lock().get_or_insert_with(|| last_data.unwrap_or_else(Utc::now))
    }

    pub(crate) fn repaired(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<DateTime<Utc>>> {
        self.from.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use service_runtime::{Latency, Status};
    use topics::names::figure;

    use super::*;
    use crate::{metrics::FeedMetrics, publish::outlet};

    /// Has no candles, and remembers what was requested.
    #[derive(Default)]
    struct EmptyHistory(Mutex<Vec<(Interval, Span)>>);

    impl EmptyHistory {
        fn requested(&self) -> Vec<(Interval, Span)> {
            self.0.lock().expect("a lock").clone()
        }
    }

    impl CandleHistory for EmptyHistory {
        fn max_rows(&self) -> i32 {
            300
        }

        fn request(
            &self,
            _: Symbol,
            interval: Interval,
            span: Span,
            _: DateTime<Utc>,
        ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>> {
            self.0.lock().expect("a lock").push((interval, span));
            Box::pin(std::future::ready(Ok(Vec::new())))
        }
    }

    #[tokio::test]
    async fn the_minutes_since_the_last_data_are_requested_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = format!("sqlite:{}", folder.path().join("log.db").display());
        let log = event_log::open(&log).await.expect("a log");
        let latency = Arc::new(Latency::new(figure::FEED_PUBLISHED));
        let metrics = FeedMetrics::new(&Status::new("producer", "test", Utc::now()), "test", &latency);
        let (outlet, _acknowledgements) = outlet(log.publisher().expect("a publisher"), metrics);
        let history = EmptyHistory::default();
        let filling = Filling { history: &history, outlet: &outlet };
        let (symbols, before) = ([Symbol::parse("BTC/USD").expect("a symbol")], Utc::now());
        let two_requests = async {
            while history.requested().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        // The minute in progress is requested two seconds after its end, and not waited for here.
        tokio::select! {
            ended = filling.repair(&symbols, before - TimeDelta::hours(7)) => panic!("{ended:?}"),
            () = two_requests => {}
        }
        let requested = history.requested();
        let [(Interval::Minute, first), (Interval::Minute, second)] = requested.as_slice() else {
            panic!("{requested:?}")
        };
        assert_eq!(first.0, Interval::Minute.floor(before - TimeDelta::hours(7)));
        assert_eq!((first.1, first.1 - first.0), (second.0, TimeDelta::minutes(300)));
        let begun = [before, Utc::now()].map(|time| Interval::Minute.floor(time));
        assert!(begun.contains(&second.1), "until the minute in progress: {second:?}");
    }

    #[test]
    fn a_span_is_cut_into_parts_that_a_venue_answers() {
        let time = |minute: i64| DateTime::from_timestamp(1_700_000_000 + minute * 60, 0).expect("a time");
        let minutes = |from, to, rows| parts((time(from), time(to)), Interval::Minute, rows);
        assert_eq!(
            minutes(0, 700, 300),
            [(0, 300), (300, 600), (600, 700)].map(|(from, to)| (time(from), time(to)))
        );
        assert_eq!(minutes(0, 300, 300).len(), 1);
        assert_eq!(minutes(5, 5, 300), []);
        assert_eq!(minutes(0, 100_000, i32::MAX).len(), 1);
    }

    #[test]
    fn a_gap_stays_until_it_is_repaired() {
        let time = |second: i64| DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time");
        let gap = Gap::new(time(0));
        assert_eq!(gap.open(), time(0));
        gap.data_received(time(5));
        assert_eq!(gap.open(), time(0), "the first connection ended before its minutes were requested");
        gap.repaired();
        assert_eq!(gap.open(), time(5));
    }
}
