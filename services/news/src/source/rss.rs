//! Any RSS, Atom or JSON feed.

use url::Url;

use super::{Kind, Source, short_hash, shown};

pub(super) fn source(feed: &Url) -> Source {
    Source::new(format!("rss:{}", short_hash(feed.as_str())), shown(feed), Kind::Rss, feed)
}
