use std::process::Stdio;

use serde_json::Value;

use crate::process::{Running, get, output, tapedeck, wait_until};

fn price(quotes: &Value) -> Option<f64> {
    quotes.pointer("/quotes/0/price").and_then(Value::as_f64)
}

#[test]
fn prices_move_candles_exist_at_once_and_ctrl_c_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(
        folder.path(),
        &["--provider", "simulated", "--simulated-rate", "100", "--watchlist", "AAPL,BTC/USDT"],
    );
    wait_until("AAPL has a price", || price(&running.get("/v1/quotes?symbols=AAPL")).is_some());
    let first = price(&running.get("/v1/quotes?symbols=AAPL"));
    wait_until("the price moves", || price(&running.get("/v1/quotes?symbols=AAPL")) != first);

    let candles = || running.get("/v1/candles?symbol=BTCUSDT&interval=1m");
    wait_until("a day of history is stored", || {
        candles()["candles"].as_array().is_some_and(|candles| candles.len() >= 500)
    });
    let candles = candles();
    let newest = candles["candles"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(newest["final"], false, "the candle in progress comes last: {newest}");
    assert_eq!(candles["symbol"], "BTC/USDT");

    let status = || tapedeck().args(["status", "--json", "--url", &running.url]).output().unwrap();
    wait_until("every part works", || status().status.success());
    let shown = status();
    let system: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert!(system["processes"].as_array().is_some_and(|processes| !processes.is_empty()), "{system}");

    wait_until("the screen of status is complete", || {
        let shown = tapedeck().args(["status", "--url", &running.url]).output().unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.lines().count() <= 24, "{text}");
        ["works", "2 live", "2 SIMULATED", "stored p50", "up ", "MB"].iter().all(|part| text.contains(part))
    });
    let tables = tapedeck().args(["status", "--metrics", "--url", &running.url]).output().unwrap();
    assert!(String::from_utf8(tables.stdout).unwrap().contains("tapedeck_ticks_stored_total"));
    assert!(running.interrupt().success());
}

#[test]
fn every_metric_has_a_description_and_lag_sizes_and_figures_of_the_process_are_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(
        folder.path(),
        &["--provider", "simulated", "--simulated-rate", "100", "--watchlist", "AAPL,BTC/USDT"],
    );
    let metrics = || get(&format!("{}/metrics", running.url)).unwrap();
    let expected = [
        "tapedeck_lag_records{topic=\"stock-prices\",partition=\"0\"}",
        "tapedeck_topic_records{topic=\"stock-prices\"}",
        "tapedeck_feed_stored_seconds_count",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ];
    wait_until("every metric is reported", || {
        let text = metrics();
        expected.iter().all(|name| text.lines().any(|line| line.starts_with(name)))
    });
    let text = metrics();
    let names = |kind: &str| -> std::collections::BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
        lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
    };
    let undescribed: Vec<_> = names("# TYPE ").difference(&names("# HELP ")).cloned().collect();
    assert!(undescribed.is_empty(), "add them to crates/service-runtime/src/metric_help.rs: {undescribed:?}");
}

#[test]
fn tail_prints_the_ticks_of_a_symbol() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(
        folder.path(),
        &["--provider", "simulated", "--simulated-rate", "50", "--watchlist", "AAPL"],
    );
    let mut tail =
        tapedeck().args(["tail", "aapl", "--url", &running.url]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(tail.stdout.take().unwrap()).lines().take(20).map(Result::unwrap).collect();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(lines.iter().all(|line| line.contains("AAPL") && line.contains("SIMULATED")), "{lines:?}");
    let distinct: std::collections::BTreeSet<&String> = lines.iter().collect();
    assert_eq!(distinct.len(), lines.len(), "a tick was printed twice");
}

#[test]
fn topics_and_records_are_listed_while_an_instance_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let running = Running::start(
        folder.path(),
        &["--provider", "simulated", "--simulated-rate", "100", "--watchlist", "AAPL"],
    );
    wait_until("a tick is stored", || price(&running.get("/v1/quotes?symbols=AAPL")).is_some());
    let list = output(&["topics", "--data", data, "list"]);
    let text = String::from_utf8(list.stdout).unwrap();
    for topic in ["stock-prices", "crypto-prices", "candles", "stock-prices.dlq", "service-status"] {
        assert!(text.contains(topic), "{topic} is missing:\n{text}");
    }
    let peek = output(&["topics", "--data", data, "peek", "stock-prices", "--max", "3"]);
    let text = String::from_utf8(peek.stdout).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!records.is_empty());
    assert!(records.iter().all(|record| record["value"]["symbol"] == "AAPL"), "{text}");
    wait_until("offsets are committed", || {
        let offsets = output(&["topics", "--data", data, "offsets"]);
        String::from_utf8(offsets.stdout).unwrap().contains("stock-prices[")
    });
}

#[test]
fn completions_are_printed_for_the_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = output(&["completions", shell]);
        assert!(printed.status.success());
        assert!(String::from_utf8(printed.stdout).unwrap().contains("tapedeck"));
    }
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(
        folder.path(),
        &["--provider", "simulated", "--simulated-rate", "50", "--watchlist", "AAPL"],
    );
    wait_until("AAPL has a price", || {
        running.get("/v1/quotes?symbols=AAPL")["quotes"].as_array().is_some_and(|quotes| !quotes.is_empty())
    });
    let data = folder.path().to_str().unwrap().to_owned();
    for args in [
        vec!["status", "--url", &running.url],
        vec!["topics", "--data", &data],
        vec!["tail", "AAPL", "--url", &running.url],
    ] {
        let mut command =
            tapedeck().args(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(command.stdout.take());
        let ended = command.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{args:?}: {ended:?}");
    }
}
