//! In-memory state of the log: the topics, the bounds of each partition and its most recent batches.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use crate::{EventLogError, LogDescription, PartitionLag, Result, TopicInfo, TopicPartition, locked::locked};

/// Limit of recent batches in memory for each partition, in bytes, so that readers without a backlog need not read the file.
const TAIL_BYTES: usize = 1 << 20;
/// Limit of recent batches in memory for each partition, in number, as each batch has a fixed cost.
const TAIL_BATCHES: usize = 1024;

/// Consecutive records of one partition.
#[derive(Clone, Debug)]
pub(crate) struct StoredBatch {
    /// Offset of the first record.
    pub(crate) base_offset: u64,
    /// Number of records.
    pub(crate) count: u64,
    /// The records, see [`crate::batch`].
    pub(crate) blob: Bytes,
}

impl StoredBatch {
    /// Offset after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.base_offset + self.count
    }
}

/// A topic and its partitions.
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// How long the topic keeps its records.
    pub(crate) retention: Duration,
    /// By number.
    pub(crate) partitions: Vec<Arc<Partition>>,
    next_keyless: AtomicUsize,
}

impl Topic {
    /// A topic with partitions of these bounds (first offset still kept, next offset).
    pub(crate) fn new(id: i64, name: &str, retention: Duration, bounds: Vec<(u64, u64)>) -> Self {
        let name: Arc<str> = Arc::from(name);
        let partition = |(number, (start, end))| {
            let own = TopicPartition { topic: Arc::clone(&name), partition: number };
            let state = State { start, end, in_file: end, tail: VecDeque::new(), tail_bytes: 0 };
            Arc::new(Partition { topic_id: id, id: own, state: Mutex::new(state) })
        };
        let partitions = (0..).zip(bounds).map(partition).collect();
        Self { name, retention, partitions, next_keyless: AtomicUsize::new(0) }
    }

    /// The partition for the records without a key of one batch: the next one for each batch.
    pub(crate) fn next_keyless_partition(&self) -> usize {
        self.next_keyless.fetch_add(1, Ordering::Relaxed) % self.partitions.len().max(1)
    }
}

/// One partition.
pub(crate) struct Partition {
    /// Id of the topic in the file.
    pub(crate) topic_id: i64,
    /// Topic and number.
    pub(crate) id: TopicPartition,
    state: Mutex<State>,
}

struct State {
    start: u64,
    end: u64,
    /// The records before this offset are in the database, the others in the journal.
    in_file: u64,
    /// The last batches before `end`, without gaps: at least those of the journal.
    tail: VecDeque<StoredBatch>,
    tail_bytes: usize,
}

impl State {
    fn limit_tail(&mut self) {
        let in_file = self.in_file;
        while self.tail_bytes > TAIL_BYTES || self.tail.len() > TAIL_BATCHES {
            let Some(oldest) = self.tail.pop_front_if(|batch| batch.end() <= in_file) else {
                break;
            };
            self.tail_bytes -= oldest.blob.len();
        }
    }
}

/// Where the record of an offset is stored.
pub(crate) enum RecordLocation {
    /// In memory, in this batch.
    Recent(StoredBatch),
    /// In the file.
    InFile,
    /// Expired; with the first offset still kept.
    Expired(u64),
    /// Not published yet.
    AtEnd,
}

