//! Coinbase's feed: a subscription by message, trades and the figures of the day over a socket, history over REST. The frames are those of
//! the recorded Exchange feed, with other numbers.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use market::{CandleOrigin, Interval, parse_decimal};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use topics::status::ComponentState;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path, path_regex},
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

/// A candle of each interval that the request spans, the newest first, also the one in progress, as the venue returns them.
fn candles(request: &Request) -> ResponseTemplate {
    let asked: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
    let width: i64 = asked["granularity"].parse().unwrap();
    let time = |name: &str| asked[name].parse::<DateTime<Utc>>().unwrap().timestamp();
    let (start, end) = (time("start"), time("end"));
    if (end - start) / width > 299 {
        let reason =
            "granularity too small for the requested time range. Count of aggregations requested exceeds 300";
        return ResponseTemplate::new(400).set_body_json(json!({"message": reason}));
    }
    let first = (start + width - 1) / width * width;
    let mut rows: Vec<Value> = (first..=end.min(Utc::now().timestamp()))
        .step_by(width as usize)
        .map(|time| json!([time, 98.5, 101.25, 99, 100.5, 5]))
        .collect();
    rows.reverse();
    ResponseTemplate::new(200).set_body_json(rows)
}

/// A venue whose REST side answers as it should.
async fn rest(products: &[&str]) -> MockServer {
    let server = MockServer::start().await;
    let products: Vec<Value> = products.iter().map(|id| json!({"id": id, "status": "online"})).collect();
    let products = ResponseTemplate::new(200).set_body_json(products);
    Mock::given(method("GET")).and(path("/products")).respond_with(products).mount(&server).await;
    let of_product = path_regex("^/products/[A-Z]+-USD/candles$");
    Mock::given(method("GET")).and(of_product).respond_with(candles).mount(&server).await;
    server
}

fn trade(kind: &str, id: u64, price: &str) -> Message {
    let frame = json!({"type": kind, "trade_id": id, "maker_order_id": "27fff20b", "taker_order_id": "1da6ce16", "side": "sell",
                       "size": "1.5", "price": price, "product_id": "BTC-USD", "sequence": id + 1_000,
                       "time": "2021-04-17T16:43:30.244075Z"});
    Message::text(frame.to_string())
}

fn ticker(id: u64, volume: &str) -> Message {
    let frame = json!({"type": "ticker", "sequence": id + 1_000, "product_id": "BTC-USD", "price": "100", "open_24h": "80",
                       "volume_24h": volume, "low_24h": "75", "high_24h": "110", "volume_30d": "1", "best_bid": "99",
                       "best_ask": "101", "side": "buy", "time": "2021-04-17T16:43:30.244075Z", "trade_id": id, "last_size": "1.5"});
    Message::text(frame.to_string())
}

fn answer(frame: &Value) -> Message {
    Message::text(frame.to_string())
}

