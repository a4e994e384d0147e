//! The contract of groups: positions, pauses, seeks, redelivery.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use event_log::{Event, StartAt, TopicPartition};

use crate::{
    child,
    fixture::Fixture,
    steps::{
        Begin, DEADLINE, assigned, handles, no_message_arrives, number, numbered, numbers, publish, record,
        start, step, take, topic,
    },
};

pub(crate) async fn uncommitted_messages_are_delivered_again(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    publish(&*log, &topic, numbered(0..100)).await?;
    let mut first = log.subscribe(&group, &[&topic]).await?;
    let mut messages = take(&mut *first, StartAt::Beginning, 100).await?;
    // Commits the first 40, and drops the handles of the rest.
    messages.truncate(40);
    assert_eq!(first.commit(handles(&mut messages)).await?, 0);
    drop(first);
    let mut second = log.subscribe(&group, &[&topic]).await?;
    let again = take(&mut *second, Begin::Committed(&*log, &group), 60).await?;
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), (40..100).collect::<Vec<_>>());
    Ok(())
}

pub(crate) async fn two_groups_each_receive_all_messages(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 3).await?;
    publish(&*log, &topic, numbered(0..500)).await?;
    for group in ["one", "two"] {
        let mut subscription = log.subscribe(&fixture.name(group), &[&topic]).await?;
        let mut messages = take(&mut *subscription, StartAt::Beginning, 500).await?;
        assert_eq!(messages.len(), 500, "a message was delivered twice");
        assert_eq!(numbers(&messages), (0..500).collect());
        subscription.commit(handles(&mut messages)).await?;
    }
    Ok(())
}

pub(crate) async fn delivery_starts_at_the_position_of_the_caller(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    publish(&*log, &topic, numbered(0..10)).await?;
    let mut subscription = log.subscribe(&group, &[&topic]).await?;
    let partition = assigned(&mut *subscription, 1).await?.remove(0);
    let expected = [
        (StartAt::Beginning, 0),
        (StartAt::Offset(7), 7),
        (StartAt::Offset(3), 3),
        (StartAt::BeforeEnd(4), 6),
        (StartAt::BeforeEnd(99), 0),
    ];
    for (at, first) in expected {
        subscription.start(&[(partition.clone(), at)]).await?;
        let messages = take(&mut *subscription, at, 10 - first).await?;
        assert_eq!(
            messages.iter().map(number).collect::<Vec<_>>(),
            (first..10).collect::<Vec<_>>(),
            "{at:?}"
        );
    }
    for (at, next) in [(StartAt::End, 10), (StartAt::Offset(11), 11)] {
        subscription.start(&[(partition.clone(), at)]).await?;
        no_message_arrives(&mut *subscription).await?;
        publish(&*log, &topic, numbered(next..next + 1)).await?;
        assert_eq!(number(&take(&mut *subscription, at, 1).await?[0]), next, "{at:?}");
    }
    // An offset beyond the end, of another log.
    subscription.start(&[(partition.clone(), StartAt::Offset(13))]).await?;
    assert_eq!(number(&take(&mut *subscription, StartAt::End, 12).await?[0]), 0);
    subscription.start(&[(partition.clone(), StartAt::Offset(4))]).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 8).await?;
    messages.truncate(2);
    subscription.commit(handles(&mut messages)).await?;
    start(&mut *subscription, std::slice::from_ref(&partition), Begin::Committed(&*log, &group)).await?;
    assert_eq!(number(&take(&mut *subscription, StartAt::End, 6).await?[0]), 6);
    Ok(())
}

pub(crate) async fn an_offset_is_committed_without_a_message(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    publish(&*log, &topic, numbered(0..10)).await?;
    let mut subscription = log.subscribe(&group, &[&topic]).await?;
    let partition = assigned(&mut *subscription, 1).await?.remove(0);
    subscription.start(&[(partition.clone(), StartAt::Offset(7))]).await?;
    assert!(
        subscription.handle_before(&partition, 0).is_none(),
        "there is no message before the first offset"
    );
    let handle = subscription.handle_before(&partition, 7).unwrap();
    assert_eq!(subscription.commit(vec![handle]).await?, 0);
    assert_eq!(log.lag(&group, &[&topic]).await?[0].committed, Some(7));
    assert_eq!(number(&take(&mut *subscription, StartAt::End, 3).await?[0]), 7);
    let elsewhere = TopicPartition { partition: 5, ..partition };
    assert!(subscription.handle_before(&elsewhere, 7).is_none(), "the partition is not assigned");
    Ok(())
}

