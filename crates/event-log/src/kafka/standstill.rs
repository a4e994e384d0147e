//! Notices that a publisher's client stands still although the broker is there. librdkafka may lose sight of a partition's
//! leader when that was away for a moment, and then keep its records for ever:
//! <https://github.com/confluentinc/librdkafka/issues/5430>.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::producer::{Producer, PurgeConfig};

use super::{
    asking::Asking,
    deliveries::{Client, Open},
};
use crate::Result;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Records that wait for so long, and as long with a broker that answers, may wait for the client.
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// Whoever asks the client for its metadata helps it, or should: how long it may take.
const REMINDER_LIMIT: Duration = Duration::from_secs(1);
/// A client that stands still for so long, with a broker that answers all the time, is given up. Longer than a request may
/// take (`request.timeout.ms`, 30 s): then it tries again by itself.
const GIVE_UP: Duration = Duration::from_secs(40);

/// Watches a client until it is gone.
pub(super) fn watch(asking: Arc<Asking>, client: Weak<Client>, open: Arc<Open>) -> Result<()> {
    let watcher = Watcher { asking, client, open, still: None };
    let spawned = thread::Builder::new().name("kafka-standstill".to_owned()).spawn(move || watcher.run());
    spawned
        .map(drop)
        .map_err(|error| crate::EventLogError::Refused(format!("no thread to watch the client: {error}")))
}

struct Watcher {
    asking: Arc<Asking>,
    client: Weak<Client>,
    open: Arc<Open>,
    /// When the oldest records that wait were accepted, and since when the broker has answered whenever it was asked.
    still: Option<(Instant, Instant)>,
}

impl Watcher {
    fn run(mut self) {
        loop {
            thread::sleep(LOOK);
            let Some(client) = self.client.upgrade() else { return };
            self.look(&client);
        }
    }

    fn look(&mut self, client: &Client) {
        let before = self.still.take();
        let Some((topic, accepted)) = self.open.oldest().filter(|(_, at)| at.elapsed() >= SUSPICIOUS) else {
            return;
        };
        if !self.broker_would_take_them(&topic) {
            return;
        }
        // A broker that is slow lets others become the oldest.
        let since =
            before.filter(|(same, _)| *same == accepted).map_or_else(Instant::now, |(_, since)| since);
        if since.elapsed() >= GIVE_UP {
            tracing::error!(%topic, "the client of kafka stands still although the broker answers: it is given up");
            client.purge(PurgeConfig::default().queue().inflight());
            return;
        }
        self.still = Some((accepted, since));
        // A broker that has just come back may have its first answer for us.
        if since.elapsed() < SUSPICIOUS {
            return;
        }
        tracing::warn!(
            %topic,
            "records wait although the broker answers; the client of kafka is reminded of their leaders"
        );
        if let Err(error) = client.client().fetch_metadata(None, REMINDER_LIMIT) {
            tracing::debug!(%error, "it cannot ask the broker");
        }
    }

    /// Every partition has a leader that answers, and all its replicas: with too few the broker refuses records, and the client
    /// rightly tries until there are enough.
    fn broker_would_take_them(&self, topic: &str) -> bool {
        let whole = self.asking.is_whole(topic).unwrap_or(false);
        let partitions = || self.asking.partitions_of(&[topic.to_owned()]);
        whole && partitions().and_then(|partitions| self.asking.bounds(&partitions)).is_ok()
    }
}
