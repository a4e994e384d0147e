//! A real answer of the chart endpoint, the same a little broken, and anything at all.

use chrono::{DateTime, Utc};
use market::{Interval, Source, Symbol, parse_decimal};
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::parse::{Answer, ParseError, Parsed, history, parse, venue_name};

const ANSWER: &str = include_str!("../../../tests/fixtures/yahoo_chart_NVDA.json");

fn decimal(text: &str) -> Decimal {
    parse_decimal(text).unwrap()
}

fn nvda() -> Symbol {
    Symbol::parse("NVDA").unwrap()
}

fn received_at() -> DateTime<Utc> {
    "2024-01-23T12:00:00.000001Z".parse().unwrap()
}

fn read(answer: &Value, now: DateTime<Utc>) -> Result<Parsed, ParseError> {
    let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
    parse(answer, nvda(), Source::parse("yahoo").unwrap(), now)
}

fn answer() -> Value {
    serde_json::from_str(ANSWER).unwrap()
}

fn meta(answer: &mut Value) -> &mut Value {
    &mut answer["chart"]["result"][0]["meta"]
}

#[test]
fn the_answer_holds_the_newest_price_with_the_days_figures() {
    let tick = read(&answer(), received_at()).unwrap().tick;
    assert_eq!((tick.symbol.as_str(), tick.source.as_str()), ("NVDA", "yahoo"));
    assert_eq!(tick.price, decimal("596.54"));
    assert_eq!(tick.timestamp, "2024-01-22T21:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!([tick.open, tick.high, tick.low], ["600.49", "603.31", "590.7"].map(decimal));
    assert_eq!(tick.volume, decimal("45213100"));
    assert_eq!(tick.seq, 1_706_011_200_000_001);
    assert!(tick.change_percent.abs() < 1e-12, "five days before say nothing of the day's change");
}

#[test]
fn prices_keep_the_digits_that_were_meant() {
    let price = |value: f64| {
        let mut answer = answer();
        meta(&mut answer)["regularMarketPrice"] = json!(value);
        read(&answer, received_at()).unwrap().tick.price
    };
    assert_eq!(price(f64::from(1_234.567_9_f32)), decimal("1234.5679"), "eight digits of a single");
    assert_eq!(price(596.539_978_027_343_8), decimal("596.54"), "a single that was widened");
    assert_eq!(price(720_123.51), decimal("720123.51"), "a double");
}

#[test]
fn without_a_price_of_its_own_the_answer_has_that_of_its_newest_candle() {
    let mut answer = answer();
    meta(&mut answer)["regularMarketPrice"] = Value::Null;
    let last = read(&answer, received_at()).unwrap();
    assert_eq!(last.tick.price, last.candles.last().unwrap().close);
    answer["chart"]["result"][0]["indicators"] = Value::Null;
    assert_eq!(read(&answer, received_at()).unwrap_err().to_string(), "regularMarketPrice is missing");
}

#[rstest]
#[case(&["timestamp"])]
#[case(&["indicators"])]
#[case(&["indicators", "quote"])]
fn a_price_is_used_without_the_candles_beside_it(#[case] place: &[&str]) {
    for is_null in [true, false] {
        let mut answer = answer();
        let mut parent = &mut answer["chart"]["result"][0];
        for name in &place[..place.len() - 1] {
            parent = &mut parent[*name];
        }
        let name = place[place.len() - 1];
        if is_null {
            parent[name] = Value::Null;
        } else {
            parent.as_object_mut().unwrap().remove(name);
        }
        let parsed = read(&answer, received_at()).unwrap();
        assert_eq!((parsed.tick.price, parsed.candles.len()), (decimal("596.54"), 0));
    }
}

#[test]
fn the_row_of_the_newest_price_does_not_replace_the_candle_of_its_minute() {
    let mut answer = answer();
    meta(&mut answer)["dataGranularity"] = json!("1m");
    let result = &mut answer["chart"]["result"][0];
    result["timestamp"] = json!([1_732_903_140, 1_732_903_182]);
    result["indicators"]["quote"][0] = json!({
        "open": [423.3, 423.46], "high": [423.9, 423.46], "low": [423.2, 423.46], "close": [423.7, 423.46], "volume": [210_000, 0],
    });
    let candles = read(&answer, "2024-11-29T19:00:00Z".parse().unwrap()).unwrap().candles;
    let [candle] = candles.as_slice() else { panic!("{candles:?}") };
    assert_eq!(
        [candle.open, candle.high, candle.low, candle.close],
        ["423.3", "423.9", "423.2", "423.7"].map(decimal)
    );
    assert_eq!(candle.volume, Some(decimal("210000")));
}

#[test]
fn the_answer_holds_five_daily_bars_to_the_seven_digits_that_are_meant() {
    let candles = read(&answer(), received_at()).unwrap().candles;
    let said: Vec<_> = candles
        .iter()
        .map(|bar| {
            format!(
                "{} {} {} {} {} {}",
                bar.time.date_naive(),
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume.unwrap()
            )
        })
        .collect();
    let expected = [
        "2024-01-16 550.18 568.35 549 563.82 44958000",
        "2024-01-17 563.47 564.71 547.4 560.53 47439400",
        "2024-01-18 572.6 576 561.07 571.07 49165000",
        "2024-01-19 579.89 595 572.25 594.91 54210300",
        "2024-01-22 600.49 603.31 590.7 596.54 45213100",
    ];
    assert_eq!(said, expected);
    assert!(candles.iter().all(|bar| bar.is_final && bar.interval == Interval::Day && bar.symbol == nvda()));
}

#[test]
fn a_day_that_is_not_over_is_no_bar_yet() {
    let while_open = "2024-01-22T20:00:00Z".parse().unwrap();
    let candles = read(&answer(), while_open).unwrap().candles;
    assert_eq!(candles.len(), 4);
}

#[test]
fn the_change_is_told_against_the_close_before_the_day() {
    let mut one_day = answer();
    meta(&mut one_day)["range"] = "1d".into();
    let change = read(&one_day, received_at()).unwrap().tick.change_percent;
    assert!((change - 9.0367).abs() < 1e-9, "596.54 after 547.1 is not {change} %");
    meta(&mut one_day)["previousClose"] = json!(594.91);
    let change = read(&one_day, received_at()).unwrap().tick.change_percent;
    assert!((change - 0.274).abs() < 1e-9, "596.54 after 594.91 is not {change} %");
}

#[test]
fn holes_in_the_series_are_left_out() {
    let mut holed = answer();
    let quote = &mut holed["chart"]["result"][0]["indicators"]["quote"][0];
    quote["close"][1] = Value::Null;
    quote["volume"][3] = Value::Null;
    quote["open"].as_array_mut().unwrap().truncate(4);
    let days: Vec<String> = read(&holed, received_at())
        .unwrap()
        .candles
        .iter()
        .map(|bar| bar.time.date_naive().to_string())
        .collect();
    assert_eq!(days, ["2024-01-16", "2024-01-18", "2024-01-19"], "a candle may lack its volume");
}

#[test]
fn an_answer_without_bars_still_holds_the_price() {
    let mut bare = answer();
    let result = bare["chart"]["result"][0].as_object_mut().unwrap();
    result.remove("timestamp");
    result.insert("indicators".into(), json!({"quote": [{}]}));
    let parsed = read(&bare, received_at()).unwrap();
    assert!(parsed.candles.is_empty());
    assert_eq!(
        [parsed.tick.price, parsed.tick.open, parsed.tick.high, parsed.tick.low],
        [decimal("596.54"); 4]
    );
}

#[test]
fn a_refusal_is_told_in_the_providers_words() {
    let refusal =
        json!({"chart": {"result": null, "error": {"code": "Not Found", "description": "No data found"}}});
    assert_eq!(read(&refusal, received_at()).unwrap_err().to_string(), "the provider reports: No data found");
    let empty = json!({"chart": {"result": [], "error": null}});
    assert_eq!(read(&empty, received_at()).unwrap_err().to_string(), "chart.result is missing");
}

#[test]
fn an_answer_about_another_symbol_is_refused() {
    let mut other = answer();
    meta(&mut other)["symbol"] = "AMD".into();
    assert_eq!(read(&other, received_at()).unwrap_err().to_string(), "it is about `AMD`");
}

#[rstest]
#[case("regularMarketPrice", json!(0.0), "regularMarketPrice is no usable number")]
#[case("regularMarketPrice", json!(1e300), "regularMarketPrice is no usable number")]
#[case("regularMarketTime", Value::Null, "regularMarketTime is missing")]
#[case("regularMarketTime", json!(i64::MAX), "regularMarketTime is no usable number")]
#[case("regularMarketTime", json!(8_210_266_876_799_i64), "regularMarketTime is no usable number")]
#[case("regularMarketTime", json!(-8_334_601_228_800_i64), "regularMarketTime is no usable number")]
fn a_field_that_cannot_be_used_is_named(#[case] field: &str, #[case] value: Value, #[case] reason: &str) {
    let mut broken = answer();
    meta(&mut broken)[field] = value;
    assert_eq!(read(&broken, received_at()).unwrap_err().to_string(), reason);
}

#[test]
fn bars_at_the_ends_of_time_are_passed_over() {
    for granularity in ["1m", "5m", "1h", "1d"] {
        let mut broken = answer();
        meta(&mut broken)["dataGranularity"] = granularity.into();
        broken["chart"]["result"][0]["timestamp"] =
            json!([8_210_266_876_799_i64, -8_334_601_228_800_i64, i64::MIN, i64::MAX, 1_705_935_600]);
        assert_eq!(read(&broken, received_at()).unwrap().candles.len(), 1, "{granularity}");
    }
}

#[test]
fn the_venue_writes_share_classes_with_a_dash() {
    assert_eq!(venue_name(Symbol::parse("BRK.B").unwrap()), "BRK-B");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_bytes(&bytes);
    }

    #[test]
    fn real_answers_with_bytes_changed_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = ANSWER.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_bytes(&bytes);
    }

    #[test]
    fn any_numbers_in_an_answer_never_panic(number in any::<f64>(), seconds in any::<i64>()) {
        let mut odd = answer();
        for field in ["regularMarketPrice", "regularMarketDayHigh", "regularMarketVolume", "chartPreviousClose"] {
            meta(&mut odd)[field] = json!(number);
        }
        meta(&mut odd)["regularMarketTime"] = json!(seconds);
        let result = &mut odd["chart"]["result"][0];
        result["timestamp"][0] = json!(seconds);
        result["indicators"]["quote"][0]["low"][0] = json!(number);
        read_bytes(odd.to_string().as_bytes());
    }
}

