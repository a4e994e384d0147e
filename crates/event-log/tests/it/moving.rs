//! The contract of groups with several members: partitions move, nothing is lost, commits count once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use event_log::{Event, EventLog, Message, StartAt, Subscription, TopicPartition};

use crate::{
    fixture::Fixture,
    steps::{Begin, DEADLINE, assigned, handles, number, numbered, numbers, publish, start, topic},
};

/// A member that commits the messages that it consumes, and tracks its partitions.
struct Member {
    log: Arc<dyn EventLog>,
    group: String,
    subscription: Box<dyn Subscription>,
    owned: BTreeSet<TopicPartition>,
    committed: Vec<usize>,
}

impl Member {
    async fn join(log: &Arc<dyn EventLog>, group: &str, topic: &str) -> anyhow::Result<Self> {
        let subscription = log.subscribe(group, &[topic]).await?;
        let (log, group) = (Arc::clone(log), group.to_owned());
        Ok(Self { log, group, subscription, owned: BTreeSet::new(), committed: Vec::new() })
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        match self.subscription.next(50, Duration::from_millis(50)).await? {
            Event::Assigned(partitions) => {
                let begin = Begin::Committed(&*self.log, &self.group);
                start(&mut *self.subscription, &partitions, begin).await?;
                for partition in partitions {
                    assert!(self.owned.insert(partition), "assigned twice");
                }
            }
            Event::Standby => {}
            Event::Revoked(partitions) => {
                for partition in &partitions {
                    assert!(self.owned.remove(partition), "a partition was revoked that was not assigned");
                }
            }
            Event::Messages(mut messages) => {
                let numbers: Vec<_> = messages.iter().map(number).collect();
                let partitions: BTreeSet<_> =
                    messages.iter().map(|message| message.position.topic_partition.clone()).collect();
                assert!(partitions.is_subset(&self.owned), "messages of a partition that is not assigned");
                if self.subscription.commit(handles(&mut messages)).await? == 0 {
                    self.committed.extend(numbers);
                }
            }
        }
        Ok(())
    }
}

async fn until(
    members: &mut [&mut Member],
    what: &str,
    mut done: impl FnMut(&[&mut Member]) -> bool,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while !done(members) {
        ensure!(started.elapsed() < DEADLINE, "waited too long until {what}");
        for member in members.iter_mut() {
            member.turn().await?;
        }
    }
    Ok(())
}

pub(crate) async fn two_members_share_the_partitions_and_the_last_one_takes_over(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 4).await?, fixture.name("group"));
    publish(&*log, &topic, numbered(0..400)).await?;
    let mut one = Member::join(&log, &group, &topic).await?;
    until(&mut [&mut one], "the first has all", |members| members[0].owned.len() == 4).await?;
    let before = one.owned.clone();
    let mut two = Member::join(&log, &group, &topic).await?;
    until(&mut [&mut one, &mut two], "both have two", |members| {
        members.iter().all(|member| member.owned.len() == 2)
    })
    .await?;
    assert!(one.owned.is_disjoint(&two.owned));
    assert!(one.owned.is_subset(&before), "more partitions moved than necessary");
    publish(&*log, &topic, numbered(400..800)).await?;
    until(&mut [&mut one, &mut two], "all is committed", |members| {
        members.iter().map(|member| member.committed.len()).sum::<usize>() >= 800
    })
    .await?;
    let first_part = std::mem::take(&mut one.committed);
    drop(one);
    publish(&*log, &topic, numbered(800..1000)).await?;
    until(&mut [&mut two], "the second has all", |members| members[0].owned.len() == 4).await?;
    until(&mut [&mut two], "the rest is committed", |members| {
        members[0].committed.len() + first_part.len() >= 1000
    })
    .await?;
    let mut all = first_part;
    all.extend(two.committed);
    assert_eq!(all.len(), 1000, "a message was committed twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..1000).collect());
    Ok(())
}

/// A member with uncommitted messages that has received a revocation, and the member that gets the partitions.
struct Revocation {
    first: Box<dyn Subscription>,
    second: Box<dyn Subscription>,
    gone: Vec<TopicPartition>,
    uncommitted: BTreeMap<TopicPartition, Vec<Message>>,
}

