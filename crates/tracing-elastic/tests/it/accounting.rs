//! accepted = indexed + already there + dead-lettered + dropped, whatever happens.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracing::{info, warn};
use tracing_elastic::{Counts, Health, Settings};

use crate::{DEADLINE, logging, scripted::Scripted, settings, wait_until, with_dead_letters};

const STREAM: &str = "shop-logs";

/// The counts after the shutdown, which must add up.
fn settled(logs: tracing_elastic::Logs) -> Counts {
    let counts = logs.shutdown(Duration::from_secs(30));
    assert!(counts.is_settled() && counts.queued == 0 && counts.queued_bytes == 0, "{counts:?}");
    counts
}

fn log_numbers(count: usize) {
    for number in 0..count {
        info!(number, "line {number}");
    }
}

fn messages(documents: &[Value]) -> Vec<&str> {
    documents.iter().filter_map(|document| document["message"].as_str()).collect()
}

/// The lines of a dead-letter file.
fn dead_letters(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An address where nothing listens.
fn nowhere() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn every_event_is_indexed_once_in_few_requests() {
    let server = Scripted::start();
    let logs = logging(settings(&server.url(), STREAM), |_| log_numbers(10_000));
    let counts = settled(logs);
    assert_eq!((counts.accepted, counts.indexed), (10_000, 10_000));
    assert_eq!(server.stored().len(), 10_000);
    assert!(server.request_count() < 500, "{}", server.request_count());
    assert_eq!(server.template_count(), 1);
}

#[test]
fn events_of_many_threads_are_indexed_once() {
    let server = Scripted::start();
    let (layer, logs) = tracing_elastic::start(settings(&server.url(), STREAM), None).unwrap();
    let dispatch = tracing::Dispatch::new(crate::subscriber(layer));
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| tracing::dispatcher::with_default(&dispatch, || log_numbers(1_000)));
        }
    });
    assert_eq!(settled(logs).indexed, 8_000);
    assert_eq!(server.stored().len(), 8_000);
}

