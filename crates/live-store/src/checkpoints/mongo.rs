//! Checkpoints in the collection `checkpoints`. A claim is one `findAndModify`; a save is an update whose filter holds
//! the generation. What a save did not match is read back, to distinguish a replaced owner from a delayed write.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, raw::cstr, rawdoc};

use super::{Checkpoint, CheckpointStore, signed};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::{Write, write_concern_error},
        failure::code,
        fields::{self, RowError},
        schema::Collection,
        times::Moment,
    },
};

pub(crate) const COLLECTION: &str = "checkpoints";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/checkpoints.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

/// A claim fails as a duplicate while another creates the document at the same moment; the next attempt finds it.
const CLAIM_ATTEMPTS: usize = 3;

#[async_trait]
impl CheckpointStore for MongoStore {
    async fn claim(&self, processor: &str, partitions: &[(Arc<str>, i32)]) -> Result<Vec<Checkpoint>> {
        let mut claimed = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            claimed.push(self.claim_one(processor, topic, *partition).await?);
        }
        Ok(claimed)
    }

    async fn save_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<Vec<usize>> {
        if checkpoints.is_empty() {
            return Ok(Vec::new());
        }
        let statements: Vec<RawDocumentBuf> = checkpoints
            .iter()
            .map(|checkpoint| {
                save_statement(checkpoint).map_err(|error| {
                    self.refused(format!("cannot store the checkpoint {}: {error}", id(checkpoint)))
                })
            })
            .collect::<Result<_>>()?;
        let list = statements.iter().collect();
        let reply = self.write("cannot store checkpoints", Write::Update, COLLECTION, &list).await?;
        if reply.touched >= checkpoints.len() as u64 {
            return Ok(Vec::new());
        }
        self.not_owned(checkpoints).await
    }

    async fn checkpoints(&self, processor: &str) -> Result<Vec<Checkpoint>> {
        find(self, doc! { "processor": processor }).await
    }

    async fn all_checkpoints(&self) -> Result<Vec<Checkpoint>> {
        find(self, doc! {}).await
    }
}

impl MongoStore {
    async fn claim_one(&self, processor: &str, topic: &str, partition: i32) -> Result<Checkpoint> {
        let what = "cannot claim a partition";
        let mut attempts = 1..=CLAIM_ATTEMPTS;
        loop {
            let command = claim_command(processor, topic, partition, &self.write_concern);
            match self.try_run(what, command).await? {
                Ok(reply) => {
                    if let Some(error) = write_concern_error(&self.place, what, &reply) {
                        return Err(error);
                    }
                    let document = reply.get_document("value").and_then(RawDocumentBuf::try_from);
                    let claimed = document.map_err(RowError::from).and_then(|document| decode(&document));
                    return claimed.map_err(|error| {
                        self.refused(format!("a document of {COLLECTION} is damaged: {error}"))
                    });
                }
                Err((code::DUPLICATE_KEY, _)) if attempts.next().is_some() => {}
                Err((_, reason)) => return Err(self.refused(format!("{what}: {reason}"))),
            }
        }
    }

    /// The indexes of the checkpoints whose partitions another generation owns.
    async fn not_owned(&self, checkpoints: &[Checkpoint]) -> Result<Vec<usize>> {
        let ids: Vec<Bson> = checkpoints.iter().map(|checkpoint| Bson::String(id(checkpoint))).collect();
        let stored = find(self, doc! { "_id": { "$in": ids } }).await?;
        let owners: HashMap<String, u64> =
            stored.iter().map(|stored| (id(stored), stored.generation)).collect();
        let is_owned = |checkpoint: &Checkpoint| {
            checkpoint.generation > 0 && owners.get(&id(checkpoint)) == Some(&checkpoint.generation)
        };
        let indexed = checkpoints.iter().enumerate();
        Ok(indexed.filter(|(_, checkpoint)| !is_owned(checkpoint)).map(|(index, _)| index).collect())
    }
}

