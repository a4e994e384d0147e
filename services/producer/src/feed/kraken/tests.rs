//! The parser on samples of Kraken's documentation (each names its page) and of test suites of its API, and on anything at all. No
//! recording of the venue was at hand.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use market::{CandleOrigin, Interval, Source, Symbol, Tick, parse_decimal};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json, value::RawValue};

use super::parse::{Answer, AssetPair, FrameReader, Pairs, Ticker, candles, ohlc_rows, subscriptions};
use crate::feed::live::Received;

const TICKER: &str = include_str!("../../../tests/fixtures/kraken_ws_ticker.json");
const OHLC: &str = include_str!("../../../tests/fixtures/kraken_ohlc_response.json");
/// "Trades" of "WebSocket API v2".
const TRADES: &str = r#"{"channel":"trade","type":"update","data":[
    {"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"},
    {"symbol":"MATIC/USD","side":"buy","price":0.5119,"qty":12.5,"ord_type":"limit","trade_id":4665907,"timestamp":"2023-09-25T07:49:37.808706Z"}]}"#;

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).expect("a number")
}

fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).expect("a symbol")
}

fn reader(symbols: &[&str]) -> FrameReader {
    let symbols: Vec<Symbol> = symbols.iter().map(|text| symbol(text)).collect();
    FrameReader::new(Source::parse("kraken").expect("a source"), &symbols)
}

fn received_at() -> DateTime<Utc> {
    "2023-09-25T07:49:38Z".parse().expect("a time")
}

fn read(reader: &mut FrameReader, frame: &str) -> Received {
    reader.parse(frame.as_bytes(), received_at()).expect("a frame")
}

