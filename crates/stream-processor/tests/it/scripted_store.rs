//! A store of checkpoints in memory, whose failures a test chooses.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use live_store::{Checkpoint, CheckpointStore, LiveStoreError};
use tokio::sync::Semaphore;

/// Makes calls fail or wait.
pub(crate) struct Fault {
    pub(crate) is_down: AtomicBool,
    /// Calls that may pass; closed for good means all.
    pub(crate) gate: Semaphore,
}

impl Default for Fault {
    fn default() -> Self {
        let gate = Semaphore::new(0);
        gate.close();
        Self { is_down: AtomicBool::new(false), gate }
    }
}

impl Fault {
    /// Every call waits until the semaphore is closed.
    pub(crate) fn gated() -> Self {
        Self { is_down: AtomicBool::new(false), gate: Semaphore::new(0) }
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) async fn pass(&self) -> Result<(), LiveStoreError> {
        // An error means that the gate is open.
        let _ = self.gate.acquire().await.map(tokio::sync::SemaphorePermit::forget);
        if self.is_down.load(Ordering::SeqCst) {
            let (place, reason) = ("the scripted store".to_owned(), "is down".to_owned());
            return Err(LiveStoreError::Unavailable { place, reason });
        }
        Ok(())
    }
}

/// The store.
#[derive(Default)]
pub(crate) struct ScriptedStore {
    checkpoints: Mutex<BTreeMap<(String, i32), Checkpoint>>,
    pub(crate) fault: Fault,
    /// Another process claims everything right after the next claim.
    pub(crate) claim_after_next: AtomicBool,
    /// No retry helps.
    pub(crate) refuses_saves: AtomicBool,
}

impl ScriptedStore {
    pub(crate) fn of(&self, topic: &str, partition: i32) -> Option<Checkpoint> {
        self.checkpoints.lock().unwrap().get(&(topic.to_owned(), partition)).cloned()
    }
}

#[async_trait]
impl CheckpointStore for ScriptedStore {
    async fn claim(
        &self,
        processor: &str,
        partitions: &[(Arc<str>, i32)],
    ) -> live_store::Result<Vec<Checkpoint>> {
        self.fault.pass().await?;
        let mut checkpoints = self.checkpoints.lock().unwrap();
        let mut claimed = Vec::new();
        for (topic, partition) in partitions {
            let new = || Checkpoint {
                processor: processor.to_owned(),
                topic: topic.to_string(),
                partition: *partition,
                generation: 0,
                next_offset: 0,
                log_identity: None,
                caught_up_at: None,
                state: String::new(),
            };
            let known = checkpoints.entry((topic.to_string(), *partition)).or_insert_with(new);
            known.generation += 1;
            claimed.push(known.clone());
        }
        if self.claim_after_next.swap(false, Ordering::SeqCst) {
            checkpoints.values_mut().for_each(|known| known.generation += 1);
        }
        Ok(claimed)
    }

    async fn save_checkpoints(&self, new: &[Checkpoint]) -> live_store::Result<Vec<usize>> {
        self.fault.pass().await?;
        if self.refuses_saves.load(Ordering::SeqCst) {
            let (place, reason) = ("the scripted store".to_owned(), "a disk that is full".to_owned());
            return Err(LiveStoreError::Refused { place, reason });
        }
        let mut checkpoints = self.checkpoints.lock().unwrap();
        let mut refused = Vec::new();
        for (index, checkpoint) in new.iter().enumerate() {
            let known = checkpoints.get_mut(&(checkpoint.topic.clone(), checkpoint.partition)).unwrap();
            if known.generation == checkpoint.generation {
                known.clone_from(checkpoint);
            } else {
                refused.push(index);
            }
        }
        Ok(refused)
    }

    async fn checkpoints(&self, _processor: &str) -> live_store::Result<Vec<Checkpoint>> {
        self.fault.pass().await?;
        Ok(self.checkpoints.lock().unwrap().values().cloned().collect())
    }

    async fn all_checkpoints(&self) -> live_store::Result<Vec<Checkpoint>> {
        self.checkpoints("").await
    }
}