/// `processor:topic:partition`.
fn id(checkpoint: &Checkpoint) -> String {
    id_of(&checkpoint.processor, &checkpoint.topic, checkpoint.partition)
}

fn id_of(processor: &str, topic: &str, partition: i32) -> String {
    format!("{processor}:{topic}:{partition}")
}

/// Raises the generation, which a document of format 1 does not have yet.
fn claim_command(
    processor: &str,
    topic: &str,
    partition: i32,
    write_concern: &RawDocumentBuf,
) -> RawDocumentBuf {
    let mut command = rawdoc! {
        "findAndModify": COLLECTION,
        "query": { "_id": id_of(processor, topic, partition) },
        "update": {
            "$inc": { "generation": 1_i64 },
            "$setOnInsert": {
                "processor": processor,
                "topic": topic,
                "partition": partition,
                "next_offset": 0_i64,
                "state": "",
            },
        },
        "upsert": true,
        "new": true,
    };
    command.append(cstr!("writeConcern"), write_concern);
    command
}

/// Matches what this generation owns and no later write has moved. The first save of a generation may go back: it finds
/// another `saved_generation`, or none. Generation 0 has no owner and matches nothing: the field is missing then.
fn save_statement(checkpoint: &Checkpoint) -> Result<RawDocumentBuf, RowError> {
    let next_offset = signed("offset", checkpoint.next_offset)?;
    let generation = signed("generation", checkpoint.generation)?;
    let caught_up_at = checkpoint.caught_up_at.map(fields::moment).transpose()?;
    let mut set = rawdoc! {
        "next_offset": next_offset,
        "saved_generation": generation,
        "state": checkpoint.state.as_str(),
    };
    set.append(
        cstr!("log_identity"),
        checkpoint.log_identity.as_deref().map_or(RawBsonRef::Null, RawBsonRef::String),
    );
    set.append(cstr!("caught_up_at"), caught_up_at.map_or(RawBsonRef::Null, |moment| moment.date().into()));
    set.append(cstr!("caught_up_at_us"), caught_up_at.map_or(0, Moment::micros));
    Ok(rawdoc! {
        "q": {
            "_id": id(checkpoint),
            "generation": generation,
            "$or": [{ "saved_generation": { "$ne": generation } }, { "next_offset": { "$lte": next_offset } }],
        },
        "u": { "$set": set },
    })
}

async fn find(store: &MongoStore, filter: Document) -> Result<Vec<Checkpoint>> {
    let order = doc! { "processor": 1, "topic": 1, "partition": 1 };
    let found = store.find("cannot read checkpoints", COLLECTION, filter, |find| find.sort(order)).await?;
    store.decode(COLLECTION, &found, decode)
}

fn decode(document: &RawDocument) -> Result<Checkpoint, RowError> {
    let owned = |text: &str| Ok::<_, RowError>(text.to_owned());
    Ok(Checkpoint {
        processor: fields::text(document, "processor", owned)?,
        topic: fields::text(document, "topic", owned)?,
        partition: fields::partition(document)?,
        generation: match document.get("generation")? {
            None => 0,
            Some(_) => fields::unsigned(document, "generation")?,
        },
        next_offset: fields::unsigned(document, "next_offset")?,
        log_identity: fields::optional_text(document, "log_identity")?,
        caught_up_at: fields::optional_time(document, "caught_up_at", "caught_up_at_us")?,
        state: fields::text(document, "state", owned)?,
    })
}

/// A document as it is written: claimed, then saved.
#[cfg(test)]
fn sample() -> Document {
    let checkpoint = Checkpoint {
        processor: "consumer".to_owned(),
        topic: "crypto-prices".to_owned(),
        partition: 0,
        generation: 1,
        next_offset: 1,
        log_identity: Some("a topic".to_owned()),
        caught_up_at: "2026-01-13T15:30:00.214007Z".parse().ok(),
        state: "{}".to_owned(),
    };
    let claim = claim_command("consumer", "crypto-prices", 0, &rawdoc! {});
    crate::mongo::upserted(&[claim, save_statement(&checkpoint).expect("a statement")])
}
