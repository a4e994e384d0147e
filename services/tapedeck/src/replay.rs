//! `tapedeck replay FILE...`: publishes recordings, waits until the consumer has stored them, and exits with 0.

use anyhow::bail;
use archive::Prices;
use producer::Report;

use crate::{
    cli::ReplayArgs,
    data_dir::{DataDir, folder},
    drain::wait_until_stored,
    output::print_line,
    run::open_runtime,
};

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    let path = folder(args.places.data.as_deref());
    let data = DataDir::open(&path, Prices::Real, "replaying")?;
    let (runtime, store) = open_runtime("tapedeck-replay", &args.places, &data).await?;

    let group = args.consumer.group.clone();
    let mut tasks = runtime.tasks();
    tasks.spawn("consumer", consumer::run(args.consumer, store, runtime.for_service("consumer")));
    let (report, reported) = tokio::sync::oneshot::channel();
    let player = runtime.clone();
    tasks.spawn("replay", async move {
        let played = producer::replay_files(&args.files, args.speed, &player).await?;
        wait_until_stored(&player, &group).await?;
        // The receiver is dropped if the process is shutting down.
        let _ = report.send(played);
        player.shutdown.cancel();
        Ok(())
    });
    tasks.join().await?;

    match reported.await {
        Ok(report) => conclude(&report, &data),
        Err(_) => bail!(
            "stopped before the end; the ticks so far are stored, and another replay of the files adds the rest"
        ),
    }
}

fn conclude(report: &Report, data: &DataDir) -> anyhow::Result<()> {
    print_line(format_args!("{report}; stored in {}", data.path().display()))?;
    if report.ticks == 0 && report.bad_lines > 0 {
        bail!("no line could be parsed");
    }
    Ok(())
}
