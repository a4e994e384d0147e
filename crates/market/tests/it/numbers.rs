use chrono::{DateTime, Utc};
use market::{
    DecimalError, Source, Symbol, Tick, TickError, TickFields, decimal_from_f64, decimal_to_f64,
    parse_decimal,
};
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;

#[rstest]
#[case("261.05", "261.05")]
#[case("260", "260")]
#[case("0.00000123", "0.00000123")]
#[case("1.2e-5", "0.000012")]
#[case("1E3", "1000")]
#[case("261.04999999999995", "261.05")]
#[case("0.1000000000000000055511151231257827", "0.1")]
#[case("999999999999999", "999999999999999")]
#[case("-0.5", "-0.5")]
fn numbers_are_read_to_15_digits(#[case] text: &str, #[case] value: &str) {
    assert_eq!(parse_decimal(text).unwrap().normalize().to_string(), value);
}

#[rstest]
#[case("NaN", DecimalError::NotFinite)]
#[case("Infinity", DecimalError::NotFinite)]
#[case("1e999", DecimalError::NotFinite)]
#[case("1e29", DecimalError::NotFinite)]
#[case("12,5", DecimalError::NotANumber)]
#[case("", DecimalError::NotANumber)]
#[case("0x10", DecimalError::NotANumber)]
#[case("1_000", DecimalError::NotANumber)]
fn what_is_no_number_is_refused(#[case] text: &str, #[case] reason: DecimalError) {
    assert_eq!(parse_decimal(text), Err(reason));
}

fn fields() -> TickFields {
    let time: DateTime<Utc> = "2026-01-13T15:30:00Z".parse().unwrap();
    TickFields {
        symbol: Symbol::parse("AAPL").unwrap(),
        timestamp: time,
        price: Decimal::new(26_105, 2),
        volume: Decimal::from(287_051),
        open: Decimal::new(26_022, 2),
        high: Decimal::new(26_135, 2),
        low: Decimal::new(26_019, 2),
        size: None,
        change_percent: 0.32,
        source: Source::parse("alpha_vantage").unwrap(),
        received_at: time,
        seq: 1842,
    }
}

#[test]
fn a_tick_knows_its_identity_and_its_distance_from_the_open() {
    let tick = Tick::new(fields()).unwrap();
    assert_eq!(tick.id(), "alpha_vantage:AAPL:1842");
    assert!((tick.price_change_pct() - (261.05 - 260.22) / 260.22 * 100.0).abs() < 1e-12);
}

#[test]
fn values_that_contradict_each_other_make_no_tick() {
    let refused = |change: fn(&mut TickFields)| {
        let mut fields = fields();
        change(&mut fields);
        Tick::new(fields).unwrap_err()
    };
    let zero = TickError::NotPositive { field: "price", value: Decimal::ZERO };
    assert_eq!(refused(|fields| fields.price = Decimal::ZERO), zero);
    assert_eq!(refused(|fields| fields.open = -Decimal::ONE).to_string(), "open must be above zero, not -1");
    assert_eq!(refused(|fields| fields.low = Decimal::from(300)).to_string(), "low 300 is above high 261.35");
    let negative = |field| TickError::Negative { field, value: -Decimal::ONE };
    assert_eq!(refused(|fields| fields.volume = -Decimal::ONE), negative("volume"));
    assert_eq!(refused(|fields| fields.size = Some(-Decimal::ONE)), negative("size"));
    assert_eq!(refused(|fields| fields.change_percent = f64::NAN), TickError::ChangeNotFinite);
    let out_of_range = |field| TickError::TimeOutOfRange { field };
    assert_eq!(refused(|fields| fields.timestamp = DateTime::<Utc>::MIN_UTC), out_of_range("timestamp"));
    assert_eq!(refused(|fields| fields.received_at = DateTime::<Utc>::MAX_UTC), out_of_range("received_at"));
}

#[test]
fn a_ticks_decimals_have_at_most_15_digits_whoever_made_them() {
    let long = Decimal::from_str_exact("123456789012.12345678").unwrap();
    let tick = Tick::new(TickFields { volume: long, ..fields() }).unwrap();
    assert_eq!(tick.volume.to_string(), "123456789012.123");
    assert_eq!(tick.price, fields().price);
}

proptest! {
    #[test]
    fn a_double_returns_every_decimal_of_15_digits(mantissa in -999_999_999_999_999_i64..=999_999_999_999_999, scale in 0_u32..=22) {
        let decimal = Decimal::new(mantissa, scale);
        prop_assert_eq!(decimal_from_f64(decimal_to_f64(decimal)), Some(decimal));
    }

    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC{0,40}") {
        let _ = parse_decimal(&text);
    }

    #[test]
    fn what_is_read_has_at_most_15_digits(text in "[0-9]{1,12}(\\.[0-9]{1,20})?") {
        let digits = parse_decimal(&text).unwrap().normalize().mantissa().unsigned_abs();
        prop_assert!(digits < 1_000_000_000_000_000);
    }
}
