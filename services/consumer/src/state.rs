//! The state of one partition, as it is kept in its checkpoint; and whether a checkpoint is of the log that is read.
//! Pure: the caller brings what the log says, and the time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use chrono::{DateTime, Utc};
use event_log::{PartitionLag, StartAt, TopicPartition, partition_of};
use live_store::{Checkpoint, StoredTick, TickOutcome};
use market::{BuilderState, CandleBuilder, CandleTiming, Interval, Symbol};
use serde::{Deserialize, Serialize};

/// The name of this processor in `checkpoints`.
pub(crate) const PROCESSOR: &str = "consumer";

/// The candle state of one partition, and how far it goes.
pub(crate) struct Partition {
    pub(crate) builder: CandleBuilder,
    pub(crate) next_offset: u64,
    /// Since it was last saved.
    pub(crate) is_changed: bool,
    /// Which log the offset belongs to, where it says so.
    log: Option<String>,
    /// That log has taken a commit of our group. Before its first one it knows nothing of us, however far we have read.
    is_committed: bool,
    former: Option<Former>,
}

/// The log that was read before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    /// It was read up to there.
    next_offset: u64,
    /// From then on the new one was read, by our clock.
    until: DateTime<Utc>,
}

/// What a checkpoint holds beside its offset.
#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(default = "was_committed")]
    committed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<Former>,
    #[serde(flatten)]
    builder: BuilderState,
}

/// Of checkpoints that do not say it: taking a log for another one costs a second reading, the other way round it costs ticks.
fn was_committed() -> bool {
    true
}

fn saved(checkpoint: &Checkpoint) -> anyhow::Result<Saved> {
    let Checkpoint { topic, partition, state, .. } = checkpoint;
    serde_json::from_str(state)
        .with_context(|| format!("the checkpoint of {topic}[{partition}] cannot be read"))
}

/// The logs that the consumers' checkpoints in a store were made on, where they say it. More than one while the consumers
/// have yet to come to every partition of another.
pub fn logs_read(checkpoints: &[Checkpoint]) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Named {
        log: Option<String>,
    }
    let ours = checkpoints.iter().filter(|known| known.processor == PROCESSOR && known.next_offset > 0);
    ours.filter_map(|known| serde_json::from_str::<Named>(&known.state).ok()?.log).collect()
}

/// What the log says about itself.
pub(crate) struct LogView {
    /// See [`event_log::EventLog::identity`].
    pub(crate) identity: Option<String>,
    /// What our group has committed, and where the partitions end.
    pub(crate) partitions: BTreeMap<TopicPartition, PartitionLag>,
}

impl LogView {
    /// How many partitions a topic has.
    fn partition_count(&self, topic: &str) -> i32 {
        let of_it = self.partitions.keys().filter(|partition| &*partition.topic == topic);
        i32::try_from(of_it.count()).unwrap_or(i32::MAX)
    }
}

/// A reason to take a log for another one than that of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Another {
    #[error("it is the log {here}, and the one read before is {before}")]
    Identity { here: String, before: String },
    #[error("it ends at {end}, and was read up to {next}")]
    Shorter { end: u64, next: u64 },
    #[error("it was read up to {next}, and this one has forgotten the group that did")]
    UnknownGroup { next: u64 },
    #[error("its offsets begin again")]
    WentBack,
}

/// A topic that was made anew with fewer partitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "topic `{topic}` has {now} partitions and had {before} when it was read before: it was made anew, or the broker is \
     another one (--log, LOG_URL). Nothing stored is touched; bars in progress of the partitions that are gone go on where \
     their symbols are now"
)]
pub(crate) struct Fewer {
    pub(crate) topic: String,
    now: i32,
    before: i32,
}

/// The topics in view of which checkpoints know more partitions.
pub(crate) fn fewer_partitions(checkpoints: &[Checkpoint], view: &LogView) -> Vec<Fewer> {
    let topics: BTreeSet<&str> = view.partitions.keys().map(|partition| &*partition.topic).collect();
    let fewer = |topic: &str| {
        let now = view.partition_count(topic);
        let of_it = checkpoints.iter().filter(|known| known.topic == topic && known.next_offset > 0);
        let before = of_it.map(|known| known.partition.saturating_add(1)).max()?;
        (before > now).then(|| Fewer { topic: topic.to_owned(), now, before })
    };
    topics.into_iter().filter_map(fewer).collect()
}

/// How much our group has committed of partitions of which there is no checkpoint at all, if it has: what tells a store
/// under a wrong name from the one that was written before.
pub(crate) fn unknown_to_store(
    assigned: &[TopicPartition],
    checkpoints: &[Checkpoint],
    view: &LogView,
) -> Option<u64> {
    let is_of_them = |known: &Checkpoint| {
        assigned.iter().any(|ours| known.topic == *ours.topic && known.partition == ours.partition)
    };
    if checkpoints.iter().any(is_of_them) {
        return None;
    }
    let committed = assigned.iter().filter_map(|partition| view.partitions.get(partition)?.committed).sum();
    (committed > 0).then_some(committed)
}

