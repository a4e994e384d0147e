//! `tapedeck backfill --daily` against a server that answers as Yahoo's chart endpoint does.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use chrono::{DateTime, NaiveDate};
use market::{AssetClass, sessions_between};
use serde_json::json;
use tokio::runtime::Runtime;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use crate::process::{stderr, tapedeck, wait_until};

/// A candle of each session of the span that is asked for.
fn chart(request: &Request) -> ResponseTemplate {
    let asked: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
    assert_eq!(asked["interval"], "1d");
    let date = |name: &str| -> NaiveDate {
        DateTime::from_timestamp(asked[name].parse().unwrap(), 0).unwrap().date_naive()
    };
    let sessions = sessions_between(AssetClass::Stock, date("period1"), date("period2").pred_opt().unwrap());
    let times: Vec<i64> = sessions.map(|session| session.open.timestamp()).collect();
    let prices = vec![101.5; times.len()];
    let quote = json!({"open": prices, "high": prices, "low": prices, "close": prices, "volume": vec![7_000; times.len()]});
    let symbol = request.url.path().rsplit('/').next().unwrap();
    let result = json!({"meta": {"symbol": symbol, "dataGranularity": "1d", "range": ""}, "timestamp": times,
                        "indicators": {"quote": [quote]}});
    ResponseTemplate::new(200).set_body_json(json!({"chart": {"result": [result], "error": null}}))
}

struct Provider {
    runtime: Runtime,
    server: MockServer,
}

impl Provider {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(MockServer::start());
        Self { runtime, server }
    }

    fn serve(&self, symbol: &str, delay: Duration) {
        let answer = move |request: &Request| chart(request).set_delay(delay);
        let of_symbol = path(format!("/v8/finance/chart/{symbol}"));
        self.runtime
            .block_on(Mock::given(method("GET")).and(of_symbol).respond_with(answer).mount(&self.server));
    }

    /// Symbols of the requests since the last reset.
    fn asked(&self) -> Vec<String> {
        let requests = self.runtime.block_on(self.server.received_requests()).unwrap();
        requests
            .iter()
            .filter_map(|request| request.url.path().rsplit('/').next().map(str::to_owned))
            .collect()
    }

    fn forget(&self) {
        self.runtime.block_on(self.server.reset());
    }

    fn command(&self, data: &Path, symbols: &str) -> std::process::Command {
        let mut command = tapedeck();
        command.args(["backfill", "--daily", "--years", "1", "--symbols", symbols, "--yahoo-url"]);
        command.args([&self.server.uri(), "--data"]).arg(data).stdin(Stdio::null());
        command
    }

    /// Whether it succeeded, and what it printed.
    fn backfill(&self, data: &Path, symbols: &str) -> (bool, String) {
        let done = self.command(data, symbols).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned() + &stderr(&done);
        (done.status.success(), text)
    }
}

#[test]
fn a_symbol_that_fails_is_reported_and_a_second_run_fetches_only_what_is_missing() {
    let (provider, folder) = (Provider::new(), tempfile::tempdir().unwrap());
    provider.serve("AAPL", Duration::ZERO);
    // NOPE is answered with 404.
    let (done, text) = provider.backfill(folder.path(), "NOPE,AAPL");
    assert!(!done, "one symbol failed: {text}");
    assert!(text.contains("NOPE         failed: yahoo:") && text.contains("404"), "{text}");
    let line = text.lines().find(|line| line.starts_with("AAPL")).unwrap_or_else(|| panic!("{text}"));
    let candles: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((245..=253).contains(&candles), "the sessions of a year: {line}");

    provider.forget();
    provider.serve("AAPL", Duration::ZERO);
    provider.serve("MSFT", Duration::ZERO);
    let (done, text) = provider.backfill(folder.path(), "AAPL,MSFT");
    assert!(done, "{text}");
    assert_eq!(provider.asked(), ["MSFT"], "{text}");
    assert!(text.contains(&format!("MSFT         {candles} daily candles")), "{text}");
}

#[test]
fn a_run_that_was_killed_is_continued() {
    let (provider, folder) = (Provider::new(), tempfile::tempdir().unwrap());
    provider.serve("AAPL", Duration::ZERO);
    provider.serve("MSFT", Duration::from_mins(10));
    let mut killed = provider.command(folder.path(), "AAPL,MSFT").stdout(Stdio::null()).spawn().unwrap();
    wait_until("the second symbol is requested", || provider.asked().iter().any(|symbol| symbol == "MSFT"));
    killed.kill().unwrap();
    killed.wait().unwrap();

    provider.forget();
    provider.serve("MSFT", Duration::ZERO);
    let (done, text) = provider.backfill(folder.path(), "AAPL,MSFT");
    assert!(done && text.contains("MSFT "), "{text}");
    assert_eq!(provider.asked(), ["MSFT"], "{text}");
}

#[test]
fn what_is_to_be_filled_in_must_be_named() {
    let done = tapedeck().args(["backfill", "--symbols", "AAPL"]).output().unwrap();
    assert!(!done.status.success() && stderr(&done).contains("--daily"), "{}", stderr(&done));
    let done = tapedeck().args(["backfill", "--daily", "--symbols", "AAPL,$$$"]).output().unwrap();
    assert!(!done.status.success() && stderr(&done).contains("$$$"), "{}", stderr(&done));
}
