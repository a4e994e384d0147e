//! Publishes records and consumes them: `log_throughput URL [RECORDS] [BATCH]`. Prints both rates in messages per second.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::Utc;
use event_log::{Event, NewRecord, Retention, StartAt, TopicSpec, open};

/// Size of a payload in bytes, about that of a tick.
const PAYLOAD_BYTES: usize = 150;
const PARTITIONS: i32 = 3;
/// Limit of unresolved receipts.
const MAX_PENDING_RECEIPTS: usize = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("usage: log_throughput URL [RECORDS] [BATCH]")?;
    let records: usize = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let batch: usize = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let log = open(&url).await?;
    let topic = format!("throughput-{}", Utc::now().timestamp_micros());
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: PARTITIONS,
        retention: Retention::For(Duration::from_hours(1)),
    };
    log.ensure_topics(&[spec]).await?;

    let publisher = log.publisher()?;
    let started = Instant::now();
    let mut receipts = std::collections::VecDeque::new();
    for first in (0..records).step_by(batch) {
        let numbers = first..records.min(first + batch);
        receipts.push_back(publisher.send(&topic, numbers.map(record).collect()).await?);
        if receipts.len() >= MAX_PENDING_RECEIPTS
            && let Some(oldest) = receipts.pop_front()
        {
            oldest.durable().await?;
        }
    }
    for receipt in receipts {
        receipt.durable().await?;
    }
    report("in ", records, started);

    let started = Instant::now();
    let mut subscription = log.subscribe(&format!("{topic}-group"), &[&topic]).await?;
    let (mut consumed, mut bytes, mut first) = (0, 0, None);
    while consumed < records {
        match subscription.next(batch, Duration::from_secs(30)).await? {
            Event::Assigned(partitions) => {
                let start = |partition| (partition, StartAt::Beginning);
                subscription.start(&partitions.into_iter().map(start).collect::<Vec<_>>()).await?;
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(messages) => {
                ensure!(!messages.is_empty(), "no message for 30 s, {consumed} of {records} consumed");
                first.get_or_insert_with(Instant::now);
                consumed += messages.len();
                bytes += messages.iter().map(|message| message.payload.len()).sum::<usize>();
            }
        }
    }
    report("out", records, started);
    if let Some(first) = first {
        report("out, from the first message", records, first);
    }
    ensure!(bytes == records * PAYLOAD_BYTES, "{bytes} bytes were consumed");
    Ok(())
}

fn record(number: usize) -> NewRecord {
    let mut payload = vec![b'x'; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    NewRecord {
        key: Some(Bytes::from(format!("SYM{}", number % 50))),
        payload: Bytes::from(payload),
        headers: Vec::new(),
        timestamp: Utc::now(),
    }
}

fn report(what: &str, records: usize, started: Instant) {
    println!("{what}: {:.0} messages/s", records as f64 / started.elapsed().as_secs_f64());
}
