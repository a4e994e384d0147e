//! Producers whose clocks are not this host's. The consumer is a process here: its log is part of the test.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use event_log::{Message, TopicPartition};
use market::Tick;

use crate::pipeline::{Pipeline, tick};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// Killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The `n`-th tick: when it happened and when it was received, both by this host's clock in seconds from now.
fn off(n: u64, happened: i64, received: i64) -> Tick {
    let mut fields = tick(n).into_fields();
    fields.timestamp = Utc::now() + TimeDelta::seconds(happened);
    fields.received_at = Utc::now() + TimeDelta::seconds(received);
    Tick::new(fields).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_of_clocks_an_hour_apart_are_stored_or_dead_letters_and_the_clock_is_named_once() {
    let pipeline = Pipeline::new().await;
    pipeline
        .publish_ticks(&[
            off(0, 0, 0),
            off(1, -3_600, -3_600),
            off(2, 3_600, 3_600),
            off(3, 120, 120),
            // The venue's clock is right, and the producer's is not.
            off(4, 0, 3_600),
        ])
        .await;
    // Of an embedded log there is one user at a time.
    let (log, store) = (pipeline.url("log.db"), pipeline.url("store.db"));
    let folder = pipeline.close();

    let mut consumer = Command::new(env!("CARGO_BIN_EXE_consumer"))
        .args(["--log", &log, "--store", &store, "--listen", "127.0.0.1:0", "--log-format", "json"])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map(Process)
        .unwrap();
    let (say, said) = mpsc::channel();
    let lines = BufReader::new(consumer.0.stderr.take().unwrap()).lines();
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
    let mut warnings = Vec::new();
    let is_named = |line: &String| line.contains("the clock of a producer is ahead");
    let deadline = Instant::now() + DEADLINE;
    while !warnings.iter().any(is_named) {
        let left = deadline.saturating_duration_since(Instant::now());
        warnings.push(said.recv_timeout(left).unwrap_or_else(|_| panic!("nothing of a clock: {warnings:?}")));
    }
    let pid = consumer.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(consumer.0.wait().unwrap().success());
    warnings.extend(said.iter());
    assert!(reading.join().unwrap().is_ok());
    let named: Vec<&String> = warnings.iter().filter(|line| is_named(line)).collect();
    assert_eq!(named.len(), 1, "{warnings:?}");
    assert!(named[0].contains("NTP") && named[0].contains("WARN"), "{named:?}");

    let pipeline = Pipeline::reopen(folder).await;
    let mut seqs: Vec<u64> = pipeline.stored("AAPL").await.iter().map(|stored| stored.tick.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2, 4, 5]);
    let mut letters: Vec<Message> = Vec::new();
    for partition in 0..3 {
        let place = TopicPartition { topic: "stock-prices.dlq".into(), partition };
        letters.extend(pipeline.log.read(&place, 0, 100).await.unwrap());
    }
    let reason = letters[0].headers.iter().find(|(name, _)| name == "reason").unwrap();
    let reason = String::from_utf8(reason.1.to_vec()).unwrap();
    assert!(letters.len() == 1 && reason.contains("ahead of our clock"), "{reason}");
}
