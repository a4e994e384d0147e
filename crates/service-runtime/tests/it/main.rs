//! What every service relies on.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use service_runtime::{Latency, Meter, Status, Tasks, install_metrics};
use tokio_util::sync::CancellationToken;
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

#[tokio::test]
async fn a_task_that_ends_by_itself_takes_the_others_down_and_is_named() {
    let shutdown = CancellationToken::new();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("patient", async move {
        shutdown.cancelled().await;
        Ok(())
    });
    tasks.spawn("hasty", async { Ok(()) });
    let error = tasks.join().await.unwrap_err();
    assert!(format!("{error:#}").contains("`hasty` ended by itself"), "{error:#}");
}

#[tokio::test]
async fn a_failure_and_a_panic_name_their_task() {
    let mut tasks = Tasks::new(CancellationToken::new());
    tasks.spawn("store", async { anyhow::bail!("no space left") });
    let error = tasks.join().await.unwrap_err();
    assert!(format!("{error:#}").contains("the task `store` failed: no space left"), "{error:#}");

    let mut tasks = Tasks::new(CancellationToken::new());
    tasks.spawn("parser", async { panic!("index out of range") });
    let error = tasks.join().await.unwrap_err();
    assert!(format!("{error:#}").contains("panicked"), "{error:#}");
}
