//! Alpha Vantage `NEWS_SENTIMENT`: JSON with the relevance and sentiment of symbols. Needs a key, which is part of the address.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, NaiveDateTime, Utc};
use live_store::AlphaVantageAccount;
use market::{AssetClass, Symbol};
use serde::{Deserialize, Deserializer};
use service_runtime::{ExposeSecret, SecretString};
use url::Url;

use super::{Kind, Source};
use crate::{
    item::{Claim, Item, ParseError, Parsed},
    parse::{MAX_SUMMARY_CHARS, MAX_TITLE_CHARS, begins, finish, host, is_article, publication},
    text::plain,
};

/// The calls for news are spread over a day of so long.
const DAY: Duration = Duration::from_hours(24);
const LIMIT: &str = "50";
/// Longest message of the provider that is shown.
const MAX_MESSAGE_CHARS: usize = 200;
/// In place of the key in its messages.
const HIDDEN: &str = "***";

/// One source for each symbol. All of them share the calls of the key; none without a call for news.
pub(super) fn sources(
    base: &Url,
    key: &SecretString,
    account: &AlphaVantageAccount,
    symbols: &[Symbol],
) -> anyhow::Result<Vec<Source>> {
    let limits = account.limits();
    let Some(kind_interval) = DAY.checked_div(limits.news_per_day) else { return Ok(Vec::new()) };
    let interval = kind_interval.saturating_mul(symbols.len() as u32);
    let key_id = AlphaVantageAccount::key_id(key);
    symbols
        .iter()
        .map(|symbol| {
            let mut url = base.join("/query").context("the address of Alpha Vantage")?;
            url.query_pairs_mut().extend_pairs([
                ("function", "NEWS_SENTIMENT"),
                ("tickers", &name_there(*symbol)),
                ("limit", LIMIT),
                ("apikey", key.expose_secret().trim()),
            ]);
            let (id, name) = (format!("alpha_vantage:{symbol}"), format!("Alpha Vantage, {symbol}"));
            let source = Source::new(id, name, Kind::AlphaVantage(*symbol), &url);
            let key = Some((key_id.clone(), limits));
            Ok(Source { interval, kind_interval, key, ..source })
        })
        .collect()
}

/// `CRYPTO:BTC`, `BRK.B`.
fn name_there(symbol: Symbol) -> String {
    match (symbol.asset_class(), symbol.as_str().split_once('/')) {
        (AssetClass::Crypto, Some((base, _))) => format!("CRYPTO:{base}"),
        _ => symbol.as_str().to_owned(),
    }
}

/// The symbol of one of its tickers; of coins the pair that is watched is not known here.
fn symbol_of(ticker: &str) -> Option<Symbol> {
    match ticker.split_once(':') {
        None => Symbol::parse(ticker).ok(),
        Some(("CRYPTO", base)) => Symbol::parse(&format!("{base}/USDT")).ok(),
        Some(_) => None,
    }
}

#[derive(Deserialize)]
struct Response {
    feed: Option<Vec<Article>>,
    #[serde(rename = "Note")]
    note: Option<String>,
    #[serde(rename = "Information")]
    information: Option<String>,
    #[serde(rename = "Error Message")]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    time_published: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    source: String,
    #[serde(default, deserialize_with = "number")]
    overall_sentiment_score: Option<f64>,
    #[serde(default)]
    ticker_sentiment: Vec<TickerSentiment>,
}

#[derive(Deserialize)]
struct TickerSentiment {
    ticker: String,
    #[serde(default, deserialize_with = "number")]
    relevance_score: Option<f64>,
}

/// A number, or one in a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(f64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    let number = match Number::deserialize(deserializer)? {
        Number::Plain(number) => Some(number),
        Number::Text(text) => text.trim().parse().ok(),
        Number::Other(_) => None,
    };
    Ok(number.filter(|number: &f64| number.is_finite()))
}

