//! Refuses writes that a page of another site makes a reader's browser send (cross-site request forgery).

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::problem::Problem;

/// Lets a request pass that only reads (GET, HEAD, OPTIONS, TRACE), or whose `Origin` names the host it is sent to.
///
/// Browsers send `Origin` with every request of another method, and scripts cannot set it. A write without one is
/// refused, too; other clients name this host in it. A reverse proxy must pass on `Host`.
pub(crate) async fn require_same_origin(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_same_origin(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    Problem::forbidden("only pages of this host may write: `Origin` must name the host in `Host`")
        .into_response()
}

fn is_same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).or_else(|| uri.host());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn an_origin_is_the_same_where_host_and_port_are() {
        let is_same = |origin: Option<&'static str>, host: &'static str| {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_same_origin(&Uri::from_static("/v1/screen-latency"), &headers)
        };
        assert!(is_same(Some("http://localhost:5000"), "localhost:5000"));
        assert!(is_same(Some("https://Prices.Example"), "prices.example"));
        for origin in
            ["http://localhost:5001", "http://localhost", "http://localhost:5000.evil.example", "null", ""]
        {
            assert!(!is_same(Some(origin), "localhost:5000"), "{origin}");
        }
        assert!(!is_same(None, "localhost:5000"));
    }
}
