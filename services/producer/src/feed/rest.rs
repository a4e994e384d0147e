//! Requests over HTTP, with bounds that apply to every feed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use reqwest::{Client, ClientBuilder, Response, StatusCode, header, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use service_runtime::{ExposeSecret, SecretString};
use url::Url;

use crate::supervise::FeedError;

const CONNECT_TIMEOUT_MS: u64 = 3_000;
const TOTAL_TIMEOUT_MS: u64 = 10_000;
/// Larger answers are refused.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// The longest that a provider's `Retry-After` is obeyed.
const MAX_RETRY_AFTER_SECONDS: u64 = 3_600;
/// So much of an answer that is not JSON is shown, and of a reason in one that is.
const SHOWN_CHARS: usize = 80;
const REASON_CHARS: usize = 160;
/// Where providers put the reason of a refusal: Binance, Coinbase, Yahoo, Kraken and Finnhub, Alpha Vantage.
const REASONS: [&str; 7] = ["msg", "message", "description", "error", "Error Message", "Note", "Information"];
/// Objects within objects that are searched for a reason.
const REASON_DEPTH: usize = 4;
/// In place of the key in what a provider answers.
const HIDDEN: &str = "***";

/// Where a provider expects its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyPlace {
    /// In a parameter of this name.
    Parameter(&'static str),
    /// In a header of this name, in lower case.
    Header(&'static str),
}

/// An HTTP interface of a provider. Once it requires a pause, nothing is requested until the pause is over.
pub(crate) struct Api {
    client: Client,
    base: Url,
    key: Option<(KeyPlace, SecretString)>,
    pause: Mutex<Option<Pause>>,
}

struct Pause {
    until: Instant,
    reason: String,
}

impl Api {
    /// On one connection, with bounds on every wait.
    pub(crate) fn new(user_agent: &str, base: Url) -> anyhow::Result<Self> {
        let client = client(user_agent).build().context("cannot make an HTTP client")?;
        Ok(Self { client, base, key: None, pause: Mutex::default() })
    }

    /// The same with a key, which no error and no log line contains. Redirects are not followed: they would get the key.
    pub(crate) fn with_key(
        user_agent: &str,
        base: Url,
        place: KeyPlace,
        key: SecretString,
    ) -> anyhow::Result<Self> {
        let mut builder = client(user_agent).redirect(redirect::Policy::none());
        if let KeyPlace::Header(name) = place {
            let value = header::HeaderValue::from_str(key.expose_secret().trim());
            // Its error has no part of the value.
            let mut value =
                value.context("the key of the provider has characters that no header may have")?;
            value.set_sensitive(true);
            builder = builder
                .default_headers([(header::HeaderName::from_static(name), value)].into_iter().collect());
        }
        let client = builder.build().context("cannot make an HTTP client")?;
        Ok(Self { client, base, key: Some((place, key)), pause: Mutex::default() })
    }

    /// `GET path?query` below the base, read as JSON. An answer that is not 200, too large or not JSON is an error. Its text leaves out
    /// the query, in which some providers expect their keys.
    ///
    /// # Errors
    /// [`FeedError::Request`] where the request itself is refused, [`FeedError::Provider`] for everything else.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, FeedError> {
        if let Some(pause) = self.pause().as_ref() {
            let left = pause.until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(FeedError::Provider { reason: pause.reason.clone(), retry_after: Some(left) });
            }
        }
        let mut url = below(&self.base, path, query);
        if let Some((KeyPlace::Parameter(name), key)) = &self.key {
            url.query_pairs_mut().append_pair(name, key.expose_secret().trim());
        }
        let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        let answer = self.client.get(url).send().await;
        let answer =
            answer.map_err(|error| FeedError::provider(format!("{place}: {}", root_cause(error))))?;
        let status = answer.status();
        if status != StatusCode::OK {
            let retry_after = retry_after(&answer, Utc::now());
            // What cannot be read has no reason.
            let body = body(&place, answer).await.unwrap_or_default();
            return Err(self.refused(&place, status, &body, retry_after));
        }
        let body = body(&place, answer).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let value = serde_json::from_slice::<Value>(&body).ok();
            if let Some(reason) = value.and_then(|value| find_reason(&value, REASON_DEPTH)) {
                let reason = self.shown(&reason, REASON_CHARS);
                return FeedError::provider(format!("{place} refuses with status 200: {reason}"));
            }
            let text = String::from_utf8_lossy(&body);
            let begins = self.shown(text.trim_start(), SHOWN_CHARS);
            if begins.is_empty() {
                return FeedError::provider(format!("{place} answered with nothing"));
            }
            let what = if begins.starts_with('<') {
                "answered with HTML instead of JSON"
            } else {
                "answered with something else"
            };
            // The error of a parser may repeat a value.
            let error = self.shown(&error.to_string(), REASON_CHARS);
            FeedError::provider(format!("{place} {what} ({error}): {begins}"))
        })
    }

    /// The beginning of a text of the provider, without the key: some repeat it in their refusals. Hidden before the text is cut, so
    /// that no part of it is left.
    pub(crate) fn shown(&self, text: &str, chars: usize) -> String {
        match self.key.as_ref().map(|(_, key)| key.expose_secret().trim()).filter(|key| !key.is_empty()) {
            Some(key) => shown(&without_key(text, key), chars),
            None => shown(text, chars),
        }
    }

    /// As long as the reasons of other refusals.
    pub(crate) fn shown_reason(&self, text: &str) -> String {
        self.shown(text, REASON_CHARS)
    }

    fn refused(
        &self,
        place: &str,
        status: StatusCode,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> FeedError {
        let answer = match status.as_u16() {
            418 | 429 => "asks us to come less often".to_owned(),
            451 => "does not serve this country".to_owned(),
            _ => format!("answered {status}"),
        };
        let reason = match reason_in(body) {
            Some(reason) => format!("{place} {answer}: {}", self.shown(&reason, REASON_CHARS)),
            None => format!("{place} {answer}"),
        };
        // From the venue itself: a proxy's page says nothing about the request.
        let is_of_venue = serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_object());
        if is_of_venue && matches!(status.as_u16(), 400 | 404 | 422) {
            return FeedError::Request { reason };
        }
        if let Some(after) = retry_after {
            *self.pause() = Some(Pause { until: Instant::now() + after, reason: reason.clone() });
        }
        FeedError::Provider { reason, retry_after }
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Option<Pause>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(user_agent: &str) -> ClientBuilder {
    service_runtime::http_client()
        .user_agent(user_agent)
        .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
        .timeout(Duration::from_millis(TOTAL_TIMEOUT_MS))
        .pool_max_idle_per_host(1)
}

/// A text without a key, in whatever case it is repeated, and as a parameter of an address.
fn without_key(text: &str, key: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    let mut text = text.to_owned();
    for form in [key, &encoded] {
        // ASCII letters of either case have the same length, so that places are those of the text.
        let (lower, form) = (text.to_ascii_lowercase(), form.to_ascii_lowercase());
        let (mut hidden, mut end) = (String::new(), 0);
        for (at, _) in lower.match_indices(&form) {
            hidden.push_str(text.get(end..at).unwrap_or_default());
            hidden.push_str(HIDDEN);
            end = at + form.len();
        }
        hidden.push_str(text.get(end..).unwrap_or_default());
        text = hidden;
    }
    text
}

/// A path below a base, whose own path stays.
pub(crate) fn below(base: &Url, path: &str, query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// The reason in the body of a refusal: the text at one of the usual places of its JSON, or a short text.
fn reason_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let reason = match serde_json::from_str::<Value>(text) {
        Ok(value) => find_reason(&value, REASON_DEPTH)?,
        Err(_) => text.to_owned(),
    };
    (!reason.is_empty() && !reason.starts_with('<')).then_some(reason)
}

fn find_reason(value: &Value, depth: usize) -> Option<String> {
    let object = match value {
        // Kraken lists its errors.
        Value::Array(list) => {
            return list.first().and_then(|first| find_reason(first, depth.checked_sub(1)?));
        }
        Value::String(text) => return Some(text.clone()),
        value => value.as_object()?,
    };
    let depth = depth.checked_sub(1)?;
    let named = REASONS.iter().filter_map(|name| object.get(*name));
    let nested = object.values().filter(|value| value.is_object());
    named.chain(nested).find_map(|value| find_reason(value, depth))
}

fn shown(text: &str, chars: usize) -> String {
    text.chars().take(chars).flat_map(char::escape_debug).collect()
}

/// The innermost reason: the outer ones repeat the address, with its query.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}

/// The pause that an answer requires, in seconds or until a date (RFC 9110, 10.2.3).
fn retry_after(answer: &Response, now: DateTime<Utc>) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().unwrap_or_default(),
    };
    Some(pause.min(Duration::from_secs(MAX_RETRY_AFTER_SECONDS)))
}

