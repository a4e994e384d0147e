//! The analytics store as the pages read it. It is opened in the background: pages are served without it, and those that need it
//! show why it is not available.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use analytics_store::{AnalyticsError, AnalyticsStore, Performance, Row, RowQuery};
use chrono::{Days, NaiveDate};
use market::Symbol;
use service_runtime::{Component, ExposeSecret, SecretString};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Between two tries to open it, and two checks that it responds.
const RETRY_MS: u64 = 2_000;
const CHECK_MS: u64 = 15_000;
/// A symbol without a row for longer is not traded any more, or not watched.
const NEWEST_DAYS: u64 = 10;
/// Longest time of a query.
const QUERY_TIMEOUT_MS: u64 = 5_000;

/// The analytics store, once it is open.
#[derive(Default)]
pub(crate) struct Analytics(RwLock<State>);

#[derive(Clone, Default)]
enum State {
    /// No URL is set.
    #[default]
    NotSet,
    /// Not opened yet, for this reason.
    Closed(String),
    Open(Arc<AnalyticsStore>),
}

/// All rows that one query returns.
pub(crate) fn everything() -> RowQuery {
    RowQuery::newest(None, RowQuery::MAX)
}

/// Why rows could not be read.
#[derive(Debug)]
pub(crate) struct NotAvailable(pub(crate) String);

impl Analytics {
    /// The rows of a query.
    pub(crate) async fn rows<R: Row>(&self, query: &RowQuery) -> Result<Vec<R>, NotAvailable> {
        let store = match self.state() {
            State::Open(store) => store,
            State::Closed(reason) => return Err(NotAvailable(reason)),
            State::NotSet => {
                let reason = "none is set; name it with --analytics (ANALYTICS_URL)";
                return Err(NotAvailable(reason.to_owned()));
            }
        };
        let read = timeout(Duration::from_millis(QUERY_TIMEOUT_MS), store.rows(query)).await;
        let error = match read {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => error.to_string(),
            Err(_) => no_response(),
        };
        tracing::warn!(error, "the analytics store did not answer a request");
        Err(NotAvailable(error))
    }

    /// The performance of all symbols on a date. Without one the newest row of each symbol: stocks have none at weekends.
    pub(crate) async fn performance(
        &self,
        date: Option<NaiveDate>,
    ) -> Result<Vec<Performance>, NotAvailable> {
        match date {
            Some(date) => self.rows(&RowQuery { from: date, to: date, ..everything() }).await,
            None => self.newest_of_each(|row: &Performance| (row.date, row.symbol)).await,
        }
    }

    /// The newest row of each symbol that has one within [`NEWEST_DAYS`] before the newest of all; `key` is its date and symbol.
    pub(crate) async fn newest_of_each<R: Row>(
        &self,
        key: impl Fn(&R) -> (NaiveDate, Symbol),
    ) -> Result<Vec<R>, NotAvailable> {
        let newest: Vec<R> = self.rows(&RowQuery::newest(None, 1)).await?;
        let Some((date, _)) = newest.first().map(&key) else { return Ok(Vec::new()) };
        let from = date.checked_sub_days(Days::new(NEWEST_DAYS)).unwrap_or(date);
        let rows: Vec<R> = self.rows(&RowQuery { from, ..everything() }).await?;
        let mut seen = HashSet::new();
        let mut newest: Vec<R> = rows.into_iter().rev().filter(|row| seen.insert(key(row).1)).collect();
        newest.sort_by_key(|row| key(row).1);
        Ok(newest)
    }

    fn state(&self) -> State {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Opens the store, tries again without end where that fails, and reports whether it responds. Closes it at the shutdown.
    ///
    /// # Errors
    /// The store cannot be closed in order.
    pub(crate) async fn keep_open(
        self: Arc<Self>,
        url: SecretString,
        health: Component,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        self.set(State::Closed("it is being opened".to_owned()));
        let Some(opened) = shutdown.run_until_cancelled(self.open(&url, &health)).await else {
            return Ok(());
        };
        self.set(State::Open(Arc::clone(&opened)));
        loop {
            match timeout(Duration::from_millis(QUERY_TIMEOUT_MS), opened.ping()).await {
                Ok(Ok(())) => health.up("responds"),
                Ok(Err(error)) => health.down(&error.to_string()),
                Err(_) => health.down(&no_response()),
            }
            let check = tokio::time::sleep(Duration::from_millis(CHECK_MS));
            if shutdown.run_until_cancelled(check).await.is_none() {
                break;
            }
        }
        Ok(opened.close().await?)
    }

    async fn open(&self, url: &SecretString, health: &Component) -> Arc<AnalyticsStore> {
        loop {
            match analytics_store::open_for_reading(url.expose_secret()).await {
                Ok(store) => return Arc::new(store),
                Err(error) => {
                    self.set(State::Closed(error.to_string()));
                    health.down(&reason(&error));
                }
            }
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
    }
}

/// An error that does not pass by itself is retried as well: the store may be replaced.
fn reason(error: &AnalyticsError) -> String {
    format!("{error}; trying again every {RETRY_MS} ms")
}

fn no_response() -> String {
    format!("no response within {QUERY_TIMEOUT_MS} ms")
}
