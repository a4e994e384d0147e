use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use crate::process::{Running, output, stderr, tapedeck};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../producer/tests/fixtures").join(name)
}

fn replay(data: &Path, file: &Path) -> String {
    let played = output(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(played.status.success(), "{}", stderr(&played));
    String::from_utf8(played.stdout).unwrap()
}

fn candles(running: &Running, symbol: &str) -> Vec<Value> {
    running.get(&format!("/v1/candles?symbol={symbol}&interval=1m"))["candles"].as_array().unwrap().clone()
}

#[test]
fn recorded_frames_are_stored_with_their_prices_and_a_second_replay_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["coinbase_ws.jsonl", "binance_stream.jsonl"] {
        replay(folder.path(), &fixture(file));
    }
    // Plays nothing: shows what is stored.
    let watch = ["--provider", "replay"];

    let running = Running::start(folder.path(), &watch);
    let ticks = running.get("/v1/ticks?symbol=BAND-GBP&limit=1000")["ticks"].as_array().unwrap().clone();
    assert!(!ticks.is_empty());
    assert_eq!(ticks[0]["price"], 14.7775, "the first recorded price: {}", ticks[0]);
    assert_eq!(ticks[0]["timestamp"].as_str().unwrap()[..19], *"2021-04-17T16:43:30");
    let band = candles(&running, "BAND-GBP");
    assert_eq!(band[0]["time"], "2021-04-17T16:43:00Z", "{band:?}");
    assert!(!candles(&running, "NKNUSDT").is_empty());
    assert!(running.interrupt().success());

    let printed = replay(folder.path(), &fixture("coinbase_ws.jsonl"));
    assert!(printed.contains("stored   0 ticks and 0 candles are new"), "{printed}");
    let running = Running::start(folder.path(), &watch);
    let again = running.get("/v1/ticks?symbol=BAND-GBP&limit=1000")["ticks"].as_array().unwrap().clone();
    assert_eq!(again, ticks);
    let prices = |candles: &[Value]| -> Vec<[Value; 5]> {
        candles
            .iter()
            .map(|candle| ["time", "open", "high", "low", "close"].map(|field| candle[field].clone()))
            .collect()
    };
    assert_eq!(prices(&candles(&running, "BAND-GBP")), prices(&band));
}

#[test]
fn an_invalid_line_is_reported_and_the_rest_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ticks.jsonl");
    let good = r#"{"symbol":"AAPL","timestamp":"2026-01-13T15:30:00Z","price":261.05,"volume":287051,"open":260.22,"high":261.35,"low":260.19,"change_percent":0.32,"source":"alpha_vantage","received_at":"2026-01-13T15:30:00.214Z","seq":1842}"#;
    let bad = good.replace("261.05", "-1");
    std::fs::write(&file, format!("{good}\n{bad}\n{}\n", good.replace("1842", "1843"))).unwrap();
    let data = folder.path().join("data");
    let played = output(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(played.status.success());
    let error = stderr(&played);
    assert!(error.contains("ticks.jsonl") && error.contains("price must be above zero"), "{error}");
    let printed = String::from_utf8(played.stdout).unwrap();
    assert!(printed.contains("2 ticks and 0 candles, in 3 lines"), "{printed}");
    assert!(
        printed.contains("2 ticks and 0 candles are new, 0 ticks and 0 candles were stored already"),
        "{printed}"
    );
    assert!(printed.contains("1 x price must be above zero, not -1"), "{printed}");
    let look = format!("tapedeck run --provider replay --data {}", data.display());
    assert!(printed.contains(&look), "{printed}");
}

#[test]
fn a_replay_of_a_missing_file_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let played = output(&["replay", "/no/such.csv", "--data", data.to_str().unwrap()]);
    assert!(!played.status.success() && stderr(&played).contains("/no/such.csv"), "{}", stderr(&played));
    let folder_of_files =
        output(&["replay", folder.path().to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(stderr(&folder_of_files).contains("is a folder"), "{}", stderr(&folder_of_files));
    assert!(!data.exists(), "{} was created", data.display());
}

#[test]
fn a_recording_with_nothing_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("AAPL.csv"));
    std::fs::write(&file, "").unwrap();
    let run = || output(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    let played = run();
    assert!(!played.status.success() && stderr(&played).contains("is empty"), "{}", stderr(&played));
    std::fs::write(&file, "Date,Open,High,Low,Close,Volume\n").unwrap();
    let played = run();
    assert!(!played.status.success(), "only a header");
    assert!(stderr(&played).contains("no line has a tick or candle"), "{}", stderr(&played));
    assert!(!data.exists(), "{} was created", data.display());
}

#[test]
fn candles_that_are_new_and_known_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("AAPL.csv");
    let rows = ["Date,Open,High,Low,Close,Volume", "2023-02-24,1,2,1,2,30", "2023-02-27,2,3,2,3,40"];
    std::fs::write(&file, rows[..2].join("\n")).unwrap();
    let data = folder.path().join("data");
    let printed = replay(&data, &file);
    assert!(printed.contains("stored   4 ticks and 1 candles are new"), "{printed}");
    std::fs::write(&file, rows.join("\n")).unwrap();
    let printed = replay(&data, &file);
    let expected = "4 ticks and 1 candles are new, 4 ticks and 1 candles were stored already";
    assert!(printed.contains(expected), "{printed}");
}

#[test]
fn commands_without_anything_to_print_print_that() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    replay(folder.path(), &fixture("coinbase_ws.jsonl"));
    // The folder behind the subcommand.
    let letters = output(&["topics", "dead-letters", "--data", data]);
    assert!(letters.status.success() && letters.stdout.is_empty(), "{}", stderr(&letters));
    assert!(stderr(&letters).contains("no dead letters in"), "{}", stderr(&letters));
    let offsets = output(&["topics", "offsets", "--data", data]);
    assert!(offsets.status.success() && !offsets.stdout.is_empty(), "{}", stderr(&offsets));

    let running = Running::start(folder.path(), &["--provider", "replay"]);
    let mut tail = tapedeck()
        .args(["tail", "ZZZZ", "--url", &running.url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(tail.stderr.take().unwrap()).read_line(&mut line).unwrap();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(line.contains("no symbol ZZZZ here") && line.contains("BAND/GBP"), "{line}");
}
