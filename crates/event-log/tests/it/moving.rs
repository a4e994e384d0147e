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

/// A member that commits what it takes, and remembers what it has.
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
                    assert!(self.owned.remove(partition), "revoked what it did not have");
                }
            }
            Event::Messages(mut messages) => {
                let numbers: Vec<_> = messages.iter().map(number).collect();
                let partitions: BTreeSet<_> =
                    messages.iter().map(|message| message.position.topic_partition.clone()).collect();
                assert!(partitions.is_subset(&self.owned), "messages of a partition that is not its own");
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
    let begun = Instant::now();
    while !done(members) {
        ensure!(begun.elapsed() < DEADLINE, "waited too long until {what}");
        for member in members.iter_mut() {
            member.turn().await?;
        }
    }
    Ok(())
}

pub(crate) async fn two_members_share_and_the_last_one_takes_over(fixture: &Fixture) -> anyhow::Result<()> {
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
    assert!(one.owned.is_subset(&before), "what need not move has moved");
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
    assert_eq!(all.len(), 1000, "something was committed twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..1000).collect());
    Ok(())
}

/// One member with messages in hand, told that some of its partitions go to another.
struct Told {
    first: Box<dyn Subscription>,
    second: Box<dyn Subscription>,
    gone: Vec<TopicPartition>,
    in_hand: BTreeMap<TopicPartition, Vec<Message>>,
}

async fn told(fixture: &Fixture, log: &dyn EventLog, group: &str, topic: &str) -> anyhow::Result<Told> {
    publish(log, topic, numbered(0..200)).await?;
    let mut first = log.subscribe(group, &[topic]).await?;
    for partition in assigned(&mut *first, 2).await? {
        first.start(&[(partition.clone(), StartAt::Beginning)]).await?;
    }
    let mut in_hand: BTreeMap<TopicPartition, Vec<Message>> = BTreeMap::new();
    for message in crate::steps::take(&mut *first, StartAt::Beginning, 200).await? {
        in_hand.entry(message.position.topic_partition.clone()).or_default().push(message);
    }
    let mut second = log.subscribe(group, &[topic]).await?;
    let begun = Instant::now();
    let gone = loop {
        ensure!(begun.elapsed() < DEADLINE, "{}: nothing was revoked", fixture.url);
        if let Event::Revoked(gone) = first.next(10, Duration::from_millis(50)).await? {
            break gone;
        }
        // The second must ask as well, or the group would not know it.
        if let Event::Assigned(early) = second.next(10, Duration::from_millis(50)).await? {
            anyhow::bail!("{early:?} moved before its owner knew");
        }
    };
    Ok(Told { first, second, gone, in_hand })
}

pub(crate) async fn a_handle_of_an_assignment_that_ended_is_left_out(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 2).await?, fixture.name("group"));
    let Told { mut first, mut second, gone, mut in_hand } = told(fixture, &*log, &group, &topic).await?;
    assert_eq!(gone.len(), 1);
    // Asking again gives it up; the second member takes it.
    let begun = Instant::now();
    let mut moved = Vec::new();
    while moved.is_empty() {
        ensure!(begun.elapsed() < DEADLINE, "the partition did not move");
        first.next(10, Duration::from_millis(50)).await?;
        if let Event::Assigned(partitions) = second.next(10, Duration::from_millis(50)).await? {
            moved = partitions;
        }
    }
    assert_eq!(moved, gone);
    let mut late = in_hand.remove(&gone[0]).unwrap();
    let late = handles(&mut late);
    let mut still_ours = in_hand.into_values().next().unwrap();
    let count = late.len();
    assert_eq!(first.commit(late).await?, count);
    assert_eq!(first.commit(handles(&mut still_ours)).await?, 0);
    let lag = log.lag(&group, &[&topic]).await?;
    let of_gone = lag.iter().find(|lag| lag.topic_partition == gone[0]).unwrap();
    assert_eq!(of_gone.committed, None, "a handle that came too late has moved the group");
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
    let Told { mut first, mut second, gone, mut in_hand } = told(fixture, &*log, &group, &topic).await?;
    let mut messages = in_hand.remove(&gone[0]).unwrap();
    assert_eq!(first.commit(handles(&mut messages)).await?, 0);
    let begun = Instant::now();
    loop {
        ensure!(begun.elapsed() < DEADLINE, "the partition did not move");
        first.next(10, Duration::from_millis(50)).await?;
        if let Event::Assigned(partitions) = second.next(10, Duration::from_millis(50)).await? {
            assert_eq!(partitions, gone);
            break;
        }
    }
    start(&mut *second, &gone[..1], Begin::Committed(&*log, &group)).await?;
    crate::steps::nothing_comes(&mut *second).await
}

pub(crate) async fn a_member_that_gets_nothing_hears_so_and_takes_over_later(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    let mut first = log.subscribe(&group, &[&topic]).await?;
    let only = assigned(&mut *first, 1).await?;
    let mut second = log.subscribe(&group, &[&topic]).await?;
    let begun = Instant::now();
    loop {
        ensure!(begun.elapsed() < DEADLINE, "{}: the second member hears nothing", fixture.url);
        first.next(10, Duration::from_millis(50)).await?;
        match second.next(10, Duration::from_millis(50)).await? {
            Event::Standby => break,
            Event::Messages(messages) => ensure!(messages.is_empty(), "messages of nothing"),
            other => anyhow::bail!("{}: {other:?}", fixture.url),
        }
    }
    first.leave().await;
    assert_eq!(assigned(&mut *second, 1).await?, only);
    Ok(())
}

pub(crate) async fn a_member_that_does_not_answer_gives_way(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 2).await?, fixture.name("group"));
    let Told { mut first, mut second, gone, mut in_hand } = told(fixture, &*log, &group, &topic).await?;
    // The first was told and never calls again.
    assert_eq!(assigned(&mut *second, 1).await?, gone);
    let mut late = in_hand.remove(&gone[0]).unwrap();
    let late = handles(&mut late);
    let count = late.len();
    assert_eq!(first.commit(late).await?, count);
    Ok(())
}
