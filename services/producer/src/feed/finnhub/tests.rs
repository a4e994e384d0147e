use market::parse_decimal;
use proptest::prelude::*;
use rstest::rstest;

use super::{
    parse::{Answer, ParseError, parse},
    *,
};

/// The documentation's sample.
const QUOTE: &str = r#"{"c": 261.74, "d": 1.2, "dp": 0.4606, "h": 263.31, "l": 260.68, "o": 261.07, "pc": 259.45, "t": 1582641000}"#;
/// Of a symbol that it does not have.
const UNKNOWN: &str = r#"{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}"#;

fn parsed(body: &str) -> Result<Tick, ParseError> {
    let answer: Answer = serde_json::from_str(body).unwrap();
    let source = Source::parse("finnhub").unwrap();
    parse(&answer, Symbol::parse("AAPL").unwrap(), source, "2026-01-13T15:00:00Z".parse().unwrap())
}

#[test]
fn a_quote_is_a_tick_without_a_volume() {
    let tick = parsed(QUOTE).unwrap();
    let decimals = [tick.price, tick.open, tick.high, tick.low, tick.volume];
    assert_eq!(
        decimals,
        ["261.74", "261.07", "263.31", "260.68", "0"].map(|text| parse_decimal(text).unwrap())
    );
    assert_eq!((tick.timestamp.timestamp(), tick.size, tick.change_percent), (1_582_641_000, None, 0.4606));
    assert_eq!(tick.seq, tick.received_at.timestamp_micros().unsigned_abs());
}

#[test]
fn before_the_first_trade_of_a_day_its_figures_are_those_of_the_price() {
    let tick = parsed(
        r#"{"c": 261.74, "d": null, "dp": null, "h": 0, "l": 0, "o": 0, "pc": 259.45, "t": 1582641000}"#,
    );
    let tick = tick.unwrap();
    assert_eq!([tick.open, tick.high, tick.low], [tick.price; 3]);
    assert!((tick.change_percent - 0.8826).abs() < 1e-9);
}

#[rstest]
#[case(UNKNOWN, "it has no quote of the symbol")]
#[case("{}", "c is missing")]
#[case(r#"{"c": 261.74}"#, "t is missing")]
#[case(r#"{"c": -1, "t": 1582641000}"#, "c is no usable number")]
#[case(r#"{"c": 261.74, "t": 0}"#, "t is no usable number")]
#[case(r#"{"c": 261.74, "t": 99999999999999}"#, "t is no usable number")]
fn what_is_no_price_is_refused(#[case] body: &str, #[case] reason: &str) {
    assert_eq!(parsed(body).unwrap_err().to_string(), reason);
}

proptest! {
    #[test]
    fn no_number_makes_the_parser_panic(c in any::<f64>(), h in any::<f64>(), dp in any::<f64>(), t in any::<i64>()) {
        let body = serde_json::json!({ "c": c, "h": h, "l": h, "o": dp, "dp": dp, "pc": h, "t": t });
        let _ = parsed(&body.to_string());
    }
}
