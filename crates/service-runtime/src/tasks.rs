//! Supervision: a task that ends takes the process down and says which.

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to drain once the shutdown has begun.
const DRAIN_SECONDS: u64 = 20;

/// Named tasks that live and end together.
pub struct Tasks {
    running: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
}

impl Tasks {
    /// None yet; all will be ended through `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { running: JoinSet::new(), shutdown }
    }

    /// Starts a task. It is to run until the shutdown, then drain and return `Ok`.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.running.spawn(async move { (name, task.await) });
    }

    /// Waits for all. The first that fails, panics, or ends before the shutdown stops the others.
    ///
    /// # Errors
    /// That first failure, with the task's name.
    pub async fn join(mut self) -> anyhow::Result<()> {
        let mut first_failure = None;
        while let Some(ended) = self.next().await {
            if let Err(error) = ended {
                tracing::error!("{error:#}");
                first_failure.get_or_insert(error);
                self.shutdown.cancel();
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    async fn next(&mut self) -> Option<anyhow::Result<()>> {
        let shutdown = self.shutdown.clone();
        let deadline = async {
            shutdown.cancelled().await;
            tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS)).await;
        };
        let joined = tokio::select! {
            joined = self.running.join_next() => joined?,
            () = deadline => {
                let left = self.running.len();
                self.running.abort_all();
                self.running.detach_all();
                return Some(Err(anyhow!("{left} task(s) did not finish within {DRAIN_SECONDS} s of the shutdown")));
            }
        };
        Some(match joined {
            Ok((name, Err(error))) => Err(error).with_context(|| format!("the task `{name}` failed")),
            Ok((name, Ok(()))) => self.ended_in_time(name),
            Err(panicked) => Err(anyhow!(panicked).context("a task panicked")),
        })
    }

    fn ended_in_time(&self, name: &str) -> anyhow::Result<()> {
        if !self.shutdown.is_cancelled() {
            bail!("the task `{name}` ended by itself");
        }
        Ok(())
    }
}
