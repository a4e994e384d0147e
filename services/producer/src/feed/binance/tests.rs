//! Real frames and answers, the same a little broken, and anything at all.

use chrono::{DateTime, TimeDelta, Utc};
use market::{CandleOrigin, Interval, Source, Symbol, Tick, parse_decimal};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

use super::{
    parse::{Frame, FrameReader, KlineRow, Names, Ticker24h, klines},
    venue_name,
};
use crate::feed::fields::ParseError;

const RECORDING: &str = include_str!("../../../tests/fixtures/binance_stream.jsonl");
const KLINES: &str = include_str!("../../../tests/fixtures/binance_klines_response.json");
const TICKER: &str = include_str!("../../../tests/fixtures/binance_ticker_24hr_response.json");

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).unwrap()
}

fn reader() -> FrameReader {
    FrameReader::new(Source::parse("binance").unwrap(), Names::Recorded)
}

fn received_at() -> DateTime<Utc> {
    "2021-10-12T00:28:43.957215Z".parse().unwrap()
}

/// The frames of the recording, without the envelope that says when they came.
fn frames() -> Vec<String> {
    let frame = |line: &str| serde_json::from_str::<Value>(line).unwrap()["message"].to_string();
    RECORDING.lines().map(frame).collect()
}

fn frame_with(text: &str) -> String {
    frames().into_iter().find(|frame| frame.contains(text)).unwrap()
}

fn tick(reader: &mut FrameReader, frame: &str) -> Tick {
    match reader.parse(frame.as_bytes(), received_at()).unwrap() {
        Frame::Tick(tick) => tick,
        other => panic!("no tick but {other:?}"),
    }
}

#[test]
fn an_aggregate_trade_is_a_tick_under_the_id_of_its_last_trade() {
    let tick = tick(&mut reader(), &frame_with("nknusdt@aggTrade"));
    assert_eq!(tick.symbol, symbol("NKN/USDT"));
    assert_eq!(tick.price, decimal("0.3528"));
    assert_eq!(tick.seq, 19_862_790);
    assert_eq!(tick.timestamp.timestamp_millis(), 1_633_998_523_963);
    assert_eq!(tick.received_at, received_at());
    assert_eq!(tick.source.as_str(), "binance");
    assert_eq!((tick.open, tick.high, tick.low), (tick.price, tick.price, tick.price));
    assert_eq!(tick.volume, decimal("58"));
}

#[test]
fn a_single_trade_is_a_tick_under_its_own_id() {
    let frame = r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000",
                    "T":1672515782136,"m":true,"M":true}"#;
    let tick = tick(&mut reader(), frame);
    assert_eq!((tick.symbol, tick.price, tick.seq), (symbol("BNB/BTC"), decimal("0.001"), 12_345));
    assert_eq!(tick.size, Some(decimal("100")));
}

#[test]
fn aggregates_are_passed_over_once_the_single_trades_of_their_symbol_are_there() {
    let mut reader = reader();
    let aggregate = r#"{"e":"aggTrade","s":"BNBBTC","a":7,"f":1,"l":2,"p":"4","q":"3","T":1499869899041}"#;
    let trade = r#"{"e":"trade","s":"BNBBTC","t":3,"p":"4","q":"2","T":1499869899041}"#;
    assert_eq!(
        (tick(&mut reader, aggregate).size, tick(&mut reader, trade).size),
        (Some(decimal("3")), Some(decimal("2")))
    );
    assert_eq!(reader.parse(aggregate.as_bytes(), received_at()).unwrap(), Frame::Update);
    tick(&mut reader, &aggregate.replace("BNBBTC", "ETHBTC"));
}

#[test]
fn the_whole_recording_holds_two_trades_and_nothing_else() {
    let mut reader = reader();
    let parsed = frames()
        .iter()
        .map(|frame| reader.parse(frame.as_bytes(), received_at()).unwrap())
        .collect::<Vec<_>>();
    let ticks = parsed.iter().filter(|frame| matches!(frame, Frame::Tick(_))).count();
    let nothing = parsed.iter().filter(|frame| matches!(frame, Frame::Update | Frame::Nothing)).count();
    assert_eq!((parsed.len(), ticks, nothing), (88, 2, 86));
}

#[test]
fn a_quote_of_the_book_is_no_price_that_was_paid() {
    let frame = frame_with("nknusdt@bookTicker");
    assert_eq!(reader().parse(frame.as_bytes(), received_at()).unwrap(), Frame::Nothing);
}

