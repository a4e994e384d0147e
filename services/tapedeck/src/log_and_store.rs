//! What commands publish to the log is stored by a consumer in the same process.

use std::sync::Arc;

use archive::Prices;
use chrono::Utc;
use consumer::ConsumerConfig;
use live_store::LiveStore;
use service_runtime::{ProcessRuntime, Runtime};
use topics::{
    names::{figure, service},
    status::figure_key,
};

use crate::{
    cli::Places,
    data_dir::{DataDir, folder},
    drain::wait_until_stored,
    run::{Opened, open_runtime},
};

/// Log, store and consumer of a command that publishes.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) runtime: Runtime,
    pub(crate) store: Arc<dyn LiveStore>,
    group: String,
}

impl Pipeline {
    /// Waits until everything in the log is stored.
    pub(crate) async fn wait_until_stored(&self) -> anyhow::Result<()> {
        wait_until_stored(&self.runtime, &self.group).await
    }

    /// Ticks that the consumer has stored for the first time.
    pub(crate) fn new_ticks(&self) -> u64 {
        let figures = self.runtime.status.snapshot(Utc::now()).figures;
        let stored = figure_key(Some(service::CONSUMER), figure::TICKS_STORED);
        figures.get(&stored).map_or(0, |stored| *stored as u64)
    }
}

/// Opens log and store, and runs `publish` beside the consumer until it returns; what it has published is stored then if it has
/// waited for it. `doing` names the command to other instances. Returns the data folder and what `publish` returned; `None` if the
/// process was stopped before.
pub(crate) async fn publish_and_store<T, F>(
    (process, doing): (&str, &str),
    places: &Places,
    config: ConsumerConfig,
    publish: impl FnOnce(Pipeline) -> F,
) -> anyhow::Result<(DataDir, Option<T>)>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let data = DataDir::open(&folder(places.data.as_deref()), Prices::Real, doing)?;
    let (runtime, store) = open_runtime(&ProcessRuntime::start(process)?, places, &data).await?;
    let opened = Opened { log: Arc::clone(&runtime.log), store: Arc::clone(&store) };
    let pipeline =
        Pipeline { runtime: runtime.clone(), store: Arc::clone(&store), group: config.group.clone() };
    let mut tasks = runtime.tasks();
    tasks.spawn("consumer", consumer::run(config, store, runtime.for_service(service::CONSUMER)));
    let (done, published) = tokio::sync::oneshot::channel();
    let publishing = publish(pipeline);
    let shutdown = runtime.shutdown.clone();
    tasks.spawn("publishing", async move {
        // The receiver is dropped if the process is shutting down.
        let _ = done.send(publishing.await?);
        shutdown.cancel();
        Ok(())
    });
    opened.close(tasks.join().await).await?;
    Ok((data, published.await.ok()))
}
