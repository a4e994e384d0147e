//! Keeps pages for the operator on the machine that serves them.

use axum::{
    extract::Request,
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use service_runtime::ClientAddress;

use super::host::requested_host;
use crate::problem::Problem;

/// What reverse proxies add: the address of the connection is then the proxy's, which may be on this machine.
const PROXY_HEADERS: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
/// Names of this machine.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Lets a request pass that comes from this machine and through no proxy.
pub(crate) async fn require_this_machine(request: Request, next: Next) -> Response {
    let client = request.extensions().get().copied();
    let host = requested_host(request.uri(), request.headers());
    if is_of_this_machine(client, host.as_deref(), request.headers()) {
        return next.run(request).await;
    }
    Problem::forbidden(
        "this page is shown on the machine of the service only, at localhost: mails have links that open accounts",
    )
    .into_response()
}

fn is_of_this_machine(client: Option<ClientAddress>, host: Option<&str>, headers: &HeaderMap) -> bool {
    client.is_some_and(|ClientAddress(address)| address.to_canonical().is_loopback())
        && host.is_some_and(|host| LOCAL_HOSTS.contains(&host))
        && !PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn passes(client: &str, host: &str, header: Option<&'static str>) -> bool {
        let client: IpAddr = client.parse().expect("an address");
        let headers =
            header.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("10.0.0.7")));
        is_of_this_machine(Some(ClientAddress(client)), Some(host), &headers.into_iter().collect())
    }

    #[test]
    fn only_requests_of_this_machine_pass() {
        assert!(passes("127.0.0.1", "localhost", None));
        assert!(passes("::ffff:127.0.0.1", "127.0.0.1", None));
        assert!(!passes("10.0.0.7", "localhost", None));
        assert!(!passes("127.0.0.1", "prices.example", None), "the host of a proxy");
        assert!(!passes("127.0.0.1", "localhost", Some("x-forwarded-for")));
        assert!(!is_of_this_machine(None, Some("localhost"), &HeaderMap::new()));
    }
}
