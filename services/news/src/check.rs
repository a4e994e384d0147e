//! A look at the feeds of the operator; stores nothing.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::{
    config::NewsConfig,
    fetch::{Fetcher, Validators},
    response::{Response, response},
    source,
};

/// Feeds that are fetched at a time; those of one host one after the other.
const FEEDS_IN_FLIGHT: usize = 8;

/// What came of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCheck {
    /// Its address, without what may be a key.
    pub name: String,
    /// How many items it has that can be used, or why it is of no use.
    pub items: Result<usize, String>,
}

/// Fetches each feed of `--news-feeds` once, in their order, under the same limits as the service: size, time, redirects, and no address
/// of a private network unless the settings allow it.
///
/// # Errors
/// A client that cannot be made.
pub async fn check_feeds(config: &NewsConfig) -> anyhow::Result<Vec<FeedCheck>> {
    let fetcher = Fetcher::new(config.allow_private, Duration::from_millis(config.timeout_ms))?;
    let (fetcher, sources) = (&fetcher, source::feeds(config));
    let checks = stream::iter(&sources).map(|source| async move {
        let items = match response(fetcher, source, &Validators::default()).await {
            Ok(Response::Parsed { parsed, .. }) => Ok(parsed.items.len()),
            Ok(Response::NoCallLeft { .. }) => Err("was not fetched".to_owned()),
            Ok(Response::Unchanged) => Err("answered 304 to a request without validators".to_owned()),
            Err(failure) => Err(failure.reason),
        };
        FeedCheck { name: source.name.clone(), items }
    });
    Ok(checks.buffered(FEEDS_IN_FLIGHT).collect().await)
}
