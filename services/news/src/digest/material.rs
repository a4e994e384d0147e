//! What the digests of one round have in common, read once: a round may make thousands.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use analytics_store::{AnalyticsError, DailyAggregate, RowQuery};
use anyhow::{Context, anyhow};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use live_store::{LiveStore, MAX_PAGE_ARTICLES, NewsArticle, NewsQuery};
use market::Symbol;

use super::OpenAnalytics;

/// Days that are searched for the newest row of a symbol: it may not have traded for a while.
const MOVE_DAYS: i64 = 7;
/// A story may be found so many hours after it was published.
const FOUND_LATER_HOURS: i64 = 24;
/// News of at most so many hours, however long ago the last digest was.
pub(super) const LONGEST_HOURS: i64 = 72;
/// Stories that are looked at, at most: the newest.
const MAX_CANDIDATES: usize = 5_000;

/// The newest day of each symbol before a date; `None`: no analytics store is set. Or why they were not read.
type Moves = Result<Option<HashMap<Symbol, DailyAggregate>>, String>;

/// The rows and stories of one round, which began at `now`.
pub(super) struct Material {
    pub(super) now: DateTime<Utc>,
    store: Arc<dyn LiveStore>,
    analytics: Option<OpenAnalytics>,
    /// By the date of the digest, of which there are at most three at a time on Earth.
    moves: HashMap<NaiveDate, Moves>,
    stories: Option<Vec<NewsArticle>>,
}

impl Material {
    pub(super) fn new(
        store: Arc<dyn LiveStore>,
        analytics: Option<OpenAnalytics>,
        now: DateTime<Utc>,
    ) -> Self {
        Self { now, store, analytics, moves: HashMap::new(), stories: None }
    }

    /// The newest day before a date of each of these symbols; `None` where no analytics store is set. One that does not answer is tried
    /// once a round, not once a reader.
    pub(super) async fn moves(
        &mut self,
        symbols: &[Symbol],
        date: NaiveDate,
    ) -> anyhow::Result<Option<Vec<DailyAggregate>>> {
        let moves = match self.moves.entry(date) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let read = read_moves(self.analytics.as_ref(), date).await;
                entry.insert(read.map_err(|error| format!("{error:#}")))
            }
        };
        match moves {
            Ok(moves) => Ok(moves
                .as_ref()
                .map(|moves| symbols.iter().filter_map(|symbol| moves.get(symbol)).cloned().collect())),
            Err(reason) => Err(anyhow!(reason.clone())),
        }
    }

    /// The stories that were found since a time, at most [`LONGEST_HOURS`] ago.
    pub(super) async fn stories(&mut self, since: DateTime<Utc>) -> anyhow::Result<Vec<&NewsArticle>> {
        if self.stories.is_none() {
            self.stories = Some(read_stories(&*self.store, self.now).await?);
        }
        let from = since - TimeDelta::hours(FOUND_LATER_HOURS);
        let is_new = |story: &&NewsArticle| story.fetched_at >= since && story.published_at >= from;
        Ok(self.stories.iter().flatten().filter(is_new).collect())
    }
}

async fn read_moves(
    analytics: Option<&OpenAnalytics>,
    date: NaiveDate,
) -> anyhow::Result<Option<HashMap<Symbol, DailyAggregate>>> {
    const WHICH: &str = "the analytics store (ANALYTICS_URL)";
    let Some(open) = analytics else { return Ok(None) };
    let analytics = match open().await {
        Ok(analytics) => analytics,
        // Before the first night no day was aggregated.
        Err(AnalyticsError::NotCreated { .. }) => return Ok(Some(HashMap::new())),
        Err(error) => return Err(error).context(WHICH),
    };
    let (from, to) = (date - TimeDelta::days(MOVE_DAYS), date - TimeDelta::days(1));
    let query = RowQuery { from, to, ..RowQuery::newest(None, RowQuery::MAX) };
    let rows = analytics.rows::<DailyAggregate>(&query).await;
    analytics.close().await.context("the analytics store was not closed in order")?;
    // Ascending by date: a later row replaces an earlier one.
    Ok(Some(rows.context(WHICH)?.into_iter().map(|row| (row.symbol, row)).collect()))
}

async fn read_stories(store: &dyn LiveStore, now: DateTime<Utc>) -> anyhow::Result<Vec<NewsArticle>> {
    let from = now - TimeDelta::hours(LONGEST_HOURS + FOUND_LATER_HOURS);
    let mut query = NewsQuery { symbol: None, from, limit: MAX_PAGE_ARTICLES, cursor: None };
    let mut stories = Vec::new();
    while stories.len() < MAX_CANDIDATES {
        let page = store.articles(&query).await.context("cannot read the news")?;
        stories.extend(page.articles);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(stories)
}
