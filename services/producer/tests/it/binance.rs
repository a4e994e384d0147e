//! Binance's feed: history and the day's figures over REST, trades over a socket that may fall silent, break or close.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{GapCause, GapQuery, GapState};
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
    world::{World, wait_until},
};

const TICKER: &str = include_str!("../fixtures/binance_ticker_24hr_response.json");
const ERRORS: &str = "tapedeck_feed_errors_total{binance}";
const RECONNECTS: &str = "tapedeck_feed_reconnects_total{binance}";

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

/// A candle of each interval that the request spans, the last one still in progress, as the venue returns them.
fn klines(request: &Request) -> ResponseTemplate {
    let asked: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
    assert_eq!(asked["symbol"], "BNBBTC");
    let width = asked["interval"].parse::<Interval>().unwrap().duration().num_milliseconds();
    let number = |name: &str| asked[name].parse::<i64>().unwrap();
    let (start, end) = (number("startTime"), number("endTime"));
    let first = (start + width - 1) / width * width;
    let times = (first..=end).step_by(width as usize).take(number("limit") as usize);
    let row = |time: i64| {
        let close = format!("100.{:02}000000", time / 60_000 % 60);
        json!([
            time,
            "100.00000000",
            "101.00000000",
            "99.50000000",
            close,
            "12.50000000",
            time + width - 1,
            "1250.0",
            7,
            "6.0",
            "600.0",
            "0"
        ])
    };
    ResponseTemplate::new(200).set_body_json(times.map(row).collect::<Vec<Value>>())
}

/// A venue whose REST side answers as it should.
async fn rest() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/api/v3/klines")).respond_with(klines).mount(&server).await;
    let ticker: Value = serde_json::from_str(TICKER).unwrap();
    let figures = ResponseTemplate::new(200).set_body_json(json!([ticker]));
    Mock::given(method("GET")).and(path("/api/v3/ticker/24hr")).respond_with(figures).mount(&server).await;
    server
}

fn trade(id: u64, price: &str) -> Message {
    trade_at(id, price, 1_700_000_000_000)
}

fn trade_at(id: u64, price: &str, millis: i64) -> Message {
    let data = json!({"e": "trade", "E": millis + 1, "s": "BNBBTC", "t": id, "p": price, "q": "1.50000000",
                      "T": millis, "m": true, "M": true});
    Message::text(json!({"stream": "bnbbtc@trade", "data": data}).to_string())
}

fn closed_minute() -> Message {
    let kline = json!({"t": 1_700_000_040_000_i64, "T": 1_700_000_099_999_i64, "s": "BNBBTC", "i": "1m", "f": 1, "L": 9,
                       "o": "4.1", "c": "4.3", "h": "4.4", "l": "4.0", "v": "33.5", "n": 9, "x": true, "q": "1"});
    let data = json!({"e": "kline", "E": 1_700_000_100_001_i64, "s": "BNBBTC", "k": kline});
    Message::text(json!({"stream": "bnbbtc@kline_1m", "data": data}).to_string())
}

async fn start(world: &mut World, rest: &MockServer, venue: &Venue, silence_ms: &str) {
    let args = [
        "--provider",
        "binance",
        "--watchlist",
        "BNB/BTC",
        "--binance-rest-url",
        &rest.uri(),
        "--binance-ws-url",
        &venue.url,
        "--feed-silence-ms",
        silence_ms,
    ];
    world.start(&args).await;
}

/// Patient: nothing in these tests is to run into it.
const PATIENT: &str = "600000";
/// Longer than a healthy answer takes on a host that is busy.
const IMPATIENT: &str = "1000";

