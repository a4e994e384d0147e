//! Requests to the running instance.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde_json::Value;

/// Time limit of a request.
const TIMEOUT_SECONDS: u64 = 10;

/// HTTP client of the running instance.
pub(crate) struct Remote {
    client: Client,
    base: String,
}

impl Remote {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let client = service_runtime::http_client()
            .timeout(Duration::from_secs(TIMEOUT_SECONDS))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { client, base: url.trim_end_matches('/').to_owned() })
    }

    /// `GET path?query`. Returns the JSON body; a problem document of the instance becomes the error.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let (status, body) = self.ask(path, query).await.with_context(|| {
            format!(
                "no instance responds at {}; start one with `tapedeck run`, or set its address with --url",
                self.base
            )
        })?;
        if !status.is_success() {
            let detail = body.get("detail").or_else(|| body.get("title")).and_then(Value::as_str);
            bail!("{}{path}: {}", self.base, detail.unwrap_or(status.as_str()));
        }
        Ok(body)
    }

    /// `GET path?query`. Returns status and JSON body, whatever the status.
    pub(crate) async fn ask(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<(StatusCode, Value)> {
        let asked = format!("{}{path}", self.base);
        let answer = self.client.get(&asked).query(query).send().await?;
        let status = answer.status();
        let body = answer.json().await.with_context(|| format!("the response of {asked} is not JSON"))?;
        Ok((status, body))
    }
}
