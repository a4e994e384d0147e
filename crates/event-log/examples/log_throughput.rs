//! Publishes records and drains them: `log_throughput URL [RECORDS] [BATCH]`. Prints messages per second in and out.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::Utc;
use event_log::{Event, NewRecord, Retention, StartAt, TopicSpec, open};

/// Bytes of a payload, about those of a tick.
const PAYLOAD_BYTES: usize = 150;
const PARTITIONS: i32 = 3;
/// Receipts that may be open at the same time.
const OPEN_RECEIPTS: usize = 64;

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
    let begun = Instant::now();
    let mut receipts = std::collections::VecDeque::new();
    for first in (0..records).step_by(batch) {
        let numbers = first..records.min(first + batch);
        receipts.push_back(publisher.send(&topic, numbers.map(record).collect()).await?);
        if receipts.len() >= OPEN_RECEIPTS
            && let Some(oldest) = receipts.pop_front()
        {
            oldest.durable().await?;
        }
    }
    for receipt in receipts {
        receipt.durable().await?;
    }
    report("in ", records, begun);

    let begun = Instant::now();
    let mut subscription = log.subscribe(&format!("{topic}-group"), &[&topic]).await?;
    let (mut drained, mut bytes, mut first) = (0, 0, None);
    while drained < records {
        match subscription.next(batch, Duration::from_secs(30)).await? {
            Event::Assigned(partitions) => {
                let start = |partition| (partition, StartAt::Beginning);
                subscription.start(&partitions.into_iter().map(start).collect::<Vec<_>>()).await?;
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(messages) => {
                ensure!(!messages.is_empty(), "nothing came for 30 s, {drained} of {records} drained");
                first.get_or_insert_with(Instant::now);
                drained += messages.len();
                bytes += messages.iter().map(|message| message.payload.len()).sum::<usize>();
            }
        }
    }
    report("out", records, begun);
    if let Some(first) = first {
        report("out, from the first message on", records, first);
    }
    ensure!(bytes == records * PAYLOAD_BYTES, "{bytes} bytes came back");
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

fn report(what: &str, records: usize, begun: Instant) {
    println!("{what}: {:.0} messages/s", records as f64 / begun.elapsed().as_secs_f64());
}
