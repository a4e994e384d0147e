//! What librdkafka is told.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

use crate::EventLogError;

/// Whom to ask, and the settings on top of ours.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `host:port`, with commas between several. Without credentials.
    pub(crate) brokers: String,
    /// From the URL: names and values of librdkafka's settings.
    pub(super) own: Vec<(String, String)>,
}

impl Settings {
    /// What all clients share.
    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tapedeck")
            // A broker that is back is found within a second or two, not after the default ten.
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false");
        config
    }

    fn with_own(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.own {
            config.set(key, value);
            // Who asks for the client's own words shall get them; our filter chooses among them.
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
            // Accepted records wait for the broker as long as it takes; the bounded buffer holds the sender back.
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            // The publisher's own bounds are below these, so that a batch finds room for all of its records.
            .set("queue.buffering.max.kbytes", "131072")
            .set("queue.buffering.max.messages", "1000000")
            // Room for a record of the largest size and its frame.
            .set("message.max.bytes", "1048576");
        self.with_own(config)
    }

    /// For consuming as a member of `group`.
    pub(crate) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "earliest")
            // Members learn of a rebalance from the answers to their heartbeats, twice for one move.
            .set("heartbeat.interval.ms", "1000")
            // What a killed member had is taken over after so long, instead of the default 45 s; and so long a group waits, when
            // its broker was away, for the members that they were before. Brokers take no less, unless told to.
            .set("session.timeout.ms", "6000")
            // The default of a second starves a reader that drains a backlog.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.wait.max.ms", "50")
            // What a slow reader costs in memory. Per partition, as each has its own queue; what is fetched is compressed, and
            // the queue takes an answer whole. A message that is larger alone comes all the same.
            .set("queued.max.messages.kbytes", "2048")
            .set("max.partition.fetch.bytes", "262144")
            .set("isolation.level", "read_committed");
        let mut config = self.with_own(config);
        // What the port promises about commits rests on these.
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        config
    }

    /// For reading partitions by offset, or for asking what a group has committed; never joins it.
    pub(crate) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.member(group);
        config.set("enable.partition.eof", "true");
        config
    }

    /// An error of the client in our words.
    pub(crate) fn failure(&self, error: &KafkaError) -> EventLogError {
        super::failure::failure(&self.brokers, error)
    }

    /// No answer in time.
    pub(crate) fn no_answer(&self, doing: &str) -> EventLogError {
        self.unavailable(format!("no answer while {doing}"))
    }

    /// Out of reach.
    pub(crate) fn unavailable(&self, reason: String) -> EventLogError {
        EventLogError::Unavailable { brokers: self.brokers.clone(), reason }
    }
}
