use chrono::{DateTime, Utc};
use market::{Candle, CandleOrigin, CandleSource, Interval, Source, Symbol, Tick, TickFields};
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
    let rest = (time(), time(), -99.0..1e6_f64, 0..i64::MAX as u64);
    (symbol(), source(), prices, rest).prop_map(|(symbol, source, (price, volume, open, a, b), rest)| {
        let (timestamp, received_at, change_percent, seq) = rest;
        let (low, high) = (a.min(b), a.max(b));
        Tick::new(TickFields {
            symbol,
            timestamp,
            price,
            volume,
            open,
            high,
            low,
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
    (symbol(), source(), time(), [price(), price(), price(), price()], price(), kinds).prop_map(
        |(symbol, feed, time, mut prices, volume, (interval, is_final, is_built, ticks))| {
            prices.sort();
            let [low, open, close, high] = prices;
            let origin = if is_built { CandleOrigin::Ticks } else { CandleOrigin::Provider };
            let source = CandleSource { feed, origin };
            Candle { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final }
        },
    )
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
}
