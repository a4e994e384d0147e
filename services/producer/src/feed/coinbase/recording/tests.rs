//! The recorded Exchange feed, Advanced Trade's frames, the same a little broken, and anything at all.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use market::{Source, Symbol, Tick, parse_decimal};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

use super::FrameReader;
use crate::feed::fields::ParseError;

const RECORDING: &str = include_str!("../../../../tests/fixtures/coinbase_ws.jsonl");
const ADVANCED_TICKER: &str = include_str!("../../../../tests/fixtures/coinbase_advanced_ws_ticker.json");
const ADVANCED_TRADES: &str =
    include_str!("../../../../tests/fixtures/coinbase_advanced_ws_market_trades.json");

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn reader() -> FrameReader {
    FrameReader::new(Source::parse("coinbase").unwrap())
}

fn received_at() -> DateTime<Utc> {
    "2026-04-07T14:30:03.100000Z".parse().unwrap()
}

fn frames() -> Vec<Value> {
    RECORDING.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].take()).collect()
}

fn parsed(reader: &mut FrameReader, frame: &Value) -> Vec<Tick> {
    let parsed = reader.parse(frame.to_string().as_bytes(), received_at()).unwrap();
    assert!(parsed.refused.is_empty(), "{:?}", parsed.refused);
    parsed.ticks
}

/// Why nothing of a frame can be used.
fn refused(reader: &mut FrameReader, frame: &Value) -> ParseError {
    let mut parsed = reader.parse(frame.to_string().as_bytes(), received_at()).unwrap();
    assert!(parsed.ticks.is_empty() && parsed.refused.len() == 1, "{parsed:?}");
    parsed.refused.remove(0)
}

fn of_kind(kind: &str) -> Value {
    frames().into_iter().find(|frame| frame["type"] == kind).unwrap()
}

#[test]
fn the_first_ticker_of_the_recording_is_a_tick_with_the_days_figures() {
    let ticks = parsed(&mut reader(), &of_kind("ticker"));
    let [tick] = ticks.as_slice() else { panic!("{} ticks", ticks.len()) };
    assert_eq!((tick.symbol.as_str(), tick.source.as_str()), ("BAND/GBP", "coinbase"));
    assert_eq!((tick.price, tick.seq), (decimal("14.7775"), 881_613));
    assert_eq!([tick.open, tick.high, tick.low], ["14.6647", "16.55", "14.3691"].map(decimal));
    assert_eq!(tick.volume, decimal("94381.28"));
    assert_eq!(tick.timestamp, "2021-04-17T16:43:30.244075Z".parse::<DateTime<Utc>>().unwrap());
    assert!((tick.change_percent - 0.7692).abs() < 1e-9, "{}", tick.change_percent);
}

#[test]
fn a_match_and_the_ticker_that_repeats_it_have_one_identity() {
    let ticker = of_kind("ticker");
    let repeated = frames()
        .into_iter()
        .find(|frame| frame["type"] == "last_match" && frame["trade_id"] == ticker["trade_id"]);
    let by_match = parsed(&mut reader(), &repeated.unwrap());
    let by_ticker = parsed(&mut reader(), &ticker);
    assert_eq!((by_match.len(), by_ticker.len()), (1, 1));
    assert_eq!(by_match[0].id(), by_ticker[0].id());
    assert_eq!(by_match[0].price, by_ticker[0].price);
    assert_eq!(by_match[0].timestamp, by_ticker[0].timestamp);
}

#[test]
fn a_match_is_passed_over_once_its_product_has_a_ticker() {
    let mut reader = reader();
    assert_eq!(parsed(&mut reader, &of_kind("ticker")).len(), 1);
    assert_eq!(parsed(&mut reader, &of_kind("last_match")), []);
}

