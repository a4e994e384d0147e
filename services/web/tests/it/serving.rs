use std::time::Duration;

use chrono::Utc;
use reqwest::StatusCode;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Events, Suite, tick};

#[tokio::test]
async fn a_port_in_use_is_reported_together_with_the_flag() {
    let first = web::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let taken = first.local_addr().expect("an address");
    let error = web::bind(taken).await.expect_err("the port is taken");
    let text = format!("{error:#}");
    assert!(text.contains(&taken.to_string()) && text.contains("--listen"), "{text}");
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
    client.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
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
