//! Ctrl-C and SIGTERM: the first drains, the second leaves at once.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was interrupted (128 + SIGINT), as shells expect it.
const INTERRUPTED: i32 = 130;

/// Cancels `shutdown` at the first SIGINT or SIGTERM, and leaves the process at the second. Runs in the background
/// for the life of the process.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn cancel_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::spawn(async move {
        let mut seen = 0;
        loop {
            let received = tokio::select! { got = interrupt.recv() => got, got = terminate.recv() => got };
            if received.is_none() {
                return;
            }
            seen += 1;
            if seen > 1 {
                std::process::exit(INTERRUPTED);
            }
            tracing::info!("stopping: finishing what is under way; press Ctrl-C again to leave at once");
            shutdown.cancel();
        }
    });
    Ok(())
}
