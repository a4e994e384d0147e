//! Refuses requests for hosts that this service is not: a page of another site whose name is made to resolve to this address
//! (DNS rebinding) could read everything here, as the browser takes both for one site.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use metrics::counter;

use crate::problem::Problem;

/// Requests that were refused because of their host.
const REFUSED: &str = "tapedeck_web_hosts_refused_total";
/// Health checks and metrics: they are requested under names of containers, and reveal no prices.
const OPEN_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The hosts that pages may be requested for.
#[derive(Debug)]
pub(crate) struct AllowedHosts {
    /// In lower case, without ports.
    names: Vec<String>,
    /// The service listens on every address of its host. Which ones there are changes, and a browser that was given an address
    /// instead of a name cannot be misled by a name: all addresses are allowed.
    any_address: bool,
}

impl AllowedHosts {
    /// localhost, its addresses, the listen address, and `more`, whose ports are ignored.
    pub(crate) fn new(listen: SocketAddr, more: &[String]) -> Arc<Self> {
        let listen = listen.ip();
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        names.push(if listen.is_ipv6() { format!("[{listen}]") } else { listen.to_string() });
        names.extend(more.iter().filter_map(|host| parse_host(host)));
        Arc::new(Self { names, any_address: listen.is_unspecified() })
    }

    fn allow(&self, host: &str) -> bool {
        let is_address = || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        self.names.iter().any(|name| name == host) || (self.any_address && is_address())
    }
}

/// A host of the setting as requests name it; `None` where it is none, such as a URL.
pub(crate) fn parse_host(text: &str) -> Option<String> {
    let text = text.trim();
    let is_bare_v6 = text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    let host = if is_bare_v6 { host_of(&format!("[{text}]")) } else { host_of(text) };
    host.filter(|host| !host.is_empty() && !host.contains('*'))
}

/// The host without its port, in lower case; `None` where it is no host.
fn host_of(authority: &str) -> Option<String> {
    if authority.contains('@') {
        return None;
    }
    let authority: Authority = authority.parse().ok()?;
    Some(authority.host().to_ascii_lowercase())
}

/// The host that a request names; the URI precedes the header (RFC 9112, 3.2.2).
pub(super) fn requested_host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    uri.host().map(str::to_ascii_lowercase).or_else(|| host_of(header?))
}

/// Lets a request pass whose host is allowed, and every health check.
pub(crate) async fn require_allowed_host(
    State(hosts): State<Arc<AllowedHosts>>,
    request: Request,
    next: Next,
) -> Response {
    let host = requested_host(request.uri(), request.headers());
    if OPEN_PATHS.contains(&request.uri().path()) || host.as_deref().is_some_and(|host| hosts.allow(host)) {
        return next.run(request).await;
    }
    counter!(REFUSED).increment(1);
    refuse(host.as_deref(), request.headers())
}

fn refuse(host: Option<&str>, headers: &HeaderMap) -> Response {
    let reason = match host {
        Some(host) => format!(
            "the host `{host}` is not allowed; add it to --web-allowed-hosts (WEB_ALLOWED_HOSTS) of the service, and start it again"
        ),
        None => "the request names no host; send the header `Host`".to_owned(),
    };
    let accepts_html =
        headers.get_all(header::ACCEPT).iter().any(|value| value.as_bytes().starts_with(b"text/html"));
    if !accepts_html {
        return Problem::misdirected(reason).into_response();
    }
    // No scripts and styles: they would be requested for the same host. The authority of a URI has no characters of HTML.
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>This host is not allowed \u{b7} Tapedeck</title></head>\n\
         <body><h1>This host is not allowed</h1><p>{}.</p></body></html>\n",
        reason.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    );
    (StatusCode::MISDIRECTED_REQUEST, Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn allows(listen: &str, more: &[&str], host: &'static str) -> bool {
        let more: Vec<String> = more.iter().map(|host| (*host).to_owned()).collect();
        let hosts = AllowedHosts::new(listen.parse().expect("an address"), &more);
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        requested_host(&Uri::from_static("/v1/quotes"), &headers).is_some_and(|host| hosts.allow(&host))
    }

    #[test]
    fn localhost_the_listen_address_and_the_hosts_of_the_setting_are_allowed() {
        for host in ["localhost:5000", "LOCALHOST", "127.0.0.1:5000", "[::1]:5000", "10.0.0.7", "10.0.0.7:80"]
        {
            assert!(allows("10.0.0.7:5000", &[], host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.8",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "user@localhost:x",
        ] {
            assert!(!allows("10.0.0.7:5000", &[], host), "{host}");
        }
        let more = ["Prices.Example:443", " 192.168.1.5", "fe80::1", ""];
        for host in ["prices.example", "PRICES.example:8443", "192.168.1.5:5000", "[fe80::1]:5000"] {
            assert!(allows("127.0.0.1:5000", &more, host), "{host}");
        }
        assert!(!allows("127.0.0.1:5000", &more, "example"));
        for wrong in
            ["http://prices.example", "*.example", "prices.example/v1", "a b", "", "user@prices.example"]
        {
            assert_eq!(parse_host(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_service_on_all_addresses_is_requested_by_any_of_them_and_not_by_other_names() {
        for (listen, host) in
            [("0.0.0.0:5000", "192.168.1.5:5000"), ("[::]:5000", "[fe80::1]"), ("[::]:5000", "10.1.1.1")]
        {
            assert!(allows(listen, &[], host), "{host}");
        }
        assert!(!allows("0.0.0.0:5000", &[], "evil.example"));
    }
}