#[test]
fn a_minute_is_a_bar_once_it_is_closed() {
    let in_progress = frame_with("nknusdt@kline_1m");
    assert_eq!(reader().parse(in_progress.as_bytes(), received_at()).unwrap(), Frame::Update);

    let closed = in_progress.replace("\"x\":false", "\"x\":true");
    assert_ne!(closed, in_progress);
    let Frame::Candle(bar) = reader().parse(closed.as_bytes(), received_at()).unwrap() else {
        panic!("no bar")
    };
    assert_eq!((bar.symbol, bar.interval, bar.is_final), (symbol("NKN/USDT"), Interval::Minute, true));
    assert_eq!(bar.time.timestamp_millis(), 1_633_998_480_000);
    assert_eq!(
        [bar.open, bar.high, bar.low, bar.close],
        ["0.3527", "0.3528", "0.3522", "0.3528"].map(decimal)
    );
    assert_eq!((bar.volume, bar.ticks), (Some(decimal("25877")), 30));
    assert_eq!((bar.source.feed.as_str(), bar.source.origin), ("binance", CandleOrigin::Provider));
}

#[test]
fn a_closed_bar_of_another_width_is_passed_over() {
    let hour = frame_with("nknusdt@kline_1m")
        .replace("\"x\":false", "\"x\":true")
        .replace("\"i\":\"1m\"", "\"i\":\"1h\"");
    assert_eq!(reader().parse(hour.as_bytes(), received_at()).unwrap(), Frame::Update);
}

#[test]
fn the_days_figures_are_carried_by_the_next_trade() {
    let mut reader = reader();
    reader.seed(&serde_json::from_str::<Ticker24h>(TICKER).unwrap()).unwrap();
    let trade = r#"{"e":"trade","s":"BNBBTC","t":28461,"p":"4.00000200","q":"1.50000000","T":1499869899041}"#;
    let tick = tick(&mut reader, trade);
    assert_eq!([tick.open, tick.high, tick.low], ["99", "100", "0.1"].map(decimal));
    assert_eq!(tick.volume, decimal("8914.8"), "the day's volume and this trade");
    assert!((tick.change_percent - -95.9596).abs() < 1e-9, "{}", tick.change_percent);
}

#[test]
fn a_mini_ticker_replaces_the_days_figures() {
    let mut reader = reader();
    reader.seed(&serde_json::from_str::<Ticker24h>(TICKER).unwrap()).unwrap();
    let mini = r#"{"stream":"bnbbtc@miniTicker","data":{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025",
                   "o":"0.0010","h":"0.0030","l":"0.0009","v":"10000","q":"18"}}"#;
    assert_eq!(reader.parse(mini.as_bytes(), received_at()).unwrap(), Frame::Update);
    let trade = r#"{"e":"trade","s":"BNBBTC","t":1,"p":"0.002","q":"5","T":1672515782136}"#;
    let tick = tick(&mut reader, trade);
    assert_eq!([tick.open, tick.high, tick.low], ["0.001", "0.003", "0.0009"].map(decimal));
    assert_eq!(tick.volume, decimal("10005"));
    assert!((tick.change_percent - 100.0).abs() < 1e-9);
}

#[test]
fn the_answer_with_bars_holds_those_that_were_over() {
    let rows: Vec<KlineRow> = serde_json::from_str(KLINES).unwrap();
    let feed = Source::parse("binance").unwrap();
    let end = DateTime::from_timestamp_millis(1_499_644_799_999).unwrap();
    assert_eq!(
        klines(&rows, feed, symbol("BNB/BTC"), Interval::Minute, end).unwrap(),
        [],
        "its last millisecond is still running"
    );

    let bars =
        klines(&rows, feed, symbol("BNB/BTC"), Interval::Minute, end + TimeDelta::milliseconds(1)).unwrap();
    let [bar] = bars.as_slice() else { panic!("{} bars", bars.len()) };
    assert_eq!(bar.time.timestamp_millis(), 1_499_040_000_000);
    assert_eq!(
        [bar.open, bar.high, bar.low, bar.close],
        ["0.0163479", "0.8", "0.015758", "0.015771"].map(decimal)
    );
    assert_eq!((bar.volume, bar.ticks), (Some(decimal("148976.11427815")), 308));
}

#[test]
fn a_connection_maps_names_by_what_was_requested() {
    let names = Names::requested(&[symbol("BNB/USD")]);
    let mut reader = FrameReader::new(Source::parse("binance").unwrap(), names);
    let trade = r#"{"e":"trade","s":"BNBUSD","t":1,"p":"4","q":"7","T":1499869899041}"#;
    let Frame::Tick(tick) = reader.parse(trade.as_bytes(), received_at()).unwrap() else { panic!("no tick") };
    assert_eq!(tick.symbol, symbol("BNB/USD"));
    let other = reader.parse(trade.replace("BNBUSD", "TUSDT").as_bytes(), received_at()).unwrap_err();
    assert_eq!(other.to_string(), "symbol: `TUSDT` was not requested");
}

