//! An article as a source has it, before it becomes a story.

use chrono::{DateTime, Utc};
use market::Symbol;
use url::Url;

/// An article of a feed. Texts are plain and short enough to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) url: Url,
    pub(crate) publisher: String,
    /// As the source has it; where it has none, or one in the future, when it was fetched.
    pub(crate) published_at: DateTime<Utc>,
    /// The symbols that the source itself gives it.
    pub(crate) claims: Vec<Claim>,
    pub(crate) sentiment: Option<f64>,
}

/// The source gives the article a symbol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) symbol: Symbol,
    /// From 0 to 1; `None` where the source has no score.
    pub(crate) score: Option<f64>,
}

/// What a response contained.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) items: Vec<Item>,
    pub(crate) skipped: Skipped,
}

/// Items of a response that are not taken, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Without a title, or with one that is only markup.
    pub(crate) without_title: usize,
    /// Without a link over HTTP.
    pub(crate) without_link: usize,
    /// Published more than [`MAX_AGE_DAYS`](crate::parse::MAX_AGE_DAYS) ago.
    pub(crate) too_old: usize,
    /// Past the most items of one response.
    pub(crate) too_many: usize,
}

impl Skipped {
    pub(crate) fn sum(self) -> usize {
        self.without_title + self.without_link + self.too_old + self.too_many
    }
}

/// Why a response is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("the response is a web page (HTML) instead of a feed; enter the address of the feed itself")]
    Html,
    #[error("the response is neither RSS, Atom nor JSON Feed: {0}")]
    NotAFeed(String),
    #[error("the response is empty")]
    Empty,
    #[error("the feed has no items")]
    NoItems,
    #[error("none of the {0} items of the feed has a title and a link")]
    NoUsableItems(usize),
    #[error("the provider refuses: {0}")]
    Refused(String),
}
