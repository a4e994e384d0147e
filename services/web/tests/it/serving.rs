use std::time::Duration;

use chrono::Utc;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use web::StartingPages;

use crate::support::{DEADLINE, Events, Settings, Suite, config, empty_runtime, install_tls, tick};

#[tokio::test]
async fn a_port_in_use_is_reported_together_with_the_flag() {
    let first = web::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let taken = first.local_addr().expect("an address");
    let error = web::bind(taken).await.expect_err("the port is taken");
    let text = format!("{error:#}");
    assert!(text.contains(&taken.to_string()) && text.contains("--listen"), "{text}");
}

#[tokio::test]
async fn pages_and_health_answer_before_the_event_log_is_open() {
    install_tls();
    let dir = TempDir::new().expect("a folder");
    let (runtime, _) = empty_runtime(&dir).await;
    let listener = web::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let pages = StartingPages::serve(
        &config(address, Settings { max_live_clients: 1, ..Settings::default() }),
        listener,
        runtime.process(),
    );
    let get = async |path: &str| reqwest::get(format!("http://{address}{path}")).await.expect("an answer");
    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    for path in ["/", "/readyz", "/v1/quotes"] {
        let answer = get(path).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let text = answer.text().await.expect("a text");
        assert!(text.contains("waiting for the event log (--log, LOG_URL)"), "{path}: {text}");
    }
    drop(pages);
}

#[tokio::test]
async fn a_shutdown_ends_open_event_streams() {
    let suite = Suite::start().await;
    let mut events = Events::open(&suite, "/events", None).await;
    events.next_of("hello").await;
    suite.stop().await.expect("a clean end");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_client_that_reads_nothing() {
    let suite = Suite::start().await;
    let mut client = TcpStream::connect(&suite.address).await.expect("a connection");
    client.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let ticks: Vec<_> = (1..500).map(|n| tick("AAPL", &format!("{}", 100 + n), Utc::now(), n)).collect();
    suite.publish(&ticks).await;
    suite.stop().await.expect("a clean end");
}

#[tokio::test]
async fn health_readiness_and_metrics_answer() {
    let suite = Suite::start().await;
    assert_eq!(suite.text("/healthz").await, "ok\n");
    assert_eq!(suite.get("/readyz").await.status(), StatusCode::OK);
    suite.get("/v1/quotes").await;
    let metrics = suite.text("/metrics").await;
    assert!(
        metrics.contains("tapedeck_http_requests_total") && metrics.contains("route=\"/v1/quotes\""),
        "{metrics}"
    );
    assert!(metrics.contains("tapedeck_sse_connections"));
}

#[tokio::test]
async fn pages_are_compressed_and_survive_half_a_request() {
    let suite = Suite::start().await;
    let mut half = TcpStream::connect(&suite.address).await.expect("a connection");
    half.write_all(b"GET / HT").await.expect("sent");
    drop(half);
    let mut garbage = TcpStream::connect(&suite.address).await.expect("a connection");
    garbage.write_all(b"\x00\xff\x13 no http\r\n\r\n").await.expect("sent");
    let plain =
        reqwest::Client::builder().no_gzip().timeout(Duration::from_secs(10)).build().expect("a client");
    let response =
        plain.get(suite.url("/")).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(response.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn more_half_open_connections_than_the_limit_lock_out_neither_pages_nor_health_nor_status() {
    // 512 besides the live clients.
    let suite = Suite::with(Settings { max_live_clients: 100, ..Settings::default() }).await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1)]).await;
    let mut half_open = Vec::new();
    for n in 0..1_000 {
        let mut client = TcpStream::connect(&suite.address).await.expect("a connection");
        if n % 2 == 0 {
            client.write_all(b"GET / HTTP/1.1\r\nHos").await.expect("sent");
        }
        half_open.push(client);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/", "/symbols/AAPL", "/v1/system", "/v1/quotes"] {
        // A connection of its own for each.
        let fresh = reqwest::Client::builder().timeout(DEADLINE).build().expect("a client");
        assert_eq!(
            fresh.get(suite.url(path)).send().await.expect("an answer").status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let mut first = half_open.swap_remove(0);
    let ended = timeout(DEADLINE, first.read(&mut [0])).await.expect("it is closed before the deadline");
    assert!(matches!(ended, Ok(0) | Err(_)), "the first connection made room for a later one: {ended:?}");
    let metrics = suite.text("/metrics").await;
    assert!(metrics.contains("tapedeck_http_connections_closed_total{reason=\"replaced\"}"), "{metrics}");
}

#[tokio::test]
async fn only_allowed_hosts_are_served_and_the_refusal_names_the_setting() {
    let suite = Suite::start().await;
    let ask = async |path: &str, host: &str, accept: &str| {
        let request = suite.http.get(suite.url(path)).header("host", host).header("accept", accept);
        request.send().await.expect("an answer")
    };
    for path in ["/", "/v1/quotes", "/events", "/nothing", "/v1/system"] {
        for host in ["evil.example", "evil.example:5000", "localhost.evil.example", "10.9.8.7"] {
            let refused = ask(path, host, "*/*").await;
            assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST, "{path} of {host}");
            let problem: Value = refused.json().await.expect("a problem");
            assert!(
                problem["detail"].as_str().is_some_and(|text| text.contains("WEB_ALLOWED_HOSTS")),
                "{problem}"
            );
        }
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]:5000", "PRICES.example", "prices.example:8443"] {
        assert_eq!(ask("/v1/quotes", host, "*/*").await.status(), StatusCode::OK, "{host}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(ask(path, "tapedeck-web:5000", "*/*").await.status(), StatusCode::OK, "{path}");
    }
    let page = ask("/", "evil.example", "text/html,application/xhtml+xml").await;
    assert!(page.headers()["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/html")));
    let page = page.text().await.expect("a text");
    assert!(page.contains("evil.example") && page.contains("--web-allowed-hosts"), "{page}");
}

#[tokio::test]
async fn pages_answer_before_the_store_does() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    let opened = CancellationToken::new();
    let suite = Suite::opening((runtime, store), dir, opened.clone()).await;
    suite.until(async || suite.text("/").await.contains("Tapedeck is starting")).await;
    for path in ["/", "/symbols/AAPL", "/system"] {
        let response = suite.get(path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(
            response.headers().contains_key("retry-after")
                && response.headers().contains_key("content-security-policy")
        );
        assert!(
            response.text().await.expect("a text").contains("<b>pages</b>"),
            "{path} names what is waited for"
        );
    }
    let problem: Value = suite.get("/v1/quotes").await.json().await.expect("a problem");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("starting")), "{problem}");
    assert_eq!(suite.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(suite.text("/healthz").await, "ok\n");
    opened.cancel();
    suite.until(async || suite.get("/readyz").await.status() == StatusCode::OK).await;
    assert!(suite.text("/").await.contains("Waiting for the first price"));
}

#[tokio::test]
async fn a_shutdown_while_the_store_is_awaited_ends_the_service() {
    let dir = TempDir::new().expect("a folder");
    let parts = empty_runtime(&dir).await;
    let suite = Suite::opening(parts, dir, CancellationToken::new()).await;
    suite.until(async || suite.text("/").await.contains("Tapedeck is starting")).await;
    suite.stop().await.expect("a clean end");
}
