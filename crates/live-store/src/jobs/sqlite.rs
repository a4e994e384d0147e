//! Jobs in the table `job_runs`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use job_runner::{JobStore, StoreError};

use super::FREE;
use crate::{
    Result,
    sqlite::{SqliteStore, columns},
};

const ACQUIRE: &str = "INSERT INTO job_runs (job, owner, leased_until) VALUES (?1, ?2, ?3) \
     ON CONFLICT (job) DO UPDATE SET owner = excluded.owner, leased_until = excluded.leased_until \
     WHERE job_runs.owner IN (?4, excluded.owner) OR job_runs.leased_until <= ?5";

const RENEW: &str = "UPDATE job_runs SET leased_until = ?3 WHERE job = ?1 AND owner = ?2";

/// The greater of two is NULL where one of them is.
const RELEASE: &str = "UPDATE job_runs \
     SET owner = ?3, finished = coalesce(max(finished, ?4), ?4, finished) WHERE job = ?1 AND owner = ?2";

#[async_trait]
impl JobStore for SqliteStore {
    async fn acquire(
        &self,
        job: &str,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (now, until) = (columns::time(now)?, columns::time(until)?);
        Ok(self.update(sqlx::query(ACQUIRE).bind(job).bind(owner).bind(until).bind(FREE).bind(now)).await?)
    }

    async fn renew(&self, job: &str, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
        Ok(self.update(sqlx::query(RENEW).bind(job).bind(owner).bind(columns::time(until)?)).await?)
    }

    async fn release(
        &self,
        job: &str,
        owner: &str,
        finished: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError> {
        let finished = finished.map(columns::time).transpose()?;
        Ok(self.update(sqlx::query(RELEASE).bind(job).bind(owner).bind(FREE).bind(finished)).await?)
    }

    async fn finished(&self, job: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let select = sqlx::query("SELECT finished FROM job_runs WHERE job = ?").bind(job.to_owned());
        let found = self.read(select, "job_runs", |row| columns::optional_time(row, "finished", 0)).await?;
        Ok(found.into_iter().next().flatten())
    }
}
