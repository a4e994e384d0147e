//! `tapedeck replay FILE...`: publishes recordings, waits until the consumer has stored them, and exits with 0.

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use producer::{CountKnown, Report};

use crate::{
    cli::{Places, ReplayArgs},
    data_dir::DataDir,
    log_and_store::{Pipeline, publish_and_store},
    output::print_line,
    stored_candles::count_stored,
};

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    let ReplayArgs { files, symbol, speed, places, consumer } = args;
    let recordings = producer::ReplayArgs { files, symbol, speed };
    // The recordings first, before anything is created.
    if !producer::check_files(&recordings)? {
        bail!(
            "{}: there is nothing to replay, as the recording is empty: no line has a tick or candle",
            listed(&recordings.files)
        );
    }
    let play = move |pipeline: Pipeline| async move {
        let store = Arc::clone(&pipeline.store);
        let count_known: CountKnown = Box::new(move |candles| {
            let store = Arc::clone(&store);
            Box::pin(async move { count_stored(&*store, &candles).await })
        });
        let played = producer::replay_files(&recordings, &pipeline.runtime, Some(count_known)).await?;
        pipeline.wait_until_stored().await?;
        Ok((played, pipeline.new_ticks()))
    };
    let (data, played) = publish_and_store(("tapedeck-replay", "replaying"), &places, consumer, play).await?;
    match played {
        Some((report, new_ticks)) => conclude(&report, new_ticks, &places, &data),
        None => bail!(
            "stopped before the end; the ticks so far are stored, and another replay of the files adds the rest"
        ),
    }
}

fn listed(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn conclude(report: &Report, new_ticks: u64, places: &Places, data: &DataDir) -> anyhow::Result<()> {
    print_line(described(report, new_ticks))?;
    if report.ticks + report.candles == 0 {
        let reason = if report.bad_lines > 0 { "could be parsed" } else { "has a tick or candle" };
        bail!("nothing was replayed: no line {reason}");
    }
    let place = match &places.data {
        Some(_) => format!(" --data {}", data.path().display()),
        None => String::new(),
    };
    print_line(format_args!("to look at it: tapedeck run --provider replay{place}"))
}

fn described(report: &Report, new_ticks: u64) -> String {
    let Report { files, lines, ticks, candles, known_candles, .. } = report;
    let Report { empty_lines, bad_lines, reasons, .. } = report;
    // The consumer may also have stored what waited in the log before.
    let known_ticks = ticks.saturating_sub(new_ticks);
    let new_candles = candles.saturating_sub(*known_candles);
    let mut text = vec![
        format!("read     {ticks} ticks and {candles} candles, in {lines} lines of {files} file(s)"),
        format!(
            "stored   {new_ticks} ticks and {new_candles} candles are new, {known_ticks} ticks and {known_candles} candles were \
             stored already"
        ),
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
    text.extend(report.notes().iter().map(|note| format!("note     {note}")));
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
            candles: 3,
            known_candles: 2,
            empty_lines: 1,
            bad_lines: 3,
            reasons,
            days_without_session: 0,
            repeated_rows: 2,
        };
        let expected = [
            "read     4 ticks and 3 candles, in 9 lines of 1 file(s)",
            "stored   3 ticks and 1 candles are new, 1 ticks and 2 candles were stored already",
            "ignored  1 line(s) without a tick or candle, 3 bad line(s)",
            "         2 x price must be above zero, not -1",
            "         1 x other reasons",
            "note     2 row(s) whose candle is there twice: the one with more volume was used",
        ];
        assert_eq!(described(&report, 3), expected.join("\n"));
    }
}
