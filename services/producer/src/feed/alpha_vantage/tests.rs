use market::parse_decimal;
use proptest::prelude::*;
use rstest::rstest;

use super::{
    parse::{Answer, ParseError, parse},
    schedule::{Calls, Known, Next, next},
    *,
};

/// In the form of the documentation's sample.
const QUOTE: &str = r#"{
    "Global Quote": {
        "01. symbol": "IBM",
        "02. open": "289.7600",
        "03. high": "291.2100",
        "04. low": "288.9500",
        "05. price": "290.4000",
        "06. volume": "3245310",
        "07. latest trading day": "2026-01-13",
        "08. previous close": "288.4200",
        "09. change": "1.9800",
        "10. change percent": "0.6865%"
    }
}"#;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).unwrap()
}

fn parsed(body: &str, received_at: &str) -> Result<Tick, ParseError> {
    let answer: Answer = serde_json::from_str(body).unwrap();
    parse(answer, symbol("IBM"), Source::parse("alpha_vantage").unwrap(), time(received_at))
}

#[test]
fn a_quote_is_a_tick() {
    let tick = parsed(QUOTE, "2026-01-13T21:30:00Z").unwrap();
    let decimals = [tick.price, tick.open, tick.high, tick.low, tick.volume];
    assert_eq!(
        decimals,
        ["290.4", "289.76", "291.21", "288.95", "3245310"].map(|text| parse_decimal(text).unwrap())
    );
    assert_eq!((tick.symbol.as_str(), tick.source.as_str(), tick.size), ("IBM", "alpha_vantage", None));
    assert!((tick.change_percent - 0.6865).abs() < 1e-9);
    assert_eq!(tick.seq, tick.received_at.timestamp_micros().unsigned_abs());
}

#[rstest]
#[case::during_the_session("2026-01-13T15:00:00Z", "2026-01-13T15:00:00Z")]
#[case::after_the_close("2026-01-13T21:30:00Z", "2026-01-13T21:00:00Z")]
#[case::before_the_next_session("2026-01-14T12:00:00Z", "2026-01-13T21:00:00Z")]
#[case::of_a_free_key_during_the_next_session("2026-01-14T15:00:00Z", "2026-01-13T21:00:00Z")]
#[case::never_in_the_future("2026-01-13T05:10:00Z", "2026-01-13T05:10:00Z")]
fn the_time_of_a_quote_follows_from_its_day(#[case] received_at: &str, #[case] expected: &str) {
    assert_eq!(parsed(QUOTE, received_at).unwrap().timestamp, time(expected));
}

#[test]
fn a_half_day_ends_early_and_a_day_without_a_session_had_one() {
    let day =
        |date: &str| parsed(&QUOTE.replace("2026-01-13", date), "2026-12-31T00:00:00Z").unwrap().timestamp;
    assert_eq!(day("2026-11-27"), time("2026-11-27T18:00:00Z"));
    assert_eq!(day("2026-07-03"), time("2026-07-03T20:00:00Z"));
}

