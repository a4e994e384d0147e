//! Where a page of stories ended, as text that a URL carries unescaped. The same for every adapter.

use chrono::{DateTime, Utc};

use super::{ArticleId, NewsArticle, whole_millis};
use crate::{LiveStoreError, Result};

/// The place of a story in the order (publication, identity).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) published_at: DateTime<Utc>,
    pub(crate) id: ArticleId,
}

impl Cursor {
    pub(crate) fn of(article: &NewsArticle) -> Self {
        Self { published_at: whole_millis(article.published_at), id: article.id.clone() }
    }

    /// `milliseconds.identity`.
    pub(crate) fn encode(&self) -> String {
        format!("{}.{}", self.published_at.timestamp_millis(), self.id)
    }

    pub(crate) fn decode(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| LiveStoreError::BadCursor {
            cursor: text.chars().take(80).flat_map(char::escape_debug).collect(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (millis, id) = text.split_once('.')?;
        let published_at = DateTime::from_timestamp_millis(millis.parse().ok()?)?;
        let cursor = Self { published_at, id: ArticleId::parse(id).ok()? };
        // One spelling only: `+5` and `005` parse, but were never returned.
        (cursor.encode() == text).then_some(cursor)
    }
}