#[test]
fn the_recording_holds_every_trade_once() {
    let mut reader = reader();
    let ticks: Vec<Tick> = frames().iter().flat_map(|frame| parsed(&mut reader, frame)).collect();
    let identities: HashSet<String> = ticks.iter().map(Tick::id).collect();
    assert_eq!((ticks.len(), identities.len()), (107, 107));

    let mut prices: HashMap<(Symbol, u64), Decimal> = HashMap::new();
    for frame in frames().iter().filter(|frame| frame["type"] == "match") {
        let symbol = Symbol::parse(frame["product_id"].as_str().unwrap()).unwrap();
        prices
            .insert((symbol, frame["trade_id"].as_u64().unwrap()), decimal(frame["price"].as_str().unwrap()));
    }
    assert_eq!(prices.len(), 97);
    for tick in ticks {
        if let Some(price) = prices.remove(&(tick.symbol, tick.seq)) {
            assert_eq!(tick.price, price, "{}", tick.id());
        }
    }
    assert!(prices.is_empty(), "trades without a tick: {prices:?}");
}

#[test]
fn an_acknowledgement_of_a_subscription_holds_nothing() {
    assert_eq!(parsed(&mut reader(), &of_kind("subscriptions")), []);
}

#[test]
fn matches_without_a_ticker_add_up_the_volume_since_the_first() {
    let mut reader = reader();
    let mut trade = of_kind("last_match");
    assert_eq!(parsed(&mut reader, &trade)[0].volume, decimal("0.04"));
    (trade["trade_id"], trade["price"], trade["size"]) = (881_614.into(), "14.7".into(), "1.5".into());
    let tick = parsed(&mut reader, &trade)[0];
    assert_eq!((tick.volume, tick.low, tick.high), (decimal("1.54"), decimal("14.7"), decimal("14.7775")));
}

#[test]
fn a_refused_match_leaves_the_days_figures_alone() {
    let mut reader = reader();
    let good = of_kind("last_match");
    parsed(&mut reader, &good);
    for (field, value) in [("price", "-1"), ("size", "-1000")] {
        let mut broken = good.clone();
        broken[field] = value.into();
        refused(&mut reader, &broken);
    }
    let mut next = good.clone();
    next["trade_id"] = 881_614.into();
    let tick = parsed(&mut reader, &next)[0];
    assert_eq!((tick.low, tick.volume), (decimal("14.7775"), decimal("0.08")));
}

#[test]
fn a_match_that_comes_again_is_counted_once() {
    let mut reader = reader();
    let trade = of_kind("last_match");
    let (first, again) = (parsed(&mut reader, &trade)[0], parsed(&mut reader, &trade)[0]);
    assert_eq!((first.id(), first.volume), (again.id(), again.volume));
    assert_eq!(again.volume, decimal("0.04"));
}

#[test]
fn one_trade_that_cannot_be_used_does_not_take_the_others_of_its_frame_with_it() {
    let mut frame: Value = serde_json::from_str(ADVANCED_TRADES).unwrap();
    let trades = frame["events"][0]["trades"].as_array_mut().unwrap();
    let mut bad = trades[0].clone();
    (bad["trade_id"], bad["price"]) = ("995098699".into(), "0".into());
    trades.insert(1, bad);
    let parsed = reader().parse(frame.to_string().as_bytes(), received_at()).unwrap();
    let ids: Vec<u64> = parsed.ticks.iter().map(|tick| tick.seq).collect();
    assert_eq!(ids, [995_098_700, 995_098_701]);
    assert_eq!(parsed.ticks[1].volume, decimal("0.0515"));
    let [reason] = parsed.refused.as_slice() else { panic!("{:?}", parsed.refused) };
    assert!(reason.to_string().contains("price must be above zero"), "{reason}");
}