impl Partition {
    /// From its checkpoint, or new. Bars of providers have no state but how far they were read.
    pub(crate) fn restore(checkpoint: Option<&Checkpoint>, view: &LogView) -> anyhow::Result<Self> {
        let Some(known) = checkpoint else {
            let builder = CandleBuilder::new(&Interval::ALL, CandleTiming::default());
            let log = view.identity.clone();
            return Ok(Self {
                builder,
                next_offset: 0,
                is_changed: false,
                log,
                is_committed: false,
                former: None,
            });
        };
        let saved = saved(known)?;
        Ok(Self {
            builder: CandleBuilder::restore(saved.builder, &Interval::ALL, CandleTiming::default()),
            next_offset: known.next_offset,
            is_changed: false,
            log: saved.log,
            is_committed: saved.committed,
            former: saved.former,
        })
    }

    /// Goes on with the bars in progress of partitions that the topic has no more, of the symbols that come here now; and not
    /// with those that other partitions go on with, as when that was another log, with fewer partitions, for a while.
    pub(crate) fn inherit(
        &mut self,
        partition: &TopicPartition,
        checkpoints: &[Checkpoint],
        view: &LogView,
    ) -> anyhow::Result<()> {
        let count = view.partition_count(&partition.topic);
        if count <= partition.partition {
            return Ok(()); // the log does not know its topic yet
        }
        let is_ours = |symbol: Symbol| partition_of(symbol.as_str().as_bytes(), count) == partition.partition;
        let is_other =
            |known: &&Checkpoint| *known.topic == *partition.topic && known.partition != partition.partition;
        let (gone, others): (Vec<_>, Vec<_>) =
            checkpoints.iter().filter(is_other).partition(|known| known.partition >= count);
        for gone in gone {
            self.is_changed |= self.builder.adopt(saved(gone)?.builder, is_ours) > 0;
        }
        // Mostly there is nothing that others could have.
        if self.next_offset == 0 || !self.builder.symbols().all(is_ours) {
            for other in others {
                self.is_changed |= self.builder.release(&saved(other)?.builder, is_ours) > 0;
            }
        }
        Ok(())
    }

    /// How many records behind the checkpoint the log keeps no more, if there are any.
    pub(crate) fn expired(&self, partition: &TopicPartition, view: &LogView) -> Option<u64> {
        let first = view.partitions.get(partition)?.first;
        // Where nothing was read yet, a log may begin anywhere.
        (self.next_offset > 0 && first > self.next_offset).then(|| first - self.next_offset)
    }

    /// Why the log is another one than that of this state, if it is. A broker whose disks were wiped may have the identity it
    /// had; then its partitions end earlier, or it has forgotten what our group had committed.
    pub(crate) fn another_log(&self, partition: &TopicPartition, view: &LogView) -> Option<Another> {
        let next = self.next_offset;
        if next == 0 {
            return None;
        }
        if let (Some(here), Some(before)) = (&view.identity, &self.log)
            && here != before
        {
            return Some(Another::Identity { here: here.clone(), before: before.clone() });
        }
        let lag = view.partitions.get(partition)?;
        if next > lag.end {
            Some(Another::Shorter { end: lag.end, next })
        } else if self.is_committed && lag.committed.is_none() {
            Some(Another::UnknownGroup { next })
        } else {
            None
        }
    }

    /// The log is this one.
    pub(crate) fn is_of(&mut self, partition: &TopicPartition, view: &LogView) {
        if let Some(identity) = &view.identity {
            self.log = Some(identity.clone());
        }
        self.is_committed |= view.partitions.get(partition).is_some_and(|lag| lag.committed.is_some());
    }

    /// The log has taken a commit of our group.
    pub(crate) fn mark_committed(&mut self) {
        self.is_committed = true;
        self.is_changed = true;
    }

    /// The log is another one from `now` on: its offsets count from its beginning. The bars in progress stay: what was
    /// counted in them did happen, and the log does not have it any more.
    pub(crate) fn begin_anew(&mut self, view: &LogView, now: DateTime<Utc>) {
        let before = self.former.map_or(0, |former| former.next_offset);
        self.former = Some(Former { next_offset: self.next_offset.max(before), until: now });
        self.next_offset = 0;
        self.log.clone_from(&view.identity);
        self.is_committed = false;
    }