#[test]
fn of_mixed_results_only_429_and_5xx_are_retried_and_the_rest_is_dead_lettered_with_its_reason() {
    let server = Scripted::start();
    server.items(|document, tries| {
        let number: u32 = document["labels"]["number"].as_str().unwrap().parse().unwrap();
        match (number % 5, tries) {
            (1, 0..3) => 429,
            (2, 0..2) => 503,
            (3, _) => 400,
            _ => 201,
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.jsonl");
    let logs = logging(with_dead_letters(settings(&server.url(), STREAM), &file), |_| log_numbers(100));
    let counts = settled(logs);
    assert_eq!((counts.indexed, counts.dead_lettered, counts.dropped), (80, 20, 0));
    for (message, times) in [("line 0", 1), ("line 1", 4), ("line 2", 3), ("line 3", 1)] {
        assert_eq!(server.sent(message), times, "{message}");
    }
    let refused = dead_letters(&file);
    assert_eq!(refused.len(), 20);
    for line in &refused {
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&400.into(), &"as_wanted: the test wants 400".into())
        );
        assert!(line["action"]["create"]["_id"].is_string() && line["document"]["@timestamp"].is_string());
    }
}

#[test]
fn a_request_whose_answer_is_lost_is_sent_again_and_doubles_nothing() {
    let server = Scripted::start();
    server.loses_answers();
    server.requests(|_, before| (before < 3).then_some(503));
    let logs = logging(settings(&server.url(), STREAM), |_| log_numbers(50));
    let counts = settled(logs);
    assert_eq!(counts.already_there + counts.indexed, 50);
    assert!(counts.already_there > 0, "{counts:?}");
    assert_eq!(server.stored().len(), 50);
}

#[test]
fn whole_requests_are_retried_after_429_and_5xx_and_refused_logins() {
    for status in [401, 403, 404, 429, 500, 502] {
        let server = Scripted::start();
        server.requests(move |_, before| (before < 2).then_some(status));
        let counts = settled(logging(settings(&server.url(), STREAM), |_| log_numbers(10)));
        assert_eq!((counts.indexed, counts.dead_lettered), (10, 0), "{status}");
    }
}

#[test]
fn a_request_that_is_too_large_is_split_until_the_document_is_found() {
    let server = Scripted::start();
    server.requests(|documents, _| (documents > 3).then_some(413));
    let counts = settled(logging(settings(&server.url(), STREAM), |_| log_numbers(100)));
    assert_eq!(counts.indexed, 100);
    assert_eq!(server.stored().len(), 100);

    let server = Scripted::start();
    server.requests(|_, _| Some(413));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.jsonl");
    let counts =
        settled(logging(with_dead_letters(settings(&server.url(), STREAM), &file), |_| log_numbers(9)));
    assert_eq!(counts.dead_lettered, 9);
    assert!(dead_letters(&file).iter().all(|line| line["reason"].as_str().unwrap().contains("413")));
}

#[test]
fn an_absent_server_does_not_delay_the_caller_and_what_does_not_fit_is_dropped_and_reported() {
    let server = Scripted::start();
    // Refuses until everything is logged.
    let (open, opened) = std::sync::mpsc::channel::<()>();
    let mut is_open = false;
    server.requests(move |_, _| {
        is_open |= opened.try_recv().is_ok();
        (!is_open).then_some(503)
    });
    let mut settings = settings(&server.url(), STREAM);
    settings.limits.queue_max_documents = 1_000;
    let logs = logging(settings, |logs| {
        log_numbers(10_000);
        let counts = logs.monitor().counts();
        // A batch that is taken meanwhile carries a document about those that were dropped before it.
        assert!(counts.accepted >= 10_000 && counts.queued <= 1_001, "{counts:?}");
        assert_eq!(counts.queued + counts.dropped, counts.accepted);
        wait_until("health is down", || matches!(logs.monitor().health(), Health::Down(_)));
        let Health::Down(reason) = logs.monitor().health() else { panic!("up") };
        assert!(reason.contains("503") && reason.contains("as the test wants"), "{reason}");
    });
    open.send(()).unwrap();
    let monitor = logs.monitor();
    assert!(monitor.flush(DEADLINE));
    let counts = settled(logs);
    let stored = server.stored();
    let reported = |document: &Value| document["labels"]["dropped"].as_str()?.parse::<u64>().ok();
    let notices: Vec<u64> = stored.iter().filter_map(reported).collect();
    assert_eq!(counts.accepted, 10_000 + notices.len() as u64);
    assert_eq!((counts.indexed, counts.indexed + counts.dropped), (stored.len() as u64, counts.accepted));
    assert_eq!(notices.iter().sum::<u64>(), counts.dropped, "each is reported once");
    assert_eq!(monitor.health(), Health::Up);
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let mut settings = settings(&nowhere(), STREAM);
    settings.limits.queue_max_bytes = 100_000;
    let logs = logging(settings, |logs| {
        let long = "x".repeat(30_000);
        for _ in 0..10 {
            warn!("{long}");
        }
        let counts = logs.monitor().counts();
        // Three fit, besides a document about those that do not.
        assert!((3..=4).contains(&counts.queued) && counts.dropped == 7, "{counts:?}");
        assert!(counts.queued_bytes <= 101_000, "{counts:?}");
    });
    assert!(logs.shutdown(Duration::from_millis(50)).is_settled());
}

#[test]
fn a_shutdown_without_a_server_is_bounded_and_keeps_what_is_left_in_the_dead_letter_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("left.jsonl");
    let logs = logging(with_dead_letters(settings(&nowhere(), STREAM), &file), |_| log_numbers(100));
    let begun = Instant::now();
    let counts = logs.shutdown(Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(counts.is_settled());
    assert_eq!(counts.dead_lettered, 100);
    let left = dead_letters(&file);
    assert!(left.len() == 100 && left[0]["reason"].as_str().unwrap().contains("not sent"), "{}", left[0]);

    let logs = logging(settings(&nowhere(), STREAM), |_| log_numbers(100));
    let counts = logs.shutdown(Duration::from_millis(300));
    assert!(counts.is_settled() && counts.dropped == 100, "without a file: {counts:?}");
}

#[test]
fn the_dead_letter_file_is_bounded_and_never_has_half_a_line() {
    let server = Scripted::start();
    server.items(|_, _| 400);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.jsonl");
    let bounded = |max_bytes| {
        let mut settings = with_dead_letters(settings(&server.url(), STREAM), &file);
        settings.dead_letters.as_mut().unwrap().max_bytes = max_bytes;
        settings
    };
    let counts = settled(logging(bounded(10_000), |_| log_numbers(100)));
    let lines = dead_letters(&file).len() as u64;
    assert!(lines > 5 && fs::metadata(&file).unwrap().len() <= 10_000);
    assert_eq!((counts.dead_lettered, counts.dropped), (lines, 100 - lines));
    // The bound holds for the file, not for a process.
    let counts = settled(logging(bounded(10_000), |_| log_numbers(10)));
    assert_eq!(counts.dropped, 10);
}

#[test]
fn a_missing_template_is_set_up_and_one_that_vanished_is_set_up_again() {
    let server = Scripted::start();
    let logs = logging(settings(&server.url(), STREAM), |logs| {
        log_numbers(1);
        assert!(logs.monitor().flush(DEADLINE));
        assert_eq!(server.template_count(), 1);
        server.forget_template();
        let mut is_first = true;
        server.items(move |_, _| if std::mem::take(&mut is_first) { 404 } else { 201 });
        log_numbers(1);
    });
    assert_eq!(settled(logs).indexed, 2);
    assert_eq!(server.template_count(), 2);
}

#[test]
fn a_page_of_another_server_is_no_success() {
    let server = Scripted::start();
    server.requests(|_, before| (before == 0).then_some(200));
    let counts = settled(logging(settings(&server.url(), STREAM), |_| log_numbers(10)));
    assert_eq!(counts.indexed, 10);
    assert_eq!(messages(&server.stored()).len(), 10);
}

#[test]
fn credentials_are_sent_and_a_user_of_the_url_takes_precedence() {
    use tracing_elastic::Credentials;
    let server = Scripted::start();
    let send = |settings: Settings| assert_eq!(settled(logging(settings, |_| log_numbers(1))).indexed, 1);
    let of = |credentials| Settings { credentials, ..settings(&server.url(), STREAM) };
    let basic = Credentials::Basic { user: "me".to_owned(), password: "hush".to_owned().into() };
    send(of(Credentials::ApiKey("aWQ6a2V5".to_owned().into())));
    send(of(basic.clone()));
    let mut with_user = of(basic);
    with_user.url = server.url().replace("http://", "http://you:p%40ss@").into();
    send(with_user);
    let sent = server.headers("authorization");
    // Base64 of `me:hush` and `you:p@ss`.
    for expected in ["ApiKey aWQ6a2V5", "Basic bWU6aHVzaA==", "Basic eW91OnBAc3M="] {
        assert!(sent.iter().any(|header| header == expected), "{expected}");
    }
    assert!(server.headers("content-encoding").iter().all(|encoding| encoding == "gzip"));
}

#[test]
fn events_after_the_shutdown_are_dropped_and_counted() {
    let server = Scripted::start();
    let (layer, logs) = tracing_elastic::start(settings(&server.url(), STREAM), None).unwrap();
    let monitor = logs.monitor();
    tracing::subscriber::with_default(crate::subscriber(layer), || {
        log_numbers(5);
        assert_eq!(logs.shutdown(DEADLINE).indexed, 5);
        log_numbers(3);
    });
    let counts = monitor.counts();
    assert!(counts.is_settled() && counts.dropped == 3, "{counts:?}");
    assert!(monitor.flush(Duration::ZERO), "there is nothing to wait for");
}
