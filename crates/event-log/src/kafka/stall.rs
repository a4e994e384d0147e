//! Detects a publisher's client that has stalled although the broker is available. librdkafka may fail to find a partition's
//! leader again after a short outage, and then keeps its records without limit:
//! <https://github.com/confluentinc/librdkafka/issues/5430>.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::producer::{Producer, PurgeConfig};

use super::{
    broker_queries::BrokerQueries,
    context::ConnectionError,
    deliveries::{Client, InFlight, Oldest},
};
use crate::Result;

/// Interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Age of the oldest record in flight, and time with a responding broker, after which the client counts as stalled.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// Time limit of the metadata request that makes the client look up the leaders.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after which a stalled client is given up, if the broker has responded throughout. Longer than the timeouts after which
/// a client continues by itself: that of a connection (`socket.timeout.ms`, 60 s) and of a follower in sync
/// (`replica.lag.time.max.ms`, 30 s).
const GIVE_UP_AFTER: Duration = Duration::from_secs(90);

/// Checks a client until it is dropped.
pub(super) fn start(
    queries: Arc<BrokerQueries>,
    client: Weak<Client>,
    in_flight: Arc<InFlight>,
    connection_error: ConnectionError,
) -> Result<()> {
    let detector = StallDetector { queries, client, in_flight, connection_error, stalled: None };
    let spawned = thread::Builder::new().name("kafka-stall".to_owned()).spawn(move || detector.run());
    spawned.map(drop).map_err(|error| {
        crate::EventLogError::Refused(format!("cannot start the thread that checks the client: {error}"))
    })
}

struct StallDetector {
    queries: Arc<BrokerQueries>,
    client: Weak<Client>,
    in_flight: Arc<InFlight>,
    connection_error: ConnectionError,
    /// The oldest batch in flight, and since when the broker has responded to every check.
    stalled: Option<(Oldest, Instant)>,
}

impl StallDetector {
    fn run(mut self) {
        loop {
            thread::sleep(CHECK_INTERVAL);
            let Some(client) = self.client.upgrade() else { return };
            self.check(&client);
        }
    }

    fn check(&mut self, client: &Client) {
        let before = self.stalled.take();
        let Some(oldest) =
            self.in_flight.oldest().filter(|oldest| oldest.accepted.elapsed() >= STALLED_AFTER)
        else {
            return;
        };
        // Denied access is reported elsewhere, and the client continues once the setting is fixed.
        if self.connection_error.reason().is_some() || !self.broker_can_store(&oldest.topic) {
            return;
        }
        // A slow broker stores some of them, which changes the oldest batch.
        let since = before.filter(|(same, _)| *same == oldest).map_or_else(Instant::now, |(_, since)| since);
        let topic = Arc::clone(&oldest.topic);
        if since.elapsed() >= GIVE_UP_AFTER {
            let lost = self.in_flight.give_up();
            tracing::error!(
                %topic, lost,
                "the kafka client has stalled although the broker responds; it is given up, and its unsent records fail"
            );
            client.purge(PurgeConfig::default().queue().inflight());
            return;
        }
        self.stalled = Some((oldest, since));
        // A broker that has just started may have responded to this check first.
        if since.elapsed() < STALLED_AFTER {
            return;
        }
        tracing::warn!(
            %topic,
            "records wait although the broker responds; requesting the leaders of their partitions"
        );
        if let Err(error) = client.client().fetch_metadata(None, METADATA_TIMEOUT) {
            tracing::debug!(%error, "cannot request the metadata");
        }
    }

    /// Whether every partition has a leader that responds, and all replicas in sync. With too few replicas the broker refuses
    /// records, and the client is right to retry.
    fn broker_can_store(&self, topic: &Arc<str>) -> bool {
        let Ok(Some(partitions)) = self.queries.fully_replicated(topic) else { return false };
        self.queries.bounds(&partitions).is_ok()
    }
}
