//! The table `batch_runs`.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::cell::{BadRow, CellReader, Cells, Kind, Row, Table};

/// One run of the batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchRun {
    /// The newest trading day that it could close.
    pub date: NaiveDate,
    /// When it began; its identity.
    pub started_at: DateTime<Utc>,
    /// `None` while it runs, and where it was killed.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub status: RunStatus,
    /// Symbols with a row.
    pub symbols: u64,
    /// Ticks read.
    pub ticks_read: u64,
    /// Rows that were new or differed.
    pub rows_written: u64,
    /// Why it failed, or which symbols did.
    pub error: Option<String>,
}

impl BatchRun {
    /// Longest time of a run.
    pub const LONGEST: Duration = Duration::from_hours(6);

    /// Whether it was killed, which no process could record: it has no end, and another one of `runs` began later, as one run works at
    /// a time, or its longest time is over.
    pub fn was_killed(&self, runs: &[Self], now: DateTime<Utc>) -> bool {
        self.status == RunStatus::Running
            && (now - Self::LONGEST > self.started_at
                || runs.iter().any(|other| other.started_at > self.started_at))
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Not ended, or killed.
    Running,
    /// Complete.
    Done,
    /// At least one symbol or day is missing.
    Failed,
}

impl RunStatus {
    /// `running`, `done` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Running, Self::Done, Self::Failed].into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

impl Row for BatchRun {
    const TABLE: Table = Table {
        name: "batch_runs",
        columns: &[
            ("date", Kind::Date),
            ("started_at", Kind::Time),
            ("finished_at", Kind::Time),
            ("status", Kind::Text),
            ("symbols", Kind::Count),
            ("ticks_read", Kind::Count),
            ("rows_written", Kind::Count),
            ("error", Kind::Text),
        ],
        key: &["started_at"],
        order: &["date", "started_at"],
        ignored: None,
    };

    fn cells(&self) -> Cells {
        Cells::default()
            .date(self.date)
            .time(self.started_at)
            .time(self.finished_at)
            .text(self.status)
            .count(self.symbols)
            .count(self.ticks_read)
            .count(self.rows_written)
            .optional_text(self.error.as_deref())
    }

    fn read(cells: &mut CellReader) -> Result<Self, BadRow> {
        Ok(Self {
            date: cells.date()?,
            started_at: cells.time()?,
            finished_at: cells.optional_time()?,
            status: cells.parsed("running, done or failed")?,
            symbols: cells.count()?,
            ticks_read: cells.count()?,
            rows_written: cells.count()?,
            error: cells.optional_text()?,
        })
    }
}