fn ticks(received: Received) -> Vec<Tick> {
    match received {
        Received::Trades(ticks, errors) if errors.is_empty() => ticks,
        Received::Update => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn trade(id: u64, price: &str, qty: &str, time: &str) -> String {
    format!(
        r#"{{"symbol":"BTC/USD","side":"buy","price":{price},"qty":{qty},"ord_type":"limit","trade_id":{id},"timestamp":"{time}"}}"#
    )
}

fn frame(kind: &str, trades: &[String]) -> String {
    format!(r#"{{"channel":"trade","type":"{kind}","data":[{}]}}"#, trades.join(","))
}

#[test]
fn every_trade_of_a_frame_is_a_tick_under_its_id() {
    let ticks = ticks(read(&mut reader(&["MATIC/USD"]), TRADES));
    let read: Vec<_> = ticks.iter().map(|tick| (tick.seq, tick.price, tick.size, tick.volume)).collect();
    let expected = [
        (4_665_906, decimal("0.5117"), Some(decimal("40")), decimal("40")),
        (4_665_907, decimal("0.5119"), Some(decimal("12.5")), decimal("52.5")),
    ];
    assert_eq!(read, expected);
    assert_eq!(ticks[0].timestamp, "2023-09-25T07:49:37.708706Z".parse::<DateTime<Utc>>().expect("a time"));
    assert_eq!((ticks[0].symbol, ticks[0].source.as_str()), (symbol("MATIC/USD"), "kraken"));
}

#[test]
fn no_digit_of_a_number_is_lost() {
    let mut reader = reader(&["BTC/USD"]);
    let trades = [trade(1, "105944.123456789", "0.00000001", "2022-12-25T09:31:00Z")];
    let tick = ticks(read(&mut reader, &frame("update", &trades)))[0];
    assert_eq!((tick.price, tick.size), (decimal("105944.123456789"), Some(decimal("0.00000001"))));
    let trades = [trade(2, "1.2e-5", "163289080960.25", "2022-12-25T09:31:00Z")];
    let tick = ticks(read(&mut reader, &frame("update", &trades)))[0];
    assert_eq!((tick.price, tick.size), (decimal("0.000012"), Some(decimal("163289080960.25"))));
}

#[test]
fn the_figures_of_the_day_are_those_of_the_ticker_and_a_snapshot_is_in_its_volume() {
    let mut reader = reader(&["BTC/USD"]);
    assert!(matches!(read(&mut reader, TICKER), Received::Update));
    // Before the ticker's time.
    let old = [
        trade(7, "105899.4", "0.5", "2022-12-25T09:30:50Z"),
        trade(6, "105890", "0.25", "2022-12-25T09:30:40Z"),
    ];
    let ticks_of = |received| ticks(received).iter().map(|tick| (tick.seq, tick.volume)).collect::<Vec<_>>();
    let volume = decimal("163.28908096");
    assert_eq!(ticks_of(read(&mut reader, &frame("snapshot", &old))), [(6, volume), (7, volume)]);
    let new = [trade(8, "106700", "0.5", "2022-12-25T09:31:00Z")];
    let tick = ticks(read(&mut reader, &frame("update", &new)))[0];
    assert_eq!(
        [tick.open, tick.high, tick.low, tick.volume],
        ["105649.4", "106700", "104711", "163.78908096"].map(decimal)
    );
    // The snapshot of the next connection repeats what is known.
    let again: Vec<String> = old.iter().chain(&new).cloned().collect();
    assert!(matches!(read(&mut reader, &frame("snapshot", &again)), Received::Update));
    let next = [new[0].clone(), trade(9, "106700", "1", "2022-12-25T09:31:02Z")];
    assert_eq!(ticks_of(read(&mut reader, &frame("snapshot", &next))), [(9, decimal("164.78908096"))]);
}

#[test]
fn one_trade_that_cannot_be_used_does_not_take_the_others_with_it() {
    let mut reader = reader(&["BTC/USD"]);
    let mut trades = vec![trade(1, "100", "1", "2022-12-25T09:31:00Z")];
    trades.push(trade(2, "0", "1", "2022-12-25T09:31:00Z"));
    trades.push(trade(3, "100", "1", "yesterday"));
    trades.push(trade(4, "100", "1", "2022-12-25T09:31:00Z").replace("BTC/USD", "ETH/USD"));
    trades.push(r#"{"symbol":"BTC/USD"}"#.to_owned());
    trades.push(trade(5, "101", "1", "2022-12-25T09:31:00Z"));
    let Received::Trades(ticks, errors) = read(&mut reader, &frame("update", &trades)) else {
        panic!("no trades")
    };
    assert_eq!(ticks.iter().map(|tick| tick.seq).collect::<Vec<_>>(), [1, 5]);
    assert_eq!((ticks[1].volume, errors.len()), (decimal("2"), 4), "{errors:?}");
    assert!(errors.iter().any(|error| error.to_string() == "symbol: `ETH/USD` was not requested"));
}

#[test]
fn heartbeats_pongs_states_and_acknowledgements_are_no_data() {
    // "Heartbeat", "Ping", "Status" and the acknowledgement of "Trades".
    let answers = [
        r#"{"channel":"heartbeat"}"#,
        r#"{"method":"pong","req_id":101,"time_in":"2023-09-24T14:10:23.799685Z","time_out":"2023-09-24T14:10:23.799703Z"}"#,
        r#"{"channel":"status","data":[{"api_version":"v2","connection_id":13834774380200032777,"system":"online","version":"2.0.0"}],"type":"update"}"#,
        r#"{"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"MATIC/USD"},"success":true,"time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}"#,
    ];
    for answer in answers {
        assert!(matches!(read(&mut reader(&["MATIC/USD"]), answer), Received::Answer), "{answer}");
    }
}

#[test]
fn a_refused_subscription_names_its_symbol() {
    let mut reader = reader(&["BTC/USD", "XYZ/USD"]);
    // The answer as users of the venue report it (nautechsystems/nautilus_trader, issue 3509).
    let mut answer = json!({"error": "Currency pair not supported XYZ/USD", "method": "subscribe", "success": false,
                            "symbol": "XYZ/USD", "time_in": "2023-09-25T09:21:10.428340Z"});
    for _ in 0..2 {
        let Received::Refused { symbols, messages } = read(&mut reader, &answer.to_string()) else {
            panic!("no refusal")
        };
        assert_eq!(symbols, [(symbol("XYZ/USD"), "Currency pair not supported XYZ/USD".to_owned())]);
        assert!(messages.is_empty(), "the others are subscribed already");
        // Also where only the reason names it.
        answer["symbol"] = Value::Null;
    }
    let whole = json!({"error": "Exceeded msg rate", "method": "subscribe", "success": false});
    assert!(
        matches!(read(&mut reader, &whole.to_string()), Received::Failed(reason) if reason == "Exceeded msg rate")
    );
}

#[test]
fn both_channels_are_subscribed_under_the_names_of_the_second_version() {
    let messages: Vec<Value> = subscriptions(&["BTC/USD", "DOGE/USD"].map(symbol))
        .iter()
        .map(|message| serde_json::from_str(message).expect("JSON"))
        .collect();
    let params =
        |channel: &str| json!({"channel": channel, "symbol": ["BTC/USD", "DOGE/USD"], "snapshot": true});
    let message = |channel: &str| json!({"method": "subscribe", "params": params(channel)});
    assert_eq!(messages, [message("ticker"), message("trade")]);
}

#[test]
fn pairs_have_other_names_in_rest() {
    // Fields as in "Get Tradable Asset Pairs".
    let pairs = json!({"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"},
                       "XDGUSD": {"altname": "XDGUSD", "wsname": "XDG/USD"}, "ETHXBT": {"wsname": "ETH/XBT"},
                       "XBTUSD.d": {"altname": "XBTUSD.d"}, "SOLUSD": {"wsname": "SOL/USD"}});
    let pairs: BTreeMap<String, AssetPair> = serde_json::from_value(pairs).expect("pairs");
    let pairs = Pairs::new(pairs);
    let names = ["BTC/USD", "DOGE/USD", "ETH/BTC", "SOL/USD", "XYZ/USD"].map(symbol);
    let found: Vec<_> = names.iter().map(|symbol| pairs.get(*symbol)).collect();
    assert_eq!(found, [Some("XXBTZUSD"), Some("XDGUSD"), Some("ETHXBT"), Some("SOLUSD"), None]);
    assert_eq!(pairs.not_listed(&names), [(symbol("XYZ/USD"), "not listed".to_owned())]);
}

#[test]
fn the_last_row_of_an_answer_is_in_progress() {
    let answer: Answer<BTreeMap<String, Box<RawValue>>> = serde_json::from_str(OHLC).expect("an answer");
    assert!(answer.error.is_empty());
    let rows = ohlc_rows(&answer.result.expect("a result")).expect("rows");
    let of = (Source::parse("kraken").expect("a source"), symbol("BTC/USDT"), Interval::Minute);
    let now = DateTime::from_timestamp(1_762_820_250, 0).expect("a time");
    let bars = candles(&rows, of, now).expect("candles");
    assert_eq!((rows.len(), bars.len()), (6, 5));
    let bar = bars[3];
    assert_eq!(bar.time.timestamp(), 1_762_777_200);
    assert_eq!(
        [bar.open, bar.high, bar.low, bar.close],
        ["106038.1", "106044.3", "106038.1", "106040.1"].map(decimal)
    );
    assert_eq!((bar.volume, bar.ticks), (Some(decimal("0.08317981")), 3));
    assert_eq!(bar.source.origin, CandleOrigin::Provider);
    assert_eq!((bars[0].volume, bars[0].ticks), (Some(Decimal::ZERO), 0), "a minute without a trade");
}

#[test]
fn the_figures_of_a_day_are_shown() {
    // "Get Ticker Information".
    let ticker = json!({"a": ["30300.10000", "1", "1.000"], "b": ["30300.00000", "1", "1.000"],
                        "c": ["30303.20000", "0.00067643"], "v": ["4083.67001100", "4412.73601799"],
                        "p": ["30706.77771", "30689.13205"], "t": [34619, 38907], "l": ["29868.30000", "29868.30000"],
                        "h": ["31631.00000", "31631.00000"], "o": "30502.80000"});
    let ticker: Ticker = serde_json::from_value(ticker).expect("a ticker");
    let expected = "30303.20000; 24 h: high 31631.00000, low 29868.30000, volume 4412.73601799";
    assert_eq!(ticker.to_string(), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = reader(&["BTC/USD"]).parse(&frame, received_at());
    }

    #[test]
    fn samples_with_bytes_changed_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        is_ticker in any::<bool>(),
    ) {
        let mut frame = (if is_ticker { TICKER } else { TRADES }).as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let _ = reader(&["BTC/USD", "MATIC/USD"]).parse(&frame, received_at());
    }

    #[test]
    fn any_numbers_in_a_frame_never_panic(number in "-?[0-9]{1,32}(\\.[0-9]{1,32})?(e-?[0-9]{1,3})?", id in any::<u64>()) {
        let mut reader = reader(&["BTC/USD"]);
        let _ = reader.parse(TICKER.replace("105899.40", &number).replace("250.00", &number).as_bytes(), received_at());
        let trades = [trade(id, &number, &number, "2022-12-25T09:31:00Z")];
        let _ = reader.parse(frame("update", &trades).as_bytes(), received_at());
    }
}
