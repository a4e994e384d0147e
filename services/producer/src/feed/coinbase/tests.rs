//! The live parser on the recorded Exchange feed, on samples of Coinbase's documentation (each names its page), and on anything at all.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use market::{Interval, Source, Symbol, Tick, parse_decimal};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::parse::{CandleRow, FrameReader, Product, Stats, candles, not_traded, product_id, subscription};
use crate::feed::live::Received;

const RECORDING: &str = include_str!("../../../tests/fixtures/coinbase_ws.jsonl");

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).expect("a number")
}

fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).expect("a symbol")
}

fn reader(symbols: &[&str]) -> FrameReader {
    let symbols: Vec<Symbol> = symbols.iter().map(|text| symbol(text)).collect();
    FrameReader::new(Source::parse("coinbase").expect("a source"), &symbols)
}

fn received_at() -> DateTime<Utc> {
    "2021-04-17T16:43:37.500000Z".parse().expect("a time")
}

fn frames() -> Vec<Value> {
    let frame = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["message"].take();
    RECORDING.lines().map(frame).collect()
}

fn recorded_reader() -> FrameReader {
    let ids: HashSet<String> =
        frames().iter().filter_map(|frame| Some(frame["product_id"].as_str()?.replace('-', "/"))).collect();
    reader(&ids.iter().map(String::as_str).collect::<Vec<_>>())
}

fn of_kind(kind: &str) -> Value {
    frames().into_iter().find(|frame| frame["type"] == kind).expect("a frame")
}

fn read(reader: &mut FrameReader, frame: &Value) -> Received {
    reader.parse(frame.to_string().as_bytes(), received_at()).expect("a frame")
}

