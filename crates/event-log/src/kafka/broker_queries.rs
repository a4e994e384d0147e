//! Questions about topics, offsets and groups. All calls here block: they run on threads that may.

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
    context::{Quiet, Trouble},
    settings::Settings,
};
use crate::{EventLogError, Result, TopicPartition, locked::locked};

/// How long an answer may take.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The same, in parts: between them the client is asked whether it hears why it is kept out. Later ones are longer, so
/// that a slow broker finds time to answer.
const ANSWER_PARTS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];
/// How long its events are looked for.
const EVENTS: Duration = Duration::from_millis(20);
/// What a broker that takes connections and answers nothing may be.
const NOT_AS_EXPECTED: &str = "it takes connections and does not answer: it hangs; or it asks for a user (write USER@host, \
     with LOG_PASSWORD or LOG_PASSWORD_FILE), or for TLS (write kafka+tls://); or it is no Kafka";
/// How many addresses are tried for that, and how long each.
const MOST_CONNECTED: usize = 3;
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Groups whose committed offsets are asked again and again keep their client; beyond that many it is made anew.
const KEPT_GROUP_CLIENTS: usize = 16;

/// Knows whom to ask, and remembers what does not change.
pub(crate) struct BrokerQueries {
    pub(crate) settings: Settings,
    /// What keeps our clients out.
    pub(crate) trouble: Trouble,
    pub(super) client: BaseConsumer<Quiet>,
    groups: Mutex<HashMap<String, Arc<BaseConsumer<Quiet>>>>,
    /// Topics that are there, with their names as shared text.
    known: Mutex<HashMap<String, Arc<str>>>,
}

/// Bounds of partitions: the first offset kept, and the offset the next record gets.
pub(crate) type Bounds = HashMap<TopicPartition, (u64, u64)>;

impl BrokerQueries {
    /// Connects to nobody yet.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let trouble = Trouble::default();
        let made = settings.client().create_with_context(Quiet(trouble.clone()));
        let client = made.map_err(|error| settings.failure(&error))?;
        Ok(Self { settings, trouble, client, groups: Mutex::default(), known: Mutex::default() })
    }

    /// The name as shared text if the topic is known to be there.
    pub(crate) fn known(&self, topic: &str) -> Option<Arc<str>> {
        locked(&self.known).get(topic).cloned()
    }

    /// The broker said the topic is not there.
    pub(crate) fn forget(&self, topic: &str) {
        locked(&self.known).remove(topic);
    }

    /// Every topic and how many partitions it has, without the broker's own.
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

    /// Everything the brokers say about themselves and their topics.
    pub(super) fn metadata(&self) -> Result<Metadata> {
        let mut failure = self.settings.no_answer("queries for the topics");
        for part in ANSWER_PARTS {
            match self.client.fetch_metadata(None, part) {
                Ok(metadata) => {
                    self.trouble.clear();
                    return Ok(metadata);
                }
                Err(error) => failure = self.settings.failure(&error),
            }
            // Events of the client wait in its queue until somebody looks. Not without any time: a look ends then at the
            // first line for the log.
            while self.client.poll(EVENTS).is_some() {}
            if let Some(reason) = self.trouble.reason() {
                let brokers = self.settings.brokers.clone();
                return Err(EventLogError::NotAdmitted { brokers, reason });
            }
            if !failure.is_transient() {
                return Err(failure);
            }
        }
        // A broker that hangs up on somebody who does not sign in is no error to the client, and it says nothing.
        let guess = self.trouble.guess().or_else(|| self.is_listening().then_some(NOT_AS_EXPECTED));
        Err(guess.map_or(failure, |guess| self.settings.unavailable(guess.to_owned())))
    }

    /// Whether somebody takes connections at one of the addresses.
    fn is_listening(&self) -> bool {
        let addresses = self.settings.brokers.split(',').take(MOST_CONNECTED);
        let with_port =
            |broker: &str| if broker.contains(':') { broker.to_owned() } else { format!("{broker}:9092") };
        let mut sockets = addresses.filter_map(|broker| with_port(broker).to_socket_addrs().ok()?.next());
        sockets.any(|socket| TcpStream::connect_timeout(&socket, CONNECT_LIMIT).is_ok())
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

    /// The partitions of a topic, if each has a leader and all its replicas in sync.
    pub(super) fn whole(&self, topic: &Arc<str>) -> Result<Option<Vec<TopicPartition>>> {
        let metadata = self.metadata()?;
        let known =
            metadata.topics().iter().find(|known| known.name() == &**topic && !known.partitions().is_empty());
        let partitions = known.ok_or_else(|| EventLogError::UnknownTopic(topic.to_string()))?.partitions();
        let is_whole = |partition: &MetadataPartition| {
            partition.error().is_none()
                && partition.leader() >= 0
                && partition.isr().len() == partition.replicas().len()
        };
        let place = |partition: &MetadataPartition| TopicPartition {
            topic: Arc::clone(topic),
            partition: partition.id(),
        };
        Ok(partitions.iter().all(is_whole).then(|| partitions.iter().map(place).collect()))
    }

    /// First and next offset of each partition, asked for all of them at once.
    pub(crate) fn bounds(&self, partitions: &[TopicPartition]) -> Result<Bounds> {
        if partitions.is_empty() {
            return Ok(Bounds::new());
        }
        let starts = self.logical(partitions, Offset::Beginning)?;
        let ends = self.logical(partitions, Offset::End)?;
        let bounds = |partition: &TopicPartition| {
            // Not taken for an empty partition: it would seem to be another one.
            let answered = starts.get(partition).zip(ends.get(partition));
            let (start, end) =
                answered.ok_or_else(|| self.settings.no_answer("queries where partitions end"))?;
            Ok((partition.clone(), (*start, *end.max(start))))
        };
        partitions.iter().map(bounds).collect()
    }

    /// What the beginning or the end of each partition is at the moment. A query by time with the number that stands
    /// for the beginning or the end is what the protocol has for it.
    fn logical(&self, partitions: &[TopicPartition], which: Offset) -> Result<HashMap<TopicPartition, u64>> {
        let list = list_of(partitions, |_| which).map_err(|error| self.settings.failure(&error))?;
        let answer = self
            .client
            .offsets_for_times(list, ANSWER_LIMIT)
            .map_err(|error| self.settings.failure(&error))?;
        self.offsets_in(&answer, partitions)
    }

    /// Offset behind the last committed record of a group, where there is one.
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
            client.committed_offsets(list, ANSWER_LIMIT).map_err(|error| self.settings.failure(&error))?;
        self.offsets_in(&answer, partitions)
    }

    fn offsets_in(
        &self,
        answer: &TopicPartitionList,
        asked: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, u64>> {
        let mut offsets = HashMap::new();
        for partition in asked {
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

    fn group_client(&self, group: &str) -> Result<Arc<BaseConsumer<Quiet>>> {
        if let Some(client) = locked(&self.groups).get(group) {
            return Ok(Arc::clone(client));
        }
        let made = self.settings.reader(group).create_with_context(Quiet(self.trouble.clone()));
        let client: Arc<BaseConsumer<Quiet>> = Arc::new(made.map_err(|error| self.settings.failure(&error))?);
        let mut groups = locked(&self.groups);
        if groups.len() < KEPT_GROUP_CLIENTS {
            groups.insert(group.to_owned(), Arc::clone(&client));
        }
        Ok(client)
    }
}

/// The client's form of a list of partitions with an offset each.
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

/// A broker's offset in the client's form.
pub(crate) fn at(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}
