//! The pipeline with a real broker.

use serde_json::Value;

use crate::process::{Running, output, server, wait_until};

#[test]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
fn ticks_go_through_kafka_to_the_page_and_survive_a_kill() {
    let url = server("KAFKA_URL");
    let folder = tempfile::tempdir().unwrap();
    let group = format!("group-{}", std::process::id());
    let args = [
        "--provider",
        "simulated",
        "--simulated-rate",
        "500",
        "--watchlist",
        "NVDA,SOL/USDT",
        "--log",
        &url,
        "--consumer-group",
        &group,
    ];
    let price =
        |running: &Running| running.get("/v1/quotes?symbols=NVDA").pointer("/quotes/0/price").cloned();
    let running = Running::start(folder.path(), &args);
    wait_until("NVDA has a price", || price(&running).is_some());
    let first = price(&running);
    wait_until("the price moves", || price(&running) != first);
    running.kill_9();

    let running = Running::start(folder.path(), &args);
    let stored = |running: &Running| {
        running.get("/v1/ticks?symbol=NVDA&limit=1000")["ticks"].as_array().map_or(0, Vec::len)
    };
    wait_until("ticks are stored", || stored(&running) > 100);
    let lag = || {
        let offsets = output(&["topics", "--log", &url, "offsets", "--group", &group]);
        String::from_utf8(offsets.stdout).unwrap()
    };
    wait_until("the group has committed", || lag().contains("stock-prices["));
    assert!(running.interrupt().success());

    let peek = output(&["topics", "--log", &url, "peek", "stock-prices", "--max", "2"]);
    let text = String::from_utf8(peek.stdout).unwrap();
    let record: Value = serde_json::from_str(text.lines().next().expect("a record")).unwrap();
    assert_eq!(record["topic"], "stock-prices");
}
