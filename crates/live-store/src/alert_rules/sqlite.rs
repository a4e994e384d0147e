//! Alert rules in the table `alert_rules`.

use alert_rules::{AlertRule, Owner, RuleFields, RuleId, RuleKind};
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row, error::BoxDynError, sqlite::SqliteRow};

use super::AlertRuleStore;
use crate::{
    Result,
    sqlite::{
        SqliteStore,
        columns::{text, unsigned},
    },
};

const TABLE: &str = "alert_rules";
/// In the order in which rules are bound and read.
const COLUMNS: &str =
    "id, owner, revision, symbols, kind, threshold, cooldown_minutes, is_active, recipients";

/// A new rule only with revision 1, a changed one only with the revision behind the stored one.
const PUT: &str = "INSERT INTO alert_rules \
     (id, owner, revision, symbols, kind, threshold, cooldown_minutes, is_active, recipients) \
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 \
     WHERE ?3 = 1 + coalesce((SELECT revision FROM alert_rules WHERE id = ?1), 0) \
     ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, revision = excluded.revision, symbols = excluded.symbols, \
     kind = excluded.kind, threshold = excluded.threshold, cooldown_minutes = excluded.cooldown_minutes, \
     is_active = excluded.is_active, recipients = excluded.recipients";

#[async_trait]
impl AlertRuleStore for SqliteStore {
    async fn put_alert_rule(&self, rule: &AlertRule) -> Result<bool> {
        let cannot = |error: serde_json::Error| {
            self.refused(format!("cannot store the alert rule {}: {error}", rule.id))
        };
        let put = sqlx::query(PUT)
            .bind(rule.id.as_str())
            .bind(rule.owner.to_string())
            .bind(rule.revision.cast_signed())
            .bind(serde_json::to_string(&rule.symbols).map_err(cannot)?)
            .bind(rule.kind.name())
            .bind(rule.kind.threshold())
            .bind(rule.cooldown_minutes)
            .bind(rule.is_active)
            .bind(serde_json::to_string(&rule.recipients).map_err(cannot)?);
        if self.update(put).await? {
            return Ok(true);
        }
        Ok(self.alert_rule(&rule.id).await?.as_ref() == Some(rule))
    }

    async fn alert_rule(&self, id: &RuleId) -> Result<Option<AlertRule>> {
        Ok(self.rules_where("id = ?", id.as_str()).await?.into_iter().next())
    }

    async fn alert_rules_of(&self, owner: &Owner) -> Result<Vec<AlertRule>> {
        self.rules_where("owner = ?", &owner.to_string()).await
    }

    async fn active_alert_rules(&self) -> Result<Vec<AlertRule>> {
        self.rules_where("is_active = ?", "1").await
    }

    async fn remove_alert_rule(&self, id: &RuleId, owner: &Owner) -> Result<bool> {
        let delete = sqlx::query("DELETE FROM alert_rules WHERE id = ? AND owner = ?");
        self.update(delete.bind(id.as_str()).bind(owner.to_string())).await
    }

    async fn remove_alert_rules_of(&self, owner: &Owner) -> Result<u64> {
        let mut writing = self.begin().await?;
        let delete = sqlx::query("DELETE FROM alert_rules WHERE owner = ?").bind(owner.to_string());
        let done = delete.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}

impl SqliteStore {
    /// The rules that fulfil a condition with one parameter, by identity.
    async fn rules_where(&self, condition: &'static str, parameter: &str) -> Result<Vec<AlertRule>> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLE} WHERE {condition} ORDER BY id");
        let select = sqlx::query(AssertSqlSafe(sql)).bind(parameter.to_owned());
        self.read(select, TABLE, decode).await
    }
}

fn decode(row: &SqliteRow) -> Result<AlertRule, BoxDynError> {
    Ok(AlertRule::new(RuleFields {
        id: text(row, "id", 0, RuleId::parse)?,
        owner: text(row, "owner", 1, Owner::parse)?,
        revision: unsigned(row, 2)?,
        symbols: text(row, "symbols", 3, |json| serde_json::from_str(json))?,
        kind: RuleKind::parse(row.try_get(4)?, row.try_get(5)?)?,
        cooldown_minutes: row.try_get(6)?,
        is_active: row.try_get(7)?,
        recipients: text(row, "recipients", 8, |json| serde_json::from_str(json))?,
    })?)
}