pub(crate) async fn topics_have_identities_and_bounds(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 2).await?;
    let identities = log.identities(&[&topic]).await?;
    assert!(identities.len() == 1 && !identities[&topic].is_empty(), "{identities:?}");
    log.ensure_topics(&[crate::steps::spec(&topic, 2)]).await?;
    assert_eq!(log.identities(&[&topic]).await?, identities, "the identity is drawn once");
    let positions = publish(&*log, &topic, numbered(0..50)).await?;
    let bounds = log.bounds(&[&topic]).await?;
    for (partition, range) in &bounds {
        let there = positions.iter().filter(|position| position.topic_partition == *partition).count();
        assert_eq!(*range, 0..there as u64);
    }
    assert_eq!(bounds.len(), 2);
    Ok(())
}

pub(crate) async fn a_paused_partition_delivers_nothing_and_loses_nothing(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 2).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    let partitions = assigned(&mut *subscription, 2).await?;
    start(&mut *subscription, &partitions, StartAt::Beginning).await?;
    let positions = publish(&*log, &topic, numbered(0..200)).await?;
    let in_first: BTreeSet<_> =
        (0..200).filter(|number| positions[*number].topic_partition == partitions[0]).collect();
    assert!(!in_first.is_empty() && in_first.len() < 200);
    subscription.pause(&partitions[..1]).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, 200 - in_first.len()).await?;
    assert!(messages.iter().all(|message| message.position.topic_partition == partitions[1]));
    no_message_arrives(&mut *subscription).await?;
    subscription.resume(&partitions[..1]).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, in_first.len()).await?;
    assert_eq!(numbers(&messages), in_first);
    Ok(())
}

pub(crate) async fn a_seek_to_an_earlier_offset_delivers_again(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    publish(&*log, &topic, numbered(0..1000)).await?;
    let mut subscription = log.subscribe(&group, &[&topic]).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 1000).await?;
    subscription.commit(handles(&mut messages)).await?;
    let partition = messages[0].position.topic_partition.clone();
    subscription.start(&[(partition.clone(), StartAt::Offset(100))]).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 900).await?;
    assert_eq!(messages.iter().map(number).collect::<Vec<_>>(), (100..1000).collect::<Vec<_>>());
    // After a seek, offsets before the last commit can be committed.
    messages.truncate(100);
    assert_eq!(subscription.commit(handles(&mut messages)).await?, 0);
    assert_eq!(log.lag(&group, &[&topic]).await?[0].committed, Some(200));
    Ok(())
}

pub(crate) async fn an_earlier_handle_does_not_reduce_the_committed_offset(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 1).await?, fixture.name("group"));
    publish(&*log, &topic, numbered(0..10)).await?;
    let mut subscription = log.subscribe(&group, &[&topic]).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 10).await?;
    let mut later = messages.split_off(5);
    assert_eq!(subscription.commit(handles(&mut later)).await?, 0);
    assert_eq!(subscription.commit(handles(&mut messages)).await?, 0);
    assert_eq!(subscription.commit(Vec::new()).await?, 0);
    assert_eq!(log.lag(&group, &[&topic]).await?[0].committed, Some(10));
    Ok(())
}