pub(super) fn parse(body: &[u8], now: DateTime<Utc>) -> Result<Parsed, ParseError> {
    let response: Response = serde_json::from_slice(body).map_err(|error| {
        let text = String::from_utf8_lossy(body);
        if text.trim_start().starts_with('<') {
            ParseError::Html
        } else {
            ParseError::NotAFeed(begins(&text, &error.to_string()))
        }
    })?;
    let Some(articles) = response.feed else {
        let message = response.note.or(response.information).or(response.error);
        let refused = |message: String| ParseError::Refused(without_key(&plain(&message, MAX_MESSAGE_CHARS)));
        return Err(message.map_or(ParseError::NoItems, refused));
    };
    if articles.is_empty() {
        return Err(ParseError::NoItems);
    }
    let found = articles.len();
    let mut parsed = Parsed::default();
    for article in articles {
        let title = plain(&article.title, MAX_TITLE_CHARS);
        let url = Url::parse(&article.url).ok().filter(is_article);
        let published = NaiveDateTime::parse_from_str(&article.time_published, "%Y%m%dT%H%M%S").ok();
        let published = publication(published.map(|time| time.and_utc()), now);
        match (title.is_empty(), url, published) {
            (true, ..) => parsed.skipped.without_title += 1,
            (_, None, _) => parsed.skipped.without_link += 1,
            (_, _, None) => parsed.skipped.too_old += 1,
            (false, Some(url), Some(published_at)) => {
                parsed.items.push(item(&article, title, url, published_at));
            }
        }
    }
    finish(parsed, found)
}

fn item(article: &Article, title: String, url: Url, published_at: DateTime<Utc>) -> Item {
    let claims = article.ticker_sentiment.iter().filter_map(|claim| {
        let score = Some(claim.relevance_score.unwrap_or_default().clamp(0.0, 1.0));
        Some(Claim { symbol: symbol_of(&claim.ticker)?, score })
    });
    let publisher = plain(&article.source, 80);
    Item {
        title,
        summary: plain(&article.summary, MAX_SUMMARY_CHARS),
        publisher: if publisher.is_empty() { host(&url) } else { publisher },
        url,
        published_at,
        claims: claims.collect(),
        sentiment: article.overall_sentiment_score.map(|score| score.clamp(-1.0, 1.0)),
    }
}

/// Its messages about the rate contain the key: "We have detected your API key as ABC123".
fn without_key(message: &str) -> String {
    let is_key = |word: &str| {
        let letters = word.trim_matches(|character: char| !character.is_ascii_alphanumeric());
        letters.len() >= 8 && letters.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let words = message.split(' ').map(|word| if is_key(word) { HIDDEN } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-13T18:00:00Z";

    fn parsed(body: &str) -> Result<Parsed, ParseError> {
        parse(body.as_bytes(), NOW.parse().unwrap())
    }

    #[test]
    fn articles_have_symbols_with_relevance_and_sentiment() {
        let body = r#"{"items":"2","feed":[
            {"title":"Apple <b>rises</b>","url":"https://example.com/1","time_published":"20260113T150000","authors":["A"],
             "summary":"It rose.","source":"Benzinga","overall_sentiment_score":0.31,"overall_sentiment_label":"Bullish",
             "ticker_sentiment":[{"ticker":"AAPL","relevance_score":"0.91","ticker_sentiment_score":"0.4","ticker_sentiment_label":"Bullish"},
                                 {"ticker":"CRYPTO:BTC","relevance_score":0.2},{"ticker":"FOREX:USD","relevance_score":"0.1"}]},
            {"title":"Old","url":"https://example.com/2","time_published":"20250113T150000"},
            {"title":"","url":"https://example.com/3"},
            {"title":"No link","url":"ftp://x"}]}"#;
        let parsed = parsed(body).unwrap();
        let item = &parsed.items[0];
        assert_eq!(
            (item.title.as_str(), item.publisher.as_str(), item.sentiment),
            ("Apple rises", "Benzinga", Some(0.31))
        );
        assert_eq!(item.published_at, "2026-01-13T15:00:00Z".parse::<DateTime<Utc>>().unwrap());
        let claims: Vec<_> =
            item.claims.iter().map(|claim| (claim.symbol.to_string(), claim.score)).collect();
        assert_eq!(claims, [("AAPL".to_owned(), Some(0.91)), ("BTC/USDT".to_owned(), Some(0.2))]);
        assert_eq!(parsed.skipped.sum(), 3);
    }

    #[test]
    fn a_refusal_is_shown_without_the_key() {
        let body = r#"{"Information":"We have detected your API key as ABCD1234EFGH5678 and our standard rate limit is 25 requests per day."}"#;
        let error = parsed(body).unwrap_err().to_string();
        assert!(error.contains("standard rate limit is 25") && !error.contains("ABCD1234"), "{error}");
        assert_eq!(parsed("{}"), Err(ParseError::NoItems));
        assert_eq!(parsed(r#"{"feed":[]}"#), Err(ParseError::NoItems));
        assert_eq!(parsed("<html>"), Err(ParseError::Html));
        assert!(matches!(parsed("[1]"), Err(ParseError::NotAFeed(_))));
    }
}