async fn start(world: &mut World, rest: &MockServer, venue: &Venue, watchlist: &str, silence_ms: &str) {
    let args = [
        "--provider",
        "coinbase",
        "--price-jump-crypto",
        "0",
        "--watchlist",
        watchlist,
        "--coinbase-rest-url",
        &rest.uri(),
        "--coinbase-ws-url",
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

fn subscription(ids: &Value) -> Value {
    json!({"type": "subscribe",
           "channels": [{"name": "matches", "product_ids": ids}, {"name": "ticker", "product_ids": ids}]})
}

fn messages(venue: &Venue) -> Vec<Value> {
    venue.texts().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trade_is_a_tick_with_its_size_and_counted_once() {
    let (mut world, rest) = (World::new().await, rest(&["BTC-USD"]).await);
    let acknowledged =
        json!({"type": "subscriptions", "channels": [{"name": "matches", "product_ids": ["BTC-USD"]}]});
    let speech = vec![
        answer(&acknowledged),
        ticker(881_613, "1000"),
        trade("last_match", 881_613, "100"),
        trade("match", 881_614, "120"),
        trade("match", 881_614, "120"),
        trade("match", 881_615, "74"),
    ];
    let venue = Venue::saying(speech).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    wait_for_trade(&world, 881_615).await;
    assert_eq!(world.becomes("feed coinbase", ComponentState::Up, "live").await, "1 symbols, live");
    wait_until("the subscription came", async || !venue.texts().is_empty()).await;
    assert_eq!(messages(&venue), [subscription(&json!(["BTC-USD"]))]);
    world.stop().await;

    let ticks = world.ticks().await;
    let read: Vec<_> = ticks.iter().map(|tick| (tick.seq, tick.price, tick.size, tick.volume)).collect();
    let size = Some(decimal("1.5"));
    let expected = [
        (881_613, decimal("100"), size, decimal("1000")),
        (881_614, decimal("120"), size, decimal("1001.5")),
        (881_615, decimal("74"), size, decimal("1003")),
    ];
    assert_eq!(read, expected);
    let last = &ticks[2];
    assert_eq!([last.open, last.high, last.low], ["80", "120", "74"].map(decimal));
    assert!((last.change_percent - -7.5).abs() < 1e-9, "{}", last.change_percent);
    assert_eq!((last.symbol.as_str(), last.source.as_str()), ("BTC/USD", "coinbase"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_pair_leaves_the_others() {
    // One is not in the list of products, one is in it and refused by the socket.
    let (mut world, rest) = (World::new().await, rest(&["BTC-USD", "FTM-USD"]).await);
    let error = json!({"type": "error", "message": "Failed to subscribe", "reason": "FTM-USD is not a valid product"});
    let venue = Venue::saying(vec![answer(&error), trade("match", 7, "100")]).await;
    start(&mut world, &rest, &venue, "BTC/USD,FTM/USD,XYZ/USD", PATIENT).await;
    wait_for_trade(&world, 7).await;
    let text = world.becomes("feed coinbase", ComponentState::Up, "1 symbols, live; not ").await;
    assert!(text.contains("FTM/USD (Failed to subscribe: FTM-USD is not a valid product)"), "{text}");
    assert!(text.contains("XYZ/USD (not listed)"), "{text}");
    wait_until("the others are subscribed again", async || venue.texts().len() == 2).await;
    let expected = [json!(["BTC-USD", "FTM-USD"]), json!(["BTC-USD"])];
    assert_eq!(messages(&venue), expected.each_ref().map(subscription));
    assert_eq!(venue.asked().len(), 1, "the connection stays");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_refused_as_a_whole_is_tried_again() {
    let (mut world, rest) = (World::new().await, rest(&["BTC-USD"]).await);
    let error = json!({"type": "error", "message": "Failed to subscribe", "reason": "No channels provided"});
    let venue = Venue::saying(vec![answer(&error)]).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    world.becomes("feed coinbase", ComponentState::Down, "No channels provided; trying again in ").await;
    venue.say(vec![trade("match", 7, "100")]);
    wait_for_trade(&world, 7).await;
    world.becomes("feed coinbase", ComponentState::Up, "live").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_only_pings_is_made_anew() {
    let (mut world, rest) = (World::new().await, rest(&["BTC-USD"]).await);
    let acknowledged = json!({"type": "subscriptions", "channels": []});
    let speech = vec![trade("match", 7, "100"), Message::Ping("1".into()), answer(&acknowledged)];
    let venue = Venue::saying(speech).await;
    start(&mut world, &rest, &venue, "BTC/USD", IMPATIENT).await;
    wait_for_trade(&world, 7).await;
    world.becomes("feed coinbase", ComponentState::Down, "no data for 1.0 s").await;
    wait_until("there is a second connection", async || venue.asked().len() >= 2).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_filled_in_with_requests_that_the_venue_answers() {
    let (mut world, rest) = (World::new().await, rest(&["BTC-USD"]).await);
    let venue = Venue::saying(vec![trade("match", 7, "100")]).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    let count = async |interval: Interval| {
        world.candles().await.iter().filter(|candle| candle.interval == interval).count()
    };
    wait_until("the history is in the log", async || {
        (1_439..=1_441).contains(&count(Interval::Minute).await)
            && (729..=731).contains(&count(Interval::Day).await)
            && (719..=721).contains(&count(Interval::Hour).await)
    })
    .await;
    world.stop().await;
    let now = Utc::now();
    for candle in world.candles().await {
        assert!(candle.time + candle.interval.duration() <= now, "it is in progress: {candle:?}");
        let prices = [candle.open, candle.high, candle.low, candle.close];
        assert_eq!(prices, ["99", "101.25", "98.5", "100.5"].map(decimal));
        assert_eq!((candle.source.feed.as_str(), candle.source.origin), ("coinbase", CandleOrigin::Provider));
        assert_eq!((candle.volume, candle.ticks), (Some(decimal("5")), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minute_of_a_disconnect_is_requested_once_it_is_over() {
    let (mut world, rest) = (World::new().await, rest(&["BTC-USD"]).await);
    let venue = Venue::saying(vec![trade("match", 7, "100")]).await;
    start(&mut world, &rest, &venue, "BTC/USD", PATIENT).await;
    wait_for_trade(&world, 7).await;
    let minute = Interval::Minute.floor(Utc::now());
    venue.say(vec![trade("last_match", 7, "100"), Message::Close(None)]);
    world.becomes("feed coinbase", ComponentState::Down, "the provider closed the connection").await;
    venue.say(vec![trade("last_match", 7, "100"), trade("match", 8, "101")]);
    wait_for_trade(&world, 8).await;
    wait_until_within(MINUTE_DEADLINE, "the minute is in the log", async || {
        let candles = world.candles().await;
        candles.iter().any(|candle| candle.interval == Interval::Minute && candle.time == minute)
    })
    .await;
    world.stop().await;
    let ids: Vec<u64> = world.ticks().await.iter().map(|tick| tick.seq).collect();
    assert_eq!(ids, [7, 8], "the match that was repeated is one tick");
}
