use chrono::{DateTime, Utc};
use market::SymbolError;
use serde::Deserialize;
use topics::{
    alert, candle, quoted_candle, status,
    tick::{self, TickDecodeError},
};

/// Half an hour after the samples.
fn now() -> DateTime<Utc> {
    "2026-01-13T16:00:00Z".parse().unwrap()
}

#[test]
fn the_golden_ticks_are_read_and_written_back_byte_for_byte() {
    for sample in [
        include_str!("../../../../schema/kafka/tick.json"),
        include_str!("../../../../schema/kafka/tick-crypto.json"),
    ] {
        let tick = tick::decode(sample.trim().as_bytes(), now()).unwrap();
        let mut written = Vec::new();
        tick::encode(&tick, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), sample.trim());
    }
}

#[test]
fn the_golden_candles_are_read_and_written_back_byte_for_byte() {
    for sample in [
        include_str!("../../../../schema/kafka/candle.json"),
        include_str!("../../../../schema/kafka/candle-unknown-volume.json"),
    ] {
        let candle = candle::decode(sample.trim().as_bytes()).unwrap();
        assert_eq!(String::from_utf8(candle::encode(&candle)).unwrap(), sample.trim());
    }
}

#[test]
fn the_golden_alerts_are_read_and_written_back_byte_for_byte() {
    for sample in [
        include_str!("../../../../schema/kafka/alert-opened.json"),
        include_str!("../../../../schema/kafka/alert-closed.json"),
    ] {
        let record = alert::decode(sample.trim().as_bytes()).unwrap();
        assert_eq!(String::from_utf8(alert::encode(&record)).unwrap(), sample.trim());
        let changed = sample.replace("\"threshold\"", "\"level\"");
        let error = alert::decode(changed.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("threshold"), "{error}");
    }
    assert!(alert::decode(b"[]").unwrap_err().to_string().contains("does not begin with"));
    assert!(matches!(
        alert::decode(&vec![b' '; alert::MAX_BYTES + 1]),
        Err(alert::AlertDecodeError::TooLarge(_))
    ));
}

#[test]
fn a_tick_without_a_size_has_an_unknown_one_and_null_means_the_same() {
    let sample = include_str!("../../../../schema/kafka/tick.json");
    let read = |record: &str| tick::decode(record.as_bytes(), now()).unwrap();
    assert_eq!(read(sample).size, None);
    assert_eq!(read(&sample.replace("\"seq\"", "\"size\":null,\"seq\"")), read(sample));
    let crypto = include_str!("../../../../schema/kafka/tick-crypto.json");
    assert_eq!(read(crypto).size.map(|size| size.to_string()).as_deref(), Some("0.00512"));
}

#[derive(Deserialize)]
struct Refused {
    reason: String,
    payload: String,
}

#[test]
fn every_refusal_names_the_field_and_the_reason() {
    for line in include_str!("../../../../schema/kafka/refused.jsonl").lines() {
        let Refused { reason, payload } = serde_json::from_str(line).unwrap();
        let error = tick::decode(payload.as_bytes(), now()).expect_err(&payload).to_string();
        assert!(error.contains(&reason), "`{error}` does not say `{reason}` of {payload}");
    }
}

#[test]
fn what_the_readers_of_dead_letters_match_on_are_typed_reasons() {
    let sample = include_str!("../../../../schema/kafka/tick.json").trim();
    let refused =
        |from: &str, to: &str| tick::decode(sample.replace(from, to).as_bytes(), now()).unwrap_err();
    assert_eq!(
        refused("\"change_percent\":0.32", "\"change_percent\":null"),
        TickDecodeError::WrongType { field: "change_percent", expected: "number", found: "null" }
    );
    assert_eq!(refused("\"price\":261.05,", ""), TickDecodeError::MissingField("price"));
    assert_eq!(refused("\"price\":261.05", "\"price\":NaN"), TickDecodeError::NotFinite("price"));
    assert_eq!(refused("\"low\"", "\"high\""), TickDecodeError::DuplicateField("high"));
    assert_eq!(refused("1842", "-1"), TickDecodeError::BadSeq);
    assert_eq!(refused("AAPL", " "), TickDecodeError::BadSymbol(SymbolError::Empty));
    assert_eq!(refused("15:30:00Z", "16:05:00.000001Z"), TickDecodeError::FromTheFuture(300));
    assert!(
        tick::decode(sample.replace("15:30:00Z", "16:05:00Z").as_bytes(), now()).is_ok(),
        "5 minutes are allowed"
    );
}

#[test]
fn what_is_no_text_or_too_long_is_refused() {
    assert_eq!(tick::decode(&[b'{', 0xff], now()), Err(tick::TickDecodeError::NotUtf8(1)));
    let long = vec![b' '; tick::MAX_BYTES + 1];
    assert_eq!(tick::decode(&long, now()), Err(tick::TickDecodeError::TooLarge(65_537)));
}

