//! Requests over HTTP, with bounds that apply to every feed.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use reqwest::{Client, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

use crate::supervise::FeedError;

const CONNECT_TIMEOUT_MS: u64 = 3_000;
const TOTAL_TIMEOUT_MS: u64 = 10_000;
/// Larger answers are refused.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// The longest that a provider's `Retry-After` is obeyed.
const MAX_RETRY_AFTER_SECONDS: u64 = 3_600;
/// So much of an answer that is not JSON is shown.
const SHOWN_CHARS: usize = 80;

/// A client that keeps one connection and never waits for long.
pub(crate) fn client(user_agent: &str) -> anyhow::Result<Client> {
    service_runtime::http_client()
        .user_agent(user_agent)
        .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
        .timeout(Duration::from_millis(TOTAL_TIMEOUT_MS))
        .pool_max_idle_per_host(1)
        .build()
        .context("cannot make an HTTP client")
}

/// `GET url`, read as JSON. An answer that is not 200, too large or not JSON is a provider's error. Its text leaves out the
/// query, in which some providers expect their keys.
pub(crate) async fn get<T: DeserializeOwned>(client: &Client, url: Url) -> Result<T, FeedError> {
    let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| FeedError::provider(format!("{place}: {}", root_cause(&error))))?;
    if answer.status() != StatusCode::OK {
        return Err(refusal(&place, &answer));
    }
    let body = body(&place, answer).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let text = String::from_utf8_lossy(&body);
        let begins =
            text.trim_start().chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect::<String>();
        let what = if begins.starts_with('<') {
            "answered with HTML instead of JSON"
        } else {
            "answered with something else"
        };
        FeedError::provider(format!("{place} {what} ({error}): {begins}"))
    })
}

/// The innermost reason: the outer ones repeat the address, with its query.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}

fn refusal(place: &str, answer: &Response) -> FeedError {
    let retry_after = answer
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        .map(|seconds| Duration::from_secs(seconds.min(MAX_RETRY_AFTER_SECONDS)));
    let reason = match answer.status().as_u16() {
        418 | 429 => "asks us to come less often".to_owned(),
        451 => "does not serve this country".to_owned(),
        _ => format!("answered {}", answer.status()),
    };
    FeedError::Provider { reason: format!("{place} {reason}"), retry_after }
}

async fn body(place: &str, answer: Response) -> Result<Vec<u8>, FeedError> {
    let mut body = Vec::new();
    let mut parts = answer.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| FeedError::provider(format!("{place}: {}", root_cause(&error))))?;
        body.extend_from_slice(&part);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(FeedError::provider(format!(
                "{place} answered with more than {MAX_ANSWER_BYTES} bytes"
            )));
        }
    }
    Ok(body)
}
