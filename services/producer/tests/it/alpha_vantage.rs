//! Alpha Vantage's feed: a few calls a day, counted in the store.

use chrono::Utc;
use live_store::{CallPurpose, KeyId, StorePassword, calls_today};
use market::parse_decimal;
use producer::choose;
use serde_json::{Value, json};
use topics::status::ComponentState;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, method, path, query_param},
};

use crate::world::{World, closed_port, config, wait_until};

const KEY: &str = "SECRETKEY12345";
const FEED: &str = "feed alpha_vantage";

fn quote(symbol: &str) -> Value {
    json!({ "Global Quote": {
        "01. symbol": symbol, "02. open": "289.7600", "03. high": "291.2100", "04. low": "288.9500",
        "05. price": "290.4000", "06. volume": "3245310", "07. latest trading day": "2026-01-13",
        "08. previous close": "288.4200", "09. change": "1.9800", "10. change percent": "0.6865%",
    } })
}

async fn answer(server: &MockServer, symbol: &str, body: Value) {
    Mock::given(method("GET"))
        .and(path("/query"))
        .and(query_param("function", "GLOBAL_QUOTE"))
        .and(query_param("symbol", symbol))
        .and(query_param("apikey", KEY))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}

async fn provider(symbols: &[&str]) -> MockServer {
    let server = MockServer::start().await;
    for symbol in symbols {
        answer(&server, symbol, quote(symbol)).await;
    }
    server
}

