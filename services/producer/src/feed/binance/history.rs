//! Candles of the past, from `/api/v3/klines`.

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use market::{Candle, Interval, Source, Symbol};
use reqwest::Client;
use url::Url;

use super::{
    Binance, USER_AGENT, endpoint,
    parse::{self, KlineRow, venue_name},
};
use crate::{
    feed::{DailyHistory, HistorySettings, Span, rest},
    supervise::FeedError,
};

/// Rows of one answer at most, by the venue's rules.
const MAX_ROWS: i64 = 1_000;
/// One-minute candles.
const MINUTES: TimeDelta = TimeDelta::days(1);
/// Wider candles, and how far back.
const WIDE: [(Interval, TimeDelta); 2] =
    [(Interval::Day, TimeDelta::days(730)), (Interval::Hour, TimeDelta::days(30))];

/// Daily candles for `tapedeck backfill`.
pub(super) fn daily(settings: &HistorySettings) -> anyhow::Result<Box<dyn DailyHistory>> {
    let source = Source::parse(super::FEED.name).context("the name of the source")?;
    Ok(Box::new(Klines::new(rest::client(USER_AGENT)?, settings.binance.binance_rest_url.clone(), source)))
}

/// Reads candles.
pub(super) struct Klines {
    client: Client,
    base: Url,
    source: Source,
}

impl Klines {
    pub(super) fn new(client: Client, base: Url, source: Source) -> Self {
        Self { client, base, source }
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
        let url = endpoint(&self.base, "api/v3/klines", &query)?;
        let rows: Vec<KlineRow> = rest::get(&self.client, url).await?;
        parse::klines(&rows, self.source, symbol, interval, now)
            .map_err(|error| FeedError::provider(format!("klines of {symbol}: {error}")))
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
    /// The minutes of the last day.
    pub(super) async fn fill_minutes(&self) -> anyhow::Result<()> {
        for symbol in &self.symbols {
            self.fill(*symbol, Interval::Minute, MINUTES).await?;
        }
        Ok(())
    }

    /// Two years of days and a month of hours.
    pub(super) async fn fill_wide_candles(&self) -> anyhow::Result<()> {
        for (interval, span) in WIDE {
            for symbol in &self.symbols {
                self.fill(*symbol, interval, span).await?;
            }
        }
        Ok(())
    }

    /// A chart without history is better than no chart: a failure is logged, and the feed continues.
    async fn fill(&self, symbol: Symbol, interval: Interval, span: TimeDelta) -> anyhow::Result<()> {
        let now = Utc::now();
        match self.history.read(symbol, interval, (now - span, now), now).await {
            Ok(candles) => self.outlet.send_candles(&candles).await,
            Err(FeedError::Provider { reason, .. }) => {
                self.outlet.metrics().errors.add(1);
                tracing::warn!(%symbol, %interval, reason, "no history");
                Ok(())
            }
            Err(FeedError::Fatal(error)) => Err(error),
        }
    }
}
