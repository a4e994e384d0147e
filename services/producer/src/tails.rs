//! The end of the log: where an earlier run of this producer left off.

use std::{collections::BTreeMap, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use event_log::{EventLog, EventLogError, Result, TopicPartition};
use market::{Source, Symbol, Tick};

/// Records looked at in each partition, from its end.
const LOOK_BACK: u64 = 2_000;
/// Between two tries, doubled up to the longest; a minute or so in all.
const RETRY_MIN_MS: u64 = 100;
const RETRY_MAX_MS: u64 = 5_000;
const RETRIES: usize = 16;

/// What the newest records of one source say.
pub(crate) struct Tails {
    /// The newest tick of each symbol that is there.
    pub(crate) newest: Vec<Tick>,
    /// The highest sequence number; 0 without records.
    pub(crate) highest_seq: u64,
}

/// Reads the last records of the tick topics. Sequence numbers made from the clock go on above the highest found: also
/// after a clock was set back. A broker that is away, or has yet to choose the leader of a topic made a moment ago, is
/// waited for, within bounds.
pub(crate) async fn read(log: &dyn EventLog, source: Source) -> Result<Tails> {
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
        .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
        .with_max_times(RETRIES);
    (|| read_once(log, source)).retry(waits).when(EventLogError::is_transient).await
}

async fn read_once(log: &dyn EventLog, source: Source) -> Result<Tails> {
    let mut newest: BTreeMap<Symbol, Tick> = BTreeMap::new();
    let mut highest_seq = 0;
    let now = Utc::now();
    for topic in log.topics().await? {
        if ![topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES].contains(&topic.name.as_str()) {
            continue;
        }
        for (partition, (first, next)) in (0..).zip(&topic.partitions) {
            let place = TopicPartition { topic: topic.name.as_str().into(), partition };
            let from = next.saturating_sub(LOOK_BACK).max(*first);
            for message in log.read(&place, from, LOOK_BACK as usize).await? {
                // What cannot be read is the consumer's business: it goes to the dead letters there.
                let Ok(tick) = topics::tick::decode(&message.payload, now) else { continue };
                if tick.source == source {
                    highest_seq = highest_seq.max(tick.seq);
                    newest.insert(tick.symbol, tick);
                }
            }
        }
    }
    Ok(Tails { newest: newest.into_values().collect(), highest_seq })
}
