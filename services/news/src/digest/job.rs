//! The job that owes digests.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::UTC;
use job_runner::{Job, MissedRuns, Schedule};

use super::Digester;

/// Its name in the store, in the health and in logs.
pub(crate) const NAME: &str = "news digest";
/// Longest time of a run.
const LIMIT: Duration = Duration::from_mins(10);

/// Looks every five minutes whether a digest is due: readers have hours and zones of their own.
pub(crate) struct DigestJob {
    digester: Digester,
    schedule: Schedule,
}

impl DigestJob {
    pub(crate) fn new(digester: Digester) -> anyhow::Result<Self> {
        Ok(Self { digester, schedule: Schedule::parse("*/5 * * * *", UTC)? })
    }
}

#[async_trait]
impl Job for DigestJob {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// A run owes what is due at its time, not what was due at that of a missed one.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn run(&self, _due: DateTime<Utc>) -> anyhow::Result<()> {
        self.digester.owe_due(Utc::now()).await.map(drop)
    }
}
