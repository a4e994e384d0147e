//! Alert rules in the collection `alert_rules`.

use alert_rules::{AlertRule, Owner, RuleId};
use async_trait::async_trait;
use mongodb::bson::{Document, RawDocument, doc};

use super::AlertRuleStore;
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        documents::{from_document, to_document},
        fields::RowError,
        schema::{Collection, raw},
    },
};

const COLLECTION: &str = "alert_rules";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/alert_rules.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl AlertRuleStore for MongoStore {
    async fn put_alert_rule(&self, rule: &AlertRule) -> Result<bool> {
        let statement = put_statement(rule)
            .map_err(|error| self.refused(format!("cannot store the alert rule {}: {error}", rule.id)))?;
        let statements = [raw(self, &statement)?].iter().collect();
        let reply = self.write("cannot store an alert rule", Write::Update, COLLECTION, &statements).await?;
        if reply.touched > 0 && reply.taken.is_empty() {
            return Ok(true);
        }
        Ok(self.alert_rule(&rule.id).await?.as_ref() == Some(rule))
    }

    async fn alert_rule(&self, id: &RuleId) -> Result<Option<AlertRule>> {
        Ok(self.rules_where(doc! { "_id": id.as_str() }).await?.into_iter().next())
    }

    async fn alert_rules_of(&self, owner: &Owner) -> Result<Vec<AlertRule>> {
        self.rules_where(doc! { "owner": owner.to_string() }).await
    }

    async fn active_alert_rules(&self) -> Result<Vec<AlertRule>> {
        self.rules_where(doc! { "is_active": true }).await
    }

    async fn remove_alert_rule(&self, id: &RuleId, owner: &Owner) -> Result<bool> {
        let filter = doc! { "_id": id.as_str(), "owner": owner.to_string() };
        Ok(self.remove_rules(filter).await? > 0)
    }

    async fn remove_alert_rules_of(&self, owner: &Owner) -> Result<u64> {
        self.remove_rules(doc! { "owner": owner.to_string() }).await
    }
}

impl MongoStore {
    async fn rules_where(&self, filter: Document) -> Result<Vec<AlertRule>> {
        let found = self
            .find("cannot read alert rules", COLLECTION, filter, |find| find.sort(doc! { "_id": 1 }))
            .await?;
        self.decode(COLLECTION, &found, decode)
    }

    async fn remove_rules(&self, filter: Document) -> Result<u64> {
        let statements = [raw(self, &doc! { "q": filter, "limit": 0 })?].iter().collect();
        Ok(self.write("cannot remove alert rules", Write::Delete, COLLECTION, &statements).await?.touched)
    }
}

/// A new rule is inserted; where it is there already, its `_id` is taken. A changed one replaces the revision before it.
fn put_statement(rule: &AlertRule) -> Result<Document, RowError> {
    let mut fields = to_document(rule, &[])?;
    fields.remove("_id");
    let before = rule.revision.cast_signed() - 1;
    Ok(doc! {
        "q": { "_id": rule.id.as_str(), "revision": before },
        "u": { "$set": fields },
        "upsert": before == 0,
    })
}

fn decode(document: &RawDocument) -> Result<AlertRule, RowError> {
    from_document(document, &[])
}

#[cfg(test)]
fn sample() -> Document {
    let rule = serde_json::json!({
        "_id": "house-change", "owner": "house", "revision": 1, "symbols": null, "kind": "change_from_open",
        "threshold": 5.0, "cooldown_minutes": 60, "is_active": true, "recipients": ["ops@example.com"],
    });
    let rule: AlertRule = serde_json::from_value(rule).expect("a rule");
    to_document(&rule, &[]).expect("a document")
}
