//! Requests to hosts that are not trusted: bounded in size, time and redirects, never to a private address, and paced by host.

mod address;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use futures_util::StreamExt;
use reqwest::{Client, Response, StatusCode, header, redirect};
use tokio::time::Instant;
use url::Url;

use self::address::PublicAddresses;
use crate::source::shown;

const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Larger responses are refused; counted after they are decompressed.
pub(crate) const MAX_BODY_BYTES: usize = 5 << 20;
const MAX_REDIRECTS: usize = 5;
/// The longest that a `Retry-After` is obeyed.
const MAX_RETRY_AFTER_SECONDS: u64 = 24 * 3_600;
/// Longest validator that is kept.
const MAX_VALIDATOR_BYTES: usize = 500;
/// Yahoo answers 429 without something like it.
const USER_AGENT: &str = "Mozilla/5.0 (compatible; Tapedeck; RSS reader)";
const ACCEPT: &str =
    "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.8";

/// Fetches feeds.
pub(crate) struct Fetcher {
    client: Client,
    may_be_private: bool,
    /// For all of a response, with its redirects.
    timeout: Duration,
    pacer: Pacer,
}

/// What makes a request conditional.
#[derive(Clone, Debug, Default)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

/// A response that can be used.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Nothing new since the validators.
    Unchanged,
    Body {
        bytes: Vec<u8>,
        content_type: Option<String>,
        validators: Validators,
        /// Where it came from in the end.
        address: Url,
    },
}

/// Why there is none. No message has the query of an address, in which keys are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{place} {reason}")]
    Refused {
        place: String,
        reason: String,
        /// It asks for this time.
        retry_after: Option<Duration>,
    },
    #[error("{place}: no complete response in time (--news-timeout-ms, NEWS_TIMEOUT_MS)")]
    Timeout { place: String },
    #[error("{place}: the response has more than {} MiB", MAX_BODY_BYTES >> 20)]
    TooLarge { place: String },
    #[error("{place} redirects more than {MAX_REDIRECTS} times")]
    Redirects { place: String },
    #[error(
        "{place} is an address of a private network; set --news-allow-private (NEWS_ALLOW_PRIVATE) if the feed is one of yours"
    )]
    Private { place: String },
    #[error("{place}: {reason}")]
    Connection { place: String, reason: String },
}

impl FetchError {
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Fetcher {
    /// `may_be_private` admits hosts of private networks.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub(crate) fn new(may_be_private: bool, timeout: Duration) -> anyhow::Result<Self> {
        let client = service_runtime::http_client()
            .user_agent(USER_AGENT)
            .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
            .redirect(redirect::Policy::none())
            // A proxy would resolve the names itself, and could reach what must not be reached.
            .no_proxy()
            .pool_max_idle_per_host(1)
            .dns_resolver(Arc::new(PublicAddresses { may_be_private }))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { client, may_be_private, timeout, pacer: Pacer::default() })
    }

    /// Fetches an address once its host's turn has come.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) async fn fetch(
        &self,
        url: Url,
        validators: &Validators,
        host_interval: Duration,
    ) -> Result<Fetched, FetchError> {
        self.pacer.turn(&url, host_interval).await;
        let place = shown(&url);
        let fetching = self.follow(url, validators);
        tokio::time::timeout(self.timeout, fetching).await.unwrap_or(Err(FetchError::Timeout { place }))
    }

    async fn follow(&self, first: Url, validators: &Validators) -> Result<Fetched, FetchError> {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            let response = self.send(&url, validators).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return response_of(url, response).await;
            }
            let place = shown(&url);
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let target = location.and_then(|location| url.join(location).ok());
            let refused = |reason: String| FetchError::Refused { place, reason, retry_after: None };
            url = target.ok_or_else(|| refused(format!("answered {} without a place", response.status())))?;
        }
        Err(FetchError::Redirects { place: shown(&first) })
    }

    /// The scheme, and a host that is a number: such a host is not resolved. [`Url`] has read every spelling of it.
    fn check(&self, url: &Url) -> Result<(), FetchError> {
        let place = shown(url);
        if !["http", "https"].contains(&url.scheme()) {
            let reason = format!("is reached by {}:, which feeds are not fetched by", url.scheme());
            return Err(FetchError::Refused { place, reason, retry_after: None });
        }
        let is_private = match url.host() {
            Some(url::Host::Ipv4(ip)) => !address::is_public(ip.into()),
            Some(url::Host::Ipv6(ip)) => !address::is_public(ip.into()),
            Some(url::Host::Domain(_)) => false,
            None => true,
        };
        if is_private && !self.may_be_private { Err(FetchError::Private { place }) } else { Ok(()) }
    }

    async fn send(&self, url: &Url, validators: &Validators) -> Result<Response, FetchError> {
        let mut request = self.client.get(url.clone()).header(header::ACCEPT, ACCEPT);
        if let Some(etag) = &validators.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(last_modified) = &validators.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, last_modified);
        }
        request.send().await.map_err(|error| failure(url, &error))
    }
}

fn failure(url: &Url, error: &reqwest::Error) -> FetchError {
    let place = shown(url);
    if error.is_timeout() {
        return FetchError::Timeout { place };
    }
    // The innermost reason: the outer ones repeat the address, with its query.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if cause.is::<address::PrivateAddress>() {
        return FetchError::Private { place };
    }
    let reason = if std::ptr::eq(cause, error as &dyn std::error::Error) {
        "the connection failed".to_owned()
    } else {
        cause.to_string()
    };
    FetchError::Connection { place, reason }
}

async fn response_of(url: Url, response: Response) -> Result<Fetched, FetchError> {
    let place = shown(&url);
    match response.status() {
        StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
        StatusCode::OK => {}
        status => {
            let reason = match status.as_u16() {
                429 => "asks us to come less often (429)".to_owned(),
                _ => format!("answered {status}"),
            };
            return Err(FetchError::Refused { place, reason, retry_after: retry_after(&response) });
        }
    }
    let text = |name| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.filter(|value| value.len() <= MAX_VALIDATOR_BYTES).map(str::to_owned)
    };
    let validators = Validators { etag: text(header::ETAG), last_modified: text(header::LAST_MODIFIED) };
    let content_type = text(header::CONTENT_TYPE);
    if response.content_length().is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(FetchError::TooLarge { place });
    }
    let mut bytes = Vec::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        bytes.extend_from_slice(&part.map_err(|error| failure(&url, &error))?);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge { place });
        }
    }
    Ok(Fetched::Body { bytes, content_type, validators, address: url })
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_SECONDS)))
}

/// Keeps requests to one host apart.
#[derive(Default)]
struct Pacer {
    /// From when on the next request may be sent, by host and port.
    next: Mutex<HashMap<String, Instant>>,
}

impl Pacer {
    async fn turn(&self, url: &Url, interval: Duration) {
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0));
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.retain(|_, next| *next > now);
            let turn = next.get(&host).copied().unwrap_or(now);
            next.insert(host, turn + interval);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}
