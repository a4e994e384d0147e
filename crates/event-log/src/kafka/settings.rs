//! Settings of librdkafka.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

use crate::EventLogError;

/// Addresses of the brokers, and the settings from the URL, which override the defaults here.
#[derive(Clone)]
pub(crate) struct ClientSettings {
    /// `host:port`, with commas between several. Without credentials.
    pub(crate) brokers: String,
    /// From the URL: names and values of librdkafka's settings.
    pub(super) own: Vec<(String, String)>,
}

impl ClientSettings {
    /// Settings of all clients.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tapedeck")
            // Reconnects to a restarted broker within two seconds instead of the default ten.
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false");
        config
    }

    fn with_own(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.own {
            config.set(key, value);
            // Passes librdkafka's debug lines on; the log filter of the process selects among them.
            if key == "debug" {
                config.set_log_level(RDKafkaLogLevel::Debug);
            }
        }
        config
    }

    /// For queries about topics and offsets.
    pub(crate) fn client(&self) -> ClientConfig {
        self.with_own(self.base())
    }

    /// For publishing.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            // Unlimited: accepted records wait for the broker, and the bounded buffer limits the sender.
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            // Above the publisher's own limits, so that a batch fits once the publisher has accepted it.
            .set("queue.buffering.max.kbytes", "131072")
            .set("queue.buffering.max.messages", "1000000")
            // A record of the largest size with its framing.
            .set("message.max.bytes", "1048576");
        self.with_own(config)
    }

    /// For consuming as a member of `group`.
    pub(crate) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "earliest")
            // Members receive a rebalance with a heartbeat response, twice for one move of partitions.
            .set("heartbeat.interval.ms", "1000")
            // After this time the partitions of a killed member are reassigned, instead of the default 45 s. After an outage
            // of the broker, the group waits as long for its former members. The minimum that brokers accept by default.
            .set("session.timeout.ms", "6000")
            // The default of one second slows down a reader with a backlog.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.wait.max.ms", "50")
            // Bounds the memory of a slow reader, for each partition, as each has its own queue. Fetched data is compressed, and
            // a response enters the queue as a whole. A single message over these limits is still delivered.
            .set("queued.max.messages.kbytes", "2048")
            .set("max.partition.fetch.bytes", "262144")
            .set("isolation.level", "read_committed");
        let mut config = self.with_own(config);
        // The port's guarantees about commits depend on these, so the URL cannot override them.
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        config
    }

    /// For reading partitions by offset, or for querying the committed offsets of a group; does not join it.
    pub(crate) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.member(group);
        config.set("enable.partition.eof", "true");
        config
    }

    /// An error of the client as an error of the port.
    pub(crate) fn failure(&self, error: &KafkaError) -> EventLogError {
        super::failure::failure(&self.brokers, error)
    }

    /// The error of a request without a response in time.
    pub(crate) fn timed_out(&self, doing: &str) -> EventLogError {
        self.unavailable(format!("no response while {doing}"))
    }

    /// The error of an unavailable broker.
    pub(crate) fn unavailable(&self, reason: String) -> EventLogError {
        EventLogError::Unavailable { brokers: self.brokers.clone(), reason }
    }
}
