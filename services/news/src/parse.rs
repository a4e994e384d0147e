//! RSS, Atom and JSON feeds into items. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use feed_rs::{model::Entry, parser};
use url::Url;

use crate::{
    charset,
    item::{Item, ParseError, Parsed, Skipped},
    text::plain,
};

/// Older items are not news.
pub(crate) const MAX_AGE_DAYS: i64 = 7;
/// Most items that are taken of one response.
const MAX_ITEMS: usize = 200;
/// Longest title.
pub(crate) const MAX_TITLE_CHARS: usize = 300;
/// Longest summary.
pub(crate) const MAX_SUMMARY_CHARS: usize = 600;
/// Longest name of a publisher.
const MAX_PUBLISHER_CHARS: usize = 80;
/// Longer addresses are no links of articles.
const MAX_URL_BYTES: usize = 2_000;
/// A publication may lie so far ahead of this clock.
const CLOCK_TOLERANCE_MINUTES: i64 = 10;
/// So much of what is no feed is shown.
const SHOWN_CHARS: usize = 60;

/// Where the title of an item has its publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TitleStyle {
    /// The title is the title, and the publisher is the feed.
    Plain,
    /// `Title - Publisher`, as Google News has it.
    PublisherAtEnd,
}

/// Reads the body of a response of `address`.
///
/// # Errors
/// What is no feed, and a feed without an item that can be used.
pub(crate) fn feed(
    body: &[u8],
    content_type: Option<&str>,
    address: &Url,
    style: TitleStyle,
    now: DateTime<Utc>,
) -> Result<Parsed, ParseError> {
    let text = charset::decode(body, content_type);
    if text.trim().is_empty() {
        return Err(ParseError::Empty);
    }
    let feed = match parser::Builder::new().base_uri(Some(address)).build().parse(text.as_bytes()) {
        Ok(feed) => feed,
        Err(_) if is_html(&text) => return Err(ParseError::Html),
        Err(error) => return Err(ParseError::NotAFeed(begins(&text, &error.to_string()))),
    };
    if feed.entries.is_empty() {
        return Err(ParseError::NoItems);
    }
    let found = feed.entries.len();
    let publisher = feed.title.as_ref().map(|title| plain(&title.content, MAX_PUBLISHER_CHARS));
    let mut parsed = Parsed::default();
    parsed.skipped.too_many = found.saturating_sub(MAX_ITEMS);
    for entry in feed.entries.iter().take(MAX_ITEMS) {
        let item = item(entry, publisher.as_deref(), style, now, &mut parsed.skipped);
        parsed.items.extend(item);
    }
    finish(parsed, found)
}

/// A response of which no item can be used is a failure, unless they are only old.
pub(crate) fn finish(parsed: Parsed, found: usize) -> Result<Parsed, ParseError> {
    if parsed.items.is_empty() && parsed.skipped.too_old == 0 {
        return Err(ParseError::NoUsableItems(found));
    }
    Ok(parsed)
}

fn item(
    entry: &Entry,
    publisher: Option<&str>,
    style: TitleStyle,
    now: DateTime<Utc>,
    skipped: &mut Skipped,
) -> Option<Item> {
    let whole_title = entry.title.as_ref().map(|title| title.content.as_str()).unwrap_or_default();
    let (title, named) = match style {
        TitleStyle::Plain => (plain(whole_title, MAX_TITLE_CHARS), None),
        TitleStyle::PublisherAtEnd => {
            let (title, named) = without_publisher(whole_title);
            (plain(title, MAX_TITLE_CHARS), named)
        }
    };
    if title.is_empty() {
        skipped.without_title += 1;
        return None;
    }
    let Some(url) = link(entry) else {
        skipped.without_link += 1;
        return None;
    };
    let Some(published_at) = publication(entry.published.or(entry.updated), now) else {
        skipped.too_old += 1;
        return None;
    };
    let publisher = [named, publisher].into_iter().flatten().map(|name| plain(name, MAX_PUBLISHER_CHARS));
    let publisher = publisher.into_iter().find(|name| !name.is_empty());
    let content = || entry.content.as_ref().and_then(|content| content.body.as_deref());
    let summary = entry.summary.as_ref().map(|summary| summary.content.as_str()).or_else(content);
    let summary = plain(summary.unwrap_or_default(), MAX_SUMMARY_CHARS);
    Some(Item {
        // Google's summary repeats the headline with its outlets.
        summary: if style == TitleStyle::PublisherAtEnd || summary == title {
            String::new()
        } else {
            summary
        },
        publisher: publisher.unwrap_or_else(|| host(&url)),
        title,
        url,
        published_at,
        claims: Vec::new(),
        sentiment: None,
    })
}

/// A publication as it is taken: `now` where there is none or one in the future; `None` if it is too old.
pub(crate) fn publication(published: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match published {
        Some(published) if published < now - TimeDelta::days(MAX_AGE_DAYS) => None,
        Some(published) if published <= now + TimeDelta::minutes(CLOCK_TOLERANCE_MINUTES) => {
            Some(published.min(now))
        }
        _ => Some(now),
    }
}

/// `Title - Publisher` in two; the publisher is what follows the last hyphen.
fn without_publisher(title: &str) -> (&str, Option<&str>) {
    match title.rsplit_once(" - ") {
        Some((title, publisher)) if !title.trim().is_empty() => (title, Some(publisher)),
        _ => (title, None),
    }
}

/// The link of an entry to its page, or its identity where that is an address.
fn link(entry: &Entry) -> Option<Url> {
    let is_page = |rel: Option<&str>| rel.is_none_or(|rel| rel == "alternate");
    let (pages, others): (Vec<_>, Vec<_>) = entry.links.iter().partition(|link| is_page(link.rel.as_deref()));
    let links = pages.into_iter().chain(others).map(|link| link.href.as_str());
    let urls = links.chain([entry.id.as_str()]).filter_map(|text| Url::parse(text.trim()).ok());
    urls.into_iter().find(is_article)
}

/// Whether an address can be the link of an article.
pub(crate) fn is_article(url: &Url) -> bool {
    ["http", "https"].contains(&url.scheme()) && url.has_host() && url.as_str().len() <= MAX_URL_BYTES
}

/// The name of a publisher that is not named.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.strip_prefix("www.").unwrap_or(host).to_owned()
}

fn is_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(300).collect::<String>().to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.contains("<html") || start.starts_with("<head")
}

/// What is no feed, shortened for a message.
pub(crate) fn begins(text: &str, reason: &str) -> String {
    let start: String = text.trim_start().chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    format!("{reason}; it begins with `{start}`")
}

#[cfg(test)]
mod tests;
