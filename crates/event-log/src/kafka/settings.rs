//! The URL, and what librdkafka is told.

use rdkafka::{ClientConfig, error::KafkaError};

use crate::{EventLogError, Result, open::without_credentials};

/// Whom to ask, and the settings on top of ours.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `host:port`, with commas between several. Without credentials.
    pub(crate) brokers: String,
    /// From the URL: names and values of librdkafka's settings.
    own: Vec<(String, String)>,
}

/// Reads what stands behind `kafka:` in a URL.
pub(crate) fn parse(rest: &str) -> Result<Settings> {
    let url = format!("kafka:{rest}");
    let bad = |reason: String| EventLogError::BadUrl { url: without_credentials(&url), reason };
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("no // behind kafka:".to_owned()))?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (user, brokers) =
        authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
    if brokers.contains('/') || !brokers.split(',').all(is_broker) {
        return Err(bad("no host:port, or a part of the list is none".to_owned()));
    }
    let mut own = Vec::new();
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        own.push(("security.protocol".to_owned(), "sasl_plaintext".to_owned()));
        own.push(("sasl.mechanism".to_owned(), "PLAIN".to_owned()));
        own.push(("sasl.username".to_owned(), decoded(name)));
        own.push(("sasl.password".to_owned(), decoded(password)));
    }
    own.extend(url::form_urlencoded::parse(query.as_bytes()).into_owned());
    let settings = Settings { brokers: brokers.to_owned(), own };
    // Only the check of names and values; nothing is connected. The value is not repeated: it may be a password.
    match settings.producer().create_native_config() {
        Ok(_) => Ok(settings),
        Err(KafkaError::ClientConfig(_, _, key, _)) => {
            Err(bad(format!("setting `{key}` is unknown or has a wrong value")))
        }
        Err(error) => Err(bad(error.to_string())),
    }
}

fn is_broker(broker: &str) -> bool {
    let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
    !host.is_empty() && port.parse::<u16>().is_ok()
}

/// Percent signs resolved. A plus stays a plus: it means a space in queries only.
fn decoded(text: &str) -> String {
    let query = format!("={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()).collect()
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
        }
        config
    }

    /// For asking about topics and offsets.
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
            // What a killed member had is taken over after so long, instead of the default 45 s.
            .set("session.timeout.ms", "10000")
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
        EventLogError::Unavailable {
            brokers: self.brokers.clone(),
            reason: format!("no answer while {doing}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(rest: &str) -> Vec<(String, String)> {
        parse(rest).unwrap().own
    }

    #[test]
    fn several_brokers_and_settings_are_read() {
        let settings = parse("//one:9092,two:9093?linger.ms=1&client.id=x").unwrap();
        assert_eq!(settings.brokers, "one:9092,two:9093");
        assert_eq!(settings.producer().get("linger.ms"), Some("1"));
        assert_eq!(settings.member("g").get("client.id"), Some("x"));
    }

    #[test]
    fn user_and_password_become_settings_and_are_decoded() {
        let own = own("//me:p%40ss+word@host:9092");
        assert!(own.contains(&("sasl.username".to_owned(), "me".to_owned())));
        assert!(own.contains(&("sasl.password".to_owned(), "p@ss+word".to_owned())));
    }

    #[test]
    fn no_error_shows_a_password() {
        for rest in [
            "//me:secret@host:9092?no.such.setting=1",
            "//me:secret@host:port",
            "//me:secret@",
            "//host:9092?sasl.password=secret&security.protocol=secret",
            "me:secret@host",
        ] {
            let error = parse(rest).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = parse("//host:9092?no.such.setting=1").map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, EventLogError::BadUrl { reason, .. } if reason.contains("no.such.setting")),
            "{error}"
        );
    }
}
