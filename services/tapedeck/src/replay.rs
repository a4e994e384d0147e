//! `tapedeck replay FILE...`: publishes recordings, waits until the consumer has stored them, and exits with 0.

use std::sync::Arc;

use anyhow::bail;
use archive::Prices;
use chrono::Utc;
use producer::Report;
use service_runtime::Status;
use topics::{
    names::{figure, service},
    status::figure_key,
};

use crate::{
    cli::{Places, ReplayArgs},
    data_dir::{DataDir, folder},
    drain::wait_until_stored,
    output::print_line,
    run::{Opened, open_runtime},
};

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    // The recordings first, before anything is created.
    producer::check_files(&args.files)?;
    let path = folder(args.places.data.as_deref());
    let data = DataDir::open(&path, Prices::Real, "replaying")?;
    let (runtime, store) = open_runtime("tapedeck-replay", &args.places, &data).await?;

    let opened = Opened { log: Arc::clone(&runtime.log), store: Arc::clone(&store) };
    let group = args.consumer.group.clone();
    let mut tasks = runtime.tasks();
    tasks.spawn("consumer", consumer::run(args.consumer, store, runtime.for_service(service::CONSUMER)));
    let (report, reported) = tokio::sync::oneshot::channel();
    let player = runtime.clone();
    tasks.spawn("replay", async move {
        let played = producer::replay_files(&args.files, args.speed, &player).await?;
        wait_until_stored(&player, &group).await?;
        // The receiver is dropped if the process is shutting down.
        let _ = report.send((played, new_ticks(&player.status)));
        player.shutdown.cancel();
        Ok(())
    });
    opened.close(tasks.join().await).await?;

    match reported.await {
        Ok((report, new)) => conclude(&report, new, &args.places, &data),
        Err(_) => bail!(
            "stopped before the end; the ticks so far are stored, and another replay of the files adds the rest"
        ),
    }
}

/// Ticks that the consumer has stored for the first time.
fn new_ticks(status: &Status) -> u64 {
    let figures = status.snapshot(Utc::now()).figures;
    let stored = figure_key(Some(service::CONSUMER), figure::TICKS_STORED);
    figures.get(&stored).map_or(0, |stored| *stored as u64)
}

fn conclude(report: &Report, new: u64, places: &Places, data: &DataDir) -> anyhow::Result<()> {
    print_line(described(report, new))?;
    if report.ticks + report.candles == 0 && report.bad_lines > 0 {
        bail!("no line could be parsed");
    }
    let place = match &places.data {
        Some(_) => format!(" --data {}", data.path().display()),
        None => String::new(),
    };
    print_line(format_args!("to look at it: tapedeck run --provider replay{place}"))
}

fn described(report: &Report, new: u64) -> String {
    let Report { files, lines, ticks, candles, empty_lines, bad_lines, reasons, days_without_session } =
        report;
    // The consumer may also have stored what waited in the log before.
    let known = ticks.saturating_sub(new);
    let mut text = vec![
        format!("read     {ticks} ticks and {candles} candles, in {lines} lines of {files} file(s)"),
        format!("stored   {new} ticks are new, {known} were stored already"),
    ];
    let without = (*empty_lines > 0).then(|| format!("{empty_lines} line(s) without a tick or candle"));
    let bad = (*bad_lines > 0).then(|| format!("{bad_lines} bad line(s)"));
    let ignored: Vec<String> = [without, bad].into_iter().flatten().collect();
    if !ignored.is_empty() {
        text.push(format!("ignored  {}", ignored.join(", ")));
    }
    text.extend(reasons.iter().map(|(reason, count)| format!("         {count} x {reason}")));
    let others = bad_lines - reasons.values().sum::<u64>();
    if others > 0 {
        text.push(format!("         {others} x other reasons"));
    }
    if *days_without_session > 0 {
        text.push(format!(
            "note     {days_without_session} day(s) on which the calendar has no session, used"
        ));
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_report_has_what_was_read_what_is_new_and_what_was_ignored() {
        let reasons = BTreeMap::from([("price must be above zero, not -1".to_owned(), 2)]);
        let report = Report {
            files: 1,
            lines: 9,
            ticks: 4,
            candles: 1,
            empty_lines: 1,
            bad_lines: 3,
            reasons,
            days_without_session: 0,
        };
        let expected = [
            "read     4 ticks and 1 candles, in 9 lines of 1 file(s)",
            "stored   3 ticks are new, 1 were stored already",
            "ignored  1 line(s) without a tick or candle, 3 bad line(s)",
            "         2 x price must be above zero, not -1",
            "         1 x other reasons",
        ];
        assert_eq!(described(&report, 3), expected.join("\n"));
    }
}
