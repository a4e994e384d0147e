//! `tapedeck demo`: historical prices without a network.

use std::{fs, path::Path};

use serde_json::Value;

use crate::process::{Running, get};

fn rows(file: &str) -> usize {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    fs::read_to_string(examples.join(file)).unwrap().lines().skip(1).count()
}

#[test]
fn the_demo_shows_the_candles_of_the_examples_and_leaves_nothing_behind() {
    let running = Running::demo();
    let candles = |symbol: &str| -> Vec<Value> {
        let path = format!("/v1/candles?symbol={symbol}&interval=1d&limit=1000");
        running.get(&path)["candles"].as_array().unwrap().clone()
    };
    assert_eq!(candles("AAPL").len(), rows("AAPL.csv"));
    let bitcoin = candles("BTC/USDT");
    assert_eq!(bitcoin.len(), rows("BTC-USDT.csv"));
    let last = bitcoin.last().unwrap();
    assert_eq!((last["time"].as_str(), last["final"].as_bool()), (Some("2023-02-28T00:00:00Z"), Some(true)));
    assert!(get(&format!("{}/symbols/NVDA", running.url)).unwrap().contains("NVDA"));
    assert!(running.interrupt().success());
}
