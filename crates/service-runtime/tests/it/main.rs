//! What every service relies on.

// Clippy's allowance for tests does not cover their helper functions.
#![allow(clippy::unwrap_used)]

mod serving;
mod tasks;

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use service_runtime::{Latency, Meter, Status, install_metrics};
use topics::status::ComponentState;

#[test]
fn a_process_is_ready_when_all_its_parts_are() {
    let status = Status::new("web", "web-1", Utc::now());
    assert!(!status.is_ready(), "it has no parts yet");
    let (store, feed) = (status.component("store"), status.component("feed"));
    assert!(!status.is_ready());
    store.up("answers");
    feed.down("silent for 30 s");
    assert!(!status.is_ready());
    feed.up("12 symbols");
    assert!(status.is_ready());
    let snapshot = status.snapshot(Utc::now());
    assert!(snapshot.components.iter().all(|part| part.state == ComponentState::Up));
    // Staying up is not a change: since when it is up stays as it was.
    let since = snapshot.components[0].since;
    feed.up("13 symbols");
    assert_eq!(status.snapshot(Utc::now()).components[0].since, since);
}

#[test]
fn figures_are_read_by_name_and_replayed_latencies_do_not_count() {
    let status = Status::new("consumer", "consumer-1", Utc::now());
    let stored = status.report(Arc::new(Meter::labelled("tapedeck_test_total", "feed", "binance")));
    let latency = status.report(Arc::new(Latency::new("tapedeck_test_seconds")));
    stored.add(7);
    latency.record_live((1..=100).map(TimeDelta::milliseconds));
    latency.record_live([TimeDelta::days(400), TimeDelta::milliseconds(-5)]);
    let figures = status.snapshot(Utc::now()).figures;
    assert!((figures["tapedeck_test_total{binance}"] - 7.0).abs() < f64::EPSILON);
    assert!((figures["tapedeck_test_count"] - 101.0).abs() < f64::EPSILON);
    assert!((45.0..55.0).contains(&figures["tapedeck_test_p50_ms"]), "{figures:?}");
    assert!((95.0..105.0).contains(&figures["tapedeck_test_max_ms"]), "{figures:?}");
}

#[test]
fn the_metrics_registry_is_installed_once_whoever_comes_first() {
    let installing: Vec<_> = (0..8).map(|_| std::thread::spawn(|| install_metrics().is_ok())).collect();
    assert!(installing.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn two_services_of_a_process_do_not_replace_the_health_and_figures_of_each_other() {
    let process = Status::new("tapedeck", "tapedeck-1", Utc::now());
    process.component("event log").up("answers");
    let [consumer, alerts] = ["consumer", "alerts"].map(|service| process.for_service(service));
    assert!(!process.is_ready(), "neither service has a part yet");
    consumer.component("live store").up("answers");
    assert!(!process.is_ready(), "alerts has none yet");
    let store = alerts.component("live store");
    store.down("no space left");
    for (status, count) in [(&consumer, 3), (&alerts, 4)] {
        status.report(Arc::new(Meter::new("tapedeck_scoped_total"))).add(count);
    }

    let snapshot = process.snapshot(Utc::now());
    let parts: Vec<_> = snapshot
        .components
        .iter()
        .map(|part| (snapshot.service_of(part), part.name.as_str(), part.state))
        .collect();
    assert_eq!(
        parts,
        [
            ("tapedeck", "event log", ComponentState::Up),
            ("alerts", "live store", ComponentState::Down),
            ("consumer", "live store", ComponentState::Up),
        ]
    );
    assert!((snapshot.figures["alerts/tapedeck_scoped_total"] - 4.0).abs() < f64::EPSILON);
    assert!((snapshot.figure("tapedeck_scoped_total").sum::<f64>() - 7.0).abs() < f64::EPSILON);
    assert_eq!(consumer.snapshot(Utc::now()).components.len(), 3, "each shows the whole process");

    store.up("has room");
    assert!(process.is_ready() && alerts.is_ready());
}

#[test]
fn figures_are_exported_with_their_service() {
    let registry = install_metrics().unwrap();
    let process = Status::new("tapedeck", "tapedeck-1", Utc::now());
    for (service, count) in [("consumer", 3), ("alerts", 4)] {
        let meter = Arc::new(Meter::labelled("tapedeck_exported_total", "topic", "candles"));
        process.for_service(service).report(meter).add(count);
    }
    let text = registry.render();
    for line in [
        r#"tapedeck_exported_total{service="consumer",topic="candles"} 3"#,
        r#"tapedeck_exported_total{service="alerts",topic="candles"} 4"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
}
