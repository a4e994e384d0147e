//! `tapedeck replay FILE...`: recordings through log and consumer into the store, then an exit with 0.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use producer::Report;
use service_runtime::{Runtime, Tasks};

use crate::{
    cli::{DEFAULT_DATA, ReplayArgs},
    data_dir::{DataDir, Prices},
    run::open_runtime,
};

/// Between two looks at how far the consumer has come.
const POLL_MS: u64 = 50;
/// A consumer that stores nothing for so long is stuck.
const STUCK_SECONDS: u64 = 120;

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    let path = args.places.data.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
    let data = DataDir::open(&path, Prices::Real, "replaying")?;
    let (runtime, store) = open_runtime("tapedeck-replay", &args.places, &data).await?;

    let group = args.consumer.group.clone();
    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("consumer", consumer::run(args.consumer, store, runtime.clone()));
    let (report, reported) = tokio::sync::oneshot::channel();
    let player = runtime.clone();
    tasks.spawn("replay", async move {
        let played = producer::replay_files(&args.files, args.speed, &player).await?;
        wait_until_stored(&player, &group).await?;
        // Nobody waits for the report of a replay whose process is going down.
        let _ = report.send(played);
        player.shutdown.cancel();
        Ok(())
    });
    tasks.join().await?;

    match reported.await {
        Ok(report) => conclude(&report, &data),
        Err(_) => bail!(
            "stopped before the end; what was read is stored, and playing the files again adds the rest"
        ),
    }
}

fn conclude(report: &Report, data: &DataDir) -> anyhow::Result<()> {
    println!("{report}; stored in {}", data.path().display());
    if report.ticks == 0 && report.bad_lines > 0 {
        bail!("no line could be read");
    }
    Ok(())
}

/// Waits until the consumer has committed everything there is; fails when it makes no headway.
async fn wait_until_stored(runtime: &Runtime, group: &str) -> anyhow::Result<()> {
    let mut poll = tokio::time::interval(Duration::from_millis(POLL_MS));
    let (mut least, mut since) = (u64::MAX, tokio::time::Instant::now());
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = runtime.shutdown.cancelled() => bail!("stopped before everything was stored"),
        }
        let lags =
            runtime.log.lag(group, &consumer::TOPICS).await.context("cannot tell how far the consumer is")?;
        let lag: u64 = lags.iter().map(|lag| lag.lag).sum();
        if lag == 0 {
            return Ok(());
        }
        if lag < least {
            (least, since) = (lag, tokio::time::Instant::now());
        } else if since.elapsed() > Duration::from_secs(STUCK_SECONDS) {
            bail!("the consumer has stored nothing for {STUCK_SECONDS} s; {lag} messages wait");
        }
    }
}
