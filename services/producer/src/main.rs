//! The producer as a process of its own.

use clap::Parser;
use producer::ProducerArgs;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let ProducerArgs { log, ledger, listen, log_output, producer } = ProducerArgs::parse();
    service_runtime::main("producer", &log_output, &log, Some(listen), |runtime| async move {
        let choice = producer::choose(&producer).await?;
        let choice = choice.kept_apart(&producer, &*runtime.log).await?;
        for note in &choice.notes {
            tracing::warn!("{note}");
        }
        let run = |store| producer::run(producer, choice.clone(), store, runtime);
        producer::with_store(&ledger, &choice, run).await
    })
    .await
}
