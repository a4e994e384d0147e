//! The person: the forms of the pages, sent as a browser sends them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use chrono::{Timelike, Utc};
use reqwest::{Client, Response, header, redirect::Policy};

use crate::{PERSON, SYMBOL};

const PASSWORD: &str = "a long and quiet river";

/// An hour, in UTC, at which nothing is due while a test runs: a digest by itself would come before the night.
pub fn later_hour() -> u32 {
    (Utc::now().hour() + 2) % 24
}

/// A browser with its cookies.
pub struct Browser {
    client: Client,
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser at the pages of this URL, such as `http://127.0.0.1:5000`.
    ///
    /// # Errors
    /// A client without its certificates.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let client = service_runtime::http_client().redirect(Policy::none()).build()?;
        Ok(Self { client, url: url.to_owned(), cookies: BTreeMap::new() })
    }

    /// Registers with the symbol of the day and a threshold of 5 %.
    ///
    /// # Errors
    /// A form that is missing or refused.
    pub async fn register(&mut self) -> anyhow::Result<()> {
        let fields = [("email", PERSON), ("password", PASSWORD), ("symbols", SYMBOL), ("threshold", "5")];
        self.send("/register", "/register", &fields).await
    }

    /// Follows the link of the mail, and switches the digest on, at an hour at which it is not due while a test runs.
    ///
    /// # Errors
    /// A mail without a link, a form that is missing or refused.
    pub async fn confirm(&mut self, mail: &str) -> anyhow::Result<()> {
        let mail = mail.replace("=3D", "=");
        let (_, rest) = mail.split_once("token=").context("a link with a token")?;
        let is_of_token = |sign: &char| sign.is_ascii_alphanumeric() || "-_.".contains(*sign);
        let token: String = rest.chars().take_while(is_of_token).collect();
        let fields = [("token", &*token), ("password", PASSWORD)];
        self.send(&format!("/confirm?token={token}"), "/confirm", &fields).await?;
        let hour = later_hour().to_string();
        let digest = [("digest", "on"), ("hour", &*hour), ("time_zone", "UTC")];
        self.send("/account", "/account/digest", &digest).await
    }

    /// Opens a page, and sends its form with these fields to a path.
    async fn send(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<()> {
        let url = format!("{}{page}", self.url);
        let shown = self.client.get(url).header(header::COOKIE, self.held()).send().await?;
        self.keep(&shown)?;
        let text = shown.text().await?;
        let (_, rest) = text.split_once("name=\"form_token\" value=\"").context("a form with a token")?;
        let token = rest.split('"').next().unwrap_or_default();
        let fields = fields.iter().copied().chain([("form_token", token)]);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .header(header::COOKIE, self.held())
            .header(header::ORIGIN, &self.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let response = request.send().await?;
        self.keep(&response)?;
        ensure!(response.status().as_u16() < 400, "{path}: {}", response.status());
        Ok(())
    }

    fn keep(&mut self, response: &Response) -> anyhow::Result<()> {
        for set in response.headers().get_all(header::SET_COOKIE) {
            let (pair, _) = set.to_str()?.split_once(';').context("a cookie with attributes")?;
            let (name, value) = pair.split_once('=').context("a cookie with a value")?;
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn held(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}
