//! The contract of records: order, partitions, refusals, durability.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::ensure;
use bytes::Bytes;
use event_log::{
    Event, EventLogError, MAX_DELIVERY_BYTES, MAX_RECORD_BYTES, NewRecord, Retention, StartAt,
    TopicPartition, TopicSpec, dead_letter,
};

use crate::{
    fixture::Fixture,
    steps::{
        Begin, DEADLINE, handles, now, number, numbered, numbers, publish, record, spec, step, take, text,
        topic,
    },
};

pub(crate) async fn records_of_one_key_keep_their_order(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 3).await?;
    let publisher = log.publisher()?;
    let mut receipts = Vec::new();
    for first in (0..3000).step_by(75) {
        receipts.push(publisher.send(&topic, numbered(first..first + 75)).await?);
    }
    for receipt in receipts {
        receipt.durable().await?;
    }
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, 3000).await?;
    let mut by_key: BTreeMap<Bytes, Vec<(TopicPartition, usize)>> = BTreeMap::new();
    for message in &messages {
        let key = message.key.clone().unwrap();
        by_key.entry(key).or_default().push((message.position.topic_partition.clone(), number(message)));
    }
    assert_eq!(by_key.len(), 20);
    for seen in by_key.values() {
        assert_eq!(seen.len(), 150);
        assert!(seen.windows(2).all(|two| two[0].1 < two[1].1), "out of order");
        assert!(seen.iter().all(|(partition, _)| *partition == seen[0].0), "a key in two partitions");
    }
    Ok(())
}

pub(crate) async fn a_key_maps_to_the_partition_of_the_java_client(fixture: &Fixture) -> anyhow::Result<()> {
    const PARTITIONS: i32 = 7;
    // Hashes from the tests of the Java client.
    let hashes = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, PARTITIONS).await?;
    let records = hashes.iter().map(|(key, _)| record(key, "x")).collect();
    let positions = publish(&*log, &topic, records).await?;
    for ((key, hash), position) in hashes.iter().zip(&positions) {
        assert_eq!(position.topic_partition.partition, (hash & 0x7fff_ffff_i32) % PARTITIONS, "{key}");
    }
    let again = publish(&*log, &topic, hashes.iter().map(|(key, _)| record(key, "y")).collect()).await?;
    for (first, second) in positions.iter().zip(&again) {
        assert_eq!(first.topic_partition, second.topic_partition);
        assert!(first.offset < second.offset);
    }
    Ok(())
}

pub(crate) async fn records_without_a_key_are_distributed_over_the_partitions(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 3).await?;
    let publisher = log.publisher()?;
    let (started, mut used) = (Instant::now(), BTreeSet::new());
    while used.len() < 3 {
        ensure!(started.elapsed() < DEADLINE, "only {used:?} were used");
        let keyless = NewRecord { key: None, ..record("", "x") };
        let positions = publisher.send(&topic, vec![keyless]).await?.durable().await?;
        used.insert(positions[0].topic_partition.partition);
    }
    Ok(())
}

pub(crate) async fn a_record_over_the_limit_is_refused_with_its_whole_batch(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 1).await?;
    let publisher = log.publisher()?;
    let of_size = |size: usize| NewRecord { payload: Bytes::from(vec![b'x'; size - 3]), ..record("key", "") };
    let refused = publisher.send(&topic, vec![record("a", "1"), of_size(MAX_RECORD_BYTES + 1)]).await;
    let Err(EventLogError::RecordTooLarge { topic: named, index, size, limit }) = refused else {
        anyhow::bail!("not refused: {refused:?}");
    };
    assert_eq!((named, index, size, limit), (topic.clone(), 1, MAX_RECORD_BYTES + 1, MAX_RECORD_BYTES));
    let headers = vec![("name".to_owned(), Bytes::from(vec![0; 10]))];
    let refused = publisher.send(&topic, vec![NewRecord { headers, ..of_size(MAX_RECORD_BYTES - 13) }]).await;
    assert!(
        matches!(refused, Err(EventLogError::RecordTooLarge { .. })),
        "headers are part of the size: {refused:?}"
    );
    let positions = publisher.send(&topic, vec![of_size(MAX_RECORD_BYTES)]).await?.durable().await?;
    assert_eq!(positions[0].offset, 0, "a record of a refused batch was stored");
    let stored = log.read(&positions[0].topic_partition, 0, 10).await?;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].payload.len(), MAX_RECORD_BYTES - 3);
    Ok(())
}

pub(crate) async fn a_message_has_the_content_of_its_record(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 1).await?;
    let headers = vec![
        ("one".to_owned(), Bytes::from_static(b"1")),
        ("one".to_owned(), Bytes::from_static(b"again")),
        ("empty".to_owned(), Bytes::new()),
    ];
    let sent = [
        NewRecord { key: None, payload: Bytes::from_static(&[0, 255, 10]), headers, timestamp: now() },
        NewRecord { key: Some(Bytes::new()), ..record("", "empty key") },
        NewRecord { payload: Bytes::new(), ..record("no payload", "") },
    ];
    let positions = publish(&*log, &topic, sent.to_vec()).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, 3).await?;
    for ((sent, position), message) in sent.iter().zip(&positions).zip(&messages) {
        assert_eq!(message.position, *position);
        assert_eq!(message.key, sent.key);
        assert_eq!(message.payload, sent.payload);
        assert_eq!(message.headers, sent.headers);
        assert_eq!(message.timestamp, sent.timestamp);
        assert_eq!(message.handle.as_ref().map(|handle| handle.position().clone()).as_ref(), Some(position));
    }
    Ok(())
}

