//! Kraken's feed: subscriptions by message, trades and the figures of the day over a socket, history over REST under other names. The
//! frames are those of Kraken's documentation, with other numbers.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use market::{CandleOrigin, Interval, parse_decimal};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use topics::status::ComponentState;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use crate::{
    venue::Venue,
    world::{World, wait_until, wait_until_within},
};

/// Patient: nothing in these tests is to run into it.
const PATIENT: &str = "600000";
/// Longer than a healthy answer takes on a host that is busy.
const IMPATIENT: &str = "1000";
/// A minute, its end, and a host that is busy.
const MINUTE_DEADLINE: Duration = Duration::from_secs(100);

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

/// The newest 720 rows since a time, the last one in progress, as the venue returns them.
fn ohlc(request: &Request) -> ResponseTemplate {
    let asked: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
    assert_eq!(asked["pair"], "XXBTZUSD");
    let width = asked["interval"].parse::<i64>().unwrap() * 60;
    let now = Utc::now().timestamp() / width * width;
    let since: i64 = asked["since"].parse().unwrap();
    let first = (since / width * width + width).max(now - 719 * width);
    let row = |time: i64| json!([time, "99", "101.25", "98.5", "100.5", "100.1", "5", 3]);
    let rows: Vec<Value> = (first..=now).step_by(width as usize).map(row).collect();
    ResponseTemplate::new(200)
        .set_body_json(json!({"error": [], "result": {"XXBTZUSD": rows, "last": now - width}}))
}

