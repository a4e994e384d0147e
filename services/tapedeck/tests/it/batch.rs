//! `tapedeck batch`: recorded days become rows of the analytics store.

use std::path::Path;

use tempfile::TempDir;

use crate::process::{output, stderr};

/// Thirty daily candles of AAPL, as Yahoo Finance has them (`crates/indicators/tests/fixtures` has the closes).
pub(crate) fn recording(folder: &Path) -> std::path::PathBuf {
    let closes = include_str!("../../../../crates/indicators/tests/fixtures/AAPL.csv");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [date, high, low, close] = [0, 1, 2, 3].map(|place| cells[place]);
        format!("{date},{close},{high},{low},{close},{close},1000")
    };
    let header = "Date,Open,High,Low,Close,Adj Close,Volume".to_owned();
    let rows: Vec<String> = [header].into_iter().chain(closes.lines().skip(1).take(30).map(row)).collect();
    let file = folder.join("AAPL.csv");
    std::fs::write(&file, rows.join("\n")).unwrap();
    file
}

fn run(data: &Path, args: &[&str]) -> (bool, String) {
    let args = [&["batch"], args, &["--data", data.to_str().unwrap()]].concat();
    let done = output(&args);
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &stderr(&done);
    (done.status.success(), text)
}

#[test]
fn recorded_days_are_aggregated_by_hand_and_once() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let file = recording(folder.path());
    let replayed = output(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(replayed.status.success(), "{}", stderr(&replayed));

    let (done, text) = run(&data, &["run"]);
    assert!(done, "{text}");
    assert!(text.contains("30 days computed from 120 ticks"), "{text}");
    // SMA 20 and RSI 14 of 2021-02-01, as TA-Lib has them.
    let row = text.lines().find(|line| line.contains("2021-02-01")).unwrap();
    assert!(row.contains("134.139999") && row.contains("133.09") && row.contains("52.35"), "{row}");

    let (done, text) = run(&data, &["run"]);
    assert!(done && text.contains(", 0 rows written"), "{text}");
    let (done, text) = run(&data, &["status"]);
    assert!(done && text.lines().filter(|line| line.contains("done")).count() == 2, "{text}");
    let (done, text) = run(&data, &["run", "--date", "2021-02-01", "--symbol", "MSFT"]);
    assert!(!done && text.contains("neither ticks nor candles of MSFT"), "{text}");
    let (done, text) = run(&data, &["backfill", "--from", "2021-02-02", "--to", "2021-02-01"]);
    assert!(!done && text.contains("--from 2021-02-02 is after --to 2021-02-01"), "{text}");
}

#[test]
fn a_folder_without_a_store_is_named_and_nothing_is_created() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("nothing");
    let (done, text) = run(&data, &["run"]);
    assert!(!done && text.contains("there is no store in"), "{text}");
    assert!(!data.exists());
}
