//! What only the Kafka adapter can be asked: the broker goes away and comes back. These tests have a broker of their
//! own, so that nobody else misses it.

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

/// How long a broker may take to stop or start, besides the deadline for what is tested.
const AWAY: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn services_that_start_together_may_all_create_the_topics_of_a_kafka_server() -> anyhow::Result<()> {
    let fixture = Fixture::kafka()?;
    let topics: Vec<_> = (0..60).map(|i| spec(&fixture.name(&format!("shared-{i}")), 1)).collect();
    let mut starting = JoinSet::new();
    for _ in 0..6 {
        // Each is a client of its own, as each service is; nobody waits for the others, so that they meet in every order.
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

/// librdkafka may lose sight of a leader for ever. What that looks like is made by a client that keeps its records for longer
/// than anybody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_client_of_a_kafka_server_that_stands_still_is_given_up_and_says_so() -> anyhow::Result<()> {
    let fixture = Fixture::kafka()?;
    let topic = topic(&fixture, &*fixture.open().await?, 1).await?;
    let log = open(&format!("{}?linger.ms=600000", kafka_url()?)).await?;
    let publisher = log.publisher()?;
    // Records that come before the client knows its leaders may be sent at once.
    for n in 0..5 {
        let sent = publisher.send(&topic, numbered(n..n + 1)).await?;
        let Err(error) = tokio::time::timeout(3 * DEADLINE, sent.durable()).await? else { continue };
        let said = error.to_string();
        ensure!(
            !error.is_transient() && said.contains("stood still") && said.contains("start again"),
            "{said}"
        );
        return Ok(());
    }
    anyhow::bail!("everything was sent, so nothing was tested")
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
async fn a_group_of_a_kafka_server_knows_of_a_member_that_left() -> anyhow::Result<()> {
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
    assert_eq!(members()?, 0, "others would wait until it is missed");
    Ok(())
}

/// While the broker is away: records are accepted, the member hears nothing and fails at nothing; then it comes back.
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
    let begun = Instant::now();
    let mut all: BTreeSet<usize> = seen.into_iter().collect();
    while all.len() < 1901 {
        ensure!(begun.elapsed() < DEADLINE, "only {} came", all.len());
        if let Event::Messages(mut messages) = step(&mut *subscription, StartAt::Beginning).await? {
            all.extend(messages.iter().map(number).filter(|number| *number >= 100));
            subscription.commit(handles(&mut messages)).await?;
        }
    }
    assert_eq!(all, (100..2001).collect());
    let stored: u64 = log
        .topics()
        .await?
        .iter()
        .find(|info| info.name == topic)
        .unwrap()
        .partitions
        .iter()
        .map(|(_, end)| end)
        .sum();
    assert_eq!(stored, 2001, "something was stored twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_kafka_server_that_was_stopped_and_started_has_lost_nothing() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    away(&broker, || broker.script("stop"), || broker.script("start")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_kafka_server_that_hung_has_lost_nothing() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    away(&broker, || broker.signal("-STOP"), || broker.signal("-CONT")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_commit_that_a_hung_kafka_server_left_undone_holds_nobody_up_and_is_made_good() -> anyhow::Result<()>
{
    let broker = Broker::start()?;
    let fixture = broker.fixture();
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    let mut subscription = settled(&fixture, &topic).await?;
    publish(&*log, &topic, numbered(100..150)).await?;
    let mut messages = take(&mut *subscription, StartAt::Beginning, 50).await?;
    broker.signal("-STOP")?;
    let begun = Instant::now();
    let error = subscription.commit(handles(&mut messages)).await.expect_err("nobody answers");
    assert!(error.is_transient(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "held up for {:?}", begun.elapsed());
    broker.signal("-CONT")?;
    let begun = Instant::now();
    while let Err(error) = subscription.commit(Vec::new()).await {
        ensure!(error.is_transient() && begun.elapsed() < DEADLINE, "not made good: {error}");
    }
    let lag = loop {
        match log.lag(&fixture.name("group"), &[&topic]).await {
            Err(error) => ensure!(error.is_transient() && begun.elapsed() < DEADLINE, "{error}"),
            Ok(lag) => break lag,
        }
    };
    assert_eq!((lag[0].committed, lag[0].lag), (Some(150), 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
async fn a_publisher_is_told_when_the_kafka_server_was_wiped_under_it() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let fixture = broker.fixture();
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    let publisher = log.publisher()?;
    publisher.send(&topic, numbered(0..100)).await?.durable().await?;
    let before = log.identities(&[&topic]).await?;
    broker.script("wipe")?;
    broker.script("start")?;
    let begun = Instant::now();
    while let Err(error) = log.ensure_topics(&[spec(&topic, 1)]).await {
        ensure!(error.is_transient() && begun.elapsed() < DEADLINE, "{error}");
    }
    let after = log.identities(&[&topic]).await?;
    assert!(after.len() == 1 && after != before, "the same cluster id, and another topic: {after:?}");
    let error = publisher.send(&topic, numbered(100..101)).await?.durable().await.expect_err("another log");
    assert!(matches!(error, EventLogError::BeganAnew { offset: 0, before: 99, .. }), "{error}");
    assert!(!error.is_transient() && error.to_string().contains("LOG_URL"), "{error}");
    // One made anew is at home there; at the latest the next but one, as the broker may give away the very number that the
    // old one used.
    drop(publisher);
    let begun = Instant::now();
    while let Err(error) = publish(&*log, &topic, numbered(101..102)).await {
        ensure!(begun.elapsed() < DEADLINE, "{error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_server_that_is_not_there_is_a_transient_failure() -> anyhow::Result<()> {
    // Bound and not listened to by a broker: nobody else gets the port meanwhile.
    let nobody = TcpListener::bind("127.0.0.1:0")?;
    let log =
        open(&format!("kafka://{}?socket.connection.setup.timeout.ms=1000", nobody.local_addr()?)).await?;
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
    // The work itself: nobody calls `next` for longer than the interval.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(subscription.commit(handles(&mut messages)).await?, 0, "the group took it for dead");
    publish(&*log, &topic, numbered(50..60)).await?;
    assert_eq!(take(&mut *subscription, StartAt::Beginning, 10).await?.len(), 10);
    Ok(())
}
