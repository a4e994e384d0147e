//! Candles of the past, from `/products/{id}/candles`.

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::BoxFuture;
use market::{Candle, Interval, Source, Symbol};

use super::{
    USER_AGENT,
    parse::{self, CandleRow, product_id},
};
use crate::{
    feed::{
        DailyHistory, HistorySettings, Span,
        minutes::{CandleHistory, Pace},
        rest::Api,
    },
    supervise::FeedError,
};

/// The venue refuses a span of more than 300 candles, and counts the one at its end.
const MAX_ROWS: i32 = 299;
/// Public requests of one address: ten a second, by the venue's rules.
const PAUSE_MS: u64 = 150;

/// Daily candles for `tapedeck backfill`.
pub(super) fn daily(settings: &HistorySettings) -> anyhow::Result<Box<dyn DailyHistory>> {
    let source = Source::parse(super::FEED.name).context("the name of the source")?;
    let api = Api::new(USER_AGENT, settings.coinbase.coinbase_rest_url.clone())?;
    Ok(Box::new(Candles::new(Arc::new(api), source)))
}

/// Reads candles.
pub(super) struct Candles {
    api: Arc<Api>,
    source: Source,
    pace: Pace,
}

impl Candles {
    pub(super) fn new(api: Arc<Api>, source: Source) -> Self {
        Self { api, source, pace: Pace::new(PAUSE_MS) }
    }
}

impl CandleHistory for Candles {
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
            self.pace.wait().await;
            let granularity = interval.duration().num_seconds().to_string();
            let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
            let (start, end) = (text(from), text(to));
            let query = [("granularity", granularity.as_str()), ("start", &start), ("end", &end)];
            let path = format!("products/{}/candles", product_id(symbol));
            let rows: Vec<CandleRow> = self.api.get(&path, &query).await?;
            parse::candles(&rows, (self.source, symbol, interval), now)
                .map_err(|error| FeedError::Request { reason: format!("candles of {symbol}: {error}") })
        })
    }
}
