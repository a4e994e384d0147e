//! Finnhub's feed: polled with a key in a header, without volumes.

use market::parse_decimal;
use producer::choose;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use topics::status::ComponentState;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, header, method, path, query_param},
};

use crate::world::{World, config, wait_until};

const KEY: &str = "SECRETKEY12345";
const FEED: &str = "feed finnhub";

fn quote(price: f64, seconds: i64) -> Value {
    json!({ "c": price, "d": 1.2, "dp": 0.4606, "h": 263.31, "l": 260.68, "o": 261.07, "pc": 259.45, "t": seconds })
}

async fn answer(server: &MockServer, symbol: &str, body: Value) {
    Mock::given(method("GET"))
        .and(path("/api/v1/quote"))
        .and(query_param("symbol", symbol))
        .and(header("X-Finnhub-Token", KEY))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}

async fn start(world: &mut World, server: &MockServer, watchlist: &str) {
    let url = server.uri();
    let args =
        ["--provider", "finnhub", "--watchlist", watchlist, "--finnhub-url", &url, "--finnhub-key", KEY];
    let fast = ["--feed-poll-ms", "100", "--finnhub-calls-per-minute", "6000"];
    world.start(&[&args[..], &fast].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_a_tick_and_the_same_quote_again_is_no_news() {
    let (mut world, server) = (World::new().await, MockServer::start().await);
    answer(&server, "AAPL", quote(261.74, 1_582_641_000)).await;
    start(&mut world, &server, "AAPL").await;
    world.becomes(FEED, ComponentState::Up, "1 symbols, polled; no volumes").await;
    wait_until("it was requested again", async || server.received_requests().await.unwrap().len() >= 3).await;
    assert_eq!(world.tick_count().await, 1);
    server.reset().await;
    answer(&server, "AAPL", quote(262.0, 1_582_641_060)).await;
    wait_until("the second price is there", async || world.tick_count().await == 2).await;
    world.stop().await;
    let ticks = world.ticks().await;
    assert_eq!(ticks[0].price, parse_decimal("261.74").unwrap());
    assert_eq!(
        (ticks[0].timestamp.timestamp(), ticks[0].volume, ticks[0].size),
        (1_582_641_000, Decimal::ZERO, None)
    );
    assert!(ticks[1].seq > ticks[0].seq);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unknown_stock_is_named_and_the_others_go_on() {
    let (mut world, server) = (World::new().await, MockServer::start().await);
    let unknown = json!({ "c": 0, "d": null, "dp": null, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0 });
    answer(&server, "NOPE", unknown).await;
    answer(&server, "AAPL", quote(261.74, 1_582_641_000)).await;
    start(&mut world, &server, "NOPE,AAPL").await;
    let text = world.becomes(FEED, ComponentState::Up, "not NOPE (it has no quote of the symbol)").await;
    assert!(text.starts_with("1 symbols, polled"), "{text}");
    world.stop().await;
    assert_eq!(world.ticks().await[0].symbol.as_str(), "AAPL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_reached_makes_the_feed_wait_and_the_key_is_in_no_reason() {
    let refusal = |status: u16| {
        let body = json!({ "error": format!("API limit reached with {KEY}. Remaining Limit: 0") });
        ResponseTemplate::new(status).set_body_json(body)
    };
    let redirect =
        ResponseTemplate::new(302).insert_header("Location", format!("http://127.0.0.1:9/{KEY}").as_str());
    let answers = [
        (refusal(429).insert_header("Retry-After", "7"), "trying again in 7.0 s"),
        (refusal(401), "answered 401"),
        (refusal(200), "refuses with status 200"),
        (redirect, "answered 302"),
    ];
    for (answer, expected) in answers {
        let (mut world, server) = (World::new().await, MockServer::start().await);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        start(&mut world, &server, "AAPL").await;
        let reason = world.becomes(FEED, ComponentState::Down, expected).await;
        assert!(!reason.contains("SECRET"), "{reason}");
        world.stop().await;
    }
}

#[tokio::test]
async fn without_a_key_the_feed_is_refused_with_the_setting() {
    for key in ["none", " "] {
        let args = ["--provider", "finnhub", "--watchlist", "AAPL", "--finnhub-key", key];
        let refused = choose(&config(&args)).await.unwrap_err().to_string();
        assert!(refused.contains("--finnhub-key (FINNHUB_KEY)"), "{refused}");
    }
}
