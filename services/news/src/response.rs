//! One source, fetched and read.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    fetch::{FetchError, Fetched, Fetcher, Validators},
    item::{ParseError, Parsed},
    source::Source,
};

/// A response that was read.
pub(crate) enum Response {
    /// Nothing new since the validators.
    Unchanged,
    /// Not fetched: the key of the source has no call left before this time.
    NoCallLeft {
        free_at: DateTime<Utc>,
    },
    Parsed {
        parsed: Parsed,
        validators: Validators,
    },
}

/// Why a source has failed.
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) retry_after: Option<Duration>,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self { retry_after: error.retry_after(), reason: error.to_string() }
    }
}

/// Fetches a source and reads what it has.
///
/// # Errors
/// What makes the source useless now.
pub(crate) async fn response(
    fetcher: &Fetcher,
    source: &Source,
    validators: &Validators,
) -> Result<Response, Failure> {
    let failure = |reason: String| Failure { reason, retry_after: None };
    let url = source.url().map_err(|error| failure(format!("{error:#}")))?;
    let fetched = fetcher.fetch(url, validators, source.host_interval).await?;
    let Fetched::Body { bytes, content_type, validators, address } = fetched else {
        return Ok(Response::Unchanged);
    };
    let of_parser = source.clone();
    let now = Utc::now();
    // A thread of its own: megabytes take a while, and a panic of a parser ends this source only.
    let parsing =
        tokio::task::spawn_blocking(move || of_parser.parse(&bytes, content_type.as_deref(), &address, now));
    let parsed: Result<Parsed, ParseError> =
        parsing.await.map_err(|error| failure(format!("the response cannot be read: {error}")))?;
    let parsed = parsed.map_err(|error| failure(error.to_string()))?;
    Ok(Response::Parsed { parsed, validators })
}