fn read_bytes(bytes: &[u8]) {
    if let Ok(answer) = serde_json::from_slice::<Answer>(bytes) {
        let _ = parse(answer, nvda(), Source::parse("yahoo").unwrap(), received_at());
    }
}

#[test]
fn half_hours_make_hours_and_hours_that_begin_at_the_half_are_left_out() {
    let mut answer = answer();
    meta(&mut answer)["dataGranularity"] = json!("30m");
    // 14:30, 15:00 and 15:30 UTC are 09:30 to 10:30 in New York; the fourth is a hole, the fifth is not over.
    answer["chart"]["result"][0]["timestamp"] =
        json!([1_705_933_800, 1_705_935_600, 1_705_937_400, 1_705_939_200, 1_705_942_800]);
    let hours = |answer: &Value| {
        let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
        let now = "2024-01-22T17:30:00Z".parse().unwrap();
        history(answer, nvda(), Source::parse("yahoo").unwrap(), now).unwrap()
    };
    answer["chart"]["result"][0]["indicators"]["quote"][0] = json!({
        "open": [10.0, 11.0, 12.0, null, 13.0], "high": [15.0, 16.0, 14.0, null, 14.0],
        "low": [9.0, 8.0, 11.0, null, 12.0], "close": [11.0, 12.0, 13.0, null, 13.5],
        "volume": [100.0, 200.0, 300.0, null, 400.0]
    });
    let found: Vec<String> = hours(&answer)
        .iter()
        .map(|hour| {
            let time = hour.time.format("%H:%M");
            format!("{time} {} {} {} {} {}", hour.open, hour.high, hour.low, hour.close, hour.volume.unwrap())
        })
        .collect();
    assert_eq!(found, ["14:00 10 15 9 11 100", "15:00 11 16 8 13 500"]);

    meta(&mut answer)["dataGranularity"] = json!("60m");
    let found: Vec<_> = hours(&answer).iter().map(|hour| hour.time.format("%H:%M").to_string()).collect();
    assert_eq!(found, ["15:00"], "the others begin at the half, or have no row, or are not over");
}
