//! Digests in the table `digests`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Row, error::BoxDynError, sqlite::SqliteRow};

use super::{Digest, DigestStore, MAX_DIGESTS};
use crate::{
    Result,
    sqlite::{
        SqliteStore,
        columns::{self, read_time, text},
        time_text::range_end,
    },
};

const TABLE: &str = "digests";

const INSERT: &str = "INSERT OR IGNORE INTO digests (id, reader, created_at, stories) VALUES (?, ?, ?, ?)";
const ONE: &str = "SELECT id, reader, created_at, stories FROM digests WHERE id = ?";
const OF_READER: &str = "SELECT id, reader, created_at, stories FROM digests WHERE reader = ? AND created_at >= ? \
     ORDER BY created_at DESC, id DESC LIMIT ?";

#[async_trait]
impl DigestStore for SqliteStore {
    async fn record_digest(&self, digest: &Digest) -> Result<Digest> {
        let refused =
            |error: BoxDynError| self.refused(format!("cannot record the digest {}: {error}", digest.id));
        let created_at = columns::time(crate::news::whole_millis(digest.created_at)).map_err(refused)?;
        let stories = serde_json::to_string(&digest.stories).map_err(|error| refused(error.into()))?;
        let insert = sqlx::query(INSERT).bind(&digest.id).bind(&digest.reader).bind(created_at).bind(stories);
        let mut writing = self.begin().await?;
        insert.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        let found = self.read(sqlx::query(ONE).bind(digest.id.clone()), TABLE, decode).await?;
        let recorded = found.into_iter().next();
        recorded.ok_or_else(|| self.refused(format!("the digest {} was not recorded", digest.id)))
    }

    async fn digests_of(&self, reader: &str, since: DateTime<Utc>) -> Result<Vec<Digest>> {
        let select =
            sqlx::query(OF_READER).bind(reader.to_owned()).bind(range_end(since)).bind(MAX_DIGESTS as i64);
        self.read(select, TABLE, decode).await
    }

    async fn prune_digests(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut writing = self.begin().await?;
        let delete = sqlx::query("DELETE FROM digests WHERE created_at < ?").bind(range_end(before));
        let done = delete.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}

fn decode(row: &SqliteRow) -> Result<Digest, BoxDynError> {
    Ok(Digest {
        id: row.try_get(0)?,
        reader: row.try_get(1)?,
        created_at: read_time(row, "created_at", 2)?,
        stories: text(row, "stories", 3, |text| serde_json::from_str(text))?,
    })
}
