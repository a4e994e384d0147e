//! Appends results of long runs to `tests/chaos/RESULTS.md`.

use std::{fmt::Write, path::PathBuf};

use anyhow::Context;
use chrono::Utc;

use crate::{Outcome, faults::Fault};

/// Appends a run.
///
/// # Errors
/// A file that cannot be written.
pub fn append(command: &str, store: &str, run: &[(Fault, Outcome)]) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"));
    let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let day = Utc::now().format("%Y-%m-%d");
    let _ = write!(text, "\n## {day}, {store}\n\n{}\n\n`{command}`\n\n", machine());
    text.push_str("| # | fault | numbers | verdict |\n| --- | --- | --- | --- |\n");
    for (fault, outcome) in run {
        let verdict = if outcome.problems.is_empty() {
            "kept".to_owned()
        } else {
            // The output of a process may have several lines.
            format!("BROKEN: {}", outcome.problems.join("; ").replace('\n', " "))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {verdict} |",
            fault.number,
            fault.name,
            outcome.numbers.join("; ")
        );
    }
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Processor, cores and memory.
pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kb = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    format!(
        "{}, {} cores, {} GB of memory",
        model.map_or("unknown processor", |(_, name)| name),
        std::thread::available_parallelism().map_or(1, usize::from),
        kb.unwrap_or(0) / 1_000_000
    )
}
