//! Alerts in the table `alert_history`.

use alert_rules::{Alert, AlertId, OpeningTick, Owner, RuleId, RuleKind};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Source, Symbol};
use sqlx::{
    Arguments, AssertSqlSafe, Row,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{AlertHistoryStore, AlertPage, AlertQuery, StoredAlert, cursor, limit, page};
use crate::{
    Result,
    sqlite::{
        SqliteStore,
        columns::{self, optional_time, placeholders, read_time, text, unsigned},
        time_text::range_end,
    },
};

const TABLE: &str = "alert_history";
/// In the order in which alerts are bound and read.
const COLUMNS: &str = "id, rule, revision, owner, symbol, kind, threshold, measure, peak, source, seq, price, open, volume, \
     opened_at, closed_at, message, is_simulated, is_recorded, deliveries, recorded_at, version, is_pending, candle_volume";
const COLUMN_COUNT: usize = 24;

const REPLACE: &str = "UPDATE alert_history SET peak = ?3, closed_at = ?4, deliveries = ?5, is_pending = ?6, is_logged = 0, \
     version = ?2 + 1 \
     WHERE id = ?1 AND version = ?2";

#[async_trait]
impl AlertHistoryStore for SqliteStore {
    async fn add_alerts(&self, alerts: &[Alert], now: DateTime<Utc>) -> Result<Vec<bool>> {
        // The rules that these alerts were judged by are named in a checkpoint that was saved before. It must not be lost with
        // the memory of this process while they are kept: what is read again would be judged by other rules.
        self.flush().await?;
        let sql = format!(
            "INSERT INTO {TABLE} ({COLUMNS}) VALUES {} ON CONFLICT (id) DO NOTHING",
            placeholders(1, COLUMN_COUNT)
        );
        let mut writing = self.begin().await?;
        let mut are_new = Vec::with_capacity(alerts.len());
        for alert in alerts {
            let arguments = bind(alert, now)
                .map_err(|error| self.refused(format!("cannot store the alert {}: {error}", alert.id)))?;
            let insert = sqlx::query_with(AssertSqlSafe(sql.clone()), arguments);
            let done = insert.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
            are_new.push(done.rows_affected() > 0);
        }
        writing.commit().await?;
        Ok(are_new)
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<StoredAlert>> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE id = ?");
        let select = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str().to_owned());
        Ok(self.read(select, TABLE, decode).await?.into_iter().next())
    }

    async fn replace_alert(&self, StoredAlert { alert, version, .. }: &StoredAlert) -> Result<bool> {
        let cannot =
            |error: BoxDynError| self.refused(format!("cannot store the alert {}: {error}", alert.id));
        let deliveries = serde_json::to_string(&alert.deliveries).map_err(|error| cannot(error.into()))?;
        let closed_at = alert.closed_at.map(columns::time).transpose().map_err(cannot)?;
        let replace = sqlx::query(REPLACE)
            .bind(alert.id.as_str())
            .bind(version.cast_signed())
            .bind(alert.peak)
            .bind(closed_at)
            .bind(deliveries)
            .bind(alert.is_pending());
        self.update(replace).await
    }

    async fn alerts(&self, query: &AlertQuery) -> Result<AlertPage> {
        let limit = limit(query);
        let behind = query.cursor.as_deref().map(cursor::decode).transpose()?;
        let mut sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE opened_at >= ? AND opened_at < ?");
        if query.symbol.is_some() {
            sql.push_str(" AND symbol = ?");
        }
        if !query.owners.is_empty() {
            sql.push_str(" AND owner IN (");
            sql.push_str(&vec!["?"; query.owners.len()].join(","));
            sql.push(')');
        }
        if behind.is_some() {
            sql.push_str(" AND (opened_at, id) < (?, ?)");
        }
        sql.push_str(" ORDER BY opened_at DESC, id DESC LIMIT ?");
        let mut select =
            sqlx::query(AssertSqlSafe(sql)).bind(range_end(query.from)).bind(range_end(query.to));
        if let Some(symbol) = query.symbol {
            select = select.bind(symbol.as_str().to_owned());
        }
        for owner in &query.owners {
            select = select.bind(owner.to_string());
        }
        if let Some((opened_at, id)) = behind {
            select = select.bind(range_end(opened_at)).bind(id.as_str().to_owned());
        }
        let found = self.read(select.bind(limit as i64 + 1), TABLE, decode).await?;
        Ok(page(found, limit))
    }

    async fn pending_alerts(&self, limit: usize) -> Result<Vec<StoredAlert>> {
        self.first_alerts("is_pending = 1", limit).await
    }

    async fn unlogged_alerts(&self, limit: usize) -> Result<Vec<StoredAlert>> {
        self.first_alerts("is_logged = 0", limit).await
    }

    async fn mark_alert_logged(&self, id: &AlertId, version: u64) -> Result<()> {
        let mark = sqlx::query("UPDATE alert_history SET is_logged = 1 WHERE id = ? AND version = ?");
        self.update(mark.bind(id.as_str()).bind(version.cast_signed())).await?;
        Ok(())
    }

    async fn prune_alerts(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut writing = self.begin().await?;
        let done = sqlx::query(
            "DELETE FROM alert_history WHERE opened_at < ?1 AND recorded_at < ?1 AND is_logged = 1",
        )
        .bind(range_end(before))
        .execute(writing.connection())
        .await
        .map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}

impl SqliteStore {
    /// The first alerts that fulfil a condition, in the order in which they were stored.
    async fn first_alerts(&self, condition: &'static str, limit: usize) -> Result<Vec<StoredAlert>> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE {condition} ORDER BY recorded_at, id LIMIT ?");
        self.read(sqlx::query(AssertSqlSafe(sql)).bind(limit as i64), TABLE, decode).await
    }
}

fn bind(alert: &Alert, now: DateTime<Utc>) -> Result<SqliteArguments, BoxDynError> {
    let mut to = SqliteArguments::default();
    to.add(alert.id.as_str())?;
    to.add(alert.rule.as_str())?;
    to.add(alert.revision.cast_signed())?;
    to.add(alert.owner.to_string())?;
    to.add(alert.symbol.as_str())?;
    to.add(alert.kind.name())?;
    to.add(alert.kind.threshold())?;
    to.add(alert.measure)?;
    to.add(alert.peak)?;
    to.add(alert.tick.source.as_str())?;
    to.add(alert.tick.seq.cast_signed())?;
    to.add(alert.tick.price)?;
    to.add(alert.tick.open)?;
    to.add(alert.tick.volume)?;
    to.add(columns::time(alert.opened_at)?)?;
    to.add(alert.closed_at.map(columns::time).transpose()?)?;
    to.add(alert.message.as_str())?;
    to.add(alert.is_simulated)?;
    to.add(alert.is_recorded)?;
    to.add(serde_json::to_string(&alert.deliveries)?)?;
    to.add(columns::time(now)?)?;
    to.add(1_i64)?;
    to.add(alert.is_pending())?;
    to.add(alert.candle_volume)?;
    Ok(to)
}

fn decode(row: &SqliteRow) -> Result<StoredAlert, BoxDynError> {
    let alert = Alert {
        id: AlertId::of_text(row.try_get::<String, _>(0)?),
        rule: text(row, "rule", 1, RuleId::parse)?,
        revision: unsigned(row, 2)?,
        owner: text(row, "owner", 3, Owner::parse)?,
        symbol: text(row, "symbol", 4, Symbol::parse)?,
        kind: RuleKind::parse(row.try_get(5)?, row.try_get(6)?)?,
        measure: row.try_get(7)?,
        peak: row.try_get(8)?,
        tick: OpeningTick {
            source: text(row, "source", 9, Source::parse)?,
            seq: unsigned(row, 10)?,
            price: row.try_get(11)?,
            open: row.try_get(12)?,
            volume: row.try_get(13)?,
        },
        candle_volume: row.try_get(23)?,
        opened_at: read_time(row, "opened_at", 14)?,
        closed_at: optional_time(row, "closed_at", 15)?,
        message: row.try_get(16)?,
        is_simulated: row.try_get(17)?,
        is_recorded: row.try_get(18)?,
        deliveries: text(row, "deliveries", 19, |json| serde_json::from_str(json))?,
    };
    Ok(StoredAlert { alert, recorded_at: read_time(row, "recorded_at", 20)?, version: unsigned(row, 21)? })
}
