//! Tests of the Kafka adapter only: outages of the broker, for which a test starts its own broker, and librdkafka.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    time::{Duration, Instant},
};

use anyhow::ensure;
use event_log::{Event, EventLogError, StartAt, Subscription, open};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tokio::task::JoinSet;

use crate::{
    broker::Broker,
    fixture::{Fixture, kafka_url},
    steps::{DEADLINE, assigned, handles, number, numbered, publish, spec, step, take, topic},
};

/// How long the broker is unavailable.
const AWAY: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn services_that_start_together_may_all_create_the_topics_of_a_kafka_server() -> anyhow::Result<()> {
    let fixture = Fixture::kafka()?;
    let topics: Vec<_> = (0..60).map(|i| spec(&fixture.name(&format!("shared-{i}")), 1)).collect();
    let mut starting = JoinSet::new();
    for _ in 0..6 {
        // Each has its own client, as a service has; they do not wait for each other, so that requests interleave.
        let (log, topics) = (fixture.open().await?, topics.clone());
        starting.spawn(async move {
            for topic in topics {
                log.ensure_topics(&[topic]).await?;
            }
            Ok::<_, EventLogError>(())
        });
    }
    while let Some(started) = starting.join_next().await {
        started??;
    }
    Ok(())
}

/// A client of librdkafka may stall after an outage. Simulated here by a client that keeps its records for ten minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_stalled_client_of_a_kafka_server_is_given_up_with_a_reason() -> anyhow::Result<()> {
    let fixture = Fixture::kafka()?;
    let topic = topic(&fixture, &*fixture.open().await?, 1).await?;
    let log = open(&format!("{}?linger.ms=600000", kafka_url()?)).await?;
    let publisher = log.publisher()?;
    // Records that are accepted before the client has the leaders may be sent immediately.
    for n in 0..5 {
        let sent = publisher.send(&topic, numbered(n..n + 1)).await?;
        let Err(error) = tokio::time::timeout(3 * DEADLINE, sent.durable()).await? else { continue };
        let message = error.to_string();
        ensure!(
            !error.is_transient() && message.contains("stalled") && message.contains("restart the service"),
            "{message}"
        );
        return Ok(());
    }
    anyhow::bail!("all records were sent, so nothing was tested")
}

/// A member that has read and committed a hundred records.
async fn settled(fixture: &Fixture, topic: &str) -> anyhow::Result<Box<dyn Subscription>> {
    let log = fixture.open().await?;
    publish(&*log, topic, numbered(0..100)).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[topic]).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 100).await?;
    assert_eq!(subscription.commit(handles(&mut messages)).await?, 0);
    Ok(subscription)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_member_that_leaves_is_removed_from_its_group_on_a_kafka_server_at_once() -> anyhow::Result<()> {
    let fixture = Fixture::kafka()?;
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 3).await?;
    let subscription = settled(&fixture, &topic).await?;
    let url = kafka_url()?;
    let asking: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", url.trim_start_matches("kafka://")).create()?;
    let members = || -> anyhow::Result<usize> {
        let groups = asking.fetch_group_list(Some(&fixture.name("group")), DEADLINE)?;
        Ok(groups.groups().iter().map(|group| group.members().len()).sum())
    };
    assert_eq!(members()?, 1);
    subscription.leave().await;
    assert_eq!(members()?, 0, "other members would wait for the session timeout");
    Ok(())
}

