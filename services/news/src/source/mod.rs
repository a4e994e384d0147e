//! Where news come from. Each kind of source is a file with its addresses and what is particular about its responses.

mod alpha_vantage;
mod google;
mod rss;
mod yahoo;

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use live_store::{KeyId, KeyLimits};
use market::Symbol;
use service_runtime::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    aliases::AliasTable,
    config::{NewsConfig, Provider},
    item::{Claim, ParseError, Parsed},
    parse::{self, TitleStyle},
};

/// Between two fetches of a source that succeeded, a little less than between two gatherings.
const INTERVAL: Duration = Duration::from_secs(25 * 60);

/// Something that is fetched.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its identity in the store.
    pub(crate) id: String,
    /// For people, without secrets.
    pub(crate) name: String,
    /// Which kind of source, and so which part of the health.
    pub(crate) kind: Kind,
    /// May contain a key.
    address: SecretString,
    /// Between two fetches.
    pub(crate) interval: Duration,
    /// Between two requests to its host.
    pub(crate) host_interval: Duration,
    /// Between two fetches of any source of its kind, also after a restart: their key has a budget.
    pub(crate) kind_interval: Duration,
    /// The key of which each fetch takes a call.
    pub(crate) key: Option<(KeyId, KeyLimits)>,
}

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// By symbol: what it lists belongs to the symbol.
    Yahoo(Symbol),
    /// A search for names.
    Google,
    /// By symbol, with relevance and sentiment of several.
    AlphaVantage(Symbol),
    /// An address of the operator.
    Rss,
}

impl Kind {
    /// As stories name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Yahoo(_) => "yahoo",
            Self::Google => "google",
            Self::AlphaVantage(_) => "alpha_vantage",
            Self::Rss => "rss",
        }
    }

    /// Of a search, or of a source that mentions symbols in passing, only what is about a watched symbol is kept.
    pub(crate) fn keeps_irrelevant(self) -> bool {
        matches!(self, Self::Rss)
    }
}

impl Source {
    fn new(id: String, name: String, kind: Kind, address: &Url) -> Self {
        let address = SecretString::from(address.as_str());
        Self {
            id,
            name,
            kind,
            address,
            interval: INTERVAL,
            host_interval: Duration::ZERO,
            kind_interval: Duration::ZERO,
            key: None,
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// Never in practice: it was parsed before.
    pub(crate) fn url(&self) -> anyhow::Result<Url> {
        // The error of the parser has no part of the text.
        Url::parse(self.address.expose_secret()).with_context(|| format!("the address of {}", self.name))
    }

    /// Reads a response.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub(crate) fn parse(
        &self,
        body: &[u8],
        content_type: Option<&str>,
        address: &Url,
        now: DateTime<Utc>,
    ) -> Result<Parsed, ParseError> {
        match self.kind {
            Kind::AlphaVantage(_) => alpha_vantage::parse(body, now),
            Kind::Google => parse::feed(body, content_type, address, TitleStyle::PublisherAtEnd, now),
            Kind::Rss => parse::feed(body, content_type, address, TitleStyle::Plain, now),
            Kind::Yahoo(symbol) => {
                let mut parsed = parse::feed(body, content_type, address, TitleStyle::Plain, now)?;
                for item in &mut parsed.items {
                    item.claims.push(Claim { symbol, score: None });
                    // The feed is Yahoo's own; what it links to is of many publishers.
                    yahoo::name_publisher(item);
                }
                Ok(parsed)
            }
        }
    }
}

/// All sources of the settings.
///
/// # Errors
/// An address that cannot be put together.
pub(crate) fn all(
    config: &NewsConfig,
    names: &AliasTable,
    symbols: &[Symbol],
) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for provider in &config.providers {
        match provider {
            Provider::None => {}
            Provider::Yahoo => sources.extend(yahoo::sources(&config.yahoo_url, symbols)?),
            Provider::Google => sources.extend(google::sources(&config.google_url, names, symbols)?),
        }
    }
    if let Some(key) = config.alpha_vantage.key() {
        let account = &config.alpha_vantage;
        sources.extend(alpha_vantage::sources(&config.alpha_vantage_url, key, account, symbols)?);
    }
    sources.extend(config.feeds.0.iter().map(rss::source));
    set_pace(&mut sources, config);
    Ok(sources)
}

/// Only the feeds of the operator.
pub(crate) fn feeds(config: &NewsConfig) -> Vec<Source> {
    let mut sources: Vec<Source> = config.feeds.0.iter().map(rss::source).collect();
    set_pace(&mut sources, config);
    sources
}

fn set_pace(sources: &mut [Source], config: &NewsConfig) {
    let default = Duration::from_millis(config.host_interval_ms);
    for source in sources {
        source.host_interval = source.host_interval.max(default);
    }
}

/// Tells addresses apart without showing them.
fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// An address for people: without user, password and parameters, where keys are.
pub(crate) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'))
}
