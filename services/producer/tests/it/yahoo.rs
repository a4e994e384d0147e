//! Yahoo's feed: a provider that is polled, and mostly returns what it returned before.

use market::{CandleOrigin, Interval, parse_decimal};
use rstest::rstest;
use serde_json::Value;
use topics::status::ComponentState;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, method, path, query_param},
};

use crate::world::{World, wait_until};

const ANSWER: &str = include_str!("../fixtures/yahoo_chart_NVDA.json");

async fn provider() -> MockServer {
    let server = MockServer::start().await;
    answer(&server, ANSWER.to_owned()).await;
    server
}

async fn answer(server: &MockServer, body: String) {
    let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
    Mock::given(method("GET"))
        .and(path("/v8/finance/chart/NVDA"))
        .and(query_param("interval", "1m"))
        .and(query_param("range", "1d"))
        .respond_with(answer)
        .mount(server)
        .await;
}

async fn start(world: &mut World, server: &MockServer, watchlist: &str) {
    let args = [
        "--provider",
        "yahoo",
        "--watchlist",
        watchlist,
        "--yahoo-url",
        &server.uri(),
        "--feed-poll-ms",
        "100",
    ];
    world.start(&args).await;
}

async fn asked_again(server: &MockServer, times: usize) {
    let before = server.received_requests().await.unwrap().len();
    wait_until("the provider was asked again", async || {
        server.received_requests().await.unwrap().len() >= before + times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_a_tick_and_its_bars_and_the_same_answer_again_is_no_news() {
    let (mut world, server) = (World::new().await, provider().await);
    start(&mut world, &server, "NVDA").await;
    assert_eq!(world.becomes("feed yahoo", ComponentState::Up, "polled").await, "1 symbols, polled");
    asked_again(&server, 2).await;
    world.stop().await;

    let ticks = world.ticks().await;
    let [tick] = ticks.as_slice() else { panic!("{ticks:?}") };
    assert_eq!((tick.symbol.as_str(), tick.source.as_str()), ("NVDA", "yahoo"));
    assert_eq!(tick.price, parse_decimal("596.54").unwrap());
    assert_eq!(tick.timestamp.timestamp(), 1_705_957_200);
    assert_eq!(tick.seq, tick.received_at.timestamp_micros().unsigned_abs());

    let candles = world.candles().await;
    let closes: Vec<String> = candles.iter().map(|bar| bar.close.to_string()).collect();
    assert_eq!(closes, ["563.82", "560.53", "571.07", "594.91", "596.54"]);
    assert!(
        candles
            .iter()
            .all(|bar| bar.interval == Interval::Day && bar.source.origin == CandleOrigin::Provider)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_is_a_second_tick_with_a_higher_number() {
    let (mut world, server) = (World::new().await, provider().await);
    start(&mut world, &server, "NVDA").await;
    wait_until("the first price is there", async || world.tick_count().await == 1).await;
    server.reset().await;
    answer(&server, ANSWER.replace("\"regularMarketPrice\":596.54", "\"regularMarketPrice\":597.01")).await;
    wait_until("the second price is there", async || world.tick_count().await == 2).await;
    world.stop().await;
    let ticks = world.ticks().await;
    assert_eq!(ticks[1].price, parse_decimal("597.01").unwrap());
    assert!(ticks[1].seq > ticks[0].seq);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_does_not_repeat_what_the_first_has_said() {
    let (mut world, server) = (World::new().await, provider().await);
    start(&mut world, &server, "NVDA").await;
    wait_until("the price is there", async || world.tick_count().await == 1).await;
    world.stop().await;
    start(&mut world, &server, "NVDA").await;
    world.becomes("feed yahoo", ComponentState::Up, "polled").await;
    asked_again(&server, 1).await;
    world.stop().await;
    assert_eq!(world.tick_count().await, 1);
}

#[rstest]
#[case(200)]
#[case(404)]
#[tokio::test(flavor = "multi_thread")]
async fn one_symbol_that_cannot_be_read_does_not_keep_the_others_waiting(#[case] status: u16) {
    let (mut world, server) = (World::new().await, provider().await);
    let refusal = r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#;
    let answer = ResponseTemplate::new(status).set_body_raw(refusal, "application/json");
    Mock::given(path("/v8/finance/chart/BRK-B")).respond_with(answer).mount(&server).await;
    start(&mut world, &server, "BRK.B,NVDA").await;
    let text = world.becomes("feed yahoo", ComponentState::Up, "1 symbols, polled; not BRK.B (").await;
    assert!(text.contains("No data found"), "{text}");
    assert!(world.figure("tapedeck_feed_errors_total{yahoo}") >= 1.0);
    world.stop().await;
    assert_eq!(world.ticks().await[0].symbol.as_str(), "NVDA");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_people_is_told_as_html_and_the_feed_recovers() {
    let (mut world, server) = (World::new().await, MockServer::start().await);
    let page =
        ResponseTemplate::new(200).set_body_raw("<html><body>Too many requests</body></html>", "text/html");
    Mock::given(any()).respond_with(page).mount(&server).await;
    start(&mut world, &server, "NVDA").await;
    let reason = world.becomes("feed yahoo", ComponentState::Down, "HTML").await;
    assert!(reason.contains("/v8/finance/chart/NVDA answered with HTML instead of JSON"), "{reason}");
    assert_eq!(world.tick_count().await, 0);

    server.reset().await;
    answer(&server, serde_json::from_str::<Value>(ANSWER).unwrap().to_string()).await;
    world.becomes("feed yahoo", ComponentState::Up, "polled").await;
    world.stop().await;
    assert_eq!(world.tick_count().await, 1);
}
