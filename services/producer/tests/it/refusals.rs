//! Providers that answer, but not with what was asked for.

use serde_json::json;
use topics::status::ComponentState;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::{
    venue::Venue,
    world::{World, wait_until},
};

/// A producer of one pair, whose REST provider answers everything like this, and which reaches no socket.
async fn refused_with(answer: ResponseTemplate) -> (World, MockServer, Venue) {
    let (mut world, venue, server) =
        (World::new().await, Venue::saying(Vec::new()).await, MockServer::start().await);
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let args = [
        "--provider",
        "binance",
        "--watchlist",
        "BTC/USDT",
        "--binance-rest-url",
        &server.uri(),
        "--binance-ws-url",
        &venue.url,
    ];
    world.start(&args).await;
    (world, server, venue)
}

/// The wait that a reason states, in seconds.
fn wait_told(reason: &str) -> f64 {
    let (_, wait) = reason.split_once("trying again in ").unwrap();
    wait.strip_suffix(" s").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_people_is_told_as_html() {
    let page = ResponseTemplate::new(200).set_body_raw("<!DOCTYPE html><title>Welcome</title>", "text/html");
    let (mut world, _server, venue) = refused_with(page).await;
    let reason = world.becomes("feed binance", ComponentState::Down, "HTML").await;
    assert!(reason.contains("/api/v3/ticker/24hr answered with HTML instead of JSON"), "{reason}");
    assert!(reason.contains("<!DOCTYPE html><title>Welcome"), "{reason}");
    assert!(!reason.contains("BTCUSDT"), "the query stays out: {reason}");
    world.stop().await;
    assert!(venue.asked().is_empty());
    assert_eq!((world.tick_count().await, world.candles().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_shape_is_told() {
    let (mut world, _server, _venue) =
        refused_with(ResponseTemplate::new(200).set_body_json(json!({"code": 0}))).await;
    world.becomes("feed binance", ComponentState::Down, "answered with something else").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_names_the_wait_is_left_alone_for_as_long() {
    let (mut world, server, _venue) =
        refused_with(ResponseTemplate::new(429).insert_header("Retry-After", "1")).await;
    for round in 1..=3 {
        wait_until("it was asked again", async || {
            server.received_requests().await.unwrap().len() >= 2 + round
        })
        .await;
        let reason = world.becomes("feed binance", ComponentState::Down, "asks us to come less often").await;
        assert!(reason.ends_with("; trying again in 1.0 s"), "{reason}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_without_end_is_not_obeyed() {
    let (mut world, _server, _venue) =
        refused_with(ResponseTemplate::new(429).insert_header("Retry-After", "99999999")).await;
    world.becomes("feed binance", ComponentState::Down, "trying again in 3600.0 s").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_names_no_time_at_all_is_not_asked_at_once() {
    let (mut world, _server, _venue) =
        refused_with(ResponseTemplate::new(429).insert_header("Retry-After", "0")).await;
    world.becomes("feed binance", ComponentState::Down, "trying again in 0.5 s").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_names_no_wait_is_asked_later_each_time() {
    let (mut world, _server, _venue) = refused_with(ResponseTemplate::new(429)).await;
    let mut waits = Vec::new();
    wait_until("the waits have grown", async || {
        let health = world.health("feed binance").filter(|health| health.state == ComponentState::Down);
        if let Some(reason) = health.map(|health| health.detail)
            && waits.last() != Some(&wait_told(&reason))
        {
            assert!(reason.contains("asks us to come less often"), "{reason}");
            waits.push(wait_told(&reason));
        }
        waits.last().is_some_and(|wait| *wait >= 2.0)
    })
    .await;
    assert!(waits.is_sorted() && (0.5..=4.0).contains(&waits[0]), "{waits:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_serve_this_country_is_told_as_such() {
    let (mut world, _server, _venue) = refused_with(ResponseTemplate::new(451)).await;
    world.becomes("feed binance", ComponentState::Down, "does not serve this country").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_in_trouble_is_told_with_its_status() {
    let (mut world, _server, _venue) = refused_with(ResponseTemplate::new(503)).await;
    world.becomes("feed binance", ComponentState::Down, "answered 503 Service Unavailable").await;
    world.stop().await;
}