/// During an outage of the broker records are accepted, and the member receives no message and no fatal error; afterwards
/// all records are stored and delivered.
async fn away(
    broker: &Broker,
    go: impl Fn() -> anyhow::Result<()>,
    come: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let fixture = broker.fixture();
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 3).await?;
    let mut subscription = settled(&fixture, &topic).await?;
    let publisher = log.publisher()?;
    let _ = publisher.send(&topic, numbered(100..101)).await?.durable().await?;
    go()?;
    let mut receipts = Vec::new();
    for first in (101..2001).step_by(100) {
        receipts.push(publisher.send(&topic, numbered(first..first + 100)).await?);
    }
    let gone = Instant::now();
    let mut seen: Vec<usize> = Vec::new();
    while gone.elapsed() < AWAY {
        if let Event::Messages(messages) = step(&mut *subscription, StartAt::Beginning).await? {
            seen.extend(messages.iter().map(number).filter(|number| *number >= 100));
        }
    }
    come()?;
    for receipt in receipts {
        let positions = tokio::time::timeout(DEADLINE, receipt.durable()).await??;
        assert_eq!(positions.len(), 100);
    }
    let started = Instant::now();
    let mut all: BTreeSet<usize> = seen.into_iter().collect();
    while all.len() < 1901 {
        ensure!(started.elapsed() < DEADLINE, "only {} messages were delivered", all.len());
        if let Event::Messages(mut messages) = step(&mut *subscription, StartAt::Beginning).await? {
            all.extend(messages.iter().map(number).filter(|number| *number >= 100));
            subscription.commit(handles(&mut messages)).await?;
        }
    }
    assert_eq!(all, (100..2001).collect());
    // The broker may still be reading its own log.
    let topics = loop {
        match log.topics().await {
            Err(error) if error.is_transient() && started.elapsed() < DEADLINE => {}
            topics => break topics?,
        }
    };
    let stored: u64 =
        topics.iter().find(|info| info.name == topic).unwrap().partitions.iter().map(|(_, end)| end).sum();
    assert_eq!(stored, 2001, "a record was stored twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_restart_of_a_kafka_server_loses_nothing() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    away(&broker, || broker.script("stop"), || broker.script("start")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_kafka_server_that_hangs_for_a_while_loses_nothing() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    away(&broker, || broker.signal("-STOP"), || broker.signal("-CONT")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_commit_to_a_hanging_kafka_server_ends_in_time_and_succeeds_later() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let fixture = broker.fixture();
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    let mut subscription = settled(&fixture, &topic).await?;
    publish(&*log, &topic, numbered(100..150)).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 50).await?;
    broker.signal("-STOP")?;
    let started = Instant::now();
    let error = subscription.commit(handles(&mut messages)).await.expect_err("the broker hangs");
    assert!(error.is_transient(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "the call took {:?}", started.elapsed());
    broker.signal("-CONT")?;
    let started = Instant::now();
    while let Err(error) = subscription.commit(Vec::new()).await {
        ensure!(error.is_transient() && started.elapsed() < DEADLINE, "not committed: {error}");
    }
    let lag = loop {
        match log.lag(&fixture.name("group"), &[&topic]).await {
            Err(error) => ensure!(error.is_transient() && started.elapsed() < DEADLINE, "{error}"),
            Ok(lag) => break lag,
        }
    };
    assert_eq!((lag[0].committed, lag[0].lag), (Some(150), 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_publisher_fails_when_its_kafka_server_was_wiped() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let fixture = broker.fixture();
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    let publisher = log.publisher()?;
    publisher.send(&topic, numbered(0..100)).await?.durable().await?;
    let before = log.identities(&[&topic]).await?;
    broker.script("wipe")?;
    broker.script("start")?;
    let started = Instant::now();
    while let Err(error) = log.ensure_topics(&[spec(&topic, 1)]).await {
        ensure!(error.is_transient() && started.elapsed() < DEADLINE, "{error}");
    }
    let after = log.identities(&[&topic]).await?;
    assert!(after.len() == 1 && after != before, "the identity of the topic has not changed: {after:?}");
    let error =
        publisher.send(&topic, numbered(100..101)).await?.durable().await.expect_err("the log was replaced");
    assert!(matches!(error, EventLogError::LogReplaced { offset: 0, before: 99, .. }), "{error}");
    assert!(!error.is_transient() && error.to_string().contains("LOG_URL"), "{error}");
    // A new publisher succeeds; the second one at the latest, as the broker may assign the producer id of the old one again.
    drop(publisher);
    let started = Instant::now();
    while let Err(error) = publish(&*log, &topic, numbered(101..102)).await {
        ensure!(started.elapsed() < DEADLINE, "{error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_server_that_does_not_respond_is_a_transient_failure() -> anyhow::Result<()> {
    // A port without a broker; bound, so that no other process gets it meanwhile.
    let port = TcpListener::bind("127.0.0.1:0")?;
    let log =
        open(&format!("kafka://{}?socket.connection.setup.timeout.ms=1000", port.local_addr()?)).await?;
    let error = log.ensure_topics(&[spec("topic", 1)]).await.unwrap_err();
    assert!(matches!(error, EventLogError::Unavailable { .. }), "{error}");
    assert!(error.is_transient());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_kafka_server_keeps_a_member_that_is_busy_past_its_poll_interval() -> anyhow::Result<()> {
    let url = kafka_url()?;
    let joint = if url.contains('?') { '&' } else { '?' };
    let fixture = Fixture::at(format!("{url}{joint}max.poll.interval.ms=6000&session.timeout.ms=6000"));
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 2).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    for partition in assigned(&mut *subscription, 2).await? {
        subscription.start(&[(partition.clone(), StartAt::Beginning)]).await?;
    }
    publish(&*log, &topic, numbered(0..50)).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 50).await?;
    // The owner is busy and does not call `next` for longer than the interval.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(subscription.commit(handles(&mut messages)).await?, 0, "the group removed the member");
    publish(&*log, &topic, numbered(50..60)).await?;
    assert_eq!(take(&mut *subscription, StartAt::Beginning, 10).await?.len(), 10);
    Ok(())
}
