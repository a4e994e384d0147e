//! The one error of the HTTP interface: problem details (RFC 9457). Internal causes are logged, not returned.

use axum::{
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use live_store::LiveStoreError;
use serde::Serialize;

use crate::analytics::NotAvailable;

/// Why a request was refused or failed, for whoever made it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: String) -> Self {
        Self { kind: "about:blank", title, status: status.as_u16(), detail, parameter: None }
    }

    /// 400: this parameter is wrong, for this reason.
    pub(crate) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "Bad parameter", format!("parameter `{name}`: {reason}"));
        problem.parameter = Some(name.to_owned());
        problem
    }

    /// 400: the body is wrong, for this reason.
    pub(crate) fn body(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad body", format!("the body: {reason}"))
    }

    /// 404.
    pub(crate) fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    /// 403.
    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail.to_owned())
    }

    /// 421: the request is for another host.
    pub(crate) fn misdirected(detail: String) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "Host not allowed", detail)
    }

    /// 429.
    pub(crate) fn too_many(detail: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail.to_owned())
    }

    /// 503, to be tried again.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available now", detail.into())
    }

    /// A status that the framework chose.
    pub(crate) fn from_status(status: StatusCode, detail: &str) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("Refused"), detail.to_owned())
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<LiveStoreError> for Problem {
    fn from(error: LiveStoreError) -> Self {
        if matches!(error, LiveStoreError::BadCursor { .. }) {
            return Self::parameter("cursor", error);
        }
        tracing::warn!(%error, "the live store did not answer a request");
        Self::unavailable(
            "the live store does not answer; the log of this service has the reason; try again shortly",
        )
    }
}

impl From<NotAvailable> for Problem {
    fn from(NotAvailable(reason): NotAvailable) -> Self {
        Self::unavailable(format!("the analytics store is not available: {reason}"))
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page could not be rendered");
        Self::unavailable("the page could not be rendered; the log of this service has the reason")
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "a response could not be encoded");
        Self::unavailable("the response could not be encoded; the log of this service has the reason")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A struct of texts and a number always encodes; if it ever does not, the status alone is returned.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = (status, body).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// For methods that a path does not support.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not support {method}", uri.path());
    Problem::from_status(StatusCode::METHOD_NOT_ALLOWED, &detail)
}