async fn body(place: &str, answer: Response) -> Result<Vec<u8>, FeedError> {
    let mut body = Vec::new();
    let mut parts = answer.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| FeedError::provider(format!("{place}: {}", root_cause(error))))?;
        body.extend_from_slice(&part);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(FeedError::provider(format!(
                "{place} answered with more than {MAX_ANSWER_BYTES} bytes"
            )));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"{"code":-1121,"msg":"Invalid symbol."}"#, Some("Invalid symbol."))]
    #[case(
        r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#,
        Some("No data found")
    )]
    #[case(
        r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#,
        Some("Invalid Crumb")
    )]
    #[case(r#"{"error":["EQuery:Unknown asset pair"],"result":{}}"#, Some("EQuery:Unknown asset pair"))]
    #[case(r#"{"message":"NotFound"}"#, Some("NotFound"))]
    #[case("Too Many Requests\r\n", Some("Too Many Requests"))]
    #[case("<html>consent</html>", None)]
    #[case("{}", None)]
    #[case("", None)]
    fn the_reason_of_a_refusal_is_found(#[case] body: &str, #[case] reason: Option<&str>) {
        assert_eq!(reason_in(body.as_bytes()).as_deref(), reason);
    }

    #[test]
    fn a_key_is_hidden_before_a_text_is_cut() {
        let base: Url = "https://example.org".parse().unwrap();
        let key = "KEY+1234".into();
        let api = Api::with_key("test", base, KeyPlace::Parameter("apikey"), key).unwrap();
        assert_eq!(
            api.shown("your key KEY+1234 (key+1234) in ?apikey=KEY%2B1234&x", 60),
            "your key *** (***) in ?apikey=***&x"
        );
        assert_eq!(api.shown("your key KEY+1234", 12), "your key ***");
        let base: Url = "https://example.org".parse().unwrap();
        assert!(Api::with_key("test", base, KeyPlace::Header("x-key"), "a\nb".into()).is_err());
    }

    #[rstest]
    #[case("https://example.org", "https://example.org/api/v3/ping?a=1%2F2")]
    #[case("https://example.org/proxy/binance", "https://example.org/proxy/binance/api/v3/ping?a=1%2F2")]
    #[case("https://example.org/proxy/?x=1", "https://example.org/proxy/api/v3/ping?a=1%2F2")]
    fn the_path_of_a_base_stays(#[case] base: &str, #[case] expected: &str) {
        let url = below(&base.parse().unwrap(), "api/v3/ping", &[("a", "1/2")]);
        assert_eq!(url.as_str(), expected);
    }
}