#[test]
fn what_is_no_price_is_told_apart() {
    let error = |body: &str| parsed(body, "2026-01-13T21:30:00Z").unwrap_err();
    let note = r#"{"Note": "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute."}"#;
    let information = r#"{"Information": "We have detected your API key as KEY1 and our standard API rate limit is 25 requests per day."}"#;
    for body in [note, information] {
        assert!(matches!(error(body), ParseError::Throttled(_)), "{body}");
    }
    let key = r#"{"Error Message": "the parameter apikey is invalid or missing."}"#;
    assert!(matches!(error(key), ParseError::Key(_)));
    let call = r#"{"Error Message": "Invalid API call. Please retry or visit the documentation."}"#;
    assert!(matches!(error(call), ParseError::Refused(_)));
    assert!(matches!(error(r#"{"Global Quote": {}}"#), ParseError::UnknownSymbol));
    assert!(matches!(error("{}"), ParseError::Missing("Global Quote")));
    assert!(matches!(error(&QUOTE.replace("IBM", "IBN")), ParseError::OtherSymbol(_)));
    assert!(matches!(error(&QUOTE.replace("290.4000", "0.0000")), ParseError::Number("05. price")));
    assert!(matches!(error(&QUOTE.replace("290.4000", "None")), ParseError::Number("05. price")));
    assert!(matches!(error(&QUOTE.replace("0.6865%", "NaN%")), ParseError::Number("10. change percent")));
    assert!(matches!(error(&QUOTE.replace("2026-01-13", "yesterday")), ParseError::Day));
}

proptest! {
    #[test]
    fn no_answer_makes_the_parser_panic(text in "[ -~]{0,12}", field in 1_usize..=10) {
        let body = serde_json::from_str::<serde_json::Value>(QUOTE).unwrap();
        let mut quote = body["Global Quote"].as_object().unwrap().clone();
        let name = quote.keys().nth(field - 1).unwrap().clone();
        quote.insert(name, text.into());
        let body = serde_json::json!({ "Global Quote": quote }).to_string();
        let _ = parsed(&body, "2026-01-13T21:30:00Z");
    }
}

const NAMES: [&str; 7] = ["AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA"];

fn stocks() -> Vec<Symbol> {
    NAMES.map(symbol).to_vec()
}

/// Stocks whose newest price was received at this time, and is of it.
fn all_priced(at: &str) -> BTreeMap<Symbol, Known> {
    let known = Known { priced_at: Some(time(at)), asked_at: Some(time(at)), is_refused: false };
    stocks().into_iter().map(|symbol| (symbol, known)).collect()
}

/// Runs the plan from a time to another one; the requests. Each is answered with a price of now.
fn requests(
    known: &mut BTreeMap<Symbol, Known>,
    from: &str,
    to: &str,
    is_live: bool,
) -> Vec<(DateTime<Utc>, Symbol)> {
    let (mut now, end) = (time(from), time(to));
    let (mut calls, mut made) = (Calls { used: 0, limit: 20, last_at: None }, Vec::new());
    while now < end {
        let Next { at, symbol } = next(&stocks(), known, calls, now);
        if at > now {
            now = at;
            continue;
        }
        let symbol = symbol.expect("no waiting for what is past");
        made.push((now, symbol));
        let of_now = market::current_session(AssetClass::Stock, now).is_some().then_some(now);
        let closed = market::previous_session(AssetClass::Stock, now).map(|session| session.close);
        let known = known.entry(symbol).or_default();
        known.asked_at = Some(now);
        known.priced_at = if is_live { of_now.or(closed) } else { closed };
        calls = Calls { used: calls.used + 1, limit: 20, last_at: Some(now) };
        assert!(calls.used <= calls.limit);
        now += TimeDelta::seconds(1);
    }
    made
}

#[test]
fn the_calls_of_a_day_are_spread_over_the_session_in_turn() {
    let mut known = all_priced("2026-01-12T21:00:00Z");
    let made = requests(&mut known, "2026-01-13T00:00:00Z", "2026-01-14T00:00:00Z", true);
    assert_eq!(made.len(), 20, "{made:?}");
    let (close, during) =
        (time("2026-01-13T21:00:00Z"), |at: &DateTime<Utc>| *at < time("2026-01-13T21:00:00Z"));
    let live: Vec<_> = made.iter().filter(|(at, _)| during(at)).collect();
    // One call for each stock is kept for its close.
    assert_eq!((live.len(), live[0].0), (13, time("2026-01-13T14:30:00Z")));
    for (first, second) in live.iter().zip(live.iter().skip(1)) {
        let apart = second.0 - first.0;
        assert!((TimeDelta::minutes(25)..TimeDelta::minutes(35)).contains(&apart), "{apart}");
    }
    let names: Vec<_> = live.iter().take(8).map(|(_, symbol)| symbol.as_str()).collect();
    assert_eq!(names, [&NAMES[..], &["AAPL"]].concat());
    assert!(made[13].0 >= close + TimeDelta::minutes(15));
    assert!(known.values().all(|known| known.priced_at == Some(close)), "{known:?}");
}

#[test]
fn a_stock_without_a_price_is_requested_at_once_also_while_the_exchange_is_closed() {
    let mut known = BTreeMap::new();
    let made = requests(&mut known, "2026-01-10T10:00:00Z", "2026-01-10T11:00:00Z", true);
    assert_eq!(made.len(), 7);
    assert!(made.iter().all(|(at, _)| *at < time("2026-01-10T10:00:10Z")), "{made:?}");
    // They are those of the last close: nothing is new before Monday.
    let calls = Calls { used: 7, limit: 20, last_at: Some(time("2026-01-10T10:00:07Z")) };
    let monday = Next { at: time("2026-01-12T14:30:00Z"), symbol: None };
    assert_eq!(next(&stocks(), &known, calls, time("2026-01-10T11:00:00Z")), monday);
}

#[test]
fn a_close_that_is_not_there_yet_is_requested_again_within_the_calls() {
    // The quotes stay those of the day before.
    let mut known = all_priced("2026-01-09T21:00:00Z");
    let made = requests(&mut known, "2026-01-13T00:00:00Z", "2026-01-13T14:30:00Z", false);
    assert!(made.len() <= 10, "half of the calls are those of the session: {made:?}");
    for (first, second) in made.iter().zip(made.iter().skip(1)) {
        assert!(second.0 - first.0 >= TimeDelta::minutes(8), "{made:?}");
    }
}

#[test]
fn without_calls_the_next_is_at_midnight_and_an_unknown_stock_waits_a_day() {
    let now = time("2026-01-13T16:00:00Z");
    let none = Calls { used: 20, limit: 20, last_at: Some(now) };
    let midnight = Next { at: time("2026-01-14T00:00:00Z"), symbol: None };
    assert_eq!(next(&stocks(), &BTreeMap::new(), none, now), midnight);
    let refused = Known { priced_at: None, asked_at: Some(now), is_refused: true };
    let known: BTreeMap<_, _> = [(symbol("AAPL"), refused)].into();
    let some = Calls { used: 1, limit: 20, last_at: Some(now) };
    assert_eq!(next(&[symbol("AAPL")], &known, some, now), midnight);
    assert_eq!(next(&stocks(), &known, some, now).symbol, Some(symbol("MSFT")));
    let later = now + TimeDelta::days(1);
    assert_eq!(next(&[symbol("AAPL")], &known, some, later).symbol, Some(symbol("AAPL")));
}
