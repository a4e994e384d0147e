//! The morning digest: what the watched symbols did, the alerts since the last one, and the news; one mail a reader and day.
//!
//! A digest is a mail that is owed under the identity of its address and date, so that it is sent once, whatever is killed. Which
//! stories it has is recorded before: what is composed again after a crash has the same, and no later digest has them.

mod alerts;
mod by_hand;
mod choose;
mod job;
mod letter;
mod material;
mod people;
mod reader;

use std::{collections::HashSet, sync::Arc};

use accounts::User;
use analytics_store::AnalyticsStore;
use anyhow::Context;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use live_store::{ArticleId, Digest, LiveStore, NewsArticle};
use mailer::{EmailAddress, MailContent, OwedMail};
use market::{Symbol, Watchlist};
use url::Url;

use self::{
    alerts::alerts_of,
    choose::choose,
    letter::Facts,
    material::{LONGEST_HOURS, Material},
    reader::DueDigest,
};

pub use self::reader::DigestReader;
pub(crate) use self::{
    by_hand::by_hand,
    job::{DigestJob, NAME},
};

/// Opens the analytics store, which is closed after each use: a night may be writing it.
pub type OpenAnalytics =
    Arc<dyn Fn() -> BoxFuture<'static, analytics_store::Result<AnalyticsStore>> + Send + Sync>;

/// News of so many hours without an earlier digest.
const FIRST_HOURS: i64 = 24;
/// Digests of so many days are compared with: stories are at most [`LONGEST_HOURS`] old.
const COMPARED_DAYS: i64 = 30;
/// A digest waits so long for an analytics store that does not answer, and at most half of its time; then it is sent without moves.
const PATIENCE_MINUTES: i64 = 60;
/// Users that are read at once.
const PAGE_USERS: u32 = 100;

/// Makes digests.
pub(crate) struct Digester {
    pub(crate) store: Arc<dyn LiveStore>,
    /// `None`: not set.
    pub(crate) analytics: Option<OpenAnalytics>,
    /// The recipients of the house.
    pub(crate) readers: Vec<DigestReader>,
    /// What readers without symbols of their own read; `None`: those of the store.
    pub(crate) watchlist: Option<Watchlist>,
    /// Where the pages are, for the links to unsubscribe.
    pub(crate) public_url: Url,
}

/// What a digest contains, and since when.
struct Composed {
    content: MailContent,
    stories: Vec<NewsArticle>,
}

/// What came of the readers of a round.
#[derive(Default)]
struct Tally {
    owed: usize,
    failed: usize,
    failure: Option<anyhow::Error>,
}

impl Tally {
    fn add(&mut self, address: &EmailAddress, done: anyhow::Result<bool>) {
        match done {
            Ok(is_new) => self.owed += usize::from(is_new),
            Err(error) => {
                let error = error.context(format!("the digest of {}", address.masked()));
                tracing::warn!("{error:#}");
                self.failed += 1;
                self.failure.get_or_insert(error);
            }
        }
    }

    fn result(self) -> anyhow::Result<usize> {
        match self.failure {
            Some(failure) => Err(failure.context(format!("{} digests are tried again", self.failed))),
            None => Ok(self.owed),
        }
    }
}

impl Digester {
    /// Owes the digests that are due at `now` and not owed yet: those of the house, then those of people, by pages of accounts. One
    /// reader's failure does not stop the others. How many are new.
    ///
    /// # Errors
    /// The first failure, after all readers; accounts that cannot be read.
    pub(crate) async fn owe_due(&self, now: DateTime<Utc>) -> anyhow::Result<usize> {
        let (mut tally, mut material) = (Tally::default(), self.material(now));
        for reader in &self.readers {
            tally.add(&reader.address, self.owe_of_house(reader, &mut material).await);
        }
        let mut after = None;
        loop {
            let page = self.store.users(after, PAGE_USERS).await.context("cannot read the accounts")?;
            for user in &page {
                tally.add(&user.email, self.owe_of_person(user, &mut material).await);
            }
            match page.last() {
                Some(last) => after = Some(last.id),
                None => return tally.result(),
            }
        }
    }

    async fn owe_of_house(&self, reader: &DigestReader, material: &mut Material) -> anyhow::Result<bool> {
        let Some(due) = reader.due(material.now) else { return Ok(false) };
        let user = self.store.user_of(&reader.address).await.context("cannot read the accounts")?;
        if user.is_some_and(|user| people::decides_alone(&user)) {
            return Ok(false);
        }
        self.owe(reader, due, material).await
    }

    async fn owe_of_person(&self, user: &User, material: &mut Material) -> anyhow::Result<bool> {
        if people::absence(user).is_some() {
            return Ok(false);
        }
        let reader = people::reader_of(user, &self.public_url)?;
        let Some(due) = reader.due(material.now) else { return Ok(false) };
        self.owe(&reader, due, material).await
    }

    fn material(&self, now: DateTime<Utc>) -> Material {
        Material::new(Arc::clone(&self.store), self.analytics.clone(), now)
    }

    /// Owes a digest unless one of its identity is owed or was sent. Whether it is new.
    async fn owe(
        &self,
        reader: &DigestReader,
        due: DueDigest,
        material: &mut Material,
    ) -> anyhow::Result<bool> {
        let id = reader.mail_id(due.date)?;
        let is_there =
            self.store.mails(std::slice::from_ref(&id)).await.map_err(anyhow::Error::from_boxed)?;
        if !is_there.is_empty() {
            return Ok(false);
        }
        let now = material.now;
        let patience = TimeDelta::minutes(PATIENCE_MINUTES).min((due.until - due.since) / 2);
        let may_lack_moves = now - due.since >= patience;
        let composed = self.compose(reader, due.date, may_lack_moves, true, material).await?;
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

    async fn compose(
        &self,
        reader: &DigestReader,
        date: NaiveDate,
        may_lack_moves: bool,
        is_recorded: bool,
        material: &mut Material,
    ) -> anyhow::Result<Composed> {
        let now = material.now;
        let symbols = self.symbols_of(reader).await?;
        let moves = match material.moves(&symbols, date).await {
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
        let mut stories = choose(material.stories(since).await?, &symbols, &had);
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

    /// The stories of a digest that was recorded before, in its order.
    async fn stories_of(&self, recorded: &Digest) -> anyhow::Result<Vec<NewsArticle>> {
        let found = self.store.articles_by_id(&recorded.stories).await.context("cannot read the news")?;
        let story = |id: &ArticleId| found.iter().find(|story| story.id == *id).cloned();
        Ok(recorded.stories.iter().filter_map(story).collect())
    }
}

#[cfg(test)]
mod tests;
