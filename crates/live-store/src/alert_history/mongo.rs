//! Alerts in the collection `alert_history`.

use alert_rules::{Alert, AlertId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{Document, RawDocument, doc};

use super::{AlertHistoryStore, AlertPage, AlertQuery, StoredAlert, cursor, limit, page};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        documents::{TimePair, from_document, to_document},
        fields::{RowError, moment, time, unsigned},
        schema::{Collection, raw},
        times::{Moment, TimeFields},
    },
};

const COLLECTION: &str = "alert_history";
const TIMES: [TimePair; 2] = [("opened_at", "opened_at_us"), ("closed_at", "closed_at_us")];
const OPENED_AT: TimeFields = TimeFields::new("opened_at", "opened_at_us");
const RECORDED_AT: TimeFields = TimeFields::new("recorded_at", "recorded_at_us");

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/alert_history.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl AlertHistoryStore for MongoStore {
    async fn add_alerts(&self, alerts: &[Alert], now: DateTime<Utc>) -> Result<Vec<bool>> {
        let mut are_new = Vec::with_capacity(alerts.len());
        // One by one: few come together, and a server that stops at the first one that is taken would need them one by one anyway.
        for alert in alerts {
            let document = encode(alert, now)
                .map_err(|error| self.refused(format!("cannot store the alert {}: {error}", alert.id)))?;
            let statements = [raw(self, &document)?].iter().collect();
            let reply = self.write("cannot store an alert", Write::Insert, COLLECTION, &statements).await?;
            are_new.push(reply.taken.is_empty());
        }
        Ok(are_new)
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<StoredAlert>> {
        let filter = doc! { "_id": id.as_str() };
        let found = self.find("cannot read an alert", COLLECTION, filter, |find| find.limit(1)).await?;
        Ok(self.decode(COLLECTION, &found, decode)?.into_iter().next())
    }

    async fn replace_alert(&self, changed: &StoredAlert) -> Result<bool> {
        let statement = replace_statement(changed)
            .map_err(|error| self.refused(format!("cannot store the alert {}: {error}", changed.alert.id)))?;
        let statements = [raw(self, &statement)?].iter().collect();
        let reply = self.write("cannot change an alert", Write::Update, COLLECTION, &statements).await?;
        Ok(reply.touched > 0)
    }

    async fn alerts(&self, query: &AlertQuery) -> Result<AlertPage> {
        let limit = limit(query);
        let mut filter = OPENED_AT.between(Moment::range_end(query.from), Moment::range_end(query.to));
        if let Some(symbol) = query.symbol {
            filter.insert("symbol", symbol.as_str());
        }
        if !query.owners.is_empty() {
            let owners: Vec<String> = query.owners.iter().map(ToString::to_string).collect();
            filter.insert("owner", doc! { "$in": owners });
        }
        if let Some(cursor) = &query.cursor {
            let (opened_at, id) = cursor::decode(cursor)?;
            let end = Moment::range_end(opened_at);
            filter.insert(
                "$or",
                vec![
                    OPENED_AT.before(end),
                    doc! { "opened_at": end.date(), "opened_at_us": end.micros(), "_id": { "$lt": id.as_str() } },
                ],
            );
        }
        let found = self
            .find("cannot read alerts", COLLECTION, filter, |find| {
                find.sort(doc! { "opened_at": -1, "opened_at_us": -1, "_id": -1 }).limit(limit as i64 + 1)
            })
            .await?;
        Ok(page(self.decode(COLLECTION, &found, decode)?, limit))
    }

    async fn pending_alerts(&self, limit: usize) -> Result<Vec<StoredAlert>> {
        self.first_alerts(doc! { "is_pending": true }, limit).await
    }

    async fn unlogged_alerts(&self, limit: usize) -> Result<Vec<StoredAlert>> {
        self.first_alerts(doc! { "is_logged": false }, limit).await
    }

    async fn mark_alert_logged(&self, id: &AlertId, version: u64) -> Result<()> {
        let statement = doc! {
            "q": { "_id": id.as_str(), "version": version.cast_signed() },
            "u": { "$set": { "is_logged": true } },
        };
        let statements = [raw(self, &statement)?].iter().collect();
        self.write("cannot mark an alert", Write::Update, COLLECTION, &statements).await?;
        Ok(())
    }

    async fn prune_alerts(&self, before: DateTime<Utc>) -> Result<u64> {
        let before = Moment::range_end(before);
        let filter =
            doc! { "is_logged": true, "$and": [OPENED_AT.before(before), RECORDED_AT.before(before)] };
        let statements = [raw(self, &doc! { "q": filter, "limit": 0 })?].iter().collect();
        Ok(self.write("cannot prune alerts", Write::Delete, COLLECTION, &statements).await?.touched)
    }
}

impl MongoStore {
    /// The first alerts that fulfil a condition, in the order in which they were stored.
    async fn first_alerts(&self, filter: Document, limit: usize) -> Result<Vec<StoredAlert>> {
        let found = self
            .find("cannot read alerts", COLLECTION, filter, |find| {
                find.sort(doc! { "recorded_at": 1, "recorded_at_us": 1, "_id": 1 }).limit(limit as i64)
            })
            .await?;
        self.decode(COLLECTION, &found, decode)
    }
}

fn encode(alert: &Alert, now: DateTime<Utc>) -> Result<Document, RowError> {
    let mut document = to_document(alert, &TIMES)?;
    let recorded_at = moment(now)?;
    document.insert("recorded_at", recorded_at.date());
    document.insert("recorded_at_us", recorded_at.micros());
    document.insert("version", 1_i64);
    document.insert("is_pending", alert.is_pending());
    document.insert("is_logged", false);
    Ok(document)
}

/// Only what changes after an alert has opened.
fn replace_statement(StoredAlert { alert, version, .. }: &StoredAlert) -> Result<Document, RowError> {
    let changing = ["peak", "closed_at", "closed_at_us", "deliveries"];
    let fields = to_document(alert, &TIMES)?.into_iter();
    let mut fields: Document = fields.filter(|(name, _)| changing.contains(&name.as_str())).collect();
    fields.insert("is_pending", alert.is_pending());
    fields.insert("is_logged", false);
    fields.insert("version", version.cast_signed() + 1);
    Ok(doc! {
        "q": { "_id": alert.id.as_str(), "version": version.cast_signed() },
        "u": { "$set": fields },
    })
}

fn decode(document: &RawDocument) -> Result<StoredAlert, RowError> {
    Ok(StoredAlert {
        alert: from_document(document, &TIMES)?,
        recorded_at: time(document, "recorded_at", "recorded_at_us")?,
        version: unsigned(document, "version")?,
    })
}

#[cfg(test)]
fn sample() -> Document {
    let alert = serde_json::json!({
        "_id": "house-change@1:AAPL:yahoo:7", "rule": "house-change", "revision": 1, "owner": "house", "symbol": "AAPL",
        "kind": "change_from_open", "threshold": 5.0, "measure": 5.2, "peak": 5.2,
        "tick": { "source": "yahoo", "seq": 7, "price": 273.8, "open": 260.2, "volume": 1000.0 },
        "candle_volume": 500.0, "opened_at": "2026-01-13T15:30:00Z", "closed_at": "2026-01-13T15:40:00Z",
        "message": "AAPL is 5.20 % above its open", "is_simulated": false, "is_recorded": false,
        "deliveries": [{ "recipient": "ops@example.com", "state": "owed" }],
    });
    let alert: Alert = serde_json::from_value(alert).expect("an alert");
    encode(&alert, DateTime::UNIX_EPOCH).expect("a document")
}
