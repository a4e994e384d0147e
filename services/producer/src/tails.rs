//! The end of the log: the last ticks of an earlier run of this producer.

use std::{collections::BTreeMap, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use event_log::{EventLog, EventLogError, Pages, Result, TopicPartition};
use market::{Source, Symbol, Tick};

/// Records looked at in each partition, from its end.
const LOOK_BACK: u64 = 2_000;
/// Between two tries, doubled up to the longest; a minute or so in all.
const RETRY_MIN_MS: u64 = 100;
const RETRY_MAX_MS: u64 = 5_000;
const RETRIES: usize = 16;

/// The newest records of one source.
pub(crate) struct Tails {
    /// The newest tick of each symbol that is there.
    pub(crate) newest: Vec<Tick>,
    /// The highest sequence number; 0 without records.
    pub(crate) highest_seq: u64,
}

/// Which prices the end of the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// Of a venue, live or recorded.
    pub(crate) real: bool,
    /// Of the simulated market.
    pub(crate) simulated: bool,
}

/// Reads the last records of the tick topics. Sequence numbers made from the clock go on above the highest found: also
/// after a clock was set back. A broker that is away, or has yet to choose the leader of a topic made a moment ago, is
/// waited for, within bounds.
pub(crate) async fn read(log: &dyn EventLog, source: Source) -> Result<Tails> {
    let read = async || {
        let (mut newest, mut highest_seq) = (BTreeMap::<Symbol, Tick>::new(), 0);
        last_ticks(log, |tick| {
            if tick.source == source {
                highest_seq = highest_seq.max(tick.seq);
                newest.insert(tick.symbol, tick);
            }
        })
        .await?;
        Ok(Tails { newest: newest.into_values().collect(), highest_seq })
    };
    read.retry(waits()).when(EventLogError::is_transient).await
}

/// Whose ticks the last records of the tick topics are; waits for a broker as [`read`] does.
pub(crate) async fn kinds(log: &dyn EventLog) -> Result<Kinds> {
    let look = async || {
        let mut kinds = Kinds::default();
        last_ticks(log, |tick| {
            if tick.source.is_simulated() {
                kinds.simulated = true;
            } else {
                kinds.real = true;
            }
        })
        .await?;
        Ok(kinds)
    };
    look.retry(waits()).when(EventLogError::is_transient).await
}

fn waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
        .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
        .with_max_times(RETRIES)
}

async fn last_ticks(log: &dyn EventLog, mut see: impl FnMut(Tick)) -> Result<()> {
    let now = Utc::now();
    for topic in log.topics().await? {
        if ![topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES].contains(&topic.name.as_str()) {
            continue;
        }
        for (partition, (first, next)) in (0..).zip(&topic.partitions) {
            let place = TopicPartition { topic: topic.name.as_str().into(), partition };
            let from = next.saturating_sub(LOOK_BACK).max(*first);
            let mut pages = Pages::new(log, place, from..*next, LOOK_BACK as usize);
            while let Some(messages) = pages.next().await? {
                // What cannot be read is the consumer's business: it goes to the dead letters there.
                for tick in
                    messages.iter().filter_map(|message| topics::tick::decode(&message.payload, now).ok())
                {
                    see(tick);
                }
            }
        }
    }
    Ok(())
}
