//! The Kafka adapter beside bare librdkafka with the same settings, on the same broker, in turns.

use std::time::{Duration, Instant};

use anyhow::Context;
use benches::{batches, print_ratio, publish, rate};
use chrono::Utc;
use clap::Parser;
use event_log::{Event, EventLog, NewRecord, Retention, StartAt, TopicSpec};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};

#[derive(Parser)]
struct Args {
    /// The broker.
    #[arg(long, env = "KAFKA_URL", default_value = "kafka://127.0.0.1:9092")]
    kafka: String,
    /// How many messages each.
    #[arg(long, default_value_t = 500_000)]
    messages: u64,
    /// Rounds; ours and the bare client's take turns, the median of the ratios counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let brokers = args.kafka.trim_start_matches("kafka://");
    let log = event_log::open(&args.kafka).await?;
    let stamp = Utc::now().timestamp_millis();
    let (mut produced, mut drained) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let (ours, bare) = (format!("bench-ours-{stamp}-{round}"), format!("bench-bare-{stamp}-{round}"));
        for topic in [&ours, &bare] {
            let spec = TopicSpec {
                name: topic.clone(),
                partitions: 3,
                retention: Retention::For(Duration::from_hours(1)),
            };
            log.ensure_topics(&[spec]).await?;
        }
        let records = batches(args.messages, 500)?;
        let bare_in = produce_bare(brokers, &bare, &records)?;
        let ours_in = publish(&*log, &ours, records).await?;
        print_ratio("producing", ours_in, "bare librdkafka", bare_in);
        produced.push(ours_in / bare_in);
        let bare_out = drain_bare(brokers, &bare, args.messages)?;
        let ours_out = drain(&*log, &ours, args.messages).await?;
        print_ratio("draining and decoding", ours_out, "bare librdkafka, decoding too", bare_out);
        drained.push(ours_out / bare_out);
    }
    println!("median ratio: producing {:.2}, draining and decoding {:.2}", median(produced), median(drained));
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn produce_bare(brokers: &str, topic: &str, records: &[Vec<NewRecord>]) -> anyhow::Result<f64> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random")
        .create()?;
    let begun = Instant::now();
    for record in records.iter().flatten() {
        let key = record.key.as_deref().unwrap_or_default();
        let mut message = BaseRecord::to(topic).key(key).payload(record.payload.as_ref());
        while let Err((error, unsent)) = producer.send(message) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            anyhow::ensure!(error == full, "cannot produce: {error}");
            producer.poll(Duration::from_millis(1));
            message = unsent;
        }
    }
    producer.flush(Duration::from_mins(1)).context("not everything was delivered")?;
    Ok(rate(records.iter().map(Vec::len).sum::<usize>() as u64, begun.elapsed()))
}

async fn drain(log: &dyn EventLog, topic: &str, messages: u64) -> anyhow::Result<f64> {
    let mut subscription = log.subscribe(topic, &[topic]).await?;
    let deadline = Instant::now() + Duration::from_mins(1);
    // The clock starts with the first messages: joining a group is not what is measured.
    let (mut seen, mut begun) = (0, None);
    while seen < messages {
        anyhow::ensure!(Instant::now() < deadline, "only {seen} of {messages} messages came");
        match subscription.next(5_000, Duration::from_secs(1)).await? {
            Event::Assigned(partitions) => {
                let start = |partition| (partition, StartAt::Beginning);
                subscription.start(&partitions.into_iter().map(start).collect::<Vec<_>>()).await?;
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(batch) if batch.is_empty() => {}
            Event::Messages(batch) => {
                begun.get_or_insert_with(Instant::now);
                let now = Utc::now();
                for message in &batch {
                    topics::tick::decode(&message.payload, now)?;
                }
                seen += batch.len() as u64;
            }
        }
    }
    Ok(rate(seen, begun.context("nothing came")?.elapsed()))
}

fn drain_bare(brokers: &str, topic: &str, messages: u64) -> anyhow::Result<f64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("bare-{topic}"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    consumer.subscribe(&[topic])?;
    let (mut seen, mut begun) = (0, None);
    let now = Utc::now();
    let deadline = Instant::now() + Duration::from_mins(1);
    while seen < messages {
        // Nothing comes while the group is being formed.
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            anyhow::ensure!(Instant::now() < deadline, "only {seen} of {messages} messages came");
            continue;
        };
        let message = message?;
        begun.get_or_insert_with(Instant::now);
        topics::tick::decode(message.payload().unwrap_or_default(), now)?;
        seen += 1;
    }
    Ok(rate(seen, begun.context("nothing came")?.elapsed()))
}
