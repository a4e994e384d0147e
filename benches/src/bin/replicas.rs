//! From Kafka to MongoDB with one, two and three consumers that share the six partitions of ticks, beside one alone.
//! Measured by the documents that appear, from the first tenth on, when all have joined.

use std::time::{Duration, Instant};

use anyhow::Context;
use benches::{Deployment, batches, crypto_batches, print_ratio, publish, rate};
use clap::Parser;
use mongodb::{Client, bson::Document};

const COUNT_EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_mins(5);
const MOST: usize = 3;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    deployment: Deployment,
    /// How many messages are drained, half of them stocks.
    #[arg(long, default_value_t = 600_000)]
    messages: u64,
    /// Turns of each number; one more before them warms the server up. The median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let log = event_log::open(&args.deployment.kafka).await?;
    service_runtime::create_topics(&*log).await?;
    let half = args.messages / 2;
    publish(&*log, topics::tick::STOCK_PRICES, batches(half, 500)?).await?;
    publish(&*log, topics::tick::CRYPTO_PRICES, crypto_batches(half, 500)?).await?;
    let client = Client::with_uri_str(&args.deployment.mongodb).await?;
    let name = format!("bench_{}", std::process::id());
    let mut rates = [const { Vec::new() }; MOST];
    for round in 0..=args.rounds {
        for (count, rates) in (1..).zip(&mut rates) {
            let group = format!("{name}_{round}_{count}");
            let measured = drained(&args, &client, &name, &group, count).await?;
            println!("{count} consumers: {measured:.0} /s");
            client.database(&name).drop().await?;
            if round > 0 {
                rates.push(measured);
            }
        }
    }
    let mut medians = rates.iter_mut().map(|rates| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().context("--rounds must be at least 1")
    });
    let one = medians.next().context("none")??;
    for (count, median) in (2..).zip(medians) {
        print_ratio(&format!("{count} consumers"), median?, "one alone", one);
    }
    Ok(())
}

/// Documents a second that `count` consumers store, until all messages are there.
async fn drained(args: &Args, client: &Client, name: &str, group: &str, count: usize) -> anyhow::Result<f64> {
    let mut consumers = Vec::new();
    for _ in 0..count {
        consumers.push(args.deployment.start("consumer", &[], name, group)?);
    }
    let collection = client.database(name).collection::<Document>("realtime_prices");
    let (started, mut begun) = (Instant::now(), None);
    loop {
        anyhow::ensure!(started.elapsed() < LIMIT, "not done within {LIMIT:?}");
        for consumer in &mut consumers {
            if let Some(status) = consumer.0.try_wait()? {
                anyhow::bail!("ended by itself: {status}");
            }
        }
        let stored = collection.estimated_document_count().await?;
        let now = Instant::now();
        if begun.is_none() && stored >= args.messages / 10 {
            begun = Some((stored, now));
        }
        match begun {
            Some((first, since)) if stored >= args.messages => return Ok(rate(stored - first, now - since)),
            _ => tokio::time::sleep(COUNT_EVERY).await,
        }
    }
}
