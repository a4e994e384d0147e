//! From Kafka to MongoDB: our consumer, beside raw `insert_many` of the same documents on the same server, and beside
//! peers that read the same topic. All but `insert_many` run as processes of their own, and are measured by the documents
//! that appear, from the first tenth on: how long a member takes to join its group is not counted.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use benches::{Deployment, Running, batches, print_ratio, publish, rate};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::{Client, Collection, Database, bson::RawDocumentBuf, bson::doc};

/// Documents per command of `insert_many`, and commands under way at a time; the best of them counts.
const RAW: [(usize, usize); 4] = [(1_000, 1), (5_000, 1), (1_000, 2), (5_000, 2)];
/// How many of the documents are inserted raw: they are held in memory.
const RAW_DOCUMENTS: i64 = 200_000;
const COUNT_EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_mins(15);
const TOPIC: &str = topics::tick::STOCK_PRICES;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    deployment: Deployment,
    /// How many messages are drained.
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
    /// Turns of ours and of `insert_many`; one more before them warms the server up. The median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// `NAME=COMMAND` that reads BROKERS, TOPIC, MONGO_URL and DATABASE from its environment, and stores every message.
    #[arg(long)]
    peer: Vec<String>,
}

struct Run {
    args: Args,
    client: Client,
    stamp: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let log = event_log::open(&args.deployment.kafka).await?;
    service_runtime::create_topics(&*log).await?;
    for records in batches(args.messages, 500)?.chunks(200) {
        publish(&*log, TOPIC, records.to_vec()).await?;
    }
    let client = Client::with_uri_str(&args.deployment.mongodb).await?;
    let run = Run { args, client, stamp: format!("bench_{}", std::process::id()) };
    println!("warming up");
    run.turn(0).await?;
    let mut turns = Vec::new();
    for round in 1..=run.args.rounds {
        turns.push(run.turn(round).await?);
    }
    turns.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (ours, raw) = *turns.get(turns.len() / 2).context("--rounds must be at least 1")?;
    println!("the median turn:");
    print_ratio("Kafka -> MongoDB", ours, "raw insert_many of the same documents", raw);
    for peer in &run.args.peer {
        let (name, command) = peer.split_once('=').context("--peer is NAME=COMMAND")?;
        let theirs = run.peer(command).await.with_context(|| name.to_owned())?;
        print_ratio("Kafka -> MongoDB", ours, name, theirs);
    }
    Ok(())
}

impl Run {
    fn database(&self, who: &str) -> Database {
        self.client.database(&format!("{}_{who}", self.stamp))
    }

    /// Our consumer's rate, and that of `insert_many`.
    async fn turn(&self, round: u32) -> anyhow::Result<(f64, f64)> {
        let ours = self.ours(round).await?;
        let raw = self.insert_many().await?;
        self.database("ours").drop().await?;
        print_ratio("Kafka -> MongoDB", ours, "raw insert_many of the same documents", raw);
        Ok((ours, raw))
    }

    async fn ours(&self, round: u32) -> anyhow::Result<f64> {
        let database = self.database("ours");
        let group = format!("{}_{round}", self.stamp);
        let consumer = self.args.deployment.start("consumer", &[], database.name(), &group)?;
        self.measure(&database, consumer).await
    }

    async fn peer(&self, command: &str) -> anyhow::Result<f64> {
        let database = self.database("peer");
        let child = Command::new("bash")
            .args(["-c", &format!("exec {command}")])
            .env("BROKERS", self.args.deployment.kafka.trim_start_matches("kafka://"))
            .env("TOPIC", TOPIC)
            .env("MONGO_URL", &self.args.deployment.mongodb)
            .env("DATABASE", database.name())
            .stdout(Stdio::null())
            .spawn()?;
        let measured = self.measure(&database, Running(child)).await;
        database.drop().await?;
        measured
    }

    /// Documents a second of what `child` stores, until all messages of the topic are there.
    async fn measure(&self, database: &Database, mut child: Running) -> anyhow::Result<f64> {
        let collection = prices(database);
        let (all, started) = (self.args.messages, Instant::now());
        let (mut begun, mut peak_mb) = (None, 0);
        loop {
            anyhow::ensure!(started.elapsed() < LIMIT, "not done within {LIMIT:?}");
            if let Some(status) = child.0.try_wait()? {
                anyhow::bail!("ended by itself: {status}");
            }
            let count = collection.estimated_document_count().await?;
            peak_mb = peak_mb.max(child.resident_mb().unwrap_or_default());
            let now = Instant::now();
            if begun.is_none() && count >= all / 10 {
                begun = Some((count, now));
                println!("  {count} after {:.1} s, {peak_mb} MB resident", started.elapsed().as_secs_f64());
            }
            match begun {
                Some((first, since)) if count >= all => {
                    println!(
                        "  {count} after {:.1} s, {peak_mb} MB at most",
                        started.elapsed().as_secs_f64()
                    );
                    return Ok(rate(count - first, now - since));
                }
                _ => tokio::time::sleep(COUNT_EVERY).await,
            }
        }
    }

    /// The best of several ways to insert what our consumer stored.
    async fn insert_many(&self) -> anyhow::Result<f64> {
        let stored = prices(&self.database("ours"));
        let documents: Vec<RawDocumentBuf> =
            stored.find(doc! {}).limit(RAW_DOCUMENTS).batch_size(5_000).await?.try_collect().await?;
        let mut best = 0.0_f64;
        for (batch, in_flight) in RAW {
            let database = self.database("raw");
            let collection = prices(&database);
            let begun = Instant::now();
            let inserts: Vec<_> =
                documents.chunks(batch).map(|chunk| insert(collection.clone(), chunk)).collect();
            stream::iter(inserts).buffer_unordered(in_flight).try_collect::<()>().await?;
            let measured = rate(documents.len() as u64, begun.elapsed());
            println!("  insert_many of {batch}, {in_flight} at a time: {measured:.0} /s");
            best = best.max(measured);
            database.drop().await?;
        }
        Ok(best)
    }
}

fn prices(database: &Database) -> Collection<RawDocumentBuf> {
    database.collection("realtime_prices")
}

async fn insert(
    collection: Collection<RawDocumentBuf>,
    documents: &[RawDocumentBuf],
) -> mongodb::error::Result<()> {
    collection.insert_many(documents).ordered(false).await.map(drop)
}
