//! The job that gathers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::UTC;
use job_runner::{Job, MissedRuns, Schedule};
use rand::RngExt;

use crate::gather::{Gatherer, Gathering, SourceHealth};

/// Its name in the store, in the health and in logs.
pub(crate) const NAME: &str = "news gathering";
/// Longest time of a gathering; what was not fetched is fetched by the next.
const LIMIT: Duration = Duration::from_mins(25);

/// Gathers from all sources that are due.
pub(crate) struct GatherJob {
    gatherer: Arc<Gatherer>,
    schedule: Schedule,
    after: After,
}

/// What is done with the result.
enum After {
    /// A person waits for it.
    Keep(Arc<Mutex<Option<Gathering>>>),
    /// It is reported as the health of the sources.
    Report(Arc<SourceHealth>),
}

impl GatherJob {
    /// One gathering for a person.
    pub(crate) fn by_hand(gatherer: Gatherer, result: Arc<Mutex<Option<Gathering>>>) -> anyhow::Result<Self> {
        let schedule = half_hours(0)?;
        Ok(Self { gatherer: Arc::new(gatherer), schedule, after: After::Keep(result) })
    }

    /// Every half hour, at a minute of this process: installations do not all come at once.
    pub(crate) fn scheduled(gatherer: Arc<Gatherer>, health: Arc<SourceHealth>) -> anyhow::Result<Self> {
        let schedule = half_hours(rand::rng().random_range(0..30))?;
        Ok(Self { gatherer, schedule, after: After::Report(health) })
    }
}

fn half_hours(minute: u32) -> anyhow::Result<Schedule> {
    Ok(Schedule::parse(&format!("{minute},{} * * * *", minute + 30), UTC)?)
}

#[async_trait]
impl Job for GatherJob {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One gathering has what several missed ones would have had.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn run(&self, _due: DateTime<Utc>) -> anyhow::Result<()> {
        let is_by_hand = matches!(self.after, After::Keep(_));
        let gathering = self.gatherer.gather(Utc::now(), is_by_hand).await?;
        match &self.after {
            After::Keep(result) => *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(gathering),
            After::Report(health) => health.report(&gathering),
        }
        Ok(())
    }
}
