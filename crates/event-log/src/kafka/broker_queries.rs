//! Queries about topics, offsets and groups. All calls block, so they run on threads for blocking work.

use std::{
    collections::{BTreeMap, HashMap},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, Mutex},
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    metadata::{Metadata, MetadataPartition},
};

use super::{
    context::{ConnectionError, QueryContext},
    settings::ClientSettings,
};
use crate::{EventLogError, Result, TopicPartition, locked::locked};

/// Time limit of one request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same limit, divided: between the attempts the client's connection errors are checked. Later attempts are longer, so
/// that a slow broker can respond.
const ATTEMPT_TIMEOUTS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];
/// How long to poll the client for error events.
const EVENT_POLL: Duration = Duration::from_millis(20);
/// Possible causes if a broker accepts connections and does not respond.
const NO_RESPONSE_HINT: &str = "it accepts connections and does not respond: it hangs; or it requires a user (write USER@host, \
     with LOG_PASSWORD or LOG_PASSWORD_FILE), or TLS (write kafka+tls://); or it is not Kafka";
/// Number of addresses that are tried for this, and the time limit of each connection.
const MAX_ADDRESSES: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of groups whose client is kept for later queries; other groups get a new client for each query.
const MAX_GROUP_CLIENTS: usize = 16;

/// Client for queries, with a cache of topic names.
pub(crate) struct BrokerQueries {
    pub(crate) settings: ClientSettings,
    /// The last connection error of these clients.
    pub(crate) connection_error: ConnectionError,
    pub(super) client: BaseConsumer<QueryContext>,
    groups: Mutex<HashMap<String, Arc<BaseConsumer<QueryContext>>>>,
    /// Names of existing topics.
    known: Mutex<HashMap<String, Arc<str>>>,
}

/// Bounds of partitions: the first offset still kept, and the offset of the next record.
pub(crate) type Bounds = HashMap<TopicPartition, (u64, u64)>;

impl BrokerQueries {
    /// Creates the client. Does not connect.
    pub(crate) fn new(settings: ClientSettings) -> Result<Self> {
        let connection_error = ConnectionError::default();
        let made = settings.client().create_with_context(QueryContext(connection_error.clone()));
        let client = made.map_err(|error| settings.failure(&error))?;
        Ok(Self { settings, connection_error, client, groups: Mutex::default(), known: Mutex::default() })
    }

    /// The name of the topic, if the cache has it.
    pub(crate) fn known(&self, topic: &str) -> Option<Arc<str>> {
        locked(&self.known).get(topic).cloned()
    }

    /// Removes a topic from the cache, after the broker reported it as unknown.
    pub(crate) fn forget(&self, topic: &str) {
        locked(&self.known).remove(topic);
    }

