//! Membership in a group. One thread serves the client's events for the lifetime of the member, so that the member stays in the
//! group however long its owner is busy; messages wait in the client's bounded queues meanwhile.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;

use super::{
    context::{self, ConnectionError},
    settings::ClientSettings,
};
use crate::{EventLogError, Result, TopicPartition, generation::next_generation, locked::locked};

/// How long the owner may take from `Revoked` to its next call of `next`.
const REVOKED_LIMIT: Duration = Duration::from_secs(5);
/// How long the owner may take to call `next` at all while another member waits for its partitions.
const OWNER_POLL_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait of the thread, after which it checks for the end of a revocation and of the membership.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Interval at which a member without access checks again, and the time limit of the check.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The client of a member.
pub(crate) type Member = BaseConsumer<Context>;

/// An event for the owner.
pub(crate) enum MemberEvent {
    Assigned(Vec<(TopicPartition, u64)>),
    Standby,
    Revoked(Vec<TopicPartition>),
}

/// Shared by the thread, the client's callbacks and the owner.
pub(crate) struct Membership {
    settings: ClientSettings,
    /// Connection error of the member. Not shared: other clients of the log may be connected to other brokers.
    connection_error: ConnectionError,
    state: Mutex<State>,
    /// Notified when the owner has something to read: an event, a failure, or messages in an empty queue.
    pub(crate) wakeup: Notify,
    closing: AtomicBool,
    /// Notified when the client is closed and has left the group.
    pub(crate) left: Notify,
}

#[derive(Default)]
struct State {
    /// Assigned partitions with their generations.
    owned: HashMap<TopicPartition, u64>,
    names: HashMap<String, Arc<str>>,
    events: VecDeque<MemberEvent>,
    revocation: Option<Revocation>,
    failure: Option<EventLogError>,
}

/// Partitions that move to another member. The group waits until this member gives them up.
struct Revocation {
    partitions: TopicPartitionList,
    reported: bool,
    done: bool,
    give_up_at: Instant,
}

