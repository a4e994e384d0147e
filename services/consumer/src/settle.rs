//! The job that stores the wide candles of the last days as they are put together of their minutes. Older ones are settled when
//! their minutes are removed.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::UTC;
use job_runner::{Job, MissedRuns, Schedule};
use live_store::{LiveStore, settle_candles};

/// Longest time for one run; what is left is settled by the next.
const LIMIT_SECONDS: u64 = 1_800;
/// The last days, in which the history of a provider fills gaps.
const RECENT: TimeDelta = TimeDelta::days(3);
/// The name of the job.
pub(crate) const NAME: &str = "settle-candles";

/// Settles candles once a day.
pub(crate) struct Settle {
    schedule: Schedule,
    store: Arc<dyn LiveStore>,
}

impl Settle {
    pub(crate) fn new(store: Arc<dyn LiveStore>) -> anyhow::Result<Self> {
        let schedule = Schedule::parse("20 0 * * *", UTC).context("the schedule of settling candles")?;
        Ok(Self { schedule, store })
    }
}

#[async_trait]
impl Job for Settle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One run settles what several missed ones would have.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(LIMIT_SECONDS)
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        // A trading day begins up to a day beside its label.
        let (from, to) = (due - RECENT, due + TimeDelta::days(1));
        let mut settled = 0;
        for symbol in self.store.candle_symbols().await.context("cannot read the symbols of candles")? {
            settled += settle_candles(&*self.store, symbol, from, to, due)
                .await
                .with_context(|| format!("cannot settle the candles of {symbol}"))?;
        }
        if settled > 0 {
            tracing::info!(candles = settled, "candles were completed from their minutes");
        }
        Ok(())
    }
}
