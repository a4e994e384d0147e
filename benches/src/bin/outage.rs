//! How soon a consumer has caught up after its store stood still: ticks go on at a steady rate, the server is stopped
//! (SIGSTOP) and let go again.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use benches::Deployment;
use clap::Parser;
use event_log::EventLog;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_mins(2);
/// Positions are committed five times a second: so much of a second's ticks always waits.
const NOTHING_WAITS: f64 = 0.5;
/// Of a run without an outage before it.
const STEADY: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    deployment: Deployment,
    /// The server's process, which is stopped.
    #[arg(long)]
    pid: u32,
    /// Ticks a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// How long the server stands still, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let log = event_log::open(&args.deployment.kafka).await?;
    service_runtime::create_topics(&*log).await?;
    let group = format!("bench_{}", std::process::id());
    let consumer = args.deployment.start("consumer", &[], &group, &group)?;
    let rate = args.rate.to_string();
    let _producer = args.deployment.start(
        "producer",
        &["--provider", "simulated", "--simulated-rate", &rate],
        &group,
        &group,
    )?;
    tokio::time::sleep(STEADY).await;
    let few = (f64::from(args.rate) * NOTHING_WAITS) as u64;
    let steady = caught_up(&*log, &group, few).await?;
    println!("running: lag {}, {} MB resident", steady.1, consumer.resident_mb().unwrap_or_default());
    signal(args.pid, "STOP")?;
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let behind = consumer::lag(&*log, &group).await?;
    let peak_mb = consumer.resident_mb().unwrap_or_default();
    signal(args.pid, "CONT")?;
    let (took, _) = caught_up(&*log, &group, few).await?;
    println!(
        "away for {} s at {} ticks/s: {behind} behind, {peak_mb} MB resident; at most {few} behind again after {:.1} s",
        args.seconds,
        args.rate,
        took.as_secs_f64()
    );
    Ok(())
}

/// How long it took until no more than `few` records waited, and how many did then.
async fn caught_up(log: &dyn EventLog, group: &str, few: u64) -> anyhow::Result<(Duration, u64)> {
    let begun = Instant::now();
    loop {
        let waiting = consumer::lag(log, group).await?;
        if waiting <= few {
            return Ok((begun.elapsed(), waiting));
        }
        anyhow::ensure!(begun.elapsed() < LIMIT, "still {waiting} behind after {LIMIT:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status()?;
    anyhow::ensure!(status.success(), "cannot send {name} to the process {pid}");
    Ok(())
}
