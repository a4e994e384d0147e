//! `tapedeck logs`: prepares Elasticsearch for log lines.

use std::path::PathBuf;

use service_runtime::{LOG_DATA_STREAM, LogOutput, set_up_log_template};

use crate::{cli::Places, data_dir::folder, output::print_line};

/// The dead-letter file of a process with a data folder.
pub(crate) fn dead_letters(places: &Places) -> PathBuf {
    folder(places.data.as_deref()).join("undelivered-logs.jsonl")
}

pub(crate) async fn setup(output: &LogOutput) -> anyhow::Result<()> {
    let changes = set_up_log_template(output).await?;
    if changes.is_empty() {
        print_line(format_args!("{LOG_DATA_STREAM}: nothing to change"))?;
    }
    for change in changes {
        print_line(change)?;
    }
    Ok(())
}
