//! Candles of the past, from `/api/v3/klines`.

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use market::{Candle, Interval, Source, Symbol};

use super::{
    Binance, USER_AGENT,
    parse::{self, KlineRow, venue_name},
};
use crate::{
    feed::{DailyHistory, HistorySettings, Span, rest::Api},
    supervise::{FeedError, patiently},
};

/// Rows of one answer at most, by the venue's rules.
const MAX_ROWS: i64 = 1_000;
/// What is filled in at the start, and how far back: a day of minutes, two years of days, a month of hours.
const FILLED: [(Interval, TimeDelta); 3] = [
    (Interval::Minute, TimeDelta::days(1)),
    (Interval::Day, TimeDelta::days(730)),
    (Interval::Hour, TimeDelta::days(30)),
];

/// Daily candles for `tapedeck backfill`.
pub(super) fn daily(settings: &HistorySettings) -> anyhow::Result<Box<dyn DailyHistory>> {
    let source = Source::parse(super::FEED.name).context("the name of the source")?;
    let api = Api::new(USER_AGENT, settings.binance.binance_rest_url.clone())?;
    Ok(Box::new(Klines::new(Arc::new(api), source)))
}

/// Reads candles.
pub(super) struct Klines {
    api: Arc<Api>,
    source: Source,
}

impl Klines {
    pub(super) fn new(api: Arc<Api>, source: Source) -> Self {
        Self { api, source }
    }

    /// The candles of a span that have ended, in as many requests as the venue needs.
    async fn read(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, to): Span,
        now: DateTime<Utc>,
    ) -> Result<Vec<Candle>, FeedError> {
        let rows = (to - from).num_seconds() / interval.duration().num_seconds();
        let requests = ((rows + MAX_ROWS - 1) / MAX_ROWS).max(1);
        let part = (to - from) / i32::try_from(requests).unwrap_or(i32::MAX);
        let (mut candles, mut start) = (Vec::new(), from);
        for _ in 0..requests {
            candles.extend(self.read_part(symbol, interval, (start, start + part), now).await?);
            start += part;
        }
        Ok(candles)
    }

    async fn read_part(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, to): Span,
        now: DateTime<Utc>,
    ) -> Result<Vec<Candle>, FeedError> {
        let (from, to) = (from.timestamp_millis().to_string(), to.timestamp_millis().to_string());
        let (name, limit) = (venue_name(symbol), MAX_ROWS.to_string());
        let query = [
            ("symbol", name.as_str()),
            ("interval", interval.as_str()),
            ("startTime", &from),
            ("endTime", &to),
            ("limit", &limit),
        ];
        let rows: Vec<KlineRow> = self.api.get("api/v3/klines", &query).await?;
        parse::klines(&rows, self.source, symbol, interval, now)
            .map_err(|error| FeedError::Request { reason: format!("klines of {symbol}: {error}") })
    }
}

impl DailyHistory for Klines {
    fn daily(
        &self,
        symbol: Symbol,
        span: Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>> {
        Box::pin(self.read(symbol, Interval::Day, span, now))
    }
}

impl Binance {
    /// Fills in what a chart shows at first, then what it shows on request.
    pub(super) async fn fill_history(&self, symbols: &[Symbol]) -> anyhow::Result<()> {
        // A venue that is away at the start has its history queried once it is back.
        self.has_answered.notified().await;
        for (interval, back) in FILLED {
            let now = Utc::now();
            self.fill(symbols, interval, (now - back, now)).await?;
        }
        Ok(())
    }

    /// Fills in the candles of a span that have ended. A chart without history is better than no chart: a symbol that the venue does not
    /// have is left out, and a venue that does not answer is queried again.
    pub(super) async fn fill(
        &self,
        symbols: &[Symbol],
        interval: Interval,
        span: Span,
    ) -> anyhow::Result<()> {
        for symbol in symbols {
            let what = format!("candles of {symbol} ({interval})");
            let read = || self.history.read(*symbol, interval, span, Utc::now());
            if let Some(candles) = patiently(what, self.outlet.metrics(), read).await? {
                self.outlet.send_candles(&candles).await?;
            }
        }
        Ok(())
    }
}
