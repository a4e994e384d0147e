//! News: stories, each stored once with its other outlets, read by time and symbol; and how the last fetch of each source ended.
//!
//! Not in archives: stories are kept for 180 days and are public, and the state of a source is that of this installation's requests.

mod cursor;
pub(crate) mod mongo;
pub(crate) mod sqlite;

use std::fmt::{self, Write as _};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use market::Symbol;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use url::Url;

use self::cursor::Cursor;
use crate::Result;

/// The most stories of one page, whatever its query asks for.
pub const MAX_PAGE_ARTICLES: usize = 500;

/// Hexadecimal digits of an [`ArticleId`].
const ID_DIGITS: usize = 32;

/// The identity of a story: the first half of the SHA-256 of its canonical URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ArticleId(String);

/// A text that is no identity of a story.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity of a story has {ID_DIGITS} lower-case hexadecimal digits")]
pub struct ArticleIdError;

impl ArticleId {
    /// That of the story with this canonical URL.
    pub fn of(canonical: &Url) -> Self {
        let hash = Sha256::digest(canonical.as_str().as_bytes());
        let mut text = String::with_capacity(ID_DIGITS);
        for byte in hash.iter().take(ID_DIGITS / 2) {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Reads what [`as_str`](Self::as_str) returns.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, ArticleIdError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        if is_id { Ok(Self(text.to_owned())) } else { Err(ArticleIdError) }
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArticleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for ArticleId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A story. Times are whole milliseconds; what is finer is cut off.
#[derive(Clone, Debug, PartialEq)]
pub struct NewsArticle {
    /// Its identity.
    pub id: ArticleId,
    /// Plain text.
    pub title: String,
    /// Plain text; empty where the source has none.
    pub summary: String,
    /// Which feed had it first: `yahoo`, `google`, `alpha_vantage`, `rss`.
    pub source: String,
    /// As the source names it.
    pub publisher: String,
    /// Where it can be read.
    pub url: Url,
    /// When it was published, as far as the source says it.
    pub published_at: DateTime<Utc>,
    /// When it was first seen.
    pub fetched_at: DateTime<Utc>,
    /// The symbols that it belongs to; may be empty.
    pub relevance: Vec<Relevance>,
    /// From -1 (bearish) to 1 (bullish); `None` where the source has none.
    pub sentiment: Option<f64>,
    /// The same story at other outlets.
    pub duplicates: Vec<OtherOutlet>,
}

impl NewsArticle {
    /// The symbols that it belongs to.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.relevance.iter().map(|relevance| relevance.symbol)
    }
}

/// How far a story is about a symbol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relevance {
    /// The symbol.
    pub symbol: Symbol,
    /// From 0 to 1.
    pub score: f64,
    /// Why, for people.
    pub reasons: Vec<String>,
}

/// The same story at another outlet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherOutlet {
    /// As the source names it.
    pub publisher: String,
    /// Its title there.
    pub title: String,
    /// Where it can be read.
    #[serde(serialize_with = "write_url", deserialize_with = "read_url")]
    pub url: Url,
    /// Which feed had it.
    pub source: String,
}

fn write_url<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}

fn read_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    Url::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// Which stories, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct NewsQuery {
    /// Of this symbol, or all.
    pub symbol: Option<Symbol>,
    /// Published from this time on, inclusive.
    pub from: DateTime<Utc>,
    /// At most so many, from 1 to [`MAX_PAGE_ARTICLES`]; what is outside counts as the nearer end.
    pub limit: usize,
    /// Continues behind an earlier page.
    pub cursor: Option<String>,
}

/// A page of stories.
#[derive(Clone, Debug, PartialEq)]
pub struct NewsPage {
    /// Ordered by (publication, identity), newest first.
    pub articles: Vec<NewsArticle>,
    /// For the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

/// What is kept of a source of news between two fetches. Times are whole milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct NewsSource {
    /// Its identity: `yahoo:AAPL`.
    pub id: String,
    /// For people, without secrets.
    pub name: String,
    /// The entity tag of the newest response.
    pub etag: Option<String>,
    /// `Last-Modified` of the newest response, as the server wrote it.
    pub last_modified: Option<String>,
    /// When it was last fetched.
    pub tried_at: Option<DateTime<Utc>>,
    /// When that last succeeded.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Before that it is not fetched.
    pub next_try_at: DateTime<Utc>,
    /// Failures in a row.
    pub failures: u32,
    /// `None` while the newest fetch succeeded.
    pub last_error: Option<String>,
    /// Items of the newest response that was not empty.
    pub items: u32,
}

/// The store of news.
///
/// # Contract
/// - A story has the identity of its canonical URL and is stored once; a write of it replaces it, and may be repeated.
/// - When a write has returned, its stories are there after `kill -9`.
#[async_trait]
pub trait NewsStore: Send + Sync {
    /// Stores stories, replacing those of the same identity; of several of one identity the last counts.
    async fn write_articles(&self, articles: &[NewsArticle]) -> Result<()>;

    /// A page of stories.
    async fn articles(&self, query: &NewsQuery) -> Result<NewsPage>;

    /// Those of the identities that are stored, at most [`MAX_PAGE_ARTICLES`] at a time, in no particular order.
    async fn articles_by_id(&self, ids: &[ArticleId]) -> Result<Vec<NewsArticle>>;

    /// Removes stories that were both published and first seen before `before`, in bounded steps. Returns how many.
    async fn prune_articles(&self, before: DateTime<Utc>) -> Result<u64>;

    /// Every source, by identity.
    async fn news_sources(&self) -> Result<Vec<NewsSource>>;

    /// Stores a source, replacing that of the same identity.
    async fn write_news_source(&self, source: &NewsSource) -> Result<()>;
}

/// As times are stored.
pub(crate) fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// The last of each identity, in order: statements of one command may run in any order.
fn last_of_each(articles: &[NewsArticle]) -> Vec<&NewsArticle> {
    let mut last: Vec<&NewsArticle> = Vec::with_capacity(articles.len());
    let mut seen = std::collections::HashSet::new();
    for article in articles.iter().rev() {
        if seen.insert(&article.id) {
            last.push(article);
        }
    }
    last.reverse();
    last
}

/// A query with its numbers in bounds and its cursor read.
struct PageRequest {
    wanted: usize,
    from: DateTime<Utc>,
    after: Option<Cursor>,
}

impl PageRequest {
    fn of(query: &NewsQuery) -> Result<Self> {
        let after = query.cursor.as_deref().map(Cursor::decode).transpose()?;
        let (wanted, from) = (query.limit.clamp(1, MAX_PAGE_ARTICLES), whole_millis(query.from));
        Ok(Self { wanted, from, after })
    }

    /// One more than wanted shows whether there is a next page.
    fn rows(&self) -> usize {
        self.wanted + 1
    }

    fn page(&self, mut articles: Vec<NewsArticle>) -> NewsPage {
        let has_more = articles.len() > self.wanted;
        articles.truncate(self.wanted);
        let last = articles.last().filter(|_| has_more);
        let next_cursor = last.map(|last| Cursor::of(last).encode());
        NewsPage { articles, next_cursor }
    }
}
