//! The morning digest: what the watched symbols did, the alerts since the last one, and the news; one mail a reader and day.
//!
//! A digest is a mail that is owed under the identity of its reader and date, so that it is sent once, whatever is killed. Which
//! stories it has is recorded before: what is composed again after a crash has the same, and no later digest has them.

mod alerts;
mod choose;
mod job;
mod letter;
mod reader;

use std::{collections::HashSet, sync::Arc};

use analytics_store::{AnalyticsStore, DailyAggregate, RowQuery};
use anyhow::{Context, anyhow};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use live_store::{ArticleId, Digest, LiveStore, MAX_PAGE_ARTICLES, NewsArticle, NewsQuery};
use mailer::{EmailAddress, MailContent, OwedMail};
use market::{Symbol, Watchlist};

use self::{alerts::alerts_of, choose::choose, letter::Facts, reader::DueDigest};

pub(crate) use self::job::{DigestJob, NAME};
pub use self::reader::DigestReader;

/// Opens the analytics store, which is closed after each use: a night may be writing it.
pub type OpenAnalytics =
    Arc<dyn Fn() -> BoxFuture<'static, analytics_store::Result<AnalyticsStore>> + Send + Sync>;

/// Days that are searched for the newest row of a symbol: it may not have traded for a while.
const MOVE_DAYS: i64 = 7;
/// A story may be found so many hours after it was published.
const FOUND_LATER_HOURS: i64 = 24;
/// News of so many hours without an earlier digest.
const FIRST_HOURS: i64 = 24;
/// News of at most so many hours, however long ago the last digest was.
const LONGEST_HOURS: i64 = 72;
/// Digests of so many days are compared with: stories are at most [`LONGEST_HOURS`] old.
const COMPARED_DAYS: i64 = 30;
/// Stories that are looked at, at most.
const MAX_CANDIDATES: usize = 5_000;
/// A digest waits so long for an analytics store that does not answer; then it is sent without moves.
const PATIENCE_MINUTES: i64 = 60;

/// Makes digests.
pub(crate) struct Digester {
    pub(crate) store: Arc<dyn LiveStore>,
    /// `None`: not set.
    pub(crate) analytics: Option<OpenAnalytics>,
    pub(crate) readers: Vec<DigestReader>,
    /// What readers without symbols of their own read; `None`: those of the store.
    pub(crate) watchlist: Option<Watchlist>,
}

/// What a digest contains, and since when.
struct Composed {
    content: MailContent,
    stories: Vec<NewsArticle>,
}

