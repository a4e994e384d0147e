use chrono::{DateTime, Utc};
use market::{
    Candle, CandleBuilder, CandleFields, CandleOrigin, CandleSource, CandleTiming, Interval, Source, Symbol,
    Tick, TickFields,
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use topics::{candle, tick};

fn symbol() -> impl Strategy<Value = Symbol> {
    "[A-Z]{1,5}|[A-Z]{3}\\.[AB]|[A-Z]{3,5}/(USDT|EUR)".prop_map(|text| Symbol::parse(&text).unwrap())
}

fn source() -> impl Strategy<Value = Source> {
    "[a-z][a-z0-9_-]{0,20}".prop_map(|text| Source::parse(&text).unwrap())
}

/// Above zero, at most 15 digits.
fn price() -> impl Strategy<Value = Decimal> {
    (1_i64..=999_999_999_999_999, 0_u32..=15).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

/// 1970 to 2099, microseconds.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..4_102_444_800_000_000).prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn ticks() -> impl Strategy<Value = Tick> {
    let prices = (price(), price(), price(), price(), price());
    let rest = (time(), time(), -99.0..1e6_f64, 0..i64::MAX as u64, prop::option::of(price()));
    (symbol(), source(), prices, rest).prop_map(|(symbol, source, (price, volume, open, a, b), rest)| {
        let (timestamp, received_at, change_percent, seq, size) = rest;
        let (low, high) = (a.min(b), a.max(b));
        Tick::new(TickFields {
            symbol,
            timestamp,
            price,
            volume,
            open,
            high,
            low,
            size,
            change_percent,
            source,
            received_at,
            seq,
        })
        .unwrap()
    })
}

fn candles() -> impl Strategy<Value = Candle> {
    let kinds =
        (prop::sample::select(Interval::ALL.to_vec()), prop::bool::ANY, prop::bool::ANY, any::<u64>());
    (symbol(), source(), time(), [price(), price(), price(), price()], prop::option::of(price()), kinds)
        .prop_map(|(symbol, feed, time, mut prices, volume, (interval, is_final, is_built, ticks))| {
            prices.sort();
            let [low, open, close, high] = prices;
            let origin = if is_built { CandleOrigin::Ticks } else { CandleOrigin::Provider };
            let source = CandleSource { feed, origin };
            let fields = CandleFields {
                symbol,
                interval,
                time,
                open,
                high,
                low,
                close,
                volume,
                ticks,
                source,
                is_final,
            };
            Candle::new(fields).unwrap()
        })
}

/// What has no business in a record, as text.
fn odd_values() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "NaN",
        "-Infinity",
        "1e999",
        "1e-999",
        "-0",
        "0.0",
        "1e28",
        "7.9e28",
        "1e-28",
        "-1",
        "18446744073709551616",
        "\"-262143-01-01T00:00:00\"",
        "\"+262142-12-31T23:59:59\"",
        "\"0000-01-01T00:00:00Z\"",
        "\"0001-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:60Z\"",
        "\"2026-01-13T15:30:00+23:59\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"BTC/USDT\"",
        "\"A\\u0041PL\"",
    ]);
    prop_oneof![
        known.prop_map(str::to_owned),
        "\\PC{0,20}",
        "\"[0-9TZ:. +-]{0,30}\"",
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?"
    ]
}

proptest! {
    #[test]
    fn a_tick_reads_back_as_it_was_written(tick in ticks()) {
        let mut written = Vec::new();
        tick::encode(&tick, &mut written);
        let end = "2100-01-01T00:00:00Z".parse().unwrap();
        prop_assert_eq!(tick::decode(&written, end), Ok(tick));
    }

    #[test]
    fn a_candle_reads_back_as_it_was_written(candle in candles()) {
        prop_assert_eq!(candle::decode(&candle::encode(&candle)).unwrap(), candle);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = tick::decode(&bytes, Utc::now());
        let _ = candle::decode(&bytes);
        let _ = topics::status::decode(&bytes);
    }

    #[test]
    fn a_damaged_tick_is_read_or_refused_without_panic(tick in ticks(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut written = Vec::new();
        tick::encode(&tick, &mut written);
        let place = place.index(written.len());
        written[place] = byte;
        let _ = tick::decode(&written, Utc::now());
        written.truncate(cut.index(written.len()));
        let _ = tick::decode(&written, Utc::now());
    }

    #[test]
    fn whatever_a_field_holds_the_record_is_refused_or_safe_to_reckon_with(
        tick in ticks(), field in 0_usize..12, value in odd_values(), now in time(),
    ) {
        let mut written = Vec::new();
        tick::encode(&tick, &mut written);
        let record: serde_json::Value = serde_json::from_slice(&written).unwrap();
        // Put back together as text, since the odd values are not all JSON.
        let fields: Vec<String> = record.as_object().unwrap().iter().enumerate().map(|(n, (name, held))| {
            if n == field { format!("\"{name}\":{value}") } else { format!("\"{name}\":{held}") }
        }).collect();
        let text = format!("{{{}}}", fields.join(","));
        if let Ok(read) = tick::decode(text.as_bytes(), now) {
            let mut builder = CandleBuilder::new(&Interval::ALL, CandleTiming::default());
            builder.apply(&read, now, &mut Vec::new());
            builder.advance(now, &mut Vec::new());
            let mut again = Vec::new();
            tick::encode(&read, &mut again);
            prop_assert_eq!(tick::decode(&again, now), Ok(read), "what was accepted can be passed on");
        }
    }
}