async fn wait_for_trade(world: &World, id: u64) {
    wait_until("the trade is in the log", async || world.ticks().await.iter().any(|tick| tick.seq == id))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_arrive_with_the_figures_of_the_day() {
    let (mut world, rest) = (World::new().await, rest().await);
    // The third one confirms the price of the second one.
    let trades = [trade(28_461, "4.00000200"), trade(28_462, "120.00000000"), trade(28_463, "120.1")];
    let venue = Venue::saying(trades.into()).await;
    let before = Utc::now();
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 28_463).await;
    assert_eq!(world.becomes("feed binance", ComponentState::Up, "live").await, "1 symbols, live");
    assert_eq!(venue.asked(), ["/stream?streams=bnbbtc@trade/bnbbtc@miniTicker/bnbbtc@kline_1m"]);
    world.stop().await;

    let ticks = world.ticks().await;
    let [first, second, _] = ticks.as_slice() else { panic!("{ticks:?}") };
    assert_eq!((first.symbol.as_str(), first.source.as_str(), first.seq), ("BNB/BTC", "binance", 28_461));
    assert_eq!(first.price, decimal("4.000002"));
    assert_eq!(
        [first.open, first.high, first.low, first.volume],
        ["99", "100", "0.1", "8914.8"].map(decimal)
    );
    assert!((first.change_percent - -95.9596).abs() < 1e-9, "{}", first.change_percent);
    assert_eq!(first.timestamp, DateTime::from_timestamp_millis(1_700_000_000_000).unwrap());
    assert!(first.received_at >= before - TimeDelta::milliseconds(1) && first.received_at <= Utc::now());
    assert_eq!([second.price, second.high, second.volume], ["120", "120", "8916.3"].map(decimal));
    assert_eq!([first.size, second.size], [Some(decimal("1.5")); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_bars_is_asked_for_and_the_minute_in_progress_left_out() {
    let (mut world, rest) = (World::new().await, rest().await);
    let venue = Venue::saying(vec![closed_minute(), trade(1, "4.3")]).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 1).await;
    wait_until("the minutes are in the log", async || world.candles().await.len() > 1_400).await;
    world.stop().await;

    let candles = world.candles().await;
    let candles: Vec<_> = candles.into_iter().filter(|candle| candle.interval == Interval::Minute).collect();
    let (live, history): (Vec<_>, Vec<_>) =
        candles.into_iter().partition(|bar| bar.volume == Some(decimal("33.5")));
    let [live] = live.as_slice() else { panic!("{live:?}") };
    assert_eq!([live.open, live.high, live.low, live.close], ["4.1", "4.4", "4", "4.3"].map(decimal));
    assert_eq!((live.time.timestamp(), live.ticks, live.is_final), (1_700_000_040, 9, true));

    // Within the same minute at its first and last moment, the span holds one bar more or less.
    assert!((1_439..=1_441).contains(&history.len()), "{} bars", history.len());
    assert!(history.windows(2).all(|pair| pair[1].time - pair[0].time <= TimeDelta::minutes(1)), "a hole");
    assert!(history.last().unwrap().time + TimeDelta::minutes(1) <= Utc::now());
    for bar in &history {
        assert_eq!((bar.symbol.as_str(), bar.interval, bar.ticks), ("BNB/BTC", Interval::Minute, 7));
        assert_eq!((bar.source.feed.as_str(), bar.source.origin), ("binance", CandleOrigin::Provider));
        let close = decimal(&format!("100.{:02}", bar.time.timestamp() / 60 % 60));
        assert_eq!(
            [bar.open, bar.high, bar.low, bar.close],
            [decimal("100"), decimal("101"), decimal("99.5"), close]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_years_of_days_and_a_month_of_hours_are_filled_in_beside_the_trades() {
    let (mut world, rest) = (World::new().await, rest().await);
    let venue = Venue::saying(vec![trade(1, "4.3")]).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 1).await;
    let count = async |interval: Interval| {
        world.candles().await.iter().filter(|candle| candle.interval == interval).count()
    };
    wait_until("the history is in the log", async || {
        (729..=731).contains(&count(Interval::Day).await)
            && (719..=721).contains(&count(Interval::Hour).await)
    })
    .await;
    let now = Utc::now();
    assert!(world.candles().await.iter().all(|candle| candle.time + candle.interval.duration() <= now));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_says_nothing_is_taken_for_dead_and_made_anew() {
    let (mut world, rest, venue) = (World::new().await, rest().await, Venue::saying(Vec::new()).await);
    start(&mut world, &rest, &venue, IMPATIENT).await;
    let reason = world.becomes("feed binance", ComponentState::Down, "no data").await;
    assert!(reason.starts_with("no data for 1.0 s; trying again in "), "{reason}");
    venue.say(vec![trade(7, "4.5")]);
    wait_for_trade(&world, 7).await;
    world.becomes("feed binance", ComponentState::Up, "live").await;
    assert!(venue.asked().len() >= 2, "a second connection");
    assert!(world.figure(RECONNECTS) >= 1.0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_only_pings_is_made_anew() {
    let (mut world, rest) = (World::new().await, rest().await);
    let answer = Message::text(json!({"result": null, "id": 1}).to_string());
    let venue = Venue::saying(vec![trade(7, "4.5"), Message::Ping("1".into()), answer]).await;
    start(&mut world, &rest, &venue, IMPATIENT).await;
    wait_for_trade(&world, 7).await;
    world.becomes("feed binance", ComponentState::Down, "no data for 1.0 s").await;
    wait_until("there is a second connection", async || venue.asked().len() >= 2).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_venue_closes_is_made_anew() {
    let (mut world, rest) = (World::new().await, rest().await);
    let venue = Venue::saying(vec![trade(7, "4.5"), Message::Close(None)]).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    world.becomes("feed binance", ComponentState::Down, "the provider closed the connection").await;
    venue.say(vec![trade(8, "4.6")]);
    wait_for_trade(&world, 8).await;
    world.becomes("feed binance", ComponentState::Up, "live").await;
    assert!(venue.asked().len() >= 2, "a second connection");
    world.stop().await;
    assert!(world.ticks().await.iter().any(|tick| tick.seq == 7), "what came before the close is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_cannot_be_read_are_counted_and_the_next_good_one_arrives() {
    let (mut world, rest) = (World::new().await, rest().await);
    let whole = trade(1, "4.5").into_text().unwrap();
    let cut = Message::text(&whole[..whole.len() / 2]);
    let nan = Message::text(whole.replace("\"4.5\"", "\"NaN\""));
    let negative = trade(2, "-4.5");
    let venue = Venue::saying(vec![cut, Message::text("no JSON"), nan, negative, trade(3, "4.7")]).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 3).await;
    assert!((world.figure(ERRORS) - 4.0).abs() < f64::EPSILON, "{} errors", world.figure(ERRORS));
    assert_eq!(venue.asked().len(), 1, "the connection stays");
    world.stop().await;
    let ticks = world.ticks().await;
    let [tick] = ticks.as_slice() else { panic!("{ticks:?}") };
    assert_eq!(
        (tick.price, tick.low),
        (decimal("4.7"), decimal("0.1")),
        "nothing of the refused ones is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_left_out_are_gaps_which_are_repaired() {
    let (mut world, rest) = (World::with_store().await, rest().await);
    let minutes_ago = |minutes: i64| (Utc::now() - TimeDelta::minutes(minutes)).timestamp_millis();
    let first =
        [trade_at(7, "4.5", minutes_ago(9)), trade_at(10, "4.5", minutes_ago(8)), Message::Close(None)];
    let venue = Venue::saying(first.into()).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 10).await;
    venue.say(vec![trade_at(12, "4.5", minutes_ago(6))]);
    wait_for_trade(&world, 12).await;
    world.stop().await;
    venue.say(vec![trade_at(20, "4.5", minutes_ago(3)), trade_at(21, "4.5", minutes_ago(3))]);
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 21).await;
    let store = world.store.clone().unwrap();
    let mut gaps = Vec::new();
    wait_until("the gaps are repaired", async || {
        gaps = store.gaps(&GapQuery::default()).await.unwrap();
        gaps.len() >= 3 && gaps.iter().all(|gap| matches!(gap.state, GapState::Repaired { .. }))
    })
    .await;
    world.stop().await;
    let found: Vec<_> = gaps.iter().rev().map(|gap| (gap.cause, gap.missing_trades)).collect();
    assert_eq!(
        found,
        [(GapCause::SkippedIds, Some(2)), (GapCause::Disconnect, Some(1)), (GapCause::Restart, Some(7))]
    );
    assert!(gaps.iter().all(|gap| gap.symbol.as_str() == "BNB/BTC" && gap.from < gap.to));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_is_older_than_what_is_filled_in_says_so() {
    let (mut world, rest) = (World::with_store().await, rest().await);
    let venue = Venue::saying(vec![trade(1, "4.5"), trade(3, "4.5")]).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 3).await;
    let store = world.store.clone().unwrap();
    let given_up = GapState::Unrepaired { reason: "only its last 7 days are filled in".to_owned() };
    wait_until("the gap is given up", async || {
        let gaps = store.gaps(&GapQuery::default()).await.unwrap();
        gaps.first().is_some_and(|gap| gap.state == given_up)
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_no_second_one_confirms_is_a_dead_letter_with_the_reason() {
    let (mut world, rest) = (World::new().await, rest().await);
    let prices = [trade(1, "4.5"), trade(2, "450"), trade(3, "4.6"), trade(4, "46")];
    let venue = Venue::saying(prices.into()).await;
    start(&mut world, &rest, &venue, PATIENT).await;
    wait_for_trade(&world, 3).await;
    world.stop().await;
    let ids: Vec<u64> = world.ticks().await.iter().map(|tick| tick.seq).collect();
    assert_eq!(ids, [1, 3]);
    let letters = world.records("crypto-prices.dlq").await;
    let ids: Vec<u64> =
        letters.iter().map(|payload| topics::tick::decode(payload, Utc::now()).unwrap().seq).collect();
    assert_eq!(ids, [2, 4], "the last one waited when the producer ended");
}
