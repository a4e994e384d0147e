//! Requests to Elasticsearch.

use std::{error::Error, fmt::Write, sync::Once, time::Duration};

use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::settings::{Credentials, Place, SettingsError};

/// Longest time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Of the reason of an answer, so many characters are shown.
const MAX_REASON_CHARS: usize = 500;

/// A client with address and credentials.
pub(crate) struct Elasticsearch {
    client: Client,
    place: Place,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Elasticsearch {
    /// `builder`: certificates and proxies of the caller; timeouts and redirects are set here.
    pub(crate) fn new(
        place: Place,
        builder: Option<ClientBuilder>,
        timeout: Duration,
    ) -> Result<Self, SettingsError> {
        if let Credentials::ApiKey(key) = &place.credentials {
            api_key(key)?;
        }
        let builder = builder.unwrap_or_else(|| {
            install_tls();
            ClientBuilder::new()
        });
        let client = builder
            // A redirected POST may arrive as GET, and credentials would go to another host.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .build()
            .map_err(SettingsError::Client)?;
        Ok(Self { client, place })
    }

    pub(crate) fn retention_days(&self) -> u32 {
        self.place.retention_days
    }

    /// Its URL, without credentials.
    pub(crate) fn place(&self) -> String {
        self.place.to_string()
    }

    pub(crate) fn data_stream(&self) -> &str {
        &self.place.data_stream
    }

    /// A request with credentials; `path` has no slash at its beginning.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.place.url.clone();
        url.set_path(&format!("{}{path}", self.place.url.path()));
        let request = self.client.request(method, url);
        match &self.place.credentials {
            Credentials::None => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password.expose_secret())),
            Credentials::ApiKey(key) => match api_key(key) {
                Ok(header) => request.header(AUTHORIZATION, header),
                // Checked when the client was made.
                Err(_) => request,
            },
        }
    }

    /// Sends a request and reads its answer. The error is a text without URL and credentials.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Answer, String> {
        let response = request.send().await.map_err(|error| self.reason(error))?;
        let status = response.status();
        let body = self.read(response).await?;
        Ok(Answer { status, body })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.reason(error))? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(format!("{}: an answer of more than {MAX_ANSWER_BYTES} bytes", self.place));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The error with its sources, and the address without credentials.
    fn reason(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        let mut text = format!("{}: {error}", self.place);
        let mut source = error.source();
        while let Some(error) = source {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        text
    }

    /// What an answer that is no success says.
    pub(crate) fn refusal(&self, answer: &Answer) -> String {
        format!("{}: {}: {}", self.place, answer.status, answer.reason())
    }
}

#[derive(Deserialize)]
struct Refused {
    error: RefusedReason,
}

#[derive(Deserialize)]
struct RefusedReason {
    #[serde(default)]
    reason: Option<String>,
}

impl Answer {
    /// The reason in the body, or the beginning of the body.
    fn reason(&self) -> String {
        let refused = serde_json::from_slice::<Refused>(&self.body).ok();
        let text = refused.and_then(|refused| refused.error.reason);
        shortened(&text.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned()))
    }
}

/// The beginning of a text from outside, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The header of an API key.
fn api_key(key: &SecretString) -> Result<HeaderValue, SettingsError> {
    let header = HeaderValue::from_str(&format!("ApiKey {}", key.expose_secret()));
    let mut header = header.map_err(|_| SettingsError::ApiKey)?;
    header.set_sensitive(true);
    Ok(header)
}

/// Chooses the TLS provider of the process, unless it has one.
fn install_tls() {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // An error means that one is installed already; either works.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