pub(crate) async fn an_unknown_topic_or_partition_is_named(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let unknown = fixture.name("unknown");
    let named = |error: EventLogError| matches!(error, EventLogError::UnknownTopic(name) if name == unknown);
    assert!(named(log.publisher()?.send(&unknown, vec![record("a", "1")]).await.unwrap_err()));
    assert!(named(log.subscribe("group", &[&unknown]).await.map(|_| ()).unwrap_err()));
    assert!(named(log.lag("group", &[&unknown]).await.unwrap_err()));
    let topic = topic(fixture, &*log, 2).await?;
    let third = TopicPartition { topic: topic.as_str().into(), partition: 2 };
    let error = log.read(&third, 0, 1).await.unwrap_err();
    assert!(matches!(error, EventLogError::UnknownPartition { partition: 2, .. }), "{error}");
    Ok(())
}

pub(crate) async fn an_invalid_topic_is_refused(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    for bad in ["", "..", "with space", "slash/", &"x".repeat(250)] {
        let error = log.ensure_topics(&[spec(bad, 1)]).await.unwrap_err();
        assert!(matches!(error, EventLogError::BadTopic { .. }), "{bad}: {error}");
    }
    let error = log.ensure_topics(&[spec("none", 0)]).await.unwrap_err();
    assert!(matches!(error, EventLogError::BadTopic { .. }), "{error}");
    Ok(())
}

pub(crate) async fn creating_an_existing_topic_does_not_change_it(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 2).await?;
    publish(&*log, &topic, numbered(0..50)).await?;
    let other = fixture.name("other");
    let larger = TopicSpec { retention: Retention::For(Duration::from_secs(1)), ..spec(&topic, 5) };
    log.ensure_topics(&[larger, spec(&other, 1)]).await?;
    let topics = log.topics().await?;
    let found = topics.iter().find(|info| info.name == topic).unwrap();
    assert_eq!(found.partitions.len(), 2);
    assert_eq!(found.partitions.iter().map(|(start, end)| end - start).sum::<u64>(), 50);
    let found = topics.iter().find(|info| info.name == other).unwrap();
    assert_eq!(found.partitions, [(0, 0)]);
    assert!(topics.is_sorted_by_key(|info| &info.name));
    Ok(())
}

pub(crate) async fn a_partition_can_be_read_without_a_group(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 1).await?;
    let positions = publish(&*log, &topic, numbered(0..500)).await?;
    let partition = &positions[0].topic_partition;
    let some = log.read(partition, 490, 5).await?;
    assert_eq!(some.iter().map(number).collect::<Vec<_>>(), [490, 491, 492, 493, 494]);
    assert!(some.iter().all(|message| message.handle.is_none()));
    assert_eq!(log.read(partition, 0, 1000).await?.len(), 500);
    assert_eq!(log.read(partition, 500, 5).await?.len(), 0);
    assert_eq!(log.read(partition, 9999, 5).await?.len(), 0);
    assert_eq!(log.read(partition, 0, 0).await?.len(), 0);
    Ok(())
}

pub(crate) async fn a_dead_letter_has_the_origin_of_its_message(fixture: &Fixture) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 1).await?;
    let letters = format!("{topic}{}", event_log::DEAD_LETTER_SUFFIX);
    log.ensure_topics(&[spec(&letters, 1)]).await?;
    let poison = NewRecord { payload: Bytes::from_static(b"\xff{"), ..record("key", "") };
    let positions = publish(&*log, &topic, vec![record("key", "fine"), poison]).await?;
    let message = log.read(&positions[1].topic_partition, 1, 1).await?.remove(0);
    let when = now();
    let stored = publish(&*log, &letters, vec![dead_letter(&message, "not UTF-8", when)]).await?;
    let letter = log.read(&stored[0].topic_partition, 0, 1).await?.remove(0);
    assert_eq!((letter.key.as_deref(), &letter.payload[..]), (Some(&b"key"[..]), &b"\xff{"[..]));
    let headers: BTreeMap<&str, &str> =
        letter.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
    let when = when.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let expected = BTreeMap::from([
        ("topic", topic.as_str()),
        ("partition", "0"),
        ("offset", "1"),
        ("reason", "not UTF-8"),
        ("when", when.as_str()),
    ]);
    assert_eq!(headers, expected);
    Ok(())
}

