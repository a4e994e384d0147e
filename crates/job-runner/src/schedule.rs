//! When a job runs. Pure: every function receives the time.

use std::{collections::VecDeque, fmt};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

/// Most missed runs that are made up one by one; of more, only the newest are.
pub const MAX_MADE_UP: usize = 400;

/// A schedule as in a crontab, in a time zone: `30 18 * * 1-5` in `America/New_York`.
///
/// Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday, 1 is Monday, or `MON`). When
/// clocks are set forward, a fixed time that does not exist that day runs at the first minute after the gap; when they are
/// set back, a fixed time that exists twice runs at the first of them. Times with `*` or steps follow the clock: they do not
/// run in the gap, and run in both repeated hours.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

/// A text that is no schedule.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no schedule: {reason}; five fields as in a crontab, such as `30 18 * * 1-5`")]
pub struct ScheduleError {
    text: String,
    reason: String,
}

/// What happens with runs that were due while no process ran the job, or while a run took longer than the time between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedRuns {
    /// Each is made up, the oldest first, at most [`MAX_MADE_UP`].
    MakeUpAll,
    /// Only the newest is made up.
    MakeUpNewest,
    /// None is made up; the next run is the next one of the schedule.
    Skip,
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The times of the runs to do now, the oldest first.
    pub runs: Vec<DateTime<Utc>>,
    /// How many missed runs are not made up.
    pub skipped: u64,
    /// The newest of those.
    pub skipped_until: Option<DateTime<Utc>>,
}

impl Schedule {
    /// Reads the five fields.
    ///
    /// # Errors
    /// Anything else, and a schedule without any time, such as the 31st of June.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let refused = |reason: String| ScheduleError { text: text.escape_debug().to_string(), reason };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| refused(error.to_string()))?;
        let schedule = Self { cron, zone };
        match schedule.next(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(refused("it has no time in the calendar".to_owned())),
        }
    }

    /// The first time after `after`; `None` when the calendar ends before it.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false).ok()?;
        Some(next.to_utc())
    }

    /// What is due at `now`, when the newest finished run is the one of `finished`. A run is missed when a later one is due as
    /// well, or when it was due before `started`, the time at which this process began to run the job.
    pub fn due(
        &self,
        missed: MissedRuns,
        finished: DateTime<Utc>,
        started: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Due {
        let keep = if missed == MissedRuns::MakeUpAll { MAX_MADE_UP } else { 1 };
        let mut runs = VecDeque::new();
        let (mut skipped, mut skipped_until) = (0, None);
        let mut time = finished;
        while let Some(next) = self.next(time).filter(|next| *next <= now) {
            runs.push_back(next);
            time = next;
            let is_too_late = missed == MissedRuns::Skip && next < started;
            if runs.len() > keep || is_too_late {
                skipped_until = runs.pop_front();
                skipped += 1;
            }
        }
        Due { runs: runs.into(), skipped, skipped_until }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cron.pattern, self.zone)
    }
}
