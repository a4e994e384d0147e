//! What a document has.

use std::{error::Error, fmt, time::Duration};

use serde_json::{Map, Value};
use tracing::{Level, debug, error, event, info, info_span, warn};
use tracing_elastic::Settings;

use crate::{logging, scripted::Scripted, settings};

/// The documents of what `log` logs, in order.
fn documents_with(settings: impl FnOnce(&str) -> Settings, log: impl FnOnce()) -> Vec<Value> {
    let server = Scripted::start();
    let logs = logging(settings(&server.url()), |_| log());
    assert!(logs.shutdown(Duration::from_secs(30)).is_settled());
    server.stored()
}

fn documents(log: impl FnOnce()) -> Vec<Value> {
    documents_with(|url| settings(url, "shop-logs"), log)
}

fn document(log: impl FnOnce()) -> Value {
    let mut all = documents(log);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn a_document_has_the_fields_of_the_schema_in_the_recommended_order() {
    let found = document(|| {
        let outer = info_span!("order", order = 17, symbol = "AAPL");
        let _outer = outer.enter();
        let inner = info_span!("payment", attempt = 2_u8);
        let _inner = inner.enter();
        warn!(target: "shop::till", amount = 12.5, is_late = true, "paid by {}", "card");
    });
    let expected = [
        ("log.level", "warn"),
        ("message", "paid by card"),
        ("ecs.version", "8.17.0"),
        ("service.name", "shop"),
        ("service.version", "1.4.0"),
        ("event.dataset", "shop"),
        ("host.name", "till-3"),
        ("log.logger", "shop::till"),
        ("log.origin.file.name", file!()),
        ("log.origin.function", module_path!()),
        ("span.name", "payment"),
    ];
    for (name, value) in expected {
        assert_eq!(found[name], value, "{name}");
    }
    assert_eq!(found["process.pid"], std::process::id());
    assert!(found["log.origin.file.line"].is_u64() && found["trace.id"].is_string());
    let labels = serde_json::json!({ "amount": "12.5", "is_late": "true", "attempt": "2", "order": "17", "symbol": "AAPL" });
    assert_eq!(found["labels"], labels);
    let time = found["@timestamp"].as_str().unwrap();
    assert!(time.len() == "2026-01-13T15:30:00.123456Z".len() && time.ends_with('Z'), "{time}");
}

#[test]
fn lines_of_one_operation_have_one_trace_id_unless_a_field_gives_one() {
    let found = documents(|| {
        for _ in 0..2 {
            let span = info_span!("order");
            let _span = span.enter();
            info!("begun");
            info_span!("payment").in_scope(|| info!("paid"));
        }
        info_span!("request", trace_id = "abc123").in_scope(|| info!("asked"));
        info!("no span");
    });
    let trace = |at: usize| found[at]["trace.id"].as_str();
    assert_eq!(trace(0), trace(1));
    assert_eq!(trace(2), trace(3));
    assert_ne!(trace(0), trace(2));
    assert_eq!((trace(4), trace(5)), (Some("abc123"), None));
}

#[derive(Debug)]
struct Failed(Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed {}", if self.0.is_some() { "outside" } else { "inside" })
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[test]
fn errors_have_their_sources() {
    let failed = Failed(Some(Box::new(Failed(None))));
    let found = documents(|| {
        error!(error = &failed as &(dyn Error + 'static), "not paid");
        error!(cause = &failed as &(dyn Error + 'static));
        error!(error = %failed, "not paid");
        error!(err = ?failed.0, "not paid");
        info!("fine");
    });
    for document in &found[..2] {
        assert_eq!(document["error.message"], "failed outside");
        assert_eq!(document["error.stack_trace"], "failed outside\ncaused by: failed inside");
    }
    assert_eq!(found[1].get("message"), None, "an event may have none");
    assert_eq!(found[2]["error.message"], "failed outside");
    assert_eq!(found[3]["error.message"], "Some(Failed(None))");
    assert!(found.iter().all(|document| document.get("labels").is_none()));
    assert_eq!(found[4].get("error.message"), None);
}

#[test]
fn odd_names_collisions_and_many_fields_spoil_no_document() {
    let found = documents(|| {
        let span = info_span!("outer", symbol = "outer", only_outer = 1, "a.b" = 1, message = "of the span");
        let _span = span.enter();
        info!(
            symbol = "inner",
            "a.b" = 2,
            a_b = 3,
            "x*y\\z" = 4,
            " " = 5,
            "quote\"d" = 6,
            "日本" = 7,
            "inner wins"
        );
    });
    let labels = found[0]["labels"].as_object().unwrap();
    let expected = serde_json::json!({
        "symbol": "inner", "only_outer": "1", "a_b": "2", "a_b_": "3", "x_y_z": "4", "_": "5", "quote\"d": "6", "日本": "7",
        "message": "of the span",
    });
    assert_eq!(Value::Object(labels.clone()), expected);
    assert_eq!(found[0]["message"], "inner wins");
}

#[test]
fn a_field_that_is_recorded_again_is_replaced() {
    let found = documents(|| {
        let span = info_span!("read", offset = tracing::field::Empty, topic = "ticks");
        let _span = span.enter();
        info!("without");
        for offset in 0..1_000 {
            span.record("offset", offset);
        }
        info!("with");
    });
    assert_eq!(found[0]["labels"], serde_json::json!({ "topic": "ticks" }));
    assert_eq!(found[1]["labels"], serde_json::json!({ "topic": "ticks", "offset": "999" }));
}

#[test]
fn long_texts_are_truncated_with_a_mark_and_a_document_stays_bounded() {
    let long = "ü".repeat(100_000);
    let found = documents(|| {
        info!(long = %long, "{long}");
        info!(a = %long, b = %long, c = %long, d = %long, e = %long, f = %long, "six");
    });
    for text in [&found[0]["message"], &found[0]["labels"]["long"]] {
        let text = text.as_str().unwrap();
        assert!(text.ends_with("ü [truncated]") && text.len() < 33_000, "{}", text.len());
    }
    let labels = found[1]["labels"].as_object().unwrap();
    assert_eq!(labels["left_out"], "3");
    assert!(serde_json::to_string(&found[1]).unwrap().len() < 200_000);
}

/// One event has at most 32 fields, its spans have no bound but ours.
#[test]
fn more_than_200_labels_are_counted_and_not_sent() {
    macro_rules! span {
        ($prefix:ident) => {
            info_span!(
                "nested",
                $prefix.n0 = 1,
                $prefix.n1 = 1,
                $prefix.n2 = 1,
                $prefix.n3 = 1,
                $prefix.n4 = 1,
                $prefix.n5 = 1,
                $prefix.n6 = 1,
                $prefix.n7 = 1,
                $prefix.n8 = 1,
                $prefix.n9 = 1,
                $prefix.n10 = 1,
                $prefix.n11 = 1,
                $prefix.n12 = 1,
                $prefix.n13 = 1,
                $prefix.n14 = 1,
                $prefix.n15 = 1,
                $prefix.n16 = 1,
                $prefix.n17 = 1,
                $prefix.n18 = 1,
                $prefix.n19 = 1,
                $prefix.n20 = 1,
                $prefix.n21 = 1,
                $prefix.n22 = 1,
                $prefix.n23 = 1,
                $prefix.n24 = 1,
                $prefix.n25 = 1,
                $prefix.n26 = 1,
                $prefix.n27 = 1,
                $prefix.n28 = 1,
                $prefix.n29 = 1
            )
        };
    }
    let found = document(|| {
        let a = span!(a).entered();
        let b = span!(b).entered();
        let c = span!(c).entered();
        let d = span!(d).entered();
        let e = span!(e).entered();
        let f = span!(f).entered();
        let g = span!(g).entered();
        info!("deep");
        drop((g, f, e, d, c, b, a));
    });
    let labels = found["labels"].as_object().unwrap();
    assert_eq!((labels.len(), &labels["left_out"]), (201, &"10".into()));
}

/// A value whose formatting logs, fails, or panics.
struct Odd(u8);

impl fmt::Debug for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => {
                debug!("logged while formatting");
                f.write_str("logs")
            }
            1 => {
                f.write_str("half")?;
                Err(fmt::Error)
            }
            _ => panic!("as the test wants"),
        }
    }
}

#[test]
fn values_whose_formatting_logs_or_fails_or_panics_spoil_nothing() {
    let found = documents(|| {
        info!(odd = ?Odd(0), "logs");
        info!(odd = ?Odd(1), "fails");
        let panicked = std::panic::catch_unwind(|| info!(odd = ?Odd(2), "panics"));
        assert!(panicked.is_err());
        info!("goes on");
    });
    let of = |message: &str| found.iter().find(|document| document["message"] == message);
    assert_eq!(of("logs").unwrap()["labels"]["odd"], "logs");
    assert_eq!(of("fails").unwrap()["labels"]["odd"], "half [formatting failed]");
    assert!(of("panics").is_none());
    assert_eq!(of("goes on").unwrap().get("labels"), None, "nothing is left of the event before");
}

#[test]
fn a_field_can_name_the_service() {
    let found = documents_with(
        |url| Settings { service_field: Some("service"), ..settings(url, "shop-logs") },
        || {
            info_span!("part", service = "till").in_scope(|| info!("of the till"));
            info!(service = "stock", "of the stock");
            info!("of the process");
        },
    );
    let of: Vec<_> =
        found.iter().map(|document| (&document["service.name"], &document["event.dataset"])).collect();
    for (found, expected) in of.into_iter().zip(["till", "stock", "shop"]) {
        assert_eq!(found, (&expected.into(), &expected.into()));
    }
}

#[test]
fn levels_are_lower_case() {
    let found = documents(|| {
        event!(Level::ERROR, "1");
        event!(Level::WARN, "2");
        event!(Level::INFO, "3");
        event!(Level::DEBUG, "4");
        event!(Level::TRACE, "5");
    });
    let levels: Vec<&str> = found.iter().map(|document| document["log.level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["error", "warn", "info", "debug", "trace"]);
}

/// Every name that the specification of ECS loggers requires, with its type, and no others of its name space with another type.
#[test]
fn what_the_specification_of_ecs_loggers_requires_is_there() {
    let found = document(|| info!("paid"));
    let document: &Map<String, Value> = found.as_object().unwrap();
    for required in ["@timestamp", "log.level", "ecs.version"] {
        assert!(document[required].is_string(), "{required}");
    }
    assert!(document["message"].is_string() && document["log.origin.file.line"].is_u64());
}