#[test]
fn a_pair_that_has_not_traded_for_a_day_has_its_first_trades() {
    let mut reader = reader();
    let zeros =
        r#"{"symbol":"NEWUSDT","openPrice":"0.000","highPrice":"0.000","lowPrice":"0.000","volume":"0.000"}"#;
    reader.seed(&serde_json::from_str(zeros).unwrap()).unwrap();
    let mini = r#"{"e":"24hrMiniTicker","s":"NEWUSDT","c":"0","o":"0","h":"0","l":"0","v":"0"}"#;
    assert_eq!(reader.parse(mini.as_bytes(), received_at()).unwrap(), Frame::Update);
    let trade = r#"{"e":"trade","s":"NEWUSDT","t":1,"p":"4","q":"7","T":1499869899041}"#;
    let Frame::Tick(tick) = reader.parse(trade.as_bytes(), received_at()).unwrap() else { panic!("no tick") };
    assert_eq!([tick.open, tick.high, tick.low, tick.volume], ["4", "4", "4", "7"].map(decimal));
}

#[test]
fn the_streams_of_many_pairs_are_spread_over_connections() {
    let pairs: Vec<Symbol> = (0..400).map(|number| symbol(&format!("C{number:05}/USDT"))).collect();
    let parts = super::split(&pairs);
    assert_eq!(parts.concat(), pairs);
    assert!((2..=8).contains(&parts.len()), "{}", parts.len());
    assert!(super::split(&[]).is_empty());
}

#[test]
fn a_broken_frame_is_refused_with_the_field() {
    let trade = frame_with("nknusdt@aggTrade");
    let refused = |frame: &str| reader().parse(frame.as_bytes(), received_at()).unwrap_err();
    let not_finite = refused(&trade.replace("0.35280000", "NaN"));
    assert!(matches!(not_finite, ParseError::Number("p", _)), "{not_finite}");
    let negative = refused(&trade.replace("0.35280000", "-1"));
    assert!(negative.to_string().contains("price must be above zero"), "{negative}");
    let cut = refused(&trade[..trade.len() / 2]);
    assert!(matches!(cut, ParseError::Json(_)), "{cut}");
    let late = refused(&trade.replace("\"T\":1633998523963", "\"T\":9223372036854775807"));
    assert_eq!(late.to_string(), "T is out of range");
}

#[test]
fn quantities_beyond_all_bounds_are_refused_and_do_not_panic() {
    let mut reader = reader();
    let trade =
        r#"{"e":"trade","s":"BNBBTC","t":1,"p":"4","q":"70000000000000000000000000000","T":1499869899041}"#;
    for _ in 0..3 {
        let _ = reader.parse(trade.as_bytes(), received_at());
    }
    let sane = trade.replace("BNBBTC", "ETHBTC").replace("70000000000000000000000000000", "1");
    assert_eq!(tick(&mut reader, &sane).price, decimal("4"));
}

#[test]
fn a_refused_trade_leaves_the_days_figures_alone() {
    let mut reader = reader();
    let trade = r#"{"e":"trade","s":"BNBBTC","t":1,"p":"4","q":"2","T":1499869899041}"#;
    tick(&mut reader, trade);
    let broken = trade.replace("\"p\":\"4\"", "\"p\":\"-3\"");
    reader.parse(broken.as_bytes(), received_at()).unwrap_err();
    let next = tick(&mut reader, &trade.replace("\"t\":1", "\"t\":2"));
    assert_eq!((next.low, next.volume), (decimal("4"), decimal("4")));
    // It comes again, as after a reconnect.
    let again = tick(&mut reader, &trade.replace("\"t\":1", "\"t\":2"));
    assert_eq!(again.volume, decimal("4"));
    let tomorrow = trade.replace("\"t\":1", "\"t\":3").replace("1499869899041", "1499956299041");
    assert_eq!(tick(&mut reader, &tomorrow).volume, decimal("2"), "the day begins anew");
}

#[test]
fn the_venue_writes_pairs_without_a_slash() {
    assert_eq!(venue_name(symbol("BTC/USDT")), "BTCUSDT");
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
        let interesting: Vec<String> = frames().into_iter().filter(|frame| frame.contains("\"e\":")).collect();
        let mut frame = interesting[place.index(interesting.len())].clone().into_bytes();
        for (at, byte) in edits {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let mut reader = reader();
        let _ = reader.parse(&frame, received_at());
        let _ = reader.parse(&frame[..cut.index(frame.len())], received_at());
    }

    #[test]
    fn any_numbers_in_a_frame_never_panic(price in "[0-9]{0,32}\\.?[0-9]{0,32}(e-?[0-9]{1,3})?", time in any::<i64>(), id in any::<u64>()) {
        let mut reader = reader();
        for kind in ["trade", "aggTrade"] {
            let frame = format!(r#"{{"e":"{kind}","s":"BTCUSDT","t":{id},"p":"{price}","q":"{price}","T":{time}}}"#);
            let _ = reader.parse(frame.as_bytes(), received_at());
        }
        let mini = format!(r#"{{"e":"24hrMiniTicker","s":"BTCUSDT","c":"{price}","o":"{price}","h":"{price}","l":"{price}","v":"{price}"}}"#);
        let _ = reader.parse(mini.as_bytes(), received_at());
    }
}