impl Partition {
    /// First offset still kept, and offset of the next record.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let state = locked(&self.state);
        (state.start, state.end)
    }

    /// The lag of a group with this committed offset.
    pub(crate) fn lag(&self, committed: Option<u64>) -> PartitionLag {
        let (first, end) = self.bounds();
        let lag = end.saturating_sub(committed.unwrap_or(0).max(first));
        PartitionLag { topic_partition: self.id.clone(), committed, first, end, lag }
    }

    /// Adds a durable batch. Batches are added in the order of their offsets.
    pub(crate) fn append(&self, batch: StoredBatch) {
        let mut state = locked(&self.state);
        state.end = batch.end();
        state.tail_bytes += batch.blob.len();
        state.tail.push_back(batch);
        state.limit_tail();
    }

    /// Everything so far is in the database.
    pub(crate) fn is_in_file(&self) {
        let mut state = locked(&self.state);
        state.in_file = state.end;
        state.limit_tail();
    }

    /// Records everything before `start` as expired.
    pub(crate) fn expire(&self, start: u64) {
        let mut state = locked(&self.state);
        state.start = state.start.max(start);
        while state.tail.front().is_some_and(|batch| batch.end() <= start) {
            let Some(oldest) = state.tail.pop_front() else {
                break;
            };
            state.tail_bytes -= oldest.blob.len();
        }
    }

    /// Where the record of `offset` is stored.
    pub(crate) fn find(&self, offset: u64) -> RecordLocation {
        let state = locked(&self.state);
        if offset >= state.end {
            return RecordLocation::AtEnd;
        }
        if offset < state.start {
            return RecordLocation::Expired(state.start);
        }
        let behind = state.tail.partition_point(|batch| batch.end() <= offset);
        match state.tail.get(behind) {
            Some(batch) if batch.base_offset <= offset => RecordLocation::Recent(batch.clone()),
            _ => RecordLocation::InFile,
        }
    }
}

/// All topics, by name.
#[derive(Default)]
pub(crate) struct Catalog(RwLock<BTreeMap<Arc<str>, Arc<Topic>>>);

impl Catalog {
    /// Adds a topic, or replaces the one of the same name.
    pub(crate) fn insert(&self, topic: Topic) {
        let mut topics = self.0.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(Arc::clone(&topic.name), Arc::new(topic));
    }

    /// Whether the topic exists.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// The topic of that name.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.0.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned().ok_or_else(|| EventLogError::UnknownTopic(name.to_owned()))
    }

    /// The offset range of each partition of these topics.
    pub(crate) fn bounds(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>> {
        let range = |partition: Arc<Partition>| {
            let (first, end) = partition.bounds();
            (partition.id.clone(), first..end)
        };
        Ok(self.partitions_of(topics)?.into_iter().map(range).collect())
    }

    /// Every topic, as the port's type.
    pub(crate) fn infos(&self) -> Vec<TopicInfo> {
        let info = |topic: Arc<Topic>| TopicInfo {
            name: topic.name.to_string(),
            partitions: topic.partitions.iter().map(|partition| partition.bounds()).collect(),
        };
        self.all().into_iter().map(info).collect()
    }

    /// A description of the log in the file `location`.
    pub(crate) fn describe(&self, location: String) -> LogDescription {
        let retention = |topic: Arc<Topic>| (topic.name.to_string(), Some(topic.retention));
        LogDescription {
            location,
            cluster_id: None,
            retention: self.all().into_iter().map(retention).collect(),
        }
    }

    /// All partitions of these topics.
    pub(crate) fn partitions_of(&self, topics: &[&str]) -> Result<Vec<Arc<Partition>>> {
        let mut partitions = Vec::new();
        for name in topics {
            partitions.extend(self.topic(name)?.partitions.iter().cloned());
        }
        Ok(partitions)
    }

    /// The partition of a topic with this id in the file.
    pub(crate) fn partition_by_id(&self, topic: i64, partition: i32) -> Option<Arc<Partition>> {
        let number = usize::try_from(partition).ok()?;
        let found =
            |of: Arc<Topic>| of.partitions.get(number).filter(|found| found.topic_id == topic).cloned();
        self.all().into_iter().find_map(found)
    }

    /// Every topic, sorted by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One partition.
    pub(crate) fn partition(&self, wanted: &TopicPartition) -> Result<Arc<Partition>> {
        let topic = self.topic(&wanted.topic)?;
        let found = usize::try_from(wanted.partition).ok().and_then(|number| topic.partitions.get(number));
        found.cloned().ok_or_else(|| EventLogError::UnknownPartition {
            topic: wanted.topic.to_string(),
            partition: wanted.partition,
        })
    }
}