/// A venue whose REST side answers as it should.
async fn rest() -> MockServer {
    let server = MockServer::start().await;
    let pairs =
        json!({"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}});
    let pairs = ResponseTemplate::new(200).set_body_json(json!({"error": [], "result": pairs}));
    Mock::given(method("GET")).and(path("/0/public/AssetPairs")).respond_with(pairs).mount(&server).await;
    server
}

async fn with_history(server: &MockServer) {
    Mock::given(method("GET")).and(path("/0/public/OHLC")).respond_with(ohlc).mount(server).await;
}

fn trades(kind: &str, list: &[(u64, f64)]) -> Message {
    let trade = |(id, price): &(u64, f64)| {
        json!({"symbol": "BTC/USD", "side": "sell", "price": price, "qty": 1.5, "ord_type": "market",
               "trade_id": id, "timestamp": "2023-09-25T07:49:37.708706Z"})
    };
    let data: Vec<Value> = list.iter().map(trade).collect();
    answer(&json!({"channel": "trade", "type": kind, "data": data}))
}

fn ticker(volume: f64, timestamp: &str) -> Message {
    let data = json!([{"symbol": "BTC/USD", "bid": 99.5, "bid_qty": 2.5, "ask": 100.5, "ask_qty": 3.2, "last": 100.0,
                       "volume": volume, "vwap": 99.0, "low": 75.0, "high": 110.0, "change": 20.0, "change_pct": 25.0,
                       "timestamp": timestamp}]);
    answer(&json!({"channel": "ticker", "type": "snapshot", "data": data}))
}

fn answer(frame: &Value) -> Message {
    Message::text(frame.to_string())
}

async fn start(world: &mut World, rest: &MockServer, venue: &Venue, watchlist: &str, silence_ms: &str) {
    let rest = format!("{}/0/public", rest.uri());
    let args = [
        "--provider",
        "kraken",
        "--price-jump-crypto",
        "0",
        "--watchlist",
        watchlist,
        "--kraken-rest-url",
        &rest,
        "--kraken-ws-url",
        &venue.url,
        "--feed-silence-ms",
        silence_ms,
    ];
    world.start(&args).await;
}

async fn wait_for_trade(world: &World, id: u64) {
    wait_until("the trade is in the log", async || world.ticks().await.iter().any(|tick| tick.seq == id))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trade_of_snapshots_and_updates_is_a_tick_and_counted_once() {
    let (mut world, rest) = (World::new().await, rest().await);
    with_history(&rest).await;
    let speech = vec![
        answer(
            &json!({"channel": "status", "type": "update", "data": [{"system": "online", "api_version": "v2"}]}),
        ),
        ticker(1_000.0, "2023-09-25T07:49:37.708706Z"),
        trades("snapshot", &[(2, 101.0), (1, 100.0)]),
        answer(&json!({"channel": "heartbeat"})),
        ticker(1_000.0, "2023-09-25T07:49:30.708706Z"),
        trades("update", &[(2, 101.0), (3, 120.0)]),
        trades("update", &[(3, 120.0)]),
        trades("update", &[(4, 74.0)]),
    ];
    let venue = Venue::saying(speech).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    wait_for_trade(&world, 4).await;
    assert_eq!(world.becomes("feed kraken", ComponentState::Up, "live").await, "1 symbols, live");
    wait_until("the subscriptions came", async || venue.texts().len() == 2).await;
    let channels: Vec<Value> = venue
        .texts()
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["params"]["channel"].take())
        .collect();
    assert_eq!(channels, ["ticker", "trade"]);
    world.stop().await;

    let ticks = world.ticks().await;
    let read: Vec<_> = ticks.iter().map(|tick| (tick.seq, tick.price, tick.size, tick.volume)).collect();
    let size = Some(decimal("1.5"));
    let expected = [
        (1, decimal("100"), size, decimal("1000")),
        (2, decimal("101"), size, decimal("1000")),
        (3, decimal("120"), size, decimal("1001.5")),
        (4, decimal("74"), size, decimal("1003")),
    ];
    assert_eq!(read, expected);
    let last = &ticks[3];
    assert_eq!([last.open, last.high, last.low], ["80", "120", "74"].map(decimal));
    assert_eq!((last.symbol.as_str(), last.source.as_str()), ("BTC/USD", "kraken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_pair_leaves_the_others() {
    let (mut world, rest) = (World::new().await, rest().await);
    with_history(&rest).await;
    let refusal = json!({"error": "Currency pair not supported XYZ/USD", "method": "subscribe", "success": false,
                         "symbol": "XYZ/USD", "time_in": "2023-09-25T09:21:10.428340Z"});
    let venue =
        Venue::saying(vec![answer(&refusal), answer(&refusal), trades("update", &[(7, 100.0)])]).await;
    start(&mut world, &rest, &venue, "BTC/USD,XYZ/USD", PATIENT).await;
    wait_for_trade(&world, 7).await;
    let text = world.becomes("feed kraken", ComponentState::Up, "1 symbols, live; not ").await;
    assert!(text.ends_with("not XYZ/USD (Currency pair not supported XYZ/USD)"), "{text}");
    assert_eq!((venue.asked().len(), venue.texts().len()), (1, 2), "the connection stays");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_without_any_of_the_pairs_is_tried_again() {
    let (mut world, rest) = (World::new().await, rest().await);
    let refusal = json!({"error": "Currency pair not supported XYZ/USD", "method": "subscribe", "success": false,
                         "symbol": "XYZ/USD"});
    let venue = Venue::saying(vec![answer(&refusal)]).await;
    start(&mut world, &rest, &venue, "XYZ/USD", PATIENT).await;
    let reason = world.becomes("feed kraken", ComponentState::Down, "it has none of the watched pairs").await;
    assert!(reason.contains("Currency pair not supported XYZ/USD; trying again in "), "{reason}");
    wait_until("there is a second connection", async || venue.asked().len() >= 2).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_heartbeats_and_pings_only_is_made_anew() {
    let (mut world, rest) = (World::new().await, rest().await);
    with_history(&rest).await;
    let heartbeat = json!({"channel": "heartbeat"});
    let speech = vec![trades("update", &[(7, 100.0)]), Message::Ping("1".into()), answer(&heartbeat)];
    let venue = Venue::saying(speech).await;
    start(&mut world, &rest, &venue, "BTC/USD", IMPATIENT).await;
    wait_for_trade(&world, 7).await;
    world.becomes("feed kraken", ComponentState::Down, "no data for 1.0 s").await;
    wait_until("there is a second connection", async || venue.asked().len() >= 2).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_filled_in_also_after_errors_with_status_200() {
    let (mut world, rest) = (World::new().await, rest().await);
    let busy = ResponseTemplate::new(200).set_body_json(json!({"error": ["EGeneral:Too many requests"]}));
    Mock::given(path("/0/public/OHLC")).respond_with(busy).up_to_n_times(2).mount(&rest).await;
    with_history(&rest).await;
    let venue = Venue::saying(vec![trades("update", &[(7, 100.0)])]).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    let count = async |interval: Interval| {
        world.candles().await.iter().filter(|candle| candle.interval == interval).count()
    };
    // 720 rows, of which the last is in progress.
    wait_until("the history is in the log", async || {
        count(Interval::Minute).await >= 719
            && count(Interval::Day).await == 719
            && count(Interval::Hour).await == 719
    })
    .await;
    world.stop().await;
    let now = Utc::now();
    for candle in world.candles().await {
        assert!(candle.time + candle.interval.duration() <= now, "it is in progress: {candle:?}");
        let prices = [candle.open, candle.high, candle.low, candle.close];
        assert_eq!(prices, ["99", "101.25", "98.5", "100.5"].map(decimal));
        assert_eq!((candle.source.feed.as_str(), candle.source.origin), ("kraken", CandleOrigin::Provider));
        assert_eq!((candle.volume, candle.ticks), (Some(decimal("5")), 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minute_of_a_disconnect_is_requested_once_it_is_over() {
    let (mut world, rest) = (World::new().await, rest().await);
    with_history(&rest).await;
    let venue = Venue::saying(vec![trades("snapshot", &[(7, 100.0)])]).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    wait_for_trade(&world, 7).await;
    let minute = Interval::Minute.floor(Utc::now());
    venue.say(vec![Message::Close(None)]);
    world.becomes("feed kraken", ComponentState::Down, "the provider closed the connection").await;
    venue.say(vec![trades("snapshot", &[(7, 100.0), (8, 101.0)])]);
    wait_for_trade(&world, 8).await;
    wait_until_within(MINUTE_DEADLINE, "the minute is in the log", async || {
        let candles = world.candles().await;
        candles.iter().any(|candle| candle.interval == Interval::Minute && candle.time == minute)
    })
    .await;
    world.stop().await;
    let ids: Vec<u64> = world.ticks().await.iter().map(|tick| tick.seq).collect();
    assert_eq!(ids, [7, 8], "the trade that was repeated is one tick");
}
