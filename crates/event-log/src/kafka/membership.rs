//! A member's place in its group. One thread serves the client's events for as long as the member lives, so that the
//! group keeps it however long its owner is busy; messages wait in the client's own bounded queues meanwhile.

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
    context::{self, Trouble},
    settings::Settings,
};
use crate::{EventLogError, Result, TopicPartition, generation::next_generation, locked::locked};

/// How long the owner may take from `Revoked` to its next call.
const REVOKED_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take to ask for events at all while another member waits for its partitions.
const SILENT_LIMIT: Duration = Duration::from_secs(30);
/// Longest sleep of the thread, so that it sees the end of a revocation and of the membership.
const POLL: Duration = Duration::from_millis(50);

/// A member that is kept out asks so often whether it still is, and waits so long for the answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// The client of a member.
pub(crate) type Member = BaseConsumer<Context>;

/// What the owner is told.
pub(crate) enum News {
    Assigned(Vec<(TopicPartition, u64)>),
    Standby,
    Revoked(Vec<TopicPartition>),
}

/// Shared by the thread, the client's callbacks and the owner.
pub(crate) struct Membership {
    settings: Settings,
    /// What keeps the member out. Its own: other clients of the log may be let in by brokers that it does not need.
    trouble: Trouble,
    state: Mutex<State>,
    /// Something for the owner: news, a failure, or messages in an empty queue.
    pub(crate) something: Notify,
    closing: AtomicBool,
    /// The client is closed, which has told the group.
    pub(crate) left: Notify,
}

#[derive(Default)]
struct State {
    /// Ours, with the number of the assignment.
    owned: HashMap<TopicPartition, u64>,
    names: HashMap<String, Arc<str>>,
    news: VecDeque<News>,
    revocation: Option<Revocation>,
    failure: Option<EventLogError>,
}

/// Partitions on their way to another member. The group waits for us until they are given up.
struct Revocation {
    partitions: TopicPartitionList,
    told: bool,
    done: bool,
    give_up_at: Instant,
}

impl Membership {
    /// Joins the group and begins to serve it.
    pub(crate) fn join(
        settings: &Settings,
        group: &str,
        topics: &[String],
    ) -> Result<(Arc<Self>, Arc<Member>)> {
        let membership = Arc::new(Self {
            settings: settings.clone(),
            trouble: Trouble::default(),
            state: Mutex::default(),
            something: Notify::new(),
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
            .map_err(|error| EventLogError::Refused(format!("no thread for the group: {error}")))?;
        Ok((membership, member))
    }

    /// Ends the membership. The thread leaves the group and closes the client, once the owner has let go of it.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The membership is ending.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The owner asks again: what it was told to give up may go.
    pub(crate) fn owner_asks(&self) {
        if let Some(revocation) = locked(&self.state).revocation.as_mut().filter(|revocation| revocation.told)
        {
            revocation.done = true;
        }
    }

    /// The oldest news.
    pub(crate) fn news(&self) -> Result<Option<News>> {
        let mut state = locked(&self.state);
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        // At every call until it is over, so that nobody takes the silence for a quiet market.
        if let Some(reason) = self.trouble.reason() {
            return Err(EventLogError::NotAdmitted { brokers: self.settings.brokers.clone(), reason });
        }
        let news = state.news.pop_front();
        let more_revocations = state.news.iter().any(|news| matches!(news, News::Revoked(_)));
        if let (Some(News::Revoked(_)), Some(revocation)) = (&news, &mut state.revocation) {
            // Of two revocations the open one is the later.
            if !more_revocations {
                revocation.told = true;
                revocation.give_up_at = Instant::now() + REVOKED_LIMIT;
            }
        }
        Ok(news)
    }

    /// The number of the assignment under which the partition is ours.
    pub(crate) fn generation(&self, partition: &TopicPartition) -> Option<u64> {
        locked(&self.state).owned.get(partition).copied()
    }

    /// A failure that the owner shall hear of.
    pub(crate) fn fail(&self, failure: EventLogError) {
        locked(&self.state).failure.get_or_insert(failure);
        self.something.notify_one();
    }

    fn serve(&self, member: &Member) {
        let mut asked_at = Instant::now();
        while !self.closing.load(Ordering::Acquire) {
            match member.poll(POLL) {
                None => {}
                // Told by the trouble, until it is over.
                Some(Err(_)) if self.trouble.reason().is_some() => self.something.notify_one(),
                Some(Err(error)) => self.report(&error),
                // Partitions are paused until they have a queue of their own, so nothing comes this way.
                Some(Ok(_)) => tracing::debug!("a message outside its partition's queue was passed over"),
            }
            self.end_revocation(member);
            if self.trouble.reason().is_some() && asked_at.elapsed() >= ASK_AGAIN {
                asked_at = Instant::now();
                // The client does not say when it is let in again.
                if member.fetch_metadata(None, ASK_LIMIT).is_ok() {
                    self.trouble.clear();
                    tracing::info!("kafka lets us in again");
                }
                self.something.notify_one();
            }
        }
    }

    /// An event that says something went wrong. The client goes on by itself where that may help.
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
        self.forget(partitions);
        if let Err(error) = member.incremental_unassign(partitions) {
            self.report(&error);
        }
    }

    fn forget(&self, partitions: &TopicPartitionList) -> Vec<TopicPartition> {
        let mut state = locked(&self.state);
        let partitions = state.shared(partitions);
        for partition in &partitions {
            state.owned.remove(partition);
        }
        partitions
    }

    fn assigned(&self, member: &Member, list: &mut TopicPartitionList) {
        // Where to begin is the owner's choice; until then the partitions are paused.
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
            (false, _) => state.news.push_back(News::Assigned(partitions)),
            (true, true) => state.news.push_back(News::Standby),
            (true, false) => return,
        }
        drop(state);
        self.something.notify_one();
    }

    fn revoked(&self, member: &Member, list: &TopicPartitionList) {
        let lost = member.assignment_lost() || self.closing.load(Ordering::Acquire);
        if list.count() == 0 || lost {
            let partitions = self.forget(list);
            self.give_up(member, list);
            if !partitions.is_empty() {
                locked(&self.state).news.push_back(News::Revoked(partitions));
                self.something.notify_one();
            }
            return;
        }
        let mut state = locked(&self.state);
        let partitions = state.shared(list);
        state.news.push_back(News::Revoked(partitions));
        let give_up_at = Instant::now() + SILENT_LIMIT;
        state.revocation =
            Some(Revocation { partitions: list.clone(), told: false, done: false, give_up_at });
        drop(state);
        self.something.notify_one();
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

/// What the client calls.
pub(crate) struct Context(Arc<Membership>);

impl Drop for Context {
    /// Goes with the client, whoever held it last.
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.trouble.hear(&error, reason);
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
