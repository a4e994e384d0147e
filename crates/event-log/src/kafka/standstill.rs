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
    broker_queries::BrokerQueries,
    context::Trouble,
    deliveries::{Client, Oldest, Open},
};
use crate::Result;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Records that wait for so long, and as long with a broker that answers, may wait for the client.
const SUSPICIOUS: Duration = Duration::from_secs(3);
/// Whoever asks the client for its metadata helps it, or should: how long it may take.
const REMINDER_LIMIT: Duration = Duration::from_secs(1);
/// A client that stands still for so long, with a broker that answers all the time, is given up. Longer than a connection may
/// be silent (`socket.timeout.ms`, 60 s) or a follower behind that counts as in sync (`replica.lag.time.max.ms`, 30 s): then
/// it goes on by itself.
const GIVE_UP: Duration = Duration::from_secs(90);

/// Watches a client until it is gone.
pub(super) fn watch(
    queries: Arc<BrokerQueries>,
    client: Weak<Client>,
    open: Arc<Open>,
    trouble: Trouble,
) -> Result<()> {
    let watcher = Watcher { queries, client, open, trouble, still: None };
    let spawned = thread::Builder::new().name("kafka-standstill".to_owned()).spawn(move || watcher.run());
    spawned
        .map(drop)
        .map_err(|error| crate::EventLogError::Refused(format!("no thread to watch the client: {error}")))
}

struct Watcher {
    queries: Arc<BrokerQueries>,
    client: Weak<Client>,
    open: Arc<Open>,
    trouble: Trouble,
    /// The oldest records that wait, and since when the broker has answered whenever it was asked.
    still: Option<(Oldest, Instant)>,
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
        let Some(oldest) = self.open.oldest().filter(|oldest| oldest.accepted.elapsed() >= SUSPICIOUS) else {
            return;
        };
        // Who is kept out says so, and is let in when the setting is mended.
        if self.trouble.reason().is_some() || !self.broker_would_take_them(&oldest.topic) {
            return;
        }
        // A broker that is slow takes some of them, or lets others become the oldest.
        let since = before.filter(|(same, _)| *same == oldest).map_or_else(Instant::now, |(_, since)| since);
        let topic = Arc::clone(&oldest.topic);
        if since.elapsed() >= GIVE_UP {
            let lost = self.open.give_up();
            tracing::error!(
                %topic, lost,
                "the client of kafka stands still although the broker answers: it is given up, and with it the records that it \
                 held"
            );
            client.purge(PurgeConfig::default().queue().inflight());
            return;
        }
        self.still = Some((oldest, since));
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
    fn broker_would_take_them(&self, topic: &Arc<str>) -> bool {
        let Ok(Some(partitions)) = self.queries.whole(topic) else { return false };
        self.queries.bounds(&partitions).is_ok()
    }
}