    /// Where to read on. Of a log that a store without checkpoint knows nothing of, everything, whatever the group has
    /// committed.
    pub(crate) fn start(&self) -> StartAt {
        if self.next_offset == 0 { StartAt::Beginning } else { StartAt::Offset(self.next_offset) }
    }

    /// Whether a tick is to be counted in its bars.
    pub(crate) fn counts(&self, stored: &StoredTick, outcome: TickOutcome) -> bool {
        // What lies before the state's offset is in it: partitions that came, went and came again while the store was
        // away are delivered from more than one place.
        if stored.offset < self.next_offset {
            return false;
        }
        match outcome {
            TickOutcome::New => true,
            TickOutcome::Duplicate => false,
            // Stored and counted out of the former log, where it lay at the same offset: a recording played again.
            TickOutcome::Redelivered(at) => {
                !self.former.is_some_and(|former| stored.offset < former.next_offset && at < former.until)
            }
        }
    }

    /// Everything before `next_offset` is dealt with.
    pub(crate) fn move_to(&mut self, next_offset: u64) {
        self.next_offset = self.next_offset.max(next_offset);
        self.former = self.former.filter(|former| self.next_offset < former.next_offset);
        self.is_changed = true;
    }

    pub(crate) fn checkpoint(&self, partition: &TopicPartition) -> anyhow::Result<Checkpoint> {
        let saved = Saved {
            log: self.log.clone(),
            committed: self.is_committed,
            former: self.former,
            builder: self.builder.state(),
        };
        Ok(Checkpoint {
            processor: PROCESSOR.to_owned(),
            topic: partition.topic.to_string(),
            partition: partition.partition,
            next_offset: self.next_offset,
            state: serde_json::to_string(&saved).context("cannot encode a checkpoint")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> TopicPartition {
        TopicPartition { topic: "stock-prices".into(), partition }
    }

    fn view(identity: &str, partitions: &[(Option<u64>, u64)]) -> LogView {
        let lag = |(number, (committed, end)): (i32, &(Option<u64>, u64))| {
            let (committed, end) = (*committed, *end);
            let lag = end - committed.unwrap_or(0).min(end);
            (place(number), PartitionLag { topic_partition: place(number), committed, first: 0, end, lag })
        };
        LogView { identity: Some(identity.to_owned()), partitions: (0..).zip(partitions).map(lag).collect() }
    }

    fn checkpoint(partition: i32, next_offset: u64) -> Checkpoint {
        let mut state = Partition::restore(None, &view("one", &[])).unwrap();
        state.next_offset = next_offset;
        state.mark_committed();
        state.checkpoint(&place(partition)).unwrap()
    }

    #[test]
    fn a_log_is_another_one_by_its_identity_its_end_or_what_it_has_forgotten() {
        let state = Partition::restore(Some(&checkpoint(0, 10)), &view("one", &[])).unwrap();
        let judged = |view| state.another_log(&place(0), &view);
        assert_eq!(judged(view("one", &[(Some(8), 10)])), None);
        assert_eq!(judged(view("one", &[(Some(12), 20)])), None, "a store restored from before");
        assert_eq!(judged(view("one", &[(Some(8), 9)])), Some(Another::Shorter { end: 9, next: 10 }));
        assert_eq!(judged(view("one", &[(None, 99)])), Some(Another::UnknownGroup { next: 10 }));
        let other = judged(view("two", &[(Some(8), 99)])).unwrap();
        assert!(other.to_string().contains("two") && other.to_string().contains("one"), "{other}");
    }

    #[test]
    fn a_group_that_was_kept_from_its_first_commit_is_not_taken_for_a_forgotten_one() {
        let nothing_committed = view("one", &[(None, 99)]);
        let mut state = Partition::restore(None, &view("one", &[])).unwrap();
        state.move_to(10);
        let before = state.checkpoint(&place(0)).unwrap();
        let mut state = Partition::restore(Some(&before), &nothing_committed).unwrap();
        assert_eq!(state.another_log(&place(0), &nothing_committed), None);
        state.is_of(&place(0), &view("one", &[(Some(10), 99)]));
        assert_eq!(
            state.another_log(&place(0), &nothing_committed),
            Some(Another::UnknownGroup { next: 10 })
        );
        state.begin_anew(&nothing_committed, Utc::now());
        state.move_to(5);
        assert_eq!(
            state.another_log(&place(0), &nothing_committed),
            None,
            "the new log has yet to hear of it"
        );
    }

    #[test]
    fn a_checkpoint_of_before_logs_had_names_is_taken_and_gets_one() {
        let old = Checkpoint {
            state: r#"{"intervals":["1m"],"lateness_seconds":5,"series":[]}"#.to_owned(),
            ..checkpoint(0, 10)
        };
        let here = view("one", &[(Some(10), 10)]);
        let mut state = Partition::restore(Some(&old), &here).unwrap();
        assert_eq!(state.another_log(&place(0), &here), None);
        assert!(state.another_log(&place(0), &view("one", &[(None, 99)])).is_some());
        state.is_of(&place(0), &here);
        let again = Partition::restore(Some(&state.checkpoint(&place(0)).unwrap()), &here).unwrap();
        assert!(again.another_log(&place(0), &view("two", &[(Some(10), 10)])).is_some());
    }

    #[test]
    fn what_the_log_keeps_no_more_is_counted_only_behind_a_checkpoint() {
        let mut here = view("one", &[(Some(10), 90)]);
        here.partitions.get_mut(&place(0)).unwrap().first = 30;
        let expired = |next| {
            let state = Partition::restore(Some(&checkpoint(0, next)), &here).unwrap();
            state.expired(&place(0), &here)
        };
        assert_eq!([0, 10, 29, 30, 90].map(expired), [None, Some(20), Some(1), None, None]);
        assert_eq!(Partition::restore(None, &here).unwrap().expired(&place(0), &here), None);
    }

    #[test]
    fn a_store_that_knows_nothing_of_what_the_group_has_read_is_told_by_its_checkpoints() {
        let ours = [place(0), place(1)];
        let read = view("one", &[(Some(7), 10), (None, 10)]);
        assert_eq!(unknown_to_store(&ours, &[], &read), Some(7));
        assert_eq!(unknown_to_store(&ours, &[checkpoint(1, 1)], &read), None);
        assert_eq!(unknown_to_store(&ours, &[checkpoint(2, 1)], &read), Some(7), "another member's");
        assert_eq!(unknown_to_store(&ours, &[], &view("one", &[(None, 10), (Some(0), 5)])), None);
    }

    #[test]
    fn a_topic_with_fewer_partitions_than_before_is_named_with_the_setting() {
        let known = [checkpoint(0, 10), checkpoint(1, 0), checkpoint(2, 5)];
        let fewer = fewer_partitions(&known, &view("one", &[(None, 0)]));
        let said = fewer[0].to_string();
        assert_eq!(fewer.len(), 1);
        assert!(
            said.contains("`stock-prices` has 1 partitions and had 3") && said.contains("LOG_URL"),
            "{said}"
        );
        assert_eq!(fewer_partitions(&known, &view("one", &[(None, 0), (None, 0), (None, 0)])), []);
    }

    #[test]
    fn bars_of_a_partition_that_is_gone_go_on_where_their_symbols_are_now() {
        let json = br#"{"symbol":"AAPL","timestamp":"2024-01-02T15:04:05Z","price":1,"volume":1,"open":1,"high":1,"low":1,"change_percent":0,"source":"test","received_at":"2024-01-02T15:04:05Z","seq":1}"#;
        let tick = topics::tick::decode(json, Utc::now()).unwrap();
        let (six, three) = (view("one", &[(None, 0); 6]), view("one", &[(None, 0); 3]));
        let unknown = view("one", &[]);
        // Of six partitions AAPL is in the fourth or later, and of three in that less three.
        let before = partition_of(b"AAPL", 6);
        assert!(before >= 3, "another symbol is needed here: {before}");
        let mut gone = Partition::restore(None, &six).unwrap();
        gone.builder.apply(&tick, tick.received_at, &mut Vec::new());
        let checkpoints = [gone.checkpoint(&place(before)).unwrap()];
        let bars_at = |number, view| {
            let mut state = Partition::restore(None, view).unwrap();
            state.inherit(&place(number), &checkpoints, view).unwrap();
            assert_eq!(state.is_changed, !state.builder.open_candles().is_empty(), "what is new is saved");
            state.builder.open_candles().len()
        };
        let expected = [0, 1, 2].map(|number| if number == before - 3 { Interval::ALL.len() } else { 0 });
        assert_eq!([0, 1, 2].map(|number| bars_at(number, &three)), expected);
        assert_eq!([0, 1, 2].map(|number| bars_at(number, &six)), [0; 3], "it is not gone");
        assert_eq!([0, 1, 2].map(|number| bars_at(number, &unknown)), [0; 3], "nobody knows yet");
        // It was another log, and the one with six partitions is back.
        let heir = place(before - 3);
        let mut state = Partition::restore(None, &three).unwrap();
        state.inherit(&heir, &checkpoints, &three).unwrap();
        let of_heir = [state.checkpoint(&heir).unwrap()];
        state.inherit(&heir, &checkpoints, &six).unwrap();
        assert_eq!(state.builder.open_candles(), [], "they are closed where they were");
        gone.inherit(&place(before), &of_heir, &six).unwrap();
        assert_eq!(gone.builder.open_candles().len(), Interval::ALL.len(), "which is here");
    }
}
