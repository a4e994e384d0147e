//! The embedded log alone: messages in (durable) and out, beside the disk's own limit for the same bytes.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use benches::{batches, print_ratio, publish, rate};
use clap::Parser;
use event_log::{Event, EventLog, NewRecord, Retention, StartAt, TopicSpec};

const TOPIC: &str = "bench";

#[derive(Parser)]
struct Args {
    /// How many messages.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// How many are sent at a time.
    #[arg(long, default_value_t = 500)]
    batch: u64,
    /// Where the files go; the temporary folder when left out.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let records = batches(args.messages, args.batch)?;
    let (write_limit, read_limit) = plain_file(&records, dir.path(), args.messages)?;
    let log = event_log::open(&format!("sqlite:{}", dir.path().join("log.db").display())).await?;
    let spec =
        TopicSpec { name: TOPIC.into(), partitions: 3, retention: Retention::For(Duration::from_hours(24)) };
    log.ensure_topics(&[spec]).await?;
    let published = publish(&*log, TOPIC, records).await?;
    print_ratio("embedded log, in", published, "plain file, fdatasync every 10 batches", write_limit);
    let drained = drain(&*log, args.messages).await?;
    print_ratio("embedded log, out", drained, "plain file read, one copy each", read_limit);
    Ok(())
}

/// The same payloads appended to a file and synced as often as the log groups its commits, then read back.
fn plain_file(records: &[Vec<NewRecord>], dir: &Path, messages: u64) -> anyhow::Result<(f64, f64)> {
    let path = dir.join("plain");
    let begun = Instant::now();
    let mut file = File::create(&path)?;
    for group in records.chunks(10) {
        let bytes: Vec<u8> =
            group.iter().flatten().flat_map(|record| record.payload.iter().copied()).collect();
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    let written = rate(messages, begun.elapsed());
    let begun = Instant::now();
    let mut all = Vec::new();
    File::open(&path)?.read_to_end(&mut all)?;
    let size = all.len() / messages as usize;
    let copies: Vec<Vec<u8>> = all.chunks(size).map(<[u8]>::to_vec).collect();
    let read = rate(copies.len() as u64, begun.elapsed());
    Ok((written, read))
}

async fn drain(log: &dyn EventLog, messages: u64) -> anyhow::Result<f64> {
    let mut subscription = log.subscribe("bench", &[TOPIC]).await?;
    let begun = Instant::now();
    let mut seen = 0;
    while seen < messages {
        match subscription.next(5_000, Duration::from_secs(5)).await? {
            Event::Assigned(partitions) => {
                let start = |partition| (partition, StartAt::Beginning);
                subscription.start(&partitions.into_iter().map(start).collect::<Vec<_>>()).await?;
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(batch) => {
                anyhow::ensure!(!batch.is_empty(), "only {seen} of {messages} messages came");
                seen += batch.len() as u64;
                let handles = batch.into_iter().filter_map(|message| message.handle).collect();
                subscription.commit(handles).await.context("cannot commit")?;
            }
        }
    }
    Ok(rate(seen, begun.elapsed()))
}
