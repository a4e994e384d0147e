//! `kill -9`, for real, of a child that is this test once more.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use live_store::{Checkpoint, TickOutcome};

use crate::{
    place::{Place, SqlitePlace},
    samples::{all_ticks, ticks},
};

/// Set in the child: the store's URL and the batch to start with.
const CHILD: &str = "LIVE_STORE_TEST_CHILD";
const NAME: &str = "sqlite_kill::what_was_acknowledged_survives_kill_9";
const BATCH: u64 = 300;
/// More than a child gets done before it is killed; it must not outlive a parent that fails.
const MOST_BATCHES: u64 = 20_000;

fn batch(number: u64) -> Vec<live_store::StoredTick> {
    ticks(number * BATCH..(number + 1) * BATCH)
}

fn checkpoint(number: u64, claimed: &Checkpoint) -> Checkpoint {
    Checkpoint {
        next_offset: (number + 1) * BATCH,
        state: format!("{{\"batch\":{number}}}"),
        ..claimed.clone()
    }
}

/// Stores batch after batch, and prints which are done.
async fn child(url: &str, first: u64) {
    let store = live_store::open(url).await.expect("opens");
    let claimed = store.claim("consumer", &[("stock-prices".into(), 1)]).await.expect("claimed").remove(0);
    for number in first..first + MOST_BATCHES {
        store.write_ticks(&batch(number)).await.expect("stored");
        let refused = store.save_checkpoints(&[checkpoint(number, &claimed)]).await.expect("stored");
        assert_eq!(refused, Vec::<usize>::new());
        println!("\nstored {number}");
    }
}

/// Runs a child from `first`, kills it when it has acknowledged `enough` batches; the last it acknowledged.
fn run_and_kill(url: &str, first: u64, enough: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, format!("{first} {url}"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        let line = line.expect("a line");
        // A line cut off by the kill acknowledges nothing.
        if let Some(number) = line.strip_prefix("stored ").and_then(|number| number.parse::<u64>().ok()) {
            acknowledged.push(number);
        }
        if acknowledged.len() == enough {
            // SIGKILL; what it has written into the pipe since then is read on, to the end.
            child.kill().expect("killed");
        }
    }
    let status = child.wait().expect("it ended");
    assert!(!status.success(), "killed, not done");
    assert!(acknowledged.len() >= enough);
    *acknowledged.last().expect("some")
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(order) = std::env::var(CHILD) {
        let (first, url) = order.split_once(' ').expect("an order");
        runtime.block_on(child(url, first.parse().expect("a number")));
        return;
    }
    let place = SqlitePlace::new();
    let mut next = 0;
    for enough in [1, 2, 7, 30, 60] {
        let last = run_and_kill(&place.url(), next, enough);
        next = runtime.block_on(check(&place, last));
    }
}

/// All up to `last` is there, and nothing in part; the batch to go on with.
async fn check(place: &SqlitePlace, last: u64) -> u64 {
    let store = place.open().await;
    let stored = all_ticks(&*store, "AAPL", 5000).await;
    let batches = stored.len() as u64 / BATCH;
    assert_eq!(stored, ticks(0..batches * BATCH), "whole batches, without a hole");
    assert!(batches > last, "batch {last} was acknowledged, {batches} are there");
    let checkpoint = store.checkpoints("consumer").await.expect("read").remove(0);
    assert!((last + 1..=batches).contains(&(checkpoint.next_offset / BATCH)), "{checkpoint:?}");
    let again = store.write_ticks(&batch(last)).await.expect("stored");
    assert!(again.iter().all(|outcome| matches!(outcome, TickOutcome::Redelivered(_))), "{again:?}");
    batches
}
