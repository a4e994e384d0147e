//! The state of one partition, and its form in a checkpoint.

use anyhow::Context;
use chrono::{DateTime, Utc};
use event_log::TopicPartition;
use live_store::Checkpoint;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{log_view::LogView, processor::Verdict};

/// The version of [`Saved`]. States saved before there was one are the processor's own JSON.
const VERSION: u32 = 1;

/// What a checkpoint's `state` holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// Since when this log is read, by the clock of who found that another one was read before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_at: Option<DateTime<Utc>>,
    /// The processor's own.
    state: Box<RawValue>,
}

/// One partition that is owned.
pub(crate) struct Owned<S> {
    pub(crate) state: S,
    /// Everything before this offset is in the state.
    pub(crate) next_offset: u64,
    pub(crate) caught_up_at: Option<DateTime<Utc>>,
    /// Since it was last saved.
    pub(crate) is_changed: bool,
    generation: u64,
    log_identity: Option<String>,
    replaced_at: Option<DateTime<Utc>>,
    /// Where the partition ended when it was claimed: events before that may have been applied by an owner that was killed.
    pub(crate) replay_until: u64,
    /// Where the partition ended at the last query, and when that was, until it has been read so far.
    awaited_end: Option<(u64, DateTime<Utc>)>,
}

impl<S: Default + Serialize + DeserializeOwned> Owned<S> {
    /// From a claimed checkpoint.
    pub(crate) fn restore(checkpoint: &Checkpoint) -> anyhow::Result<Self> {
        let (state, replaced_at) = read_state(checkpoint)?;
        Ok(Self {
            state,
            next_offset: checkpoint.next_offset,
            caught_up_at: checkpoint.caught_up_at,
            is_changed: false,
            generation: checkpoint.generation,
            log_identity: checkpoint.log_identity.clone(),
            replaced_at,
            replay_until: 0,
            awaited_end: None,
        })
    }

    /// Whether it is read to where the partition ended at a query. If not yet, it is caught up with that moment later.
    pub(crate) fn is_caught_up(&mut self, end: u64, queried_at: DateTime<Utc>) -> bool {
        self.awaited_end = Some((end, queried_at));
        self.reach_end()
    }

    fn reach_end(&mut self) -> bool {
        let next = self.next_offset;
        let Some((_, queried_at)) = self.awaited_end.take_if(|(end, _)| next >= *end) else { return false };
        self.caught_up_at = Some(queried_at);
        self.is_changed = true;
        true
    }

    /// Takes over the identity that the topic has in this log.
    pub(crate) fn belongs_to(&mut self, topic: &str, view: &LogView) {
        if let Some(identity) = view.identities.get(topic) {
            self.log_identity = Some(identity.clone());
        }
    }

    /// Whether everything that another owner may have applied is applied.
    pub(crate) fn is_beyond_replay(&self) -> bool {
        self.next_offset >= self.replay_until
    }

    /// The log is another one from `now` on: its offsets count from its beginning. The state stays: what was applied did happen.
    pub(crate) fn restart(&mut self, now: DateTime<Utc>) {
        self.next_offset = 0;
        self.replaced_at = Some(now);
        self.log_identity = None;
        self.caught_up_at = None;
        self.awaited_end = None;
        self.is_changed = true;
    }

    /// Whether an event is to be applied to the state.
    pub(crate) fn applies(&self, offset: u64, verdict: Verdict) -> bool {
        // What lies before the state's offset is in it: a partition that is revoked and assigned again while the store is
        // unavailable is delivered from more than one offset.
        offset >= self.next_offset
            && match verdict {
                Verdict::New => true,
                Verdict::Duplicate => false,
                // Stored out of the log before this one, at the same offset, and applied then: a recording played again.
                Verdict::Redelivered(at) => self.replaced_at.is_none_or(|replaced_at| at >= replaced_at),
            }
    }

    /// Everything before `next_offset` is dealt with.
    pub(crate) fn move_to(&mut self, next_offset: u64) {
        self.next_offset = self.next_offset.max(next_offset);
        self.is_changed = true;
        self.reach_end();
    }

    pub(crate) fn checkpoint(
        &self,
        processor: &str,
        partition: &TopicPartition,
    ) -> anyhow::Result<Checkpoint> {
        let state = serde_json::to_string(&self.state)
            .and_then(RawValue::from_string)
            .and_then(|state| {
                let saved = Saved { version: VERSION, replaced_at: self.replaced_at, state };
                serde_json::to_string(&saved)
            })
            .with_context(|| format!("cannot encode the state of {partition}"))?;
        Ok(Checkpoint {
            processor: processor.to_owned(),
            topic: partition.topic.to_string(),
            partition: partition.partition,
            generation: self.generation,
            next_offset: self.next_offset,
            log_identity: self.log_identity.clone(),
            caught_up_at: self.caught_up_at,
            state,
        })
    }
}