pub(crate) async fn lag_counts_uncommitted_records(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let (topic, group) = (topic(fixture, &*log, 2).await?, fixture.name("group"));
    let positions = publish(&*log, &topic, numbered(0..100)).await?;
    let in_first = positions.iter().filter(|position| position.topic_partition.partition == 0).count() as u64;
    let ends = [in_first, 100 - in_first];
    let lag = log.lag(&group, &[&topic]).await?;
    assert_eq!(lag.iter().map(|lag| lag.topic_partition.partition).collect::<Vec<_>>(), [0, 1]);
    for (lag, end) in lag.iter().zip(ends) {
        assert_eq!((lag.committed, lag.end, lag.lag), (None, end, end));
    }
    let mut subscription = log.subscribe(&group, &[&topic]).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 100).await?;
    messages.retain(|message| message.position.topic_partition.partition == 0);
    messages.truncate(3);
    subscription.commit(handles(&mut messages)).await?;
    let lag = log.lag(&group, &[&topic]).await?;
    assert_eq!((lag[0].committed, lag[0].lag), (Some(3), in_first - 3));
    assert_eq!((lag[1].committed, lag[1].lag), (None, ends[1]));
    Ok(())
}

pub(crate) async fn a_cancelled_call_loses_nothing(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 3).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    for partition in assigned(&mut *subscription, 3).await? {
        subscription.start(&[(partition.clone(), StartAt::Beginning)]).await?;
    }
    let (log, name) = (std::sync::Arc::clone(&log), topic.clone());
    let publishing = tokio::spawn(async move {
        let publisher = log.publisher()?;
        for first in (0..5000).step_by(50) {
            publisher.send(&name, numbered(first..first + 50)).await?.durable().await?;
        }
        anyhow::Ok(())
    });
    let mut seen = Vec::new();
    while seen.len() < 5000 {
        // A time limit that often ends within the call.
        let limit = Duration::from_micros(200 * (1 + seen.len() as u64 % 7));
        let next = tokio::time::timeout(limit, subscription.next(17, Duration::from_secs(10))).await;
        if let Ok(event) = next {
            let Event::Messages(messages) = event? else { anyhow::bail!("the assignment changed") };
            seen.extend(messages.iter().map(number));
        }
    }
    publishing.await??;
    assert_eq!(seen.len(), 5000, "a message was delivered twice");
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (0..5000).collect());
    Ok(())
}

/// In a separate process, to measure its memory: a subscription that consumes a few messages at a time while far more is
/// published than the process may keep in memory.
pub(crate) async fn a_slow_reader_has_bounded_memory(fixture: &Fixture) -> anyhow::Result<()> {
    let report = child::run("slow-reader", &[("EVENT_LOG_URL", &fixture.url)])?;
    assert!(report.contains("memory stayed bounded"), "{report}");
    Ok(())
}

/// The part of the child process.
pub(crate) async fn read_slowly() -> anyhow::Result<()> {
    const BATCHES: usize = 200;
    const BATCH_RECORDS: usize = 100;
    const PAYLOAD_BYTES: usize = 10_000;
    const LIMIT_BYTES: u64 = 160 << 20;
    let fixture = Fixture::at(std::env::var("EVENT_LOG_URL")?);
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    let partition = assigned(&mut *subscription, 1).await?.remove(0);
    subscription.start(&[(partition.clone(), StartAt::Beginning)]).await?;
    let publisher = log.publisher()?;
    let padding = "x".repeat(PAYLOAD_BYTES);
    let mut taken = 0;
    for batch in 0..BATCHES {
        let one = |n| record("key", &format!("{}{padding}", batch * BATCH_RECORDS + n));
        publisher.send(&topic, (0..BATCH_RECORDS).map(one).collect()).await?.durable().await?;
        if let Event::Messages(messages) = subscription.next(5, Duration::from_millis(10)).await? {
            taken += messages.len();
        }
    }
    let highest = child::highest_memory_bytes()?;
    assert!(highest < LIMIT_BYTES, "{highest} bytes in memory after 200 MB were published");
    // No message was dropped.
    let started = Instant::now();
    while taken < BATCHES * BATCH_RECORDS {
        if let Event::Messages(messages) = step(&mut *subscription, StartAt::Beginning).await? {
            anyhow::ensure!(started.elapsed() < DEADLINE, "only {taken} messages were delivered");
            for message in messages {
                anyhow::ensure!(
                    message.position.offset == taken as u64,
                    "a gap before {:?}",
                    message.position
                );
                taken += 1;
            }
        }
    }
    println!("memory stayed bounded");
    Ok(())
}
