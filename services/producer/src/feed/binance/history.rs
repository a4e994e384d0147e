//! Candles of the past, from `/api/v3/klines`.

use chrono::{DateTime, TimeDelta, Utc};
use market::{Interval, Symbol};

use super::{
    Binance, endpoint,
    parse::{self, KlineRow},
    venue_name,
};
use crate::{feed::rest, supervise::FeedError};

/// Rows of one answer at most, by the venue's rules.
const MAX_ROWS: i64 = 1_000;
/// One-minute candles.
const MINUTES: TimeDelta = TimeDelta::days(1);
/// Wider candles, and how far back.
const WIDE: [(Interval, TimeDelta); 2] =
    [(Interval::Day, TimeDelta::days(730)), (Interval::Hour, TimeDelta::days(30))];

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
        match self.read(symbol, interval, span).await {
            Ok(()) => Ok(()),
            Err(FeedError::Provider { reason, .. }) => {
                self.outlet.metrics().errors.add(1);
                tracing::warn!(%symbol, %interval, reason, "no history");
                Ok(())
            }
            Err(FeedError::Fatal(error)) => Err(error),
        }
    }

    async fn read(&self, symbol: Symbol, interval: Interval, span: TimeDelta) -> Result<(), FeedError> {
        let now = Utc::now();
        let rows = span.num_seconds() / interval.duration().num_seconds();
        let requests = (rows + MAX_ROWS - 1) / MAX_ROWS;
        let part = span / i32::try_from(requests).unwrap_or(i32::MAX);
        let mut start = now - span;
        for _ in 0..requests {
            self.read_part(symbol, interval, (start, start + part), now).await?;
            start += part;
        }
        Ok(())
    }

    async fn read_part(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        now: DateTime<Utc>,
    ) -> Result<(), FeedError> {
        let (from, to) = (from.timestamp_millis().to_string(), to.timestamp_millis().to_string());
        let (name, limit) = (venue_name(symbol), MAX_ROWS.to_string());
        let query = [
            ("symbol", name.as_str()),
            ("interval", interval.as_str()),
            ("startTime", &from),
            ("endTime", &to),
            ("limit", &limit),
        ];
        let url = endpoint(&self.config.binance.binance_rest_url, "api/v3/klines", &query)?;
        let rows: Vec<KlineRow> = rest::get(&self.client, url).await?;
        let candles = parse::klines(&rows, self.source, symbol, interval, now)
            .map_err(|error| FeedError::provider(format!("klines of {symbol}: {error}")))?;
        Ok(self.outlet.send_candles(&candles).await?)
    }
}
