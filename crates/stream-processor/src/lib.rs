//! What every reader of the event log does around its own work: it subscribes, gathers batches, keeps its place in the group
//! while the store is unavailable, saves checkpoints, recognises a replaced log, publishes dead letters, and drains at the end.
//! A service implements [`Processor`] and calls [`run`].
//!
//! # Contract
//! - A record is decoded, stored ([`Processor::store`]), applied to the state of its partition ([`Processor::apply`]); then its
//!   effects are emitted ([`Processor::emit`]), and the state is saved with the offset that it belongs to. A crash after any
//!   step is repaired by reading again from the checkpoint: each step may happen twice, and none is left out.
//! - One event is applied once to the state that is saved: what lies before the checkpoint's offset is in the state, and a
//!   duplicate is recognised by [`Verdict`].
//! - Inputs from outside of the log ([`Processor::refresh`]) take effect at an offset that is saved with them before the next event is
//!   applied. What is read again after a crash is applied under the inputs of then.
//! - A checkpoint is written by the current owner of its partition only: an owner claims it under a new generation, and what
//!   an earlier owner writes afterwards is refused.
//! - A replaced log (another cluster, a wiped broker, a topic created again) is recognised by the identity that was written into
//!   the log, or by an end before the checkpoint. The partition is then read from its beginning, with its state kept.
//! - Offsets are committed after the checkpoint's store has acknowledged, and only show progress: reading starts at the
//!   checkpoint.
//! - Batches, queues, and waits are bounded; no wait is longer than the end of the process allows.

mod batch;
mod checkpoint;
mod dead_letters;
mod follow;
mod keeper;
mod log_view;
mod messages;
mod metrics;
mod partitions;
mod processor;
mod reader;
mod sequences;
mod store_calls;
mod store_stage;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use service_runtime::Runtime;

pub use dead_letters::DeadLetterPolicy;
pub use follow::{Follow, Follower};
pub use processor::{OtherPartitions, Processor, ProcessorError, StateUpdate, Verdict};
pub use sequences::LastSequences;
pub use store_calls::StoreCalls;

use crate::{
    batch::Batcher, dead_letters::DeadLetters, keeper::Keeper, metrics::Metrics, reader::Reader,
    store_stage::StoreStage,
};

/// How a processor reads.
#[derive(Clone, Debug)]
pub struct ProcessorConfig {
    /// The consumer group; its members share the partitions.
    pub group: String,
    /// The topics.
    pub topics: Vec<String>,
    /// A batch is stored when it holds so many records.
    pub batch_max_records: usize,
    /// A batch is stored when its first record has waited for so long.
    pub batch_max_age: Duration,
    /// What happens to records that cannot be decoded.
    pub dead_letters: DeadLetterPolicy,
}

/// Runs a processor until the shutdown, then drains: what was read is stored, applied, emitted, saved and committed.
///
/// # Errors
/// A log or a store that fails permanently, or a store that is unavailable until the end of the process.
pub async fn run<P: Processor>(
    processor: P,
    config: ProcessorConfig,
    store: Arc<StoreCalls>,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let processor = Arc::new(processor);
    let metrics = Arc::new(Metrics::new(&runtime.status, P::NAME));
    let health = runtime.status.component(P::NAME);
    let Runtime { log, shutdown, .. } = runtime;
    let dead_letters = DeadLetters::new(&*log, config.dead_letters, Arc::clone(&metrics))?;
    let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
    let joined = log.subscribe(&config.group, &topics).await;
    let subscription = joined.with_context(|| format!("cannot join the group {}", config.group))?;
    let store_stage =
        StoreStage::new(Arc::clone(&processor), Arc::clone(&store), dead_letters, Arc::clone(&metrics));
    let keeper = Keeper::new(
        Arc::clone(&processor),
        store,
        Arc::clone(&log),
        config.group,
        Arc::clone(&metrics),
        shutdown.clone(),
    );
    let batcher = Batcher::new(processor, config.batch_max_records, config.batch_max_age);
    Reader::new(subscription, batcher, store_stage, keeper, health).run(shutdown).await
}
