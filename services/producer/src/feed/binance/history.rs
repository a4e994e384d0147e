//! Candles of the past, from `/api/v3/klines`.

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use market::{Candle, Interval, Source, Symbol};

use super::{
    USER_AGENT,
    parse::{self, KlineRow, venue_name},
};
use crate::{
    feed::{DailyHistory, HistorySettings, Span, minutes::CandleHistory, rest::Api},
    supervise::FeedError,
};

/// Rows of one answer at most, by the venue's rules.
const MAX_ROWS: i32 = 1_000;

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
}

impl CandleHistory for Klines {
    fn max_rows(&self) -> i32 {
        MAX_ROWS
    }

    fn request(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, to): Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>> {
        Box::pin(async move {
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
        })
    }
}
