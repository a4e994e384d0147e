//! A processor on a log and a store, that can be stopped, killed, and started again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use event_log::{EventLog, TopicPartition};
use live_store::CheckpointStore;
use service_runtime::{Runtime, Status};
use stream_processor::{DeadLetterPolicy, ProcessorConfig, StoreCalls};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::count::{Count, Stored};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_mins(2);

/// A processor that runs.
pub(crate) struct Running {
    pub(crate) shutdown: CancellationToken,
    pub(crate) status: Arc<Status>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// As Ctrl-C does; how it ended.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Waits until it ends by itself; how.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        timeout(DEADLINE, self.task).await.expect("it ends in time").expect("it does not panic")
    }

    /// As `kill -9` does, as far as one process can: everything under way is dropped where it stands.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it is cancelled").is_cancelled());
    }
}

pub(crate) fn start(
    log: Arc<dyn EventLog>,
    store: Arc<dyn CheckpointStore>,
    stored: &Arc<Stored>,
    (group, topic): (&str, &str),
    policy: DeadLetterPolicy,
) -> Running {
    let shutdown = CancellationToken::new();
    let status = Status::new("count", "test", Utc::now());
    let runtime = Runtime { log, status: Arc::clone(&status), shutdown: shutdown.clone() };
    let config = ProcessorConfig {
        group: group.to_owned(),
        topics: vec![topic.to_owned()],
        batch_max_records: 50,
        batch_max_age: Duration::from_millis(10),
        dead_letters: policy,
    };
    let calls = Arc::new(StoreCalls::new(store, &runtime));
    let processor = Count(Arc::clone(stored));
    let task = tokio::spawn(stream_processor::run(processor, config, calls, runtime));
    Running { shutdown, status, task }
}

pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        sleep(Duration::from_millis(10)).await; // up to the deadline
    }
}

pub(crate) fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: "numbers".into(), partition: number }
}

/// Records of these numbers, over two keys.
pub(crate) fn numbers(range: std::ops::Range<u64>) -> Vec<(&'static str, String)> {
    range.map(|number| (if number % 2 == 0 { "even" } else { "odd" }, number.to_string())).collect()
}

/// The counts of so many records of [`numbers`] from 0 on.
pub(crate) fn counted(records: u64) -> BTreeMap<String, u64> {
    [("even", records.div_ceil(2)), ("odd", records / 2)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(key, count)| (key.to_owned(), count))
        .collect()
}
