//! A processor on the scripted log and store.

use std::sync::Arc;

use stream_processor::DeadLetterPolicy;

use crate::{
    count::Stored,
    scripted_log::ScriptedLog,
    scripted_store::ScriptedStore,
    world::{Running, counted, numbers, partition, start, wait_until},
};

pub(crate) const ALL: DeadLetterPolicy = DeadLetterPolicy::Publish;

/// A log with two partitions, a store, and what the processor has stored.
pub(crate) struct World {
    pub(crate) log: ScriptedLog,
    pub(crate) store: Arc<ScriptedStore>,
    pub(crate) stored: Arc<Stored>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Stored::default())
    }

    pub(crate) fn with(stored: Stored) -> Self {
        let log = ScriptedLog::default();
        "one".clone_into(&mut log.state().identity);
        Self { log, store: Arc::default(), stored: Arc::new(stored) }
    }

    /// A member with both partitions.
    pub(crate) fn start(&self) -> Running {
        let running = self.start_without_partitions();
        self.log.assign(&[partition(0), partition(1)]);
        running
    }

    pub(crate) fn start_without_partitions(&self) -> Running {
        let (log, store) = (Arc::new(self.log.clone()), Arc::clone(&self.store));
        start(log, store, &self.stored, ("group", "numbers"), ALL)
    }

    pub(crate) fn append(&self, range: std::ops::Range<u64>) {
        self.log.append(&partition(0), &numbers(range));
    }

    pub(crate) fn committed(&self) -> Option<u64> {
        self.log.state().committed.get(&partition(0)).copied()
    }

    pub(crate) async fn settled(&self, records: u64) {
        wait_until("everything is committed", async || self.committed() == Some(records)).await;
    }

    pub(crate) fn saved(&self) -> u64 {
        self.store.of("numbers", 0).map_or(0, |checkpoint| checkpoint.next_offset)
    }

    pub(crate) fn assert_counted(&self, records: u64) {
        assert_eq!(*self.stored.counts.lock().unwrap(), counted(records));
        assert_eq!(self.stored.numbers.lock().unwrap().len() as u64, records);
    }
}
