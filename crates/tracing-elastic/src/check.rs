//! A look at Elasticsearch without changing it.

use std::time::Duration;

use reqwest::{ClientBuilder, Method, StatusCode};
use serde_json::Value;

use crate::{
    client::{Answer, Elasticsearch},
    settings::{Settings, SettingsError},
    template,
};

/// What is found at Elasticsearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCheck {
    /// Its URL, without credentials.
    pub place: String,
    /// Its version; `None`: it is not shown, or not to this user.
    pub version: Option<String>,
    /// The index template of the data stream.
    pub template: TemplateState,
    /// Whether the data stream exists; `None`: the user may not read it.
    pub has_data_stream: Option<bool>,
}

/// How far an index template is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateState {
    /// As this version of the crate makes it.
    Current,
    /// [`setup`](crate::setup) would update it.
    Other,
    /// [`setup`](crate::setup) would create it.
    Missing,
    /// The user may not read it.
    NotReadable,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Elasticsearch does not accept the credentials, or needs some.
    #[error("{place} does not accept the user and password, or the API key")]
    Credentials {
        /// Its URL, without credentials.
        place: String,
    },
    /// Nothing answers, or not as Elasticsearch does.
    #[error("{0}")]
    Unavailable(String),
}

/// Looks at the server of these settings and at the index template and the data stream there; creates and changes nothing.
///
/// # Errors
/// [`CheckError`].
pub async fn check(settings: &Settings, client: Option<ClientBuilder>) -> Result<ServerCheck, CheckError> {
    let timeout = Duration::from_millis(settings.limits.request_timeout_ms);
    let server = Elasticsearch::new(settings.place()?, client, timeout)?;
    let place = server.place();
    let version = get(&server, "").await?.map(|answer| version(&answer)).transpose();
    let version = version.map_err(|reason| CheckError::Unavailable(format!("{place} {reason}")))?;
    let name = server.data_stream();
    let template = match get(&server, &format!("_index_template/{name}")).await? {
        None => TemplateState::NotReadable,
        Some(answer) if answer.status == StatusCode::NOT_FOUND => TemplateState::Missing,
        Some(answer) if template::is_current(&server, &answer) => TemplateState::Current,
        Some(_) => TemplateState::Other,
    };
    let data_stream = get(&server, &format!("_data_stream/{name}")).await?;
    let has_data_stream = data_stream.map(|answer| answer.status == StatusCode::OK);
    Ok(ServerCheck { place, version, template, has_data_stream })
}

/// An answer with 200 or 404; `None`: not shown to the user.
async fn get(server: &Elasticsearch, path: &str) -> Result<Option<Answer>, CheckError> {
    let answer = server.answer(server.request(Method::GET, path)).await.map_err(CheckError::Unavailable)?;
    match answer.status {
        StatusCode::OK | StatusCode::NOT_FOUND => Ok(Some(answer)),
        // 405: a server without the module of this path, or a proxy that lets only some through.
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
        StatusCode::UNAUTHORIZED => Err(CheckError::Credentials { place: server.place() }),
        _ => Err(CheckError::Unavailable(server.refusal(&answer))),
    }
}

fn version(answer: &Answer) -> Result<String, &'static str> {
    let root: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let number = root["version"]["number"].as_str();
    number.map(crate::client::shortened).ok_or("answers, but not as Elasticsearch does")
}