    /// Every topic with its number of partitions, without Kafka's internal topics.
    pub(crate) fn topics(&self) -> Result<BTreeMap<Arc<str>, i32>> {
        let metadata = self.metadata()?;
        let mut topics = BTreeMap::new();
        let mut known = locked(&self.known);
        for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
            let count = topic.partitions().len() as i32;
            if topic.error().is_none() && count > 0 {
                let name = known.entry(topic.name().to_owned()).or_insert_with(|| Arc::from(topic.name()));
                topics.insert(Arc::clone(name), count);
            }
        }
        Ok(topics)
    }

    /// Metadata of the brokers and all topics.
    pub(super) fn metadata(&self) -> Result<Metadata> {
        let mut failure = self.settings.timed_out("querying the topics");
        for part in ATTEMPT_TIMEOUTS {
            match self.client.fetch_metadata(None, part) {
                Ok(metadata) => {
                    self.connection_error.clear();
                    return Ok(metadata);
                }
                Err(error) => failure = self.settings.failure(&error),
            }
            // Error events stay in the client's queue until it is polled. Not with a zero timeout: such a poll returns at the
            // first log line.
            while self.client.poll(EVENT_POLL).is_some() {}
            if let Some(reason) = self.connection_error.reason() {
                let brokers = self.settings.brokers.clone();
                return Err(EventLogError::AccessDenied { brokers, reason });
            }
            if !failure.is_transient() {
                return Err(failure);
            }
        }
        // A broker that closes the connection of a client without a user is not an error event of the client.
        let hint = self.connection_error.hint().or_else(|| self.is_listening().then_some(NO_RESPONSE_HINT));
        Err(hint.map_or(failure, |hint| self.settings.unavailable(hint.to_owned())))
    }

    /// Whether one of the addresses accepts connections.
    fn is_listening(&self) -> bool {
        let addresses = self.settings.brokers.split(',').take(MAX_ADDRESSES);
        let with_port =
            |broker: &str| if broker.contains(':') { broker.to_owned() } else { format!("{broker}:9092") };
        let mut sockets = addresses.filter_map(|broker| with_port(broker).to_socket_addrs().ok()?.next());
        sockets.any(|socket| TcpStream::connect_timeout(&socket, CONNECT_TIMEOUT).is_ok())
    }

    /// All partitions of these topics.
    pub(crate) fn partitions_of(&self, wanted: &[String]) -> Result<Vec<TopicPartition>> {
        let topics = self.topics()?;
        let mut partitions = Vec::new();
        for name in wanted {
            let (topic, count) = topics
                .get_key_value(name.as_str())
                .ok_or_else(|| EventLogError::UnknownTopic(name.clone()))?;
            partitions
                .extend((0..*count).map(|partition| TopicPartition { topic: Arc::clone(topic), partition }));
        }
        Ok(partitions)
    }

    /// The partitions of a topic, if each of them has a leader and all replicas in sync.
    pub(super) fn fully_replicated(&self, topic: &Arc<str>) -> Result<Option<Vec<TopicPartition>>> {
        let metadata = self.metadata()?;
        let known =
            metadata.topics().iter().find(|known| known.name() == &**topic && !known.partitions().is_empty());
        let partitions = known.ok_or_else(|| EventLogError::UnknownTopic(topic.to_string()))?.partitions();
        let is_complete = |partition: &MetadataPartition| {
            partition.error().is_none()
                && partition.leader() >= 0
                && partition.isr().len() == partition.replicas().len()
        };
        let id = |partition: &MetadataPartition| TopicPartition {
            topic: Arc::clone(topic),
            partition: partition.id(),
        };
        Ok(partitions.iter().all(is_complete).then(|| partitions.iter().map(id).collect()))
    }

    /// First and next offset of each partition, queried for all of them at once.
    pub(crate) fn bounds(&self, partitions: &[TopicPartition]) -> Result<Bounds> {
        if partitions.is_empty() {
            return Ok(Bounds::new());
        }
        let starts = self.logical(partitions, Offset::Beginning)?;
        let ends = self.logical(partitions, Offset::End)?;
        let bounds = |partition: &TopicPartition| {
            // A missing result must not become an empty partition: it would look like a replaced log.
            let answered = starts.get(partition).zip(ends.get(partition));
            let (start, end) =
                answered.ok_or_else(|| self.settings.timed_out("querying the ends of partitions"))?;
            Ok((partition.clone(), (*start, *end.max(start))))
        };
        partitions.iter().map(bounds).collect()
    }

    /// The current beginning or end of each partition. In the protocol this is a query by time with a reserved timestamp.
    fn logical(&self, partitions: &[TopicPartition], which: Offset) -> Result<HashMap<TopicPartition, u64>> {
        let list = list_of(partitions, |_| which).map_err(|error| self.settings.failure(&error))?;
        let answer = self
            .client
            .offsets_for_times(list, REQUEST_TIMEOUT)
            .map_err(|error| self.settings.failure(&error))?;
        self.offsets_in(&answer, partitions)
    }

    /// Offset after the last committed record of a group, for partitions with a commit.
    pub(crate) fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, u64>> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        let client = self.group_client(group)?;
        client.poll(Duration::ZERO);
        let list = list_of(partitions, |_| Offset::Invalid).map_err(|error| self.settings.failure(&error))?;
        let answer =
            client.committed_offsets(list, REQUEST_TIMEOUT).map_err(|error| self.settings.failure(&error))?;
        self.offsets_in(&answer, partitions)
    }

    fn offsets_in(
        &self,
        answer: &TopicPartitionList,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, u64>> {
        let mut offsets = HashMap::new();
        for partition in partitions {
            let Some(element) = answer.find_partition(&partition.topic, partition.partition) else {
                continue;
            };
            element.error().map_err(|error| self.settings.failure(&error))?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(partition.clone(), offset.unsigned_abs());
            }
        }
        Ok(offsets)
    }

    fn group_client(&self, group: &str) -> Result<Arc<BaseConsumer<QueryContext>>> {
        if let Some(client) = locked(&self.groups).get(group) {
            return Ok(Arc::clone(client));
        }
        let made =
            self.settings.reader(group).create_with_context(QueryContext(self.connection_error.clone()));
        let client: Arc<BaseConsumer<QueryContext>> =
            Arc::new(made.map_err(|error| self.settings.failure(&error))?);
        let mut groups = locked(&self.groups);
        if groups.len() < MAX_GROUP_CLIENTS {
            groups.insert(group.to_owned(), Arc::clone(&client));
        }
        Ok(client)
    }
}

/// A list of partitions with an offset each, as the client's type.
pub(crate) fn list_of(
    partitions: &[TopicPartition],
    offset: impl Fn(&TopicPartition) -> Offset,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, offset(partition))?;
    }
    Ok(list)
}

/// An offset as the client's type.
pub(crate) fn at(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}
