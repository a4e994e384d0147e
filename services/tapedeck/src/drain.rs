//! Waiting for the consumer.

use std::time::Duration;

use anyhow::{Context, bail};
use service_runtime::Runtime;

/// Between two looks at how far the consumer has come.
const POLL_MS: u64 = 50;
/// A consumer that stores nothing for so long is stuck.
const STUCK_SECONDS: u64 = 120;

/// Waits until the consumer has committed everything there is; fails when it makes no headway.
pub(crate) async fn wait_until_stored(runtime: &Runtime, group: &str) -> anyhow::Result<()> {
    let mut poll = tokio::time::interval(Duration::from_millis(POLL_MS));
    let (mut least, mut since) = (u64::MAX, tokio::time::Instant::now());
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = runtime.shutdown.cancelled() => bail!("stopped before everything was stored"),
        }
        let lag = consumer::lag(&*runtime.log, group).await.context("cannot tell how far the consumer is")?;
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