fn ticks(received: Received) -> Vec<Tick> {
    match received {
        Received::Trades(ticks, errors) if errors.is_empty() => ticks,
        Received::Update | Received::Answer => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_recorded_match_is_one_tick_with_its_own_size() {
    let mut reader = recorded_reader();
    let read: Vec<Tick> = frames().iter().flat_map(|frame| ticks(read(&mut reader, frame))).collect();
    let identities: HashSet<String> = read.iter().map(Tick::id).collect();
    assert_eq!((read.len(), identities.len()), (107, 107), "97 matches and 10 last matches");
    let matches = frames().into_iter().filter(|frame| frame["type"] == "match");
    for frame in matches {
        let (id, product) = (frame["trade_id"].as_u64(), frame["product_id"].as_str().expect("a product"));
        let is_tick = |tick: &&Tick| Some(tick.seq) == id && product_id(tick.symbol) == product;
        let tick = read.iter().find(is_tick).expect("its tick");
        assert_eq!(tick.price, decimal(frame["price"].as_str().expect("a price")).normalize());
        assert_eq!(tick.size, Some(decimal(frame["size"].as_str().expect("a size")).normalize()));
        assert_eq!(tick.source.as_str(), "coinbase");
    }
}

#[test]
fn a_match_has_the_figures_of_the_day_and_is_in_its_volume_once() {
    let mut reader = recorded_reader();
    assert!(matches!(read(&mut reader, &of_kind("ticker")), Received::Update));
    // The ticker of this very trade came first: its volume has it.
    let tick = ticks(read(&mut reader, &of_kind("last_match")))[0];
    assert_eq!((tick.symbol, tick.seq), (symbol("BAND/GBP"), 881_613));
    assert_eq!([tick.open, tick.high, tick.low], ["14.6647", "16.55", "14.3691"].map(decimal));
    assert_eq!((tick.volume, tick.size), (decimal("94381.28"), Some(decimal("0.04"))));
    assert!((tick.change_percent - 0.7692).abs() < 1e-9, "{}", tick.change_percent);
    // A subscription that is made again repeats it.
    assert!(matches!(read(&mut reader, &of_kind("last_match")), Received::Update));
    let mut next = of_kind("last_match");
    (next["type"], next["trade_id"], next["size"]) = ("match".into(), 881_614.into(), "1.5".into());
    assert_eq!(ticks(read(&mut reader, &next))[0].volume, decimal("94382.78"));
    assert_eq!(ticks(read(&mut reader, &next)), []);
}

#[test]
fn subscriptions_and_heartbeats_are_no_data() {
    let mut reader = recorded_reader();
    assert!(matches!(read(&mut reader, &of_kind("subscriptions")), Received::Answer));
    // "Heartbeat Channel" of the documentation.
    let heartbeat = json!({"type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": "BTC-USD",
                           "time": "2014-11-07T08:19:28.464459Z"});
    assert!(matches!(read(&mut reader, &heartbeat), Received::Answer));
}

#[test]
fn an_error_that_names_a_product_refuses_it_and_subscribes_the_others_again() {
    let mut reader = reader(&["BTC/USD", "FTM/USD", "ETH/USD"]);
    let error = |reason: &str| json!({"type": "error", "message": "Failed to subscribe", "reason": reason});
    let refusal = error("FTM-USD is not a valid product");
    let Received::Refused { symbols, messages } = read(&mut reader, &refusal) else { panic!("no refusal") };
    let reason = "Failed to subscribe: FTM-USD is not a valid product".to_owned();
    assert_eq!(symbols, [(symbol("FTM/USD"), reason)]);
    let ids = json!(["BTC-USD", "ETH-USD"]);
    let channels = json!([{"name": "matches", "product_ids": ids}, {"name": "ticker", "product_ids": ids}]);
    let messages: Vec<Value> =
        messages.iter().map(|message| serde_json::from_str(message).expect("JSON")).collect();
    assert_eq!(messages, [json!({"type": "subscribe", "channels": channels})]);
    assert!(matches!(read(&mut reader, &refusal), Received::Answer), "it is known");

    // The next connection requests it again.
    reader.begin([symbol("BTC/USD"), symbol("FTM/USD")].into_iter());
    assert!(matches!(read(&mut reader, &refusal), Received::Refused { .. }));
    let last = read(&mut reader, &error("BTC-USD is not a valid product"));
    assert!(matches!(last, Received::Refused { messages, .. } if messages.is_empty()), "nothing is left");
    let Received::Failed(reason) = read(&mut reader, &error("No channels provided")) else {
        panic!("no error")
    };
    assert_eq!(reason, "Failed to subscribe: No channels provided");
}

#[test]
fn what_was_not_requested_and_what_cannot_be_read_is_refused_with_the_field() {
    let mut reader = reader(&["BAND/GBP"]);
    let mut refused = |field: &str, value: Value| {
        let mut trade = of_kind("last_match");
        trade[field] = value;
        reader.parse(trade.to_string().as_bytes(), received_at()).expect_err("refused").to_string()
    };
    assert_eq!(refused("product_id", "BTC-USD".into()), "symbol: `BTC-USD` was not requested");
    assert_eq!(refused("price", "NaN".into()), "price is not a finite number");
    assert_eq!(refused("size", Value::Null), "size is missing");
    assert_eq!(refused("time", "yesterday".into()), "time is out of range");
    assert!(refused("price", "0".into()).contains("price must be above zero"));
    let mut trade = of_kind("last_match");
    trade["trade_id"] = 7.into();
    assert_eq!(ticks(read(&mut reader, &trade)).len(), 1, "nothing of the refused ones is kept");
}

#[test]
fn every_channel_names_its_products() {
    let symbols = [symbol("BTC/USD")];
    let message: Value = serde_json::from_str(&subscription(symbols.iter())).expect("JSON");
    assert_eq!(message["type"], "subscribe");
    assert!(message.get("product_ids").is_none());
    assert_eq!(message["channels"][0], json!({"name": "matches", "product_ids": ["BTC-USD"]}));
}

#[test]
fn products_that_are_not_listed_or_no_longer_traded_are_refused() {
    // Fields as in "Get all known trading pairs".
    let products = json!([{"id": "BTC-USD", "status": "online"}, {"id": "ETH-USD", "status": "delisted"}]);
    let products: Vec<Product> = serde_json::from_value(products).expect("products");
    let refused = not_traded(&products, &["BTC/USD", "ETH/USD", "XYZ/USD"].map(symbol));
    let expected = [("ETH/USD", "delisted"), ("XYZ/USD", "not listed")];
    assert_eq!(refused, expected.map(|(name, reason)| (symbol(name), reason.to_owned())));
}

#[test]
fn candles_are_oldest_first_and_lose_no_digit() {
    // The row of "Get product candles", on a whole minute, and rows with more digits than a double has.
    let rows = "[[1415398800, 60123.12345678, 60124, 60123.5, 60123.99999999, 1e-8], [1415398740, 0.32, 4.2, 0.35, 4.2, 12.3]]";
    let rows: Vec<CandleRow> = serde_json::from_str(rows).expect("rows");
    let of = (Source::parse("coinbase").expect("a source"), symbol("BTC/USD"), Interval::Minute);
    let at = |second| DateTime::from_timestamp(second, 0).expect("a time");
    let bars = candles(&rows, of, at(1_415_398_860)).expect("candles");
    let [first, second] = bars.as_slice() else { panic!("{bars:?}") };
    assert_eq!(first.time, at(1_415_398_740));
    assert_eq!([first.open, first.high, first.low, first.close], ["0.35", "4.2", "0.32", "4.2"].map(decimal));
    assert_eq!((first.volume, first.ticks), (Some(decimal("12.3")), 0), "trades are not counted");
    assert_eq!([second.low, second.close], ["60123.12345678", "60123.99999999"].map(decimal));
    assert_eq!(second.volume, Some(decimal("0.00000001")));
    assert_eq!(candles(&rows, of, at(1_415_398_859)).expect("candles").len(), 1, "the last is in progress");
}

#[test]
fn the_figures_of_a_day_are_shown() {
    // "Get product stats".
    let stats = json!({"open": "5414.18000000", "high": "6441.37000000", "low": "5261.69000000",
                       "volume": "53687.76764233", "last": "6250.02000000", "volume_30day": "786763.72930864"});
    let stats: Stats = serde_json::from_value(stats).expect("stats");
    let expected = "6250.02000000; 24 h: open 5414.18000000, high 6441.37000000, low 5261.69000000, volume 53687.76764233";
    assert_eq!(stats.to_string(), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = reader(&["BTC/USD"]).parse(&frame, received_at());
    }

    #[test]
    fn any_numbers_in_a_frame_never_panic(number in "-?[0-9]{0,32}\\.?[0-9]{0,32}(e-?[0-9]{1,3})?", id in any::<u64>()) {
        let mut reader = recorded_reader();
        for kind in ["ticker", "match", "match"] {
            let mut frame = of_kind(kind);
            frame["trade_id"] = id.into();
            for field in ["price", "size", "open_24h", "volume_24h", "low_24h", "high_24h"] {
                frame[field] = number.clone().into();
            }
            let _ = reader.parse(frame.to_string().as_bytes(), received_at());
        }
    }
}