impl Membership {
    /// Joins the group and starts the thread.
    pub(crate) fn join(
        settings: &ClientSettings,
        group: &str,
        topics: &[String],
    ) -> Result<(Arc<Self>, Arc<Member>)> {
        let membership = Arc::new(Self {
            settings: settings.clone(),
            connection_error: ConnectionError::default(),
            state: Mutex::default(),
            wakeup: Notify::new(),
            closing: AtomicBool::new(false),
            left: Notify::new(),
        });
        let failed = |error: KafkaError| settings.failure(&error);
        let context = Context(Arc::clone(&membership));
        let member: Member = settings.member(group).create_with_context(context).map_err(failed)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        member.subscribe(&names).map_err(failed)?;
        let member = Arc::new(member);
        let (serving, served) = (Arc::clone(&membership), Arc::clone(&member));
        std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || serving.serve(&served))
            .map_err(|error| {
                EventLogError::Refused(format!("cannot start the thread of the group membership: {error}"))
            })?;
        Ok((membership, member))
    }

    /// Ends the membership. The thread leaves the group and closes the client once the owner has dropped it.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Whether the membership is ending.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The owner has called `next` again: reported revocations can be completed.
    pub(crate) fn owner_polls(&self) {
        if let Some(revocation) =
            locked(&self.state).revocation.as_mut().filter(|revocation| revocation.reported)
        {
            revocation.done = true;
        }
    }

    /// The oldest event.
    pub(crate) fn next_event(&self) -> Result<Option<MemberEvent>> {
        let mut state = locked(&self.state);
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        // At every call until access is granted, so that missing messages are not taken for missing trades.
        if let Some(reason) = self.connection_error.reason() {
            return Err(EventLogError::AccessDenied { brokers: self.settings.brokers.clone(), reason });
        }
        let event = state.events.pop_front();
        let more_revocations = state.events.iter().any(|event| matches!(event, MemberEvent::Revoked(_)));
        if let (Some(MemberEvent::Revoked(_)), Some(revocation)) = (&event, &mut state.revocation) {
            // Of two revocations the pending one is the later.
            if !more_revocations {
                revocation.reported = true;
                revocation.give_up_at = Instant::now() + REVOKED_LIMIT;
            }
        }
        Ok(event)
    }

    /// The generation of the partition's assignment to this member; `None` if it is not assigned.
    pub(crate) fn generation(&self, partition: &TopicPartition) -> Option<u64> {
        locked(&self.state).owned.get(partition).copied()
    }

    /// Sets a failure for the owner to receive.
    pub(crate) fn fail(&self, failure: EventLogError) {
        locked(&self.state).failure.get_or_insert(failure);
        self.wakeup.notify_one();
    }

    fn serve(&self, member: &Member) {
        let mut checked_at = Instant::now();
        while !self.closing.load(Ordering::Acquire) {
            match member.poll(POLL_INTERVAL) {
                None => {}
                // Reported to the owner as a connection error.
                Some(Err(_)) if self.connection_error.reason().is_some() => self.wakeup.notify_one(),
                Some(Err(error)) => self.report(&error),
                // Partitions are paused until they have their own queue, so no message arrives here.
                Some(Ok(_)) => tracing::debug!("skipped a message outside its partition's queue"),
            }
            self.end_revocation(member);
            if self.connection_error.reason().is_some() && checked_at.elapsed() >= CHECK_INTERVAL {
                checked_at = Instant::now();
                // The client does not report that access is granted again.
                if member.fetch_metadata(None, CHECK_TIMEOUT).is_ok() {
                    self.connection_error.clear();
                    tracing::info!("kafka grants access again");
                }
                self.wakeup.notify_one();
            }
        }
    }

    /// Handles an error event. The client itself retries transient errors.
    pub(crate) fn report(&self, error: &KafkaError) {
        let failure = self.settings.failure(error);
        if failure.is_transient() {
            tracing::debug!("{failure}");
        } else {
            self.fail(failure);
        }
    }

    fn end_revocation(&self, member: &Member) {
        let mut state = locked(&self.state);
        let over = |revocation: &mut Revocation| revocation.done || Instant::now() >= revocation.give_up_at;
        let Some(revocation) = state.revocation.take_if(over) else {
            return;
        };
        drop(state);
        self.give_up(member, &revocation.partitions);
    }

    fn give_up(&self, member: &Member, partitions: &TopicPartitionList) {
        self.remove(partitions);
        if let Err(error) = member.incremental_unassign(partitions) {
            self.report(&error);
        }
    }

    fn remove(&self, partitions: &TopicPartitionList) -> Vec<TopicPartition> {
        let mut state = locked(&self.state);
        let partitions = state.shared(partitions);
        for partition in &partitions {
            state.owned.remove(partition);
        }
        partitions
    }

    fn assigned(&self, member: &Member, list: &mut TopicPartitionList) {
        // The owner sets the start positions; until then the partitions are paused.
        let assigned = list
            .set_all_offsets(Offset::Offset(0))
            .and_then(|()| member.incremental_assign(list))
            .and_then(|()| if list.count() == 0 { Ok(()) } else { member.pause(list) });
        if let Err(error) = assigned {
            self.report(&error);
            return;
        }
        let mut state = locked(&self.state);
        let partitions: Vec<_> =
            state.shared(list).into_iter().map(|partition| (partition, next_generation())).collect();
        state.owned.extend(partitions.iter().cloned());
        match (partitions.is_empty(), state.owned.is_empty()) {
            (false, _) => state.events.push_back(MemberEvent::Assigned(partitions)),
            (true, true) => state.events.push_back(MemberEvent::Standby),
            (true, false) => return,
        }
        drop(state);
        self.wakeup.notify_one();
    }

    fn revoked(&self, member: &Member, list: &TopicPartitionList) {
        let lost = member.assignment_lost() || self.closing.load(Ordering::Acquire);
        if list.count() == 0 || lost {
            let partitions = self.remove(list);
            self.give_up(member, list);
            if !partitions.is_empty() {
                locked(&self.state).events.push_back(MemberEvent::Revoked(partitions));
                self.wakeup.notify_one();
            }
            return;
        }
        let mut state = locked(&self.state);
        let partitions = state.shared(list);
        state.events.push_back(MemberEvent::Revoked(partitions));
        let give_up_at = Instant::now() + OWNER_POLL_LIMIT;
        state.revocation =
            Some(Revocation { partitions: list.clone(), reported: false, done: false, give_up_at });
        drop(state);
        self.wakeup.notify_one();
    }
}

impl State {
    fn shared(&mut self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let shared = |(topic, partition): (&str, i32)| {
            let name = self.names.entry(topic.to_owned()).or_insert_with(|| Arc::from(topic));
            TopicPartition { topic: Arc::clone(name), partition }
        };
        let elements = list.elements();
        elements.iter().map(|element| (element.topic(), element.partition())).map(shared).collect()
    }
}

/// Callbacks of the client.
pub(crate) struct Context(Arc<Membership>);

impl Drop for Context {
    /// Runs when the last owner drops the client.
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.connection_error.record(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, member: &Member, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.0.assigned(member, list);
        } else {
            self.0.revoked(member, list);
        }
    }
}
