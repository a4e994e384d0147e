//! Checkpoints in the collection `checkpoints`. A claim is one `findAndModify`; a save is an update whose filter holds
//! the generation. What a save did not match is read back, to tell a replaced owner from a delayed write.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, raw::cstr, rawdoc};

use super::{Checkpoint, CheckpointStore, signed};
use crate::{
    Result,
    mongo::{
        CHECKPOINTS, MongoStore,
        command::{Write, write_concern_error},
        failure::code,
        rows::{self, RowError},
    },
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
        let reply = self.write("cannot store checkpoints", Write::Update, CHECKPOINTS, &list).await?;
        if reply.touched >= checkpoints.len() as u64 {
            return Ok(Vec::new());
        }
        self.not_owned(checkpoints).await
    }

    async fn checkpoints(&self, processor: &str) -> Result<Vec<Checkpoint>> {
        find(self, doc! { "processor": processor }).await
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
                    let document =
                        reply.get_document("value").and_then(|value| Ok(RawDocumentBuf::try_from(value)?));
                    let claimed = document.map_err(RowError::from).and_then(|document| decode(&document));
                    return claimed.map_err(|error| {
                        self.refused(format!("a document of {CHECKPOINTS} is damaged: {error}"))
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
pub(crate) fn claim_command(
    processor: &str,
    topic: &str,
    partition: i32,
    write_concern: &RawDocumentBuf,
) -> RawDocumentBuf {
    let mut command = rawdoc! {
        "findAndModify": CHECKPOINTS,
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
pub(crate) fn save_statement(checkpoint: &Checkpoint) -> Result<RawDocumentBuf, RowError> {
    let next_offset = signed("offset", checkpoint.next_offset)?;
    let generation = signed("generation", checkpoint.generation)?;
    let mut set = rawdoc! {
        "next_offset": next_offset,
        "saved_generation": generation,
        "state": checkpoint.state.as_str(),
    };
    match &checkpoint.log_identity {
        Some(identity) => set.append(cstr!("log_identity"), identity.as_str()),
        None => set.append(cstr!("log_identity"), mongodb::bson::RawBson::Null),
    }
    match checkpoint.caught_up_at {
        Some(time) => rows::append_time(&mut set, cstr!("caught_up_at"), cstr!("caught_up_at_us"), time)?,
        None => {
            set.append(cstr!("caught_up_at"), mongodb::bson::RawBson::Null);
            set.append(cstr!("caught_up_at_us"), 0_i32);
        }
    }
    Ok(rawdoc! {
        "q": {
            "_id": id(checkpoint),
            "generation": generation,
            "$or": [{ "saved_generation": { "$ne": generation } }, { "next_offset": { "$lte": next_offset } }],
        },
        "u": { "$set": set },
    })
}

/// Those of all processors.
pub(crate) async fn all(store: &MongoStore) -> Result<Vec<Checkpoint>> {
    find(store, doc! {}).await
}

async fn find(store: &MongoStore, filter: Document) -> Result<Vec<Checkpoint>> {
    let order = doc! { "processor": 1, "topic": 1, "partition": 1 };
    let found = store.find("cannot read checkpoints", CHECKPOINTS, filter, |find| find.sort(order)).await?;
    store.decode(CHECKPOINTS, &found, decode)
}

pub(crate) fn decode(document: &RawDocument) -> Result<Checkpoint, RowError> {
    let owned = |text: &str| Ok::<_, RowError>(text.to_owned());
    Ok(Checkpoint {
        processor: rows::text(document, "processor", owned)?,
        topic: rows::text(document, "topic", owned)?,
        partition: rows::partition(document)?,
        generation: match document.get("generation")? {
            None => 0,
            Some(_) => rows::unsigned(document, "generation")?,
        },
        next_offset: rows::unsigned(document, "next_offset")?,
        log_identity: rows::optional_text(document, "log_identity")?,
        caught_up_at: rows::optional_time(document, "caught_up_at", "caught_up_at_us")?,
        state: rows::text(document, "state", owned)?,
    })
}
