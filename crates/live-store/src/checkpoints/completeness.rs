//! Whether everything that belongs to a day has been read.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use market::DayBounds;

use super::CheckpointStore;
use crate::Result;

/// How much of a day a processor has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCompleteness {
    /// How many partitions were asked for.
    pub partitions: usize,
    /// Those that may still hold something of the day, in the order asked.
    pub behind: Vec<PartitionBehind>,
}

impl DayCompleteness {
    /// Every partition was read past the day's end. Never where no partition was asked for.
    pub fn is_complete(&self) -> bool {
        self.partitions > 0 && self.behind.is_empty()
    }
}

/// A partition that was not read past the end of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBehind {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// When it was last known to be read to its end; `None` where it never was.
    pub caught_up_at: Option<DateTime<Utc>>,
}

/// Whether a processor has read everything of a day: every one of `partitions` (those of its tick topics, as the log
/// describes them now) was read to its end `margin` after the day's end or later. The margin covers ticks that arrive
/// late, and clocks that differ.
///
/// # Errors
/// Those of [`CheckpointStore::checkpoints`].
pub async fn day_completeness(
    store: &dyn CheckpointStore,
    processor: &str,
    partitions: &[(Arc<str>, i32)],
    day: &DayBounds,
    margin: TimeDelta,
) -> Result<DayCompleteness> {
    let needed = day.end.checked_add_signed(margin).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let checkpoints = store.checkpoints(processor).await?;
    let caught_up: HashMap<(&str, i32), DateTime<Utc>> = checkpoints
        .iter()
        .filter_map(|known| Some(((known.topic.as_str(), known.partition), known.caught_up_at?)))
        .collect();
    let behind = partitions.iter().filter_map(|(topic, partition)| {
        let caught_up_at = caught_up.get(&(&**topic, *partition)).copied();
        let is_behind = caught_up_at.is_none_or(|time| time < needed);
        is_behind.then(|| PartitionBehind { topic: Arc::clone(topic), partition: *partition, caught_up_at })
    });
    Ok(DayCompleteness { partitions: partitions.len(), behind: behind.collect() })
}