/// The processor's state in a checkpoint, and since when its log is read.
pub(crate) fn read_state<S: Default + DeserializeOwned>(
    checkpoint: &Checkpoint,
) -> anyhow::Result<(S, Option<DateTime<Utc>>)> {
    #[derive(Deserialize)]
    struct Versioned {
        version: Option<u32>,
        former: Option<Former>,
    }
    /// The log read before, in states without a version.
    #[derive(Deserialize)]
    struct Former {
        until: DateTime<Utc>,
    }
    let Checkpoint { processor, topic, partition, state: text, .. } = checkpoint;
    if text.is_empty() {
        return Ok((S::default(), None));
    }
    let read = || -> anyhow::Result<(S, Option<DateTime<Utc>>)> {
        let Versioned { version, former } = serde_json::from_str(text)?;
        match version {
            None => Ok((serde_json::from_str(text)?, former.map(|former| former.until))),
            Some(VERSION) => {
                let saved: Saved = serde_json::from_str(text)?;
                Ok((serde_json::from_str(saved.state.get())?, saved.replaced_at))
            }
            Some(version) => anyhow::bail!(
                "it has version {version}, and this program knows {VERSION}: start the version of Tapedeck that wrote it, or a \
                 newer one"
            ),
        }
    };
    read().with_context(|| format!("the state of {processor} in the checkpoint of {topic}[{partition}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(state: &str) -> Checkpoint {
        Checkpoint {
            processor: "test".to_owned(),
            topic: "stock-prices".to_owned(),
            partition: 0,
            generation: 3,
            next_offset: 10,
            log_identity: Some("one".to_owned()),
            caught_up_at: None,
            state: state.to_owned(),
        }
    }

    fn partition() -> TopicPartition {
        TopicPartition { topic: "stock-prices".into(), partition: 0 }
    }

    #[test]
    fn a_state_comes_back_from_its_checkpoint() {
        let mut owned: Owned<Vec<u32>> = Owned::restore(&checkpoint("")).unwrap();
        owned.state = vec![1, 2];
        owned.move_to(12);
        let saved = owned.checkpoint("test", &partition()).unwrap();
        assert_eq!((saved.generation, saved.next_offset), (3, 12));
        let again: Owned<Vec<u32>> = Owned::restore(&saved).unwrap();
        assert_eq!((again.state, again.next_offset, again.is_changed), (vec![1, 2], 12, false));
    }

    #[test]
    fn a_state_of_before_versions_is_read_and_one_of_a_newer_version_is_refused_with_its_number() {
        #[derive(Default, Serialize, Deserialize)]
        struct Series {
            series: Vec<u32>,
        }
        let old: Owned<Series> = Owned::restore(&checkpoint(r#"{"log":"x","series":[7]}"#)).unwrap();
        assert_eq!(old.state.series, [7]);
        let replaced =
            r#"{"log":"x","former":{"next_offset":9,"until":"2026-11-03T10:00:00Z"},"series":[7]}"#;
        let old: Owned<Series> = Owned::restore(&checkpoint(replaced)).unwrap();
        let before = Verdict::Redelivered(DateTime::from_timestamp(1_793_600_000, 0).unwrap());
        assert!(!old.applies(10, before), "applied out of the log before");
        let newer = checkpoint(r#"{"version":9,"state":{"series":[7]}}"#);
        let error = format!("{:#}", Owned::<Series>::restore(&newer).err().unwrap());
        assert!(error.contains("version 9") && error.contains("stock-prices[0]"), "{error}");
    }

    #[test]
    fn an_event_is_applied_once_also_when_the_log_was_replaced() {
        let (before, replaced_at, after) = {
            let at = |second| DateTime::from_timestamp(second, 0).unwrap();
            (at(10), at(20), at(30))
        };
        let mut owned: Owned<()> = Owned::restore(&checkpoint("")).unwrap();
        assert!(owned.applies(10, Verdict::New) && !owned.applies(9, Verdict::New), "before the checkpoint");
        assert!(owned.applies(10, Verdict::Redelivered(before)), "stored, and not saved in a checkpoint");
        assert!(!owned.applies(10, Verdict::Duplicate));
        owned.restart(replaced_at);
        assert!(owned.applies(0, Verdict::New));
        assert!(!owned.applies(0, Verdict::Redelivered(before)), "applied out of the log before");
        assert!(owned.applies(0, Verdict::Redelivered(after)), "stored out of this log");
        let saved = owned.checkpoint("test", &partition()).unwrap();
        let again: Owned<()> = Owned::restore(&saved).unwrap();
        assert!(!again.applies(0, Verdict::Redelivered(before)), "also after a restart");
    }
}
