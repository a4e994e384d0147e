//! Gaps in the table `gaps`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Source, Symbol};
use sqlx::{Row, error::BoxDynError, sqlite::SqliteRow};

use super::{Gap, GapCause, GapQuery, GapState, GapStore, MAX_GAPS, StateColumns};
use crate::{
    Result,
    news::whole_millis,
    sqlite::{
        SqliteStore,
        columns::{self, optional_time, read_time, text},
        time_text::range_end,
    },
};

const TABLE: &str = "gaps";

const RECORD: &str = "INSERT INTO gaps \
         (source, symbol, begins_at, ends_at, cause, missing_trades, detected_at, repaired_at, reason) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (source, symbol, begins_at) DO UPDATE SET ends_at = excluded.ends_at, cause = excluded.cause, \
         missing_trades = excluded.missing_trades, detected_at = excluded.detected_at, \
         repaired_at = excluded.repaired_at, reason = excluded.reason \
     WHERE repaired_at IS NULL";

const READ: &str = "SELECT source, symbol, begins_at, ends_at, cause, missing_trades, detected_at, repaired_at, reason \
     FROM gaps \
     WHERE (?1 IS NULL OR symbol = ?1) AND (?2 IS NULL OR ends_at >= ?2) AND (NOT ?3 OR repaired_at IS NULL) \
     ORDER BY begins_at DESC, source, symbol LIMIT ?4";

#[async_trait]
impl GapStore for SqliteStore {
    async fn record_gaps(&self, gaps: &[Gap]) -> Result<()> {
        let refused = |error: BoxDynError| self.refused(format!("cannot record a gap: {error}"));
        let time = |time: DateTime<Utc>| columns::time(whole_millis(time)).map_err(refused);
        let mut writing = self.begin().await?;
        for gap in gaps {
            let state = StateColumns::from(&gap.state);
            sqlx::query(RECORD)
                .bind(gap.source.as_str())
                .bind(gap.symbol.as_str())
                .bind(time(gap.from)?)
                .bind(time(gap.to)?)
                .bind(gap.cause.name())
                .bind(gap.missing_trades.map(u64::cast_signed))
                .bind(time(gap.detected_at)?)
                .bind(state.repaired_at.map(time).transpose()?)
                .bind(state.reason)
                .execute(writing.connection())
                .await
                .map_err(|error| self.failure(&error))?;
        }
        Ok(writing.commit().await?)
    }

    async fn gaps(&self, query: &GapQuery) -> Result<Vec<Gap>> {
        let select = sqlx::query(READ)
            .bind(query.symbol.map(|symbol| symbol.as_str().to_owned()))
            .bind(query.since.map(range_end))
            .bind(query.is_unrepaired)
            .bind(MAX_GAPS as i64);
        self.read(select, TABLE, decode).await
    }

    async fn prune_gaps(&self, before: DateTime<Utc>) -> Result<u64> {
        self.write_rows(sqlx::query("DELETE FROM gaps WHERE ends_at < ?").bind(range_end(before))).await
    }
}

fn decode(row: &SqliteRow) -> Result<Gap, BoxDynError> {
    let missing = row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned);
    let repaired_at = optional_time(row, "repaired_at", 7)?;
    Ok(Gap {
        source: text(row, "source", 0, Source::parse)?,
        symbol: text(row, "symbol", 1, Symbol::parse)?,
        from: read_time(row, "begins_at", 2)?,
        to: read_time(row, "ends_at", 3)?,
        cause: text(row, "cause", 4, GapCause::parse)?,
        missing_trades: missing,
        detected_at: read_time(row, "detected_at", 6)?,
        state: GapState::from(StateColumns { repaired_at, reason: row.try_get(8)? }),
    })
}
