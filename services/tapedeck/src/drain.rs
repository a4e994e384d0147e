//! Waits for the consumer.

use std::time::Duration;

use anyhow::{Context, bail};
use service_runtime::Runtime;

/// Interval between two queries of the consumer's lag.
const POLL_MS: u64 = 50;
/// Time without progress after which the consumer counts as stuck.
const STUCK_SECONDS: u64 = 120;

/// Waits until the group `group` has no lag. Fails if it makes no progress, or at shutdown.
pub(crate) async fn wait_until_stored(runtime: &Runtime, group: &str) -> anyhow::Result<()> {
    let mut poll = tokio::time::interval(Duration::from_millis(POLL_MS));
    let (mut least, mut since) = (u64::MAX, tokio::time::Instant::now());
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = runtime.shutdown.cancelled() => bail!("stopped before everything was stored"),
        }
        let lag = consumer::lag(&*runtime.log, group).await.context("cannot read the lag of the consumer")?;
        if lag == 0 {
            return Ok(());
        }
        if lag < least {
            (least, since) = (lag, tokio::time::Instant::now());
        } else if since.elapsed() > Duration::from_secs(STUCK_SECONDS) {
            bail!("the consumer has stored nothing for {STUCK_SECONDS} s; its lag is {lag} messages");
        }
    }
}