async fn start(world: &mut World, url: &str, watchlist: &str, more: &[&str]) {
    let args = [
        "--provider",
        "alpha_vantage",
        "--watchlist",
        watchlist,
        "--alpha-vantage-url",
        url,
        "--alpha-vantage-key",
        KEY,
    ];
    world.start(&[&args[..], more].concat()).await;
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

async fn calls(world: &World) -> u32 {
    let usage = world.store.as_ref().unwrap().key_usage(Utc::now()).await.unwrap();
    calls_today(&usage, &KeyId::of("alpha_vantage", &KEY.into()), CallPurpose::Prices)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_a_tick_of_its_close_and_its_call_is_counted() {
    let (mut world, server) = (World::with_store().await, provider(&["AAPL", "BRK.B"]).await);
    start(&mut world, &server.uri(), "AAPL,BRK.B", &[]).await;
    let text = world.becomes(FEED, ComponentState::Up, "2 of 20 calls of today, the next at ").await;
    assert!(text.starts_with("2 symbols, polled; 2 of 20") && text.ends_with(" UTC"), "{text}");
    wait_until("both prices are there", async || world.tick_count().await == 2).await;
    assert_eq!(calls(&world).await, 2);
    world.stop().await;
    let ticks = world.ticks().await;
    let tick = ticks.iter().find(|tick| tick.symbol.as_str() == "BRK.B").unwrap();
    assert_eq!((tick.price, tick.source.as_str()), (parse_decimal("290.4").unwrap(), "alpha_vantage"));
    assert_eq!(tick.timestamp.to_rfc3339(), "2026-01-13T21:00:00+00:00");
    assert_eq!(tick.volume, parse_decimal("3245310").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_restarts_do_not_exceed_the_calls_of_the_day() {
    let (mut world, server) = (World::with_store().await, provider(&["AAPL", "MSFT"]).await);
    // A stock without a price is requested at every start.
    answer(&server, "NOPE", json!({ "Global Quote": {} })).await;
    for started in 1..=4 {
        start(&mut world, &server.uri(), "NOPE,AAPL,MSFT", &["--alpha-vantage-price-calls", "4"]).await;
        let used = (started + 2).min(4);
        world.becomes(FEED, ComponentState::Up, &format!("{used} of 4 calls of today")).await;
        if started > 2 {
            world.becomes(FEED, ComponentState::Up, "the next at ").await;
        }
        world.stop().await;
        world.reopen_store().await;
    }
    assert_eq!((requests(&server).await, calls(&world).await), (4, 4));
    assert_eq!(world.tick_count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unknown_stock_is_named_and_the_others_go_on() {
    let (mut world, server) = (World::with_store().await, provider(&["AAPL"]).await);
    answer(&server, "NOPE", json!({ "Global Quote": {} })).await;
    start(&mut world, &server.uri(), "NOPE,AAPL", &[]).await;
    let text = world.becomes(FEED, ComponentState::Up, "2 of 20 calls of today").await;
    assert!(text.starts_with("1 symbols, polled; not NOPE (it has no quote"), "{text}");
    wait_until("the price of the other is there", async || world.tick_count().await == 1).await;
    world.stop().await;
    assert_eq!(world.tick_count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_makes_the_feed_wait_and_uses_one_call() {
    for field in ["Note", "Information"] {
        let (mut world, server) = (World::with_store().await, MockServer::start().await);
        let words = format!(
            "We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day."
        );
        answer(&server, "AAPL", json!({ field: words })).await;
        start(&mut world, &server.uri(), "AAPL", &[]).await;
        let reason = world.becomes(FEED, ComponentState::Down, "trying again in 900.0 s").await;
        assert!(reason.contains("come less often: We have detected your API key as ***"), "{reason}");
        assert!(!reason.contains("SECRET"), "{reason}");
        assert_eq!((requests(&server).await, calls(&world).await), (1, 1));
        world.stop().await;
    }
}

/// Through every kind of failure: no reason has the key, whole or in part.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_in_no_reason() {
    let words = format!("{}apikey={KEY}", "x".repeat(140));
    let of_body = |status: u16, body: String| ResponseTemplate::new(status).set_body_raw(body, "text/plain");
    let location = format!("http://127.0.0.1:9/elsewhere?apikey={KEY}");
    let answers = [
        of_body(200, format!("<html>your key {KEY}</html>")),
        of_body(200, format!("your key {KEY}")),
        of_body(200, format!("{{\"Global Quote\": \"{KEY}\"}}")),
        of_body(
            200,
            json!({ "Error Message": format!("the parameter apikey {KEY} is invalid") }).to_string(),
        ),
        of_body(200, json!({ "Information": words }).to_string()),
        of_body(400, json!({ "Error Message": words }).to_string()),
        of_body(429, words.clone()),
        of_body(503, json!({ "message": words }).to_string()),
        ResponseTemplate::new(302).insert_header("Location", location),
    ];
    let closed = format!("http://{}", closed_port().await);
    for answer in answers.into_iter().map(Some).chain([None]) {
        let (mut world, server) = (World::with_store().await, MockServer::start().await);
        let url = match &answer {
            Some(_) => server.uri(),
            None => closed.clone(),
        };
        if let Some(answer) = answer {
            Mock::given(any()).respond_with(answer).mount(&server).await;
        }
        start(&mut world, &url, "AAPL", &[]).await;
        let reason = world.becomes(FEED, ComponentState::Down, "").await;
        // Also of the beginning of a key that was cut.
        assert!(!reason.contains("SEC") && !reason.contains("secret"), "{reason}");
        assert!(calls(&world).await >= 1);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_or_a_store_the_feed_is_refused_with_the_setting() {
    for key in ["none", ""] {
        let args = ["--provider", "alpha_vantage", "--watchlist", "AAPL", "--alpha-vantage-key", key];
        let refused = choose(&config(&args)).await.unwrap_err().to_string();
        assert!(refused.contains("--alpha-vantage-key (ALPHA_VANTAGE_KEY)"), "{refused}");
    }
    let args = ["--provider", "alpha_vantage", "--watchlist", "AAPL", "--alpha-vantage-key", KEY];
    let choice = choose(&config(&args)).await.unwrap();
    assert!(choice.needs_ledger());
    let world = World::new().await;
    let refused = producer::run(config(&args), choice.clone(), None, world.runtime()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("--store (STORE_URL)"), "{refused:#}");
    let settings = producer::LedgerSettings { store_url: None, password: StorePassword::default() };
    let refused = producer::with_store(&settings, &choice, async |_| Ok(())).await.unwrap_err();
    assert!(refused.to_string().contains("--store (STORE_URL)"), "{refused}");
    let others = choose(&config(&["--provider", "simulated"])).await.unwrap();
    producer::with_store(&settings, &others, async |store| {
        assert!(store.is_none());
        Ok(())
    })
    .await
    .unwrap();
}