impl Digester {
    /// Owes the digests that are due at `now` and not owed yet. One reader's failure does not stop the others. How many are new.
    ///
    /// # Errors
    /// The first failure, after all readers.
    pub(crate) async fn owe_due(&self, now: DateTime<Utc>) -> anyhow::Result<usize> {
        let (mut owed, mut failure) = (0, None);
        for reader in &self.readers {
            let Some(due) = reader.due(now) else { continue };
            match self.owe(reader, due, now).await {
                Ok(is_new) => owed += usize::from(is_new),
                Err(error) => {
                    let error = error.context(format!("the digest of {}", reader.address.masked()));
                    tracing::warn!("{error:#}");
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(owed), Err)
    }

    /// Owes the digest of today by hand, whatever the hour. Whether it is new.
    pub(crate) async fn owe_now(&self, reader: &DigestReader, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let until = now + TimeDelta::hours(FIRST_HOURS);
        self.owe(reader, DueDigest { date: reader.date(now), since: now, until }, now).await
    }

    async fn owe(&self, reader: &DigestReader, due: DueDigest, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let id = reader.mail_id(due.date)?;
        let is_there =
            self.store.mails(std::slice::from_ref(&id)).await.map_err(anyhow::Error::from_boxed)?;
        if !is_there.is_empty() {
            return Ok(false);
        }
        let may_lack_moves = now - due.since >= TimeDelta::minutes(PATIENCE_MINUTES);
        let composed = self.compose(reader, due.date, now, may_lack_moves, true).await?;
        let stories = composed.stories.len();
        let mail = OwedMail {
            id,
            recipient: reader.address.clone(),
            content: composed.content,
            created_at: now,
            expires_at: due.until,
            is_recorded: false,
        };
        let is_new = self.store.add_mail(&mail).await.map_err(anyhow::Error::from_boxed)?;
        tracing::info!(reader = reader.address.masked(), date = %due.date, stories, is_new, "a digest is owed");
        Ok(is_new)
    }

    /// The text of the digest of today; nothing is recorded.
    pub(crate) async fn preview(
        &self,
        reader: &DigestReader,
        now: DateTime<Utc>,
    ) -> anyhow::Result<MailContent> {
        Ok(self.compose(reader, reader.date(now), now, true, false).await?.content)
    }

    async fn compose(
        &self,
        reader: &DigestReader,
        date: NaiveDate,
        now: DateTime<Utc>,
        may_lack_moves: bool,
        is_recorded: bool,
    ) -> anyhow::Result<Composed> {
        let symbols = self.symbols_of(reader).await?;
        let moves = match self.moves(&symbols, date).await {
            Ok(moves) => moves,
            Err(error) if may_lack_moves => {
                tracing::warn!("the digest is without moves: {error:#}");
                None
            }
            Err(error) => return Err(error),
        };
        let key = reader.address.key();
        let compared = now - TimeDelta::days(COMPARED_DAYS);
        let earlier = self.store.digests_of(&key, compared).await.context("cannot read earlier digests")?;
        let id = reader.mail_id(date)?;
        // One of this date is recorded where a crash came between it and its mail: its stories are taken below.
        let last = earlier.iter().find(|digest| digest.id != id.as_str()).map(|digest| digest.created_at);
        let since =
            last.unwrap_or(now - TimeDelta::hours(FIRST_HOURS)).max(now - TimeDelta::hours(LONGEST_HOURS));
        let had: HashSet<_> = earlier
            .iter()
            .filter(|digest| digest.id != id.as_str())
            .flat_map(|digest| digest.stories.clone())
            .collect();
        let mut stories = choose(self.candidates(since).await?, &symbols, &had);
        if is_recorded {
            let digest = Digest {
                id: id.as_str().to_owned(),
                reader: key,
                created_at: now,
                stories: stories.iter().map(|story| story.id.clone()).collect(),
            };
            let recorded = self.store.record_digest(&digest).await.context("cannot record a digest")?;
            if recorded.stories != digest.stories {
                stories = self.stories_of(&recorded).await?;
            }
        }
        let alerts = alerts_of(&*self.store, reader, &symbols, (since, now)).await?;
        let facts = Facts { date, moves, alerts, stories };
        let content = letter::letter(&facts, reader).into_content();
        Ok(Composed { content, stories: facts.stories })
    }

    async fn symbols_of(&self, reader: &DigestReader) -> anyhow::Result<Vec<Symbol>> {
        match (&reader.symbols, &self.watchlist) {
            (Some(symbols), _) => Ok(symbols.clone()),
            (None, Some(watchlist)) => Ok(watchlist.symbols().to_vec()),
            (None, None) => self.store.symbols().await.context("cannot read the symbols of the store"),
        }
    }

    /// The newest day of each symbol before a date; `None` where no analytics store is set.
    async fn moves(
        &self,
        symbols: &[Symbol],
        date: NaiveDate,
    ) -> anyhow::Result<Option<Vec<DailyAggregate>>> {
        let Some(open) = &self.analytics else { return Ok(None) };
        let analytics = open().await.context("the analytics store (ANALYTICS_URL)")?;
        let (from, to) = (date - TimeDelta::days(MOVE_DAYS), date - TimeDelta::days(1));
        let query = RowQuery { from, to, ..RowQuery::newest(None, RowQuery::MAX) };
        let rows = analytics.rows::<DailyAggregate>(&query).await;
        analytics.close().await.context("the analytics store was not closed in order")?;
        let mut newest: Vec<DailyAggregate> = Vec::new();
        // Ascending by date: a later row replaces an earlier one.
        for row in rows.context("the analytics store (ANALYTICS_URL)")? {
            if symbols.contains(&row.symbol) {
                newest.retain(|other| other.symbol != row.symbol);
                newest.push(row);
            }
        }
        Ok(Some(newest))
    }

    /// The stories that were found since a time.
    async fn candidates(&self, since: DateTime<Utc>) -> anyhow::Result<Vec<NewsArticle>> {
        let from = since - TimeDelta::hours(FOUND_LATER_HOURS);
        let mut query = NewsQuery { symbol: None, from, limit: MAX_PAGE_ARTICLES, cursor: None };
        let mut candidates = Vec::new();
        while candidates.len() < MAX_CANDIDATES {
            let page = self.store.articles(&query).await.context("cannot read the news")?;
            candidates.extend(page.articles.into_iter().filter(|story| story.fetched_at >= since));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        Ok(candidates)
    }

    /// The stories of a digest that was recorded before, in its order.
    async fn stories_of(&self, recorded: &Digest) -> anyhow::Result<Vec<NewsArticle>> {
        let found = self.store.articles_by_id(&recorded.stories).await.context("cannot read the news")?;
        let story = |id: &ArticleId| found.iter().find(|story| story.id == *id).cloned();
        Ok(recorded.stories.iter().filter_map(story).collect())
    }

    /// The reader of an address, in any spelling.
    ///
    /// # Errors
    /// None of them.
    pub(crate) fn reader(&self, address: Option<&EmailAddress>) -> anyhow::Result<&DigestReader> {
        let found = match address {
            Some(address) => self.readers.iter().find(|reader| reader.address == *address),
            None => self.readers.first(),
        };
        found.ok_or_else(|| match address {
            Some(address) => anyhow!(
                "{} gets no digest; add the address to DIGEST_RECIPIENTS (--digest-recipients)",
                address.masked()
            ),
            None => anyhow!("there is no recipient of a digest; set DIGEST_RECIPIENTS (--digest-recipients) or ALERT_RECIPIENTS"),
        })
    }
}