#[test]
fn the_ticker_of_advanced_trade_is_a_tick_whose_open_follows_from_the_change() {
    let ticks = reader().parse(ADVANCED_TICKER.as_bytes(), received_at()).unwrap().ticks;
    let [tick] = ticks.as_slice() else { panic!("{} ticks", ticks.len()) };
    assert_eq!((tick.symbol.as_str(), tick.price), ("BTC/USD", decimal("68900.50")));
    assert_eq!([tick.high, tick.low, tick.volume], ["69200", "67500", "15328.12345678"].map(decimal));
    assert_eq!(tick.timestamp, "2026-04-07T14:30:03Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(tick.open.round_dp(2), decimal("67648.99"));
    assert!((tick.change_percent - 1.85).abs() < 1e-9, "{}", tick.change_percent);
    assert_eq!(tick.seq, received_at().timestamp_micros().unsigned_abs());
}

#[test]
fn every_trade_of_advanced_trade_is_a_tick() {
    let ticks = reader().parse(ADVANCED_TRADES.as_bytes(), received_at()).unwrap().ticks;
    assert_eq!(ticks[0].size, Some(decimal("0.0015")));
    let said: Vec<_> = ticks.iter().map(|tick| (tick.seq, tick.price, tick.volume)).collect();
    let expected = [
        (995_098_700, decimal("68900.50"), decimal("0.0015")),
        (995_098_701, decimal("68900"), decimal("0.0515")),
    ];
    assert_eq!(said, expected);
}

#[test]
fn trades_listed_newest_first_are_read_oldest_first() {
    let mut frame: Value = serde_json::from_str(ADVANCED_TRADES).unwrap();
    frame["events"][0]["trades"].as_array_mut().unwrap().reverse();
    let expected = reader().parse(ADVANCED_TRADES.as_bytes(), received_at()).unwrap().ticks;
    assert_eq!(parsed(&mut reader(), &frame), expected);
}

#[test]
fn a_ticker_has_the_size_of_its_trade_where_the_venue_quotes_it() {
    let mut ticker = of_kind("ticker");
    ticker["last_size"] = "0.25".into();
    assert_eq!(parsed(&mut reader(), &ticker)[0].size, Some(decimal("0.25")));
    let mut batch: Value = serde_json::from_str(ADVANCED_TICKER).unwrap();
    batch["channel"] = "ticker_batch".into();
    assert_eq!(parsed(&mut reader(), &batch)[0].size, None);
}

#[test]
fn a_broken_frame_is_refused_with_the_field() {
    let refused = |frame: &Value| refused(&mut reader(), frame);
    let mut ticker = of_kind("ticker");
    ticker["price"] = "Infinity".into();
    assert_eq!(refused(&ticker).to_string(), "price is not a finite number");
    ticker["price"] = Value::Null;
    assert_eq!(refused(&ticker).to_string(), "price is missing");
    let mut ticker = of_kind("ticker");
    ticker["product_id"] = "nothing at all".into();
    assert!(matches!(refused(&ticker), ParseError::Symbol(_)));
    let mut timeless = of_kind("ticker");
    timeless["time"] = Value::Null;
    assert_eq!(refused(&timeless).to_string(), "time is missing");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = reader().parse(&frame, received_at());
    }

    #[test]
    fn real_frames_with_bytes_changed_never_panic(
        place in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let frames = [of_kind("ticker").to_string(), of_kind("match").to_string(), ADVANCED_TICKER.to_owned(),
                      ADVANCED_TRADES.to_owned()];
        let mut frame = frames[place.index(frames.len())].clone().into_bytes();
        for (at, byte) in edits {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let mut reader = reader();
        let _ = reader.parse(&frame, received_at());
        let _ = reader.parse(&frame[..cut.index(frame.len())], received_at());
    }

    #[test]
    fn any_numbers_in_a_frame_never_panic(number in "-?[0-9]{0,32}\\.?[0-9]{0,32}(e-?[0-9]{1,3})?") {
        let mut reader = reader();
        for kind in ["match", "match", "ticker"] {
            let mut frame = of_kind(kind);
            for field in ["price", "size", "open_24h", "volume_24h", "low_24h", "high_24h"] {
                frame[field] = number.clone().into();
            }
            let _ = reader.parse(frame.to_string().as_bytes(), received_at());
        }
        for change in [number.as_str(), "-100"] {
            let frame = ADVANCED_TICKER.replace("1.85", change);
            let _ = reader.parse(frame.as_bytes(), received_at());
        }
    }
}