async fn revocation(
    fixture: &Fixture,
    log: &dyn EventLog,
    group: &str,
    topic: &str,
) -> anyhow::Result<Revocation> {
    publish(log, topic, numbered(0..200)).await?;
    let mut first = log.subscribe(group, &[topic]).await?;
    for partition in assigned(&mut *first, 2).await? {
        first.start(&[(partition.clone(), StartAt::Beginning)]).await?;
    }
    let mut uncommitted: BTreeMap<TopicPartition, Vec<Message>> = BTreeMap::new();
    for message in crate::steps::take(&mut *first, StartAt::Beginning, 200).await? {
        uncommitted.entry(message.position.topic_partition.clone()).or_default().push(message);
    }
    let mut second = log.subscribe(group, &[topic]).await?;
    let started = Instant::now();
    let gone = loop {
        ensure!(started.elapsed() < DEADLINE, "{}: nothing was revoked", fixture.url);
        if let Event::Revoked(gone) = first.next(10, Duration::from_millis(50)).await? {
            break gone;
        }
        // The second member must poll as well to join the group.
        if let Event::Assigned(early) = second.next(10, Duration::from_millis(50)).await? {
            anyhow::bail!("{early:?} moved before their owner received the revocation");
        }
    };
    Ok(Revocation { first, second, gone, uncommitted })
}

pub(crate) async fn a_handle_of_an_ended_assignment_is_ignored(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 2).await?, fixture.name("group"));
    let Revocation { mut first, mut second, gone, mut uncommitted } =
        revocation(fixture, &*log, &group, &topic).await?;
    assert_eq!(gone.len(), 1);
    // The next call gives the partition up; the second member takes it.
    let started = Instant::now();
    let mut moved = Vec::new();
    while moved.is_empty() {
        ensure!(started.elapsed() < DEADLINE, "the partition did not move");
        first.next(10, Duration::from_millis(50)).await?;
        if let Event::Assigned(partitions) = second.next(10, Duration::from_millis(50)).await? {
            moved = partitions;
        }
    }
    assert_eq!(moved, gone);
    let mut late = uncommitted.remove(&gone[0]).unwrap();
    let late = handles(&mut late);
    let mut still_assigned = uncommitted.into_values().next().unwrap();
    let count = late.len();
    assert_eq!(first.commit(late).await?, count);
    assert_eq!(first.commit(handles(&mut still_assigned)).await?, 0);
    let lag = log.lag(&group, &[&topic]).await?;
    let of_gone = lag.iter().find(|lag| lag.topic_partition == gone[0]).unwrap();
    assert_eq!(of_gone.committed, None, "a late handle has changed the committed offset");
    let begin = Begin::Committed(&*log, &group);
    start(&mut *second, &gone[..1], begin).await?;
    let again = crate::steps::take(&mut *second, begin, count).await?;
    assert_eq!(numbers(&again).len(), count);
    Ok(())
}

pub(crate) async fn revoked_partitions_can_be_committed_until_the_next_call(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 2).await?, fixture.name("group"));
    let Revocation { mut first, mut second, gone, mut uncommitted } =
        revocation(fixture, &*log, &group, &topic).await?;
    let mut messages = uncommitted.remove(&gone[0]).unwrap();
    assert_eq!(first.commit(handles(&mut messages)).await?, 0);
    let started = Instant::now();
    loop {
        ensure!(started.elapsed() < DEADLINE, "the partition did not move");
        first.next(10, Duration::from_millis(50)).await?;
        if let Event::Assigned(partitions) = second.next(10, Duration::from_millis(50)).await? {
            assert_eq!(partitions, gone);
            break;
        }
    }
    start(&mut *second, &gone[..1], Begin::Committed(&*log, &group)).await?;
    crate::steps::no_message_arrives(&mut *second).await
}

pub(crate) async fn a_member_without_partitions_is_on_standby_and_takes_over_later(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    let mut first = log.subscribe(&group, &[&topic]).await?;
    let only = assigned(&mut *first, 1).await?;
    let mut second = log.subscribe(&group, &[&topic]).await?;
    let started = Instant::now();
    loop {
        ensure!(started.elapsed() < DEADLINE, "{}: the second member received no event", fixture.url);
        first.next(10, Duration::from_millis(50)).await?;
        match second.next(10, Duration::from_millis(50)).await? {
            Event::Standby => break,
            Event::Messages(messages) => ensure!(messages.is_empty(), "messages without an assignment"),
            other => anyhow::bail!("{}: {other:?}", fixture.url),
        }
    }
    first.leave().await;
    assert_eq!(assigned(&mut *second, 1).await?, only);
    Ok(())
}

pub(crate) async fn a_member_that_stops_polling_loses_its_revoked_partitions(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 2).await?, fixture.name("group"));
    let Revocation { mut first, mut second, gone, mut uncommitted } =
        revocation(fixture, &*log, &group, &topic).await?;
    // The first member has received the revocation and does not call again.
    assert_eq!(assigned(&mut *second, 1).await?, gone);
    let mut late = uncommitted.remove(&gone[0]).unwrap();
    let late = handles(&mut late);
    let count = late.len();
    assert_eq!(first.commit(late).await?, count);
    Ok(())
}
