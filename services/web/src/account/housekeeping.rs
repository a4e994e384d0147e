//! The job that removes what has expired: sessions, tokens, and accounts whose address was never confirmed.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::UTC;
use job_runner::{Job, MissedRuns, Schedule};
use live_store::{LiveStore, MAX_PAGE_USERS};

/// Longest time for one run.
const LIMIT_SECONDS: u64 = 600;
/// An address that was not confirmed in this time is forgotten.
const UNCONFIRMED: TimeDelta = TimeDelta::days(7);

pub(crate) struct Housekeeping {
    schedule: Schedule,
    store: Arc<dyn LiveStore>,
}

impl Housekeeping {
    pub(crate) fn new(store: Arc<dyn LiveStore>) -> anyhow::Result<Self> {
        let schedule =
            Schedule::parse("17 * * * *", UTC).context("the schedule of the accounts' housekeeping")?;
        Ok(Self { schedule, store })
    }

    async fn remove_unconfirmed(&self, before: DateTime<Utc>) -> anyhow::Result<u64> {
        let (mut removed, mut after) = (0, None);
        loop {
            let page = self.store.users(after, MAX_PAGE_USERS).await.context("cannot list the users")?;
            let Some(last) = page.last() else { return Ok(removed) };
            after = Some(last.id);
            for user in page.iter().filter(|user| !user.is_confirmed() && user.created_at < before) {
                self.store.remove_tokens_of(user.id).await.context("cannot remove tokens")?;
                let gone = self.store.remove_user(user.id, Some(user.revision)).await;
                removed += u64::from(gone.context("cannot remove a user")?);
            }
        }
    }
}

#[async_trait]
impl Job for Housekeeping {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One run removes what several missed ones would have.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(LIMIT_SECONDS)
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        let sessions = self.store.prune_sessions(due).await.context("cannot prune sessions")?;
        let tokens = self.store.prune_tokens(due).await.context("cannot prune tokens")?;
        let users = self.remove_unconfirmed(due - UNCONFIRMED).await?;
        if sessions + tokens + users > 0 {
            tracing::info!(
                sessions,
                tokens,
                unconfirmed_users = users,
                "expired parts of accounts were removed"
            );
        }
        Ok(())
    }
}
