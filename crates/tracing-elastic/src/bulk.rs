//! One bulk request, and what became of each of its documents.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde::Deserialize;

use crate::{
    client::{Elasticsearch, shortened},
    queue::Batch,
};

/// What the answer is reduced to.
const FILTER: &str = "errors,items.create.status,items.create.error.type,items.create.error.reason";
/// The error of a document whose data stream has no template.
const NO_DATA_STREAM: &str = "index_not_found_exception";
/// The error of a document whose index is read-only or full: it has nothing to do with the document, whatever its status is.
const BLOCKED: &str = "cluster_block_exception";

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Of each document, in order.
    Items(Vec<Item>),
    /// The request as a whole is too large, or is not understood: halves of it may be.
    Unacceptable(String),
    /// The server does not work, does not let us in, or is not there.
    Unavailable(String),
    /// The data stream cannot be created: there is no template for it.
    NoTemplate(String),
}

/// What became of one document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Indexed,
    AlreadyThere,
    Retry(String),
    Refused { status: u16, reason: String },
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
struct BulkItem {
    create: ItemResult,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    #[serde(default)]
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

/// Posts a batch.
pub(crate) async fn post(server: &Elasticsearch, batch: &Batch) -> Outcome {
    let body = match compressed(&batch.body) {
        Ok(body) => body,
        Err(error) => return Outcome::Unavailable(format!("cannot compress a request: {error}")),
    };
    let request = server
        .request(Method::POST, &format!("{}/_bulk", server.data_stream()))
        .query(&[("require_data_stream", "true"), ("filter_path", FILTER)])
        .header(CONTENT_TYPE, "application/x-ndjson")
        .header(CONTENT_ENCODING, "gzip")
        .body(body);
    let answer = match server.answer(request).await {
        Ok(answer) => answer,
        Err(reason) => return Outcome::Unavailable(reason),
    };
    match answer.status {
        StatusCode::OK => read(&answer.body, batch.len()).unwrap_or_else(|reason| {
            // Such as the page of a proxy.
            Outcome::Unavailable(format!("{}: {reason}", server.refusal(&answer)))
        }),
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST => {
            Outcome::Unacceptable(server.refusal(&answer))
        }
        // 429 and 5xx pass; a wrong password or address can be corrected, and nothing is lost until the queue is full.
        _ => Outcome::Unavailable(server.refusal(&answer)),
    }
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn read(body: &[u8], sent: usize) -> Result<Outcome, String> {
    let answer: BulkAnswer =
        serde_json::from_slice(body).map_err(|_| "this is not the answer of a bulk request".to_owned())?;
    if answer.items.len() != sent {
        return Err(format!("{} results for {sent} documents", answer.items.len()));
    }
    let items: Vec<Item> = answer.items.into_iter().map(|item| item.create.into()).collect();
    let no_template = items.iter().find_map(|item| match item {
        Item::Refused { status: 404, reason } if reason.starts_with(NO_DATA_STREAM) => Some(reason.clone()),
        _ => None,
    });
    Ok(no_template.map_or(Outcome::Items(items), Outcome::NoTemplate))
}

impl From<ItemResult> for Item {
    fn from(ItemResult { status, error }: ItemResult) -> Self {
        let is_blocked = error.as_ref().is_some_and(|error| error.kind == BLOCKED);
        let reason = || match error {
            Some(ItemError { kind, reason }) => {
                shortened(&format!("{kind}: {}", reason.as_deref().unwrap_or("without a reason")))
            }
            None => format!("status {status}"),
        };
        match status {
            200 | 201 => Self::Indexed,
            409 => Self::AlreadyThere,
            429 | 500.. => Self::Retry(reason()),
            _ if is_blocked => Self::Retry(reason()),
            _ => Self::Refused { status, reason: reason() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(body: &str, sent: usize) -> Vec<Item> {
        match read(body.as_bytes(), sent) {
            Ok(Outcome::Items(items)) => items,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_document_has_its_result() {
        // As Elasticsearch 8.19 answers.
        let body = r#"{"errors":true,"items":[{"create":{"status":201}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[a1]: exists"}}},
            {"create":{"status":429,"error":{"type":"cluster_block_exception","reason":"index is full"}}},
            {"create":{"status":503}},
            {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"no\nnumber"}}}]}"#;
        let found = items(body, 5);
        assert_eq!(found[..2], [Item::Indexed, Item::AlreadyThere]);
        assert_eq!(found[2], Item::Retry("cluster_block_exception: index is full".to_owned()));
        assert_eq!(found[3], Item::Retry("status 503".to_owned()));
        let reason = "document_parsing_exception: no number".to_owned();
        assert_eq!(found[4], Item::Refused { status: 400, reason });
    }

    #[test]
    fn an_answer_that_is_not_one_of_this_request_settles_nothing() {
        for body in ["", "<html>", "{}", r#"{"errors":false,"items":[]}"#, r#"{"items":[{"index":{}}]}"#] {
            assert!(read(body.as_bytes(), 1).is_err(), "{body}");
        }
    }

    #[test]
    fn a_missing_template_settles_nothing() {
        let body = r#"{"errors":true,"items":[{"create":{"status":404,"error":{"type":"index_not_found_exception",
            "reason":"no such index [x]"}}}]}"#;
        assert!(matches!(read(body.as_bytes(), 1), Ok(Outcome::NoTemplate(_))));
    }
}
