//! Several providers in order: where one fails, the next takes over.

use std::time::Duration;

use serde_json::json;
use topics::status::ComponentState;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::world::{World, closed_port, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn where_the_preferred_provider_is_away_the_next_one_takes_over_and_stands_by_before() {
    let away = format!("http://{}", closed_port().await);
    let mut world = World::new().await;
    world
        .start(&[
            "--providers",
            "binance,simulated",
            "--watchlist",
            "BTC/USDT",
            "--simulated-rate",
            "50",
            "--binance-rest-url",
            &away,
        ])
        .await;
    world.becomes("feed simulated", ComponentState::Up, "stands by").await;
    world.becomes("feed binance", ComponentState::Down, "refused").await;
    world.becomes("feed simulated", ComponentState::Up, "SIMULATED").await;
    wait_until("ticks of the next provider are in the log", async || world.tick_count().await > 10).await;
    assert!(world.ticks().await.iter().all(|tick| tick.source.is_simulated()));
    assert!(world.candles().await.is_empty(), "no past is invented beside real prices");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbol_that_the_preferred_provider_does_not_have_goes_to_the_next_one_alone() {
    let server = MockServer::start().await;
    let answer = include_str!("../fixtures/yahoo_chart_NVDA.json");
    let answer = ResponseTemplate::new(200).set_body_raw(answer, "application/json");
    Mock::given(path("/v8/finance/chart/NVDA")).respond_with(answer).mount(&server).await;
    let unknown =
        json!({"chart": {"result": null, "error": {"code": "Not Found", "description": "No data found"}}});
    let unknown = ResponseTemplate::new(404).set_body_json(unknown);
    Mock::given(path("/v8/finance/chart/ZZZZ")).respond_with(unknown).mount(&server).await;
    let mut world = World::new().await;
    world
        .start(&[
            "--providers",
            "yahoo,simulated",
            "--watchlist",
            "NVDA,ZZZZ",
            "--simulated-rate",
            "50",
            "--yahoo-url",
            &server.uri(),
            "--feed-poll-ms",
            "200",
        ])
        .await;
    world.becomes("feed yahoo", ComponentState::Up, "1 symbols, polled; not ZZZZ (").await;
    world.becomes("feed simulated", ComponentState::Up, "1 symbols").await;
    wait_until("invented ticks are in the log", async || world.tick_count().await > 10).await;
    for tick in world.ticks().await {
        let expected = if tick.symbol.as_str() == "NVDA" { "yahoo" } else { "simulated" };
        assert_eq!(tick.source.as_str(), expected, "{}", tick.symbol);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_was_not_needed_sends_nothing() {
    let mut world = World::new().await;
    let server = MockServer::start().await;
    let answer = include_str!("../fixtures/yahoo_chart_NVDA.json");
    let answer = ResponseTemplate::new(200).set_body_raw(answer, "application/json");
    Mock::given(path("/v8/finance/chart/NVDA")).respond_with(answer).mount(&server).await;
    world
        .start(&[
            "--providers",
            "yahoo,simulated",
            "--watchlist",
            "NVDA",
            "--simulated-rate",
            "500",
            "--yahoo-url",
            &server.uri(),
            "--feed-poll-ms",
            "200",
        ])
        .await;
    world.becomes("feed yahoo", ComponentState::Up, "1 symbols, polled").await;
    // Longer than a failure lasts before the next feed takes over.
    tokio::time::sleep(Duration::from_secs(7)).await; // the tested duration itself
    world.becomes("feed simulated", ComponentState::Up, "stands by").await;
    assert!(world.ticks().await.iter().all(|tick| tick.source.as_str() == "yahoo"));
    world.stop().await;
}
