//! The index template of the data stream: which fields there are, and how they are searched.

use reqwest::{ClientBuilder, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    client::{Answer, Elasticsearch},
    settings::{Settings, SettingsError},
};

/// The member of `_meta` that holds a checksum of the template as this crate wrote it.
const CHECKSUM: &str = "tracing_elastic_checksum";
/// Above those that Elasticsearch brings along.
const PRIORITY: u32 = 200;
/// Labels beyond this number of fields are stored and shown, but not searched.
const MAX_FIELDS: u32 = 500;
/// Longer labels are stored and shown, but not searched, in characters.
const MAX_SEARCHED_CHARS: u32 = 1_024;

/// Why a template cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Elasticsearch does not answer, or not yet.
    #[error("cannot set up the index template: {0}")]
    Unavailable(String),
    /// Elasticsearch refuses it, such as for a user without the right `manage_index_templates`.
    #[error("Elasticsearch refuses the index template: {0}")]
    Refused(String),
}

/// Creates or updates the index template of the data stream of these settings. Returns what was changed, one line each: running it again
/// changes nothing. An index template of this version that was edited by hand stays as it is.
///
/// # Errors
/// Settings that cannot be used, and a server that does not answer or refuses.
pub async fn setup(settings: &Settings, client: Option<ClientBuilder>) -> Result<Vec<String>, SetupError> {
    let timeout = std::time::Duration::from_millis(settings.limits.request_timeout_ms);
    ensure(&Elasticsearch::new(settings.place()?, client, timeout)?).await
}

/// The index template of a data stream, as it is sent to Elasticsearch.
pub fn template(data_stream: &str, retention_days: u32) -> Value {
    let keyword = || json!({ "type": "keyword", "ignore_above": MAX_SEARCHED_CHARS });
    let text = || json!({ "type": "text" });
    let alias = |path: &str| json!({ "type": "alias", "path": path });
    let properties = json!({
        "@timestamp": { "type": "date" },
        "message": text(),
        // Both `ERROR` and `error` find it.
        "log": { "properties": {
            "level": { "type": "keyword", "normalizer": "lowercase" },
            "logger": keyword(),
            "origin": { "properties": {
                "file": { "properties": { "name": keyword(), "line": { "type": "integer" } } },
                "function": keyword(),
            } },
        } },
        "service": { "properties": { "name": keyword(), "version": keyword() } },
        "event": { "properties": { "dataset": keyword() } },
        "host": { "properties": { "name": keyword() } },
        "process": { "properties": { "pid": { "type": "long" } } },
        "span": { "properties": { "name": keyword() } },
        "trace": { "properties": { "id": keyword() } },
        "ecs": { "properties": { "version": keyword() } },
        "error": { "properties": { "message": text(), "stack_trace": text() } },
        "labels": { "type": "object", "dynamic": true, "properties": { "symbol": keyword() } },
        // Names that other loggers have.
        "timestamp": alias("@timestamp"),
        "level": alias("log.level"),
        "logger": alias("log.logger"),
        "module": alias("log.origin.file.name"),
        "function": alias("log.origin.function"),
        "line": alias("log.origin.file.line"),
    });
    let mut template = json!({
        "index_patterns": [data_stream],
        "data_stream": {},
        "priority": PRIORITY,
        "template": {
            "settings": { "index": {
                "auto_expand_replicas": "0-1",
                "mapping": { "total_fields": { "limit": MAX_FIELDS, "ignore_dynamic_beyond_limit": true } },
            } },
            "lifecycle": { "data_retention": format!("{retention_days}d") },
            "mappings": {
                "dynamic": false,
                "date_detection": false,
                "dynamic_templates": [{ "labels": { "path_match": "labels.*", "mapping": keyword() } }],
                "properties": properties,
            },
        },
    });
    let checksum = format!("{:016x}", fnv1a(template.to_string().as_bytes()));
    template["_meta"] = json!({ CHECKSUM: checksum });
    template
}

/// See [`setup`].
pub(crate) async fn ensure(server: &Elasticsearch) -> Result<Vec<String>, SetupError> {
    let name = server.data_stream();
    let wanted = template(name, server.retention_days());
    let path = format!("_index_template/{name}");
    let found = server.answer(server.request(Method::GET, &path)).await.map_err(SetupError::Unavailable)?;
    let is_there = match found.status {
        StatusCode::NOT_FOUND => false,
        StatusCode::OK => true,
        status => return Err(refused(status, server.refusal(&found))),
    };
    if is_there && is_current(server, &found) {
        return Ok(Vec::new());
    }
    let put = server.request(Method::PUT, &path).json(&wanted);
    let answer = server.answer(put).await.map_err(SetupError::Unavailable)?;
    if !answer.status.is_success() {
        return Err(refused(answer.status, server.refusal(&answer)));
    }
    let done = if is_there { "updated" } else { "created" };
    let mut changes = vec![format!("index template {name}: {done}")];
    changes.extend(update_mapping(server, &wanted).await?);
    Ok(changes)
}

/// Whether the index template of an answer is the one of this version, edited by hand or not.
pub(crate) fn is_current(server: &Elasticsearch, answer: &Answer) -> bool {
    let stored: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let wanted = template(server.data_stream(), server.retention_days());
    stored["index_templates"][0]["index_template"]["_meta"][CHECKSUM] == wanted["_meta"][CHECKSUM]
}

/// Adds new fields to the indices that exist: a template counts for those that are created after it.
async fn update_mapping(server: &Elasticsearch, template: &Value) -> Result<Option<String>, SetupError> {
    let name = server.data_stream();
    let put =
        server.request(Method::PUT, &format!("{name}/_mapping")).json(&template["template"]["mappings"]);
    let answer = server.answer(put).await.map_err(SetupError::Unavailable)?;
    match answer.status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => Ok(Some(format!("data stream {name}: new fields added"))),
        // A field of another type cannot be changed.
        StatusCode::BAD_REQUEST => Ok(Some(format!(
            "data stream {name}: keeps its fields until its next rollover: {}",
            server.refusal(&answer)
        ))),
        status => Err(refused(status, server.refusal(&answer))),
    }
}

fn refused(status: StatusCode, reason: String) -> SetupError {
    if status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::UNAUTHORIZED
    {
        SetupError::Unavailable(reason)
    } else {
        SetupError::Refused(reason)
    }
}

/// The hash FNV-1a, which is the same in every version: <https://datatracker.ietf.org/doc/html/rfc9923>.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