pub(crate) async fn a_dead_letter_of_the_largest_message_is_a_valid_record(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 1).await?;
    let large = NewRecord { payload: Bytes::from(vec![b'x'; MAX_RECORD_BYTES - 3]), ..record("key", "") };
    let large_key = NewRecord { key: Some(vec![b'k'; MAX_RECORD_BYTES - 3].into()), ..record("", "xyz") };
    let sent = publish(&*log, &topic, vec![large, large_key]).await?;
    let received = log.read(&sent[0].topic_partition, 0, 2).await?;
    let reason = "x".repeat(MAX_RECORD_BYTES);
    let letters = received.iter().map(|message| dead_letter(message, &reason, now())).collect();
    let stored = publish(&*log, &topic, letters).await?;
    let letters = log.read(&stored[0].topic_partition, stored[0].offset, 2).await?;
    let cut = |letter: &event_log::Message| {
        let (_, value) = letter.headers.iter().find(|(name, _)| name == "cut").unwrap();
        text(value).to_owned()
    };
    assert_eq!(cut(&letters[0]), "key of 3 bytes, payload of 999997");
    assert_eq!(cut(&letters[1]), "key of 999997 bytes, payload of 3");
    assert!(letters[0].payload.len() > MAX_RECORD_BYTES * 9 / 10, "more was cut than necessary");
    assert_eq!(letters[1].payload, "xyz");
    Ok(())
}

pub(crate) async fn a_delivery_of_large_records_is_limited_by_their_size(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    const RECORDS: usize = 20;
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 2).await?;
    let half = "x".repeat(MAX_RECORD_BYTES / 2);
    // Every second record has its bytes in a header.
    let large = |n: usize| match record(&n.to_string(), &half) {
        record if n.is_multiple_of(2) => record,
        record => {
            NewRecord { payload: Bytes::new(), headers: vec![("x".to_owned(), record.payload)], ..record }
        }
    };
    let sent = publish(&*log, &topic, (0..RECORDS).map(large).collect()).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    let (started, mut taken) = (Instant::now(), 0);
    while taken < RECORDS {
        ensure!(started.elapsed() < DEADLINE, "only {taken} were delivered");
        if let Event::Messages(messages) = step(&mut *subscription, StartAt::Beginning).await? {
            let bytes: usize = messages.iter().map(event_log::Message::size).sum();
            assert!(bytes < MAX_DELIVERY_BYTES + MAX_RECORD_BYTES, "{bytes} bytes at once");
            taken += messages.len();
        }
    }
    assert_eq!(taken, RECORDS);
    // A read without a group has the same limit, and the next one continues where it ended.
    let partition = &sent[0].topic_partition;
    let (mut offset, mut pages, mut read) = (0, 0, 0);
    loop {
        let page = log.read(partition, offset, RECORDS).await?;
        let Some(last) = page.last() else { break };
        let bytes: usize = page.iter().map(event_log::Message::size).sum();
        assert!(bytes < MAX_DELIVERY_BYTES + MAX_RECORD_BYTES, "{bytes} bytes at once");
        (offset, pages, read) = (last.position.offset + 1, pages + 1, read + page.len());
    }
    assert_eq!(read, sent.iter().filter(|position| position.topic_partition == *partition).count());
    assert!(pages > 1, "one page has more bytes than the limit");
    Ok(())
}

pub(crate) async fn a_batch_is_stored_even_if_its_receipt_is_dropped(
    fixture: &Fixture,
) -> anyhow::Result<()> {
    let log = fixture.open().await?;
    let topic = topic(fixture, &*log, 3).await?;
    let publisher = log.publisher()?;
    for first in (0..1900).step_by(100) {
        drop(publisher.send(&topic, numbered(first..first + 100)).await?);
    }
    // Its records are in every partition, after all others.
    publisher.send(&topic, numbered(1900..2000)).await?.durable().await?;
    let topics = log.topics().await?;
    let found = topics.iter().find(|info| info.name == topic).unwrap();
    assert_eq!(found.partitions.iter().map(|(_, end)| end).sum::<u64>(), 2000);
    assert_eq!(publisher.send(&topic, Vec::new()).await?.durable().await?, []);
    Ok(())
}

pub(crate) async fn records_and_committed_offsets_survive_reopening(fixture: &Fixture) -> anyhow::Result<()> {
    let (topic, group) = {
        let log = fixture.open().await?;
        let topic = topic(fixture, &*log, 3).await?;
        publish(&*log, &topic, numbered(0..300)).await?;
        let group = fixture.name("group");
        let mut subscription = log.subscribe(&group, &[&topic]).await?;
        let mut messages = take(&mut *subscription, StartAt::Beginning, 300).await?;
        assert_eq!(subscription.commit(handles(&mut messages)).await?, 0);
        (topic, group)
    };
    let log = fixture.open().await?;
    publish(&*log, &topic, numbered(300..400)).await?;
    let mut subscription = log.subscribe(&group, &[&topic]).await?;
    let messages = take(&mut *subscription, Begin::Committed(&*log, &group), 100).await?;
    assert_eq!(numbers(&messages), (300..400).collect());
    let mut all = log.subscribe(&fixture.name("all"), &[&topic]).await?;
    assert_eq!(numbers(&take(&mut *all, StartAt::Beginning, 400).await?), (0..400).collect());
    Ok(())
}
