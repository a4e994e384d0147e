//! What a person reads of a run.

use std::fmt::Write;

use analytics_store::BatchRun;
use chrono::{DateTime, Utc};
use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use market::Symbol;

use crate::night::Report;

/// Rows printed at most; a backfill of years has thousands.
const MAX_ROWS: usize = 200;

fn table(header: &[&str], numbers_from: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The rows of a run, and its sums.
pub(crate) fn of_run(report: &Report, is_dry: bool) -> String {
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let mut text = String::new();
    if !report.rows.is_empty() {
        let header = [
            "date", "symbol", "open", "high", "low", "close", "volume", "change %", "SMA 20", "RSI 14",
            "ticks",
        ];
        let mut table = table(&header, 2);
        for row in report.rows.iter().take(MAX_ROWS) {
            table.add_row([
                row.date.to_string(),
                row.symbol.to_string(),
                row.open_price.to_string(),
                row.high_price.to_string(),
                row.low_price.to_string(),
                row.close_price.to_string(),
                row.total_volume.map_or_else(|| "-".to_owned(), |volume| volume.to_string()),
                format!("{:+.2}", row.daily_change_pct),
                optional(row.sma_20),
                optional(row.rsi_14),
                row.ticks.to_string(),
            ]);
        }
        let _ = writeln!(text, "{table}");
    }
    let more = report.rows.len().saturating_sub(MAX_ROWS);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    for day in &report.not_ended {
        let _ = writeln!(text, "not ended: {day}");
    }
    for (reason, symbols) in &report.without_row {
        let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        let _ = writeln!(text, "{reason} ({})", names.join(", "));
    }
    for failed in &report.failed {
        let _ = writeln!(text, "failed: {failed}");
    }
    let stored = if is_dry {
        "nothing stored (--dry-run)".to_owned()
    } else {
        format!("{} rows written", report.rows_written)
    };
    let _ = write!(text, "{} days computed from {} ticks, {stored}", report.rows.len(), report.ticks_read);
    text
}

/// The last runs, newest last.
pub(crate) fn of_runs(runs: &[BatchRun], now: DateTime<Utc>) -> String {
    if runs.is_empty() {
        return "there was no run yet; start one with: batch run".to_owned();
    }
    let header = ["date", "started", "status", "took", "symbols", "ticks", "rows", "error"];
    let mut table = table(&header, 3);
    for run in runs {
        let took = run.finished_at.unwrap_or(now) - run.started_at;
        table.add_row([
            run.date.to_string(),
            run.started_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            if run.was_killed(runs, now) { "killed".to_owned() } else { run.status.to_string() },
            format!("{:.1} s", took.as_seconds_f64()),
            run.symbols.to_string(),
            run.ticks_read.to_string(),
            run.rows_written.to_string(),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}
