//! Circuits in the collection `feed_circuits`.

use async_trait::async_trait;
use mongodb::bson::{
    DateTime as BsonDate, RawDocument, RawDocumentBuf, deserialize_from_slice, doc, rawdoc,
    serialize_to_raw_document_buf,
};
use serde::{Deserialize, Serialize};

use super::{FeedCircuit, FeedCircuitStore, MAX_CIRCUITS};
use crate::{
    Result,
    mongo::{
        MongoStore,
        fields::{self, RowError, date, read_date},
        schema::Collection,
    },
};

const COLLECTION: &str = "feed_circuits";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/feed_circuits.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

/// The document of a circuit, without its `_id`.
#[derive(Serialize, Deserialize)]
struct CircuitRow {
    failures: u32,
    open_until: BsonDate,
    reason: String,
    changed_at: BsonDate,
}

#[async_trait]
impl FeedCircuitStore for MongoStore {
    async fn save_circuit(&self, circuit: &FeedCircuit) -> Result<()> {
        let statement = statement(circuit)
            .map_err(|error| self.refused(format!("cannot save the circuit of {}: {error}", circuit.feed)))?;
        let taken = self.upsert("cannot save a circuit", COLLECTION, &[statement]).await?.len();
        self.refuse_taken(COLLECTION, taken)
    }

    async fn close_circuit(&self, feed: &str) -> Result<()> {
        self.remove_at_once("cannot close a circuit", COLLECTION, doc! { "_id": feed }).await.map(drop)
    }

    async fn circuits(&self) -> Result<Vec<FeedCircuit>> {
        let found = self
            .find("cannot read circuits", COLLECTION, doc! {}, |find| {
                find.sort(doc! { "_id": 1 }).limit(MAX_CIRCUITS as i64)
            })
            .await?;
        self.decode(COLLECTION, &found, decode)
    }
}

fn statement(circuit: &FeedCircuit) -> Result<RawDocumentBuf, RowError> {
    let row = serialize_to_raw_document_buf(&CircuitRow {
        failures: circuit.failures,
        open_until: date(circuit.open_until),
        reason: circuit.reason.clone(),
        changed_at: date(circuit.changed_at),
    })?;
    Ok(rawdoc! { "q": { "_id": circuit.feed.as_str() }, "u": { "$set": row }, "upsert": true })
}

fn decode(document: &RawDocument) -> Result<FeedCircuit, RowError> {
    let row: CircuitRow = deserialize_from_slice(document.as_bytes())?;
    Ok(FeedCircuit {
        feed: fields::id(document)?,
        failures: row.failures,
        open_until: read_date("open_until", row.open_until)?,
        reason: row.reason,
        changed_at: read_date("changed_at", row.changed_at)?,
    })
}

#[cfg(test)]
fn sample() -> mongodb::bson::Document {
    let time = chrono::DateTime::UNIX_EPOCH;
    let circuit = FeedCircuit {
        feed: "binance".to_owned(),
        failures: 5,
        open_until: time,
        reason: "no answer in time".to_owned(),
        changed_at: time,
    };
    crate::mongo::upserted(&[statement(&circuit).expect("a statement")])
}
