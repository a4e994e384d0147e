//! Candles of the past and the names of pairs, over REST.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use market::{Candle, Interval, Source, Symbol};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use super::{
    USER_AGENT,
    parse::{self, Answer, AssetPair, Pairs, Ticker},
};
use crate::{
    feed::{
        DailyHistory, HistorySettings, Span,
        minutes::{CandleHistory, Pace},
        rest::Api,
    },
    supervise::FeedError,
};

/// An answer has the newest 720 rows, whatever is requested: further requests have nothing more.
const MAX_ROWS: i32 = 100_000;
/// Public requests of one address: about one a second, by the venue's rules.
const PAUSE_MS: u64 = 1_000;
/// Errors that another try does not change; the others are of the venue's load and of its limits.
const REFUSALS: [&str; 2] = ["EQuery:", "EGeneral:Invalid arguments"];

/// Daily candles for `tapedeck backfill`.
pub(super) fn daily(settings: &HistorySettings) -> anyhow::Result<Box<dyn DailyHistory>> {
    let source = Source::parse(super::FEED.name).context("the name of the source")?;
    Ok(Box::new(Rest::new(Api::new(USER_AGENT, settings.kraken.kraken_rest_url.clone())?, source)))
}

/// The REST interface.
pub(super) struct Rest {
    api: Api,
    source: Source,
    pace: Pace,
    pairs: OnceCell<Pairs>,
}

impl Rest {
    pub(super) fn new(api: Api, source: Source) -> Self {
        Self { api, source, pace: Pace::new(PAUSE_MS), pairs: OnceCell::new() }
    }

    /// The pairs of the venue, requested once.
    pub(super) async fn pairs(&self) -> Result<&Pairs, FeedError> {
        let request = async || {
            let pairs: BTreeMap<String, AssetPair> = self.get("AssetPairs", &[]).await?;
            Ok::<_, FeedError>(Pairs::new(pairs))
        };
        self.pairs.get_or_try_init(request).await
    }

    /// The figures of the day of one pair.
    pub(super) async fn ticker(&self, symbol: Symbol) -> Result<Ticker, FeedError> {
        let name = self.name(symbol).await?;
        let tickers: BTreeMap<String, Ticker> = self.get("Ticker", &[("pair", name)]).await?;
        tickers.into_values().next().ok_or_else(|| FeedError::provider("an empty answer"))
    }

    async fn name(&self, symbol: Symbol) -> Result<&str, FeedError> {
        let reason = || format!("kraken lists no pair {symbol}");
        self.pairs().await?.get(symbol).ok_or_else(|| FeedError::Request { reason: reason() })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, FeedError> {
        self.pace.wait().await;
        let answer: Answer<T> = self.api.get(path, query).await?;
        // Warnings begin with a W.
        match (answer.error.into_iter().find(|error| error.starts_with('E')), answer.result) {
            (Some(reason), _) if REFUSALS.iter().any(|refusal| reason.starts_with(refusal)) => {
                Err(FeedError::Request { reason: format!("{path}: {reason}") })
            }
            (Some(reason), _) => Err(FeedError::provider(format!("{path}: {reason}"))),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(FeedError::provider(format!("{path}: an answer without a result"))),
        }
    }
}

impl CandleHistory for Rest {
    fn max_rows(&self) -> i32 {
        MAX_ROWS
    }

    fn request(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, _): Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>> {
        Box::pin(async move {
            let minutes = interval.duration().num_minutes().to_string();
            // The venue returns the rows after this time.
            let since = (from.timestamp() - 1).to_string();
            let query = [("pair", self.name(symbol).await?), ("interval", &minutes), ("since", &since)];
            let result: BTreeMap<String, Box<RawValue>> = self.get("OHLC", &query).await?;
            let rows = parse::ohlc_rows(&result);
            rows.and_then(|rows| parse::candles(&rows, (self.source, symbol, interval), now))
                .map_err(|error| FeedError::Request { reason: format!("OHLC of {symbol}: {error}") })
        })
    }
}
