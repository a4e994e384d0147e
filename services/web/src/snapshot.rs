//! All symbols at one moment, as requests show them. Made of the live view at most once for each flush, however many requests
//! ask for it: they neither wait for the lock of the live view nor hold it.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use market::Symbol;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::{
    live::Live,
    live_quotes::SymbolView,
    middleware::viewer::Viewer,
    problem::Problem,
    quote::{Freshness, Quote},
};

/// Ages of prices are as old as the snapshot: it is not shown for longer than this.
const MAX_AGE_MS: u64 = 40;

/// All symbols at one moment.
pub(crate) struct Snapshot {
    /// Of the live view.
    version: u64,
    made: Instant,
    pub(crate) at: DateTime<Utc>,
    /// In alphabetical order.
    views: Vec<SymbolView>,
    /// The body of `/v1/quotes`, and the board for each kind of reader; made when they are asked for.
    quotes_json: OnceCell<Bytes>,
    boards: [OnceCell<Bytes>; Viewer::COUNT],
}

/// How many symbols have prices, and how old they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PriceSummary {
    pub(crate) live: usize,
    /// Without a tick for a minute although the market is open.
    pub(crate) stale: usize,
    pub(crate) closed: usize,
    /// Without a price yet.
    pub(crate) waiting: usize,
    pub(crate) simulated: usize,
    /// Since the last tick of any symbol was received; null before the first one.
    pub(crate) newest_age_ms: Option<i64>,
}

#[derive(Serialize)]
pub(crate) struct Quotes<'a> {
    pub(crate) quotes: Vec<&'a Quote>,
    /// Requested, but without a price.
    pub(crate) unknown: Vec<Symbol>,
}

impl Snapshot {
    pub(crate) fn of(live: &Live) -> Self {
        let (version, made, at) = (live.version(), Instant::now(), Utc::now());
        let views = live.quotes().views(at);
        Self { version, made, at, views, quotes_json: OnceCell::new(), boards: Default::default() }
    }

    /// Whether it still shows what the live view last published.
    pub(crate) fn is_current(&self, version: u64) -> bool {
        self.version == version && self.made.elapsed() < Duration::from_millis(MAX_AGE_MS)
    }

    pub(crate) fn views(&self) -> &[SymbolView] {
        &self.views
    }

    /// The quotes of these symbols, and which of them have none.
    pub(crate) fn quotes_of(&self, symbols: &[Symbol]) -> Quotes<'_> {
        let mut found = Quotes { quotes: Vec::new(), unknown: Vec::new() };
        for symbol in symbols {
            let view = self.views.binary_search_by_key(symbol, |view| view.symbol).ok();
            match view.and_then(|index| self.views[index].quote.as_ref()) {
                Some(quote) => found.quotes.push(quote),
                None => found.unknown.push(*symbol),
            }
        }
        found
    }

    /// All quotes as JSON.
    ///
    /// # Errors
    /// Never in practice: quotes are texts and finite numbers.
    pub(crate) async fn quotes_json(&self) -> Result<Bytes, Problem> {
        let encode = async || {
            let quotes = self.views.iter().filter_map(|view| view.quote.as_ref()).collect();
            Ok(Bytes::from(serde_json::to_vec(&Quotes { quotes, unknown: Vec::new() })?))
        };
        self.quotes_json.get_or_try_init(encode).await.cloned()
    }

    /// The board, as `render` makes it of this snapshot.
    ///
    /// # Errors
    /// Those of `render`.
    pub(crate) async fn board(
        &self,
        viewer: Viewer,
        render: impl FnOnce() -> askama::Result<String>,
    ) -> Result<Bytes, Problem> {
        let render = async || Ok(Bytes::from(render()?));
        self.boards[viewer.index()].get_or_try_init(render).await.cloned()
    }

    pub(crate) fn prices(&self) -> PriceSummary {
        let mut summary = PriceSummary::default();
        for view in &self.views {
            let Some(quote) = &view.quote else {
                summary.waiting += 1;
                continue;
            };
            match quote.state {
                Freshness::Live => summary.live += 1,
                Freshness::Stale => summary.stale += 1,
                Freshness::Closed => summary.closed += 1,
            }
            summary.simulated += usize::from(quote.simulated);
            summary.newest_age_ms =
                Some(summary.newest_age_ms.map_or(quote.age_ms, |age| age.min(quote.age_ms)));
        }
        summary
    }
}