#[test]
fn a_time_without_zone_is_utc_and_one_with_an_offset_is_converted() {
    let sample = include_str!("../../../../schema/kafka/tick.json");
    let expected: DateTime<Utc> = "2026-01-13T15:30:00Z".parse().unwrap();
    for text in ["2026-01-13T15:30:00", "2026-01-13 15:30:00", "2026-01-13T10:30:00-05:00"] {
        let changed = sample.replace("2026-01-13T15:30:00Z", text);
        assert_eq!(tick::decode(changed.as_bytes(), now()).unwrap().timestamp, expected, "{text}");
    }
}

#[test]
fn fields_that_are_not_known_are_passed_over_and_long_doubles_rounded() {
    let sample = include_str!("../../../../schema/kafka/tick.json");
    let changed =
        sample.replace("261.05", "261.04999999999995").replace("\"seq\"", "\"venue\":{\"a\":[1]},\"seq\"");
    assert_eq!(tick::decode(changed.as_bytes(), now()).unwrap().price.to_string(), "261.05");
}

#[test]
fn bars_that_contradict_themselves_are_refused() {
    let sample = include_str!("../../../../schema/kafka/candle.json");
    for (from, to, reason) in [
        ("\"low\":91244.02", "\"low\":91300", "do not enclose"),
        ("\"open\":91250.17", "\"open\":0", "open must be above zero"),
        ("\"volume\":12.48031", "\"volume\":-1", "volume must not be negative"),
        ("\"interval\":\"1m\"", "\"interval\":\"2m\"", "2m"),
        ("\"close\":91288.0,", "", "missing field `close`"),
        ("\"volume\":12.48031,", "", "missing field `volume`"),
        ("\"open\":91250.17", "\"open\":1e999", "finite"),
        ("\"open\":91250.17", "\"open\":\"91250.17\"", "not a number"),
        ("\"2026-", "\"-200000-", "years 0 to 9999"),
        ("BTC/USDT", "$", "neither a stock"),
        ("binance/ticks", "Binance", "no source name"),
    ] {
        let changed = sample.replace(from, to);
        assert_ne!(changed, sample);
        let error = candle::decode(changed.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "`{error}` does not say `{reason}`");
    }
}

#[test]
fn only_a_candle_of_a_provider_is_a_quoted_one() {
    let sample = include_str!("../../../../schema/kafka/candle.json").trim();
    let built = quoted_candle::decode(sample.as_bytes()).unwrap_err().to_string();
    assert!(built.contains("`binance/ticks`"), "{built}");
    let quoted = include_str!("../../../../schema/kafka/candle-quoted.json").trim();
    let candle = quoted_candle::decode(quoted.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(quoted_candle::encode(&candle)).unwrap(), quoted);
}

#[test]
fn a_status_reads_back() {
    let text = r#"{"service":"web","instance":"web-1","version":"0.1.0","started_at":"2026-01-13T15:30:00Z","at":"2026-01-13T15:30:02Z","components":[{"name":"live store","state":"up","detail":"answers","since":"2026-01-13T15:30:00Z"}],"figures":{"tapedeck_ticks_stored_total":12.0}}"#;
    let status = status::decode(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(status::encode(&status).unwrap()).unwrap(), text);
    assert!(status::decode(b"{}").is_err());
}

#[test]
fn a_bar_or_tick_written_as_an_array_or_in_another_encoding_is_refused() {
    let bar = br#"["BTC/USDT","1m","2026-01-13T15:30:00Z",1,1,1,1,1,1,"binance",true]"#;
    assert!(candle::decode(bar).unwrap_err().to_string().contains("does not begin with `{`"));
    assert!(candle::decode(b"{\xff}").unwrap_err().to_string().contains("not UTF-8"));
    let long = vec![b' '; candle::MAX_BYTES + 1];
    assert!(matches!(candle::decode(&long), Err(candle::CandleDecodeError::TooLarge(65_537))));
}

#[test]
fn every_topic_has_its_dead_letters_which_are_kept_for_30_days() {
    let days = |topic: &topics::TopicDefinition| topic.retention.as_secs() / 86_400;
    let alerts = topics::ALL.into_iter().find(|topic| topic.name == alert::TOPIC).unwrap();
    assert_eq!((alerts.partitions, days(&alerts)), (3, 30));
    let find = |name: &str| topics::all_with_dead_letters().find(|topic| topic.name == name);
    assert!(find("service-status").is_some() && find("service-status.dlq").is_none());
    for name in [tick::STOCK_PRICES, tick::CRYPTO_PRICES, candle::TOPIC, quoted_candle::TOPIC] {
        let topic = find(name).unwrap();
        assert_eq!((topic.partitions, days(&topic)), (3, 7), "{name}");
        let letters = find(&format!("{name}.dlq")).unwrap();
        assert_eq!((letters.partitions, days(&letters)), (3, 30), "{name}");
    }
}
