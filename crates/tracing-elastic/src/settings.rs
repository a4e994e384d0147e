//! Where the documents go, what they say about their sender, and the bounds of everything.

use std::{fmt, path::PathBuf, time::Duration};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// Where the documents go, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Elasticsearch: `http://host:9200` or `https://user:password@host:9200/path`.
    pub url: SecretString,
    /// Who signs in; a user of the URL takes precedence.
    pub credentials: Credentials,
    /// The data stream, such as `shop-logs`.
    pub data_stream: String,
    /// Who sends.
    pub service: Service,
    /// The name of a field of events or spans whose value replaces the name of the service. For a process with several services,
    /// whose spans have such a field.
    pub service_field: Option<&'static str>,
    /// Documents that Elasticsearch refuses for good; without it they are dropped and counted.
    pub dead_letters: Option<DeadLetters>,
    /// Create or update the index template before the first document is sent. Without it the template has to be there:
    /// [`setup`](crate::setup()).
    pub manages_template: bool,
    /// Elasticsearch deletes documents after so many days. Counts for a data stream that is created after it was set.
    pub retention_days: u32,
    /// The bounds.
    pub limits: Limits,
}

/// How the sender signs in.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// It does not.
    #[default]
    None,
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// An API key, as Elasticsearch encodes it: the Base64 text of `id:key`.
    ApiKey(SecretString),
}

/// Who sends: the fields `service.name`, `service.version` and `host.name`.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name, which is also `event.dataset`.
    pub name: String,
    /// The version.
    pub version: String,
    /// The host, if it is known.
    pub host: Option<String>,
}

/// The file of the documents that Elasticsearch refuses. Each line is a JSON object with the document and the reason.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The file; its folder has to exist when the first document is refused.
    pub path: PathBuf,
    /// Documents that do not fit any more are dropped and counted, in bytes.
    pub max_bytes: u64,
}

/// The bounds of queue, requests and waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Events that wait or are being sent, in bytes of their documents.
    pub queue_max_bytes: usize,
    /// The same as a number.
    pub queue_max_documents: usize,
    /// One request has at most so many bytes before compression, unless one document is larger.
    pub batch_max_bytes: usize,
    /// One request has at most so many documents.
    pub batch_max_documents: usize,
    /// A document waits at most so long for others to share its request, in milliseconds.
    pub flush_interval_ms: u64,
    /// After so long a request has failed, in milliseconds.
    pub request_timeout_ms: u64,
    /// First wait before a retry; doubled up to the longest, with jitter, in milliseconds.
    pub retry_min_ms: u64,
    /// See [`retry_min_ms`](Self::retry_min_ms).
    pub retry_max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_max_bytes: 32 << 20,
            queue_max_documents: 100_000,
            batch_max_bytes: 2 << 20,
            batch_max_documents: 5_000,
            flush_interval_ms: 1_000,
            request_timeout_ms: 30_000,
            retry_min_ms: 250,
            retry_max_ms: 30_000,
        }
    }
}

impl Service {
    /// A service on a host without a known name.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), host: None }
    }
}

/// Why settings cannot be used. No message contains user, password or key.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither `http://` nor `https://`, or not a URL at all.
    #[error("the URL of Elasticsearch is not valid: {0}; write http://host:9200 or https://host:9200")]
    Url(String),
    /// A name that Elasticsearch would refuse.
    #[error(
        "`{0}` is not the name of a data stream: at most 255 of a-z 0-9 - _ ., not beginning with - _ or ."
    )]
    DataStream(String),
    /// A bound of zero.
    #[error("{0} must be at least 1")]
    Limit(&'static str),
    /// A key with a character that no header may have.
    #[error("the API key for Elasticsearch has characters that a header cannot have")]
    ApiKey,
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client for Elasticsearch")]
    Client(#[source] reqwest::Error),
    /// The operating system has no thread left.
    #[error("cannot start the thread that sends to Elasticsearch")]
    Thread(#[source] std::io::Error),
}

/// A checked place: the URL without user and password, and the credentials from it or from beside it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: Url,
    pub(crate) credentials: Credentials,
    pub(crate) data_stream: String,
    pub(crate) retention_days: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

impl Settings {
    /// Without credentials and dead-letter file, with the usual bounds.
    pub fn new(url: impl Into<SecretString>, data_stream: impl Into<String>, service: Service) -> Self {
        Self {
            url: url.into(),
            credentials: Credentials::None,
            data_stream: data_stream.into(),
            service,
            service_field: None,
            dead_letters: None,
            manages_template: true,
            retention_days: 30,
            limits: Limits::default(),
        }
    }

    pub(crate) fn place(&self) -> Result<Place, SettingsError> {
        let parsed = Url::parse(self.url.expose_secret());
        // The message of the parser does not contain the text.
        let mut url = parsed.map_err(|error| SettingsError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SettingsError::Url("its scheme is neither http nor https".to_owned()));
        }
        let mut credentials = self.credentials.clone();
        if !url.username().is_empty() {
            let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
            credentials = Credentials::Basic { user, password: password.into() };
        }
        // These cannot fail: an HTTP URL has a host.
        let _ = url.set_username("").and(url.set_password(None));
        url.set_query(None);
        url.set_fragment(None);
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let name = &self.data_stream;
        if name.is_empty()
            || name.len() > 255
            || name.starts_with(['-', '_', '.'])
            || !name.bytes().all(is_allowed)
        {
            return Err(SettingsError::DataStream(name.clone()));
        }
        self.limits.check()?;
        Ok(Place { url, credentials, data_stream: name.clone(), retention_days: self.retention_days })
    }
}

impl Limits {
    fn check(&self) -> Result<(), SettingsError> {
        let none = [
            ("queue_max_bytes", self.queue_max_bytes == 0),
            ("queue_max_documents", self.queue_max_documents == 0),
            ("batch_max_bytes", self.batch_max_bytes == 0),
            ("batch_max_documents", self.batch_max_documents == 0),
            ("request_timeout_ms", self.request_timeout_ms == 0),
            ("retry_min_ms", self.retry_min_ms == 0),
            ("retry_max_ms", self.retry_max_ms == 0),
        ];
        match none.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((name, _)) => Err(SettingsError::Limit(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_interval_ms)
    }
}

/// Without percent-encoding. What is not UTF-8 then is replaced, and Elasticsearch refuses it.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings::new(url.to_owned(), "shop-logs", Service::new("shop", "1"))
    }

    #[test]
    fn a_user_of_the_url_signs_in_and_is_not_shown() {
        let settings = settings("https://me:p%40ss%2F%25@search.example:9243/es/?x=1");
        let place = settings.place().expect("valid");
        assert_eq!(place.to_string(), "https://search.example:9243/es/");
        let Credentials::Basic { user, password } = place.credentials else { panic!("no user") };
        assert_eq!((user.as_str(), password.expose_secret()), ("me", "p@ss/%"));
        assert!(!format!("{settings:?}").contains("ss%2F"));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for url in ["localhost:9200", "ftp://host", "", "http://", "me:hush@host"] {
            let error = settings(url).place().err().expect("refused").to_string();
            assert!(error.contains("URL") && !error.contains("hush"), "{error}");
        }
        for name in ["", "Shop", "-logs", "a/b", "a b", "logs*"] {
            let settings = Settings { data_stream: name.to_owned(), ..settings("http://localhost") };
            assert!(matches!(settings.place(), Err(SettingsError::DataStream(_))), "{name}");
        }
        let mut none = settings("http://localhost");
        none.limits.batch_max_bytes = 0;
        assert!(none.place().is_err_and(|error| error.to_string().contains("batch_max_bytes")));
    }
}
