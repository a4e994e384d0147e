//! The collections with their validators and indexes, the format of the documents, and whether they are ours.

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use serde::Deserialize;

use super::{
    MongoStore,
    command::{Write, integer, judge},
    failure::code,
    fields::{self, RowError},
};
use crate::{
    LiveStoreError, Migration, Result, alert_facts, alert_history, alert_rules, candles, checkpoints,
    digests, feed_circuits, gaps, jobs, key_calls, mails, news, sessions, stale_days, ticks, tokens, users,
};

/// Which format the documents have, as a document of its own.
const FORMATS: &str = "schema_format";
const FORMAT_ID: &str = "live_store";
/// The format that this version writes. A higher one is refused, a lower one is brought up. Format 2: checkpoints have owners,
/// ticks a `size`, and the `volume` of candles may be null.
const FORMAT: i64 = 2;

/// A collection of one noun.
pub(crate) struct Collection {
    /// Its name, validator and indexes: a file of `schema/mongodb`.
    pub(crate) schema: &'static str,
    /// Whether a document is one of the noun.
    pub(crate) check: fn(&RawDocument) -> Result<(), RowError>,
    /// A document as the noun writes it.
    #[cfg(test)]
    pub(crate) sample: fn() -> Document,
}

/// One line for each noun.
const COLLECTIONS: [Collection; 18] = [
    ticks::mongo::SCHEMA,
    candles::mongo::SCHEMA,
    checkpoints::mongo::SCHEMA,
    jobs::mongo::SCHEMA,
    mails::mongo::SCHEMA,
    alert_rules::mongo::SCHEMA,
    alert_history::mongo::SCHEMA,
    alert_facts::mongo::SCHEMA,
    users::mongo::SCHEMA,
    sessions::mongo::SCHEMA,
    tokens::mongo::SCHEMA,
    news::mongo::ARTICLES_SCHEMA,
    news::mongo::SOURCES_SCHEMA,
    digests::mongo::SCHEMA,
    stale_days::mongo::SCHEMA,
    gaps::mongo::SCHEMA,
    feed_circuits::mongo::SCHEMA,
    key_calls::mongo::SCHEMA,
];

/// Documents read to see whether a collection is ours.
const SAMPLE_DOCUMENTS: u32 = 5;

#[derive(Deserialize)]
struct Schema {
    collection: String,
    validator: Document,
    indexes: Vec<Index>,
}

#[derive(Deserialize)]
struct Index {
    name: String,
    key: Document,
    /// What the noun needs, unlike others, which make reading faster.
    #[serde(default)]
    unique: bool,
}

/// A collection that is there.
struct Existing {
    name: String,
    /// `collection`, `view`, `timeseries`.
    kind: String,
    validator: Document,
}

/// Brings the database to the newest format, or refuses it. Where nothing is missing, nothing is written: then a user
/// who may only read can open it.
pub(crate) async fn prepare(store: &MongoStore) -> Result<Migration> {
    let schemas = schemas().map_err(|error| store.refused(error.to_string()))?;
    let found = read_format(store).await?;
    let mut migration = Migration { place: store.place.clone(), ..Migration::default() };
    let existing = list_collections(store, &mut migration).await?;
    for (schema, check) in &schemas {
        let name = schema.collection.as_str();
        if let Some(there) = existing.iter().find(|existing| existing.name == name) {
            refuse_other_kinds(store, there)?;
        }
        refuse_foreign(store, name, check).await?;
    }
    for (schema, _) in &schemas {
        let there = existing.iter().find(|existing| existing.name == schema.collection);
        apply_validator(store, schema, there, &mut migration).await?;
        create_indexes(store, schema, &mut migration).await?;
    }
    if found != Some(FORMAT) {
        match write_format(store).await? {
            Ok(()) => migration.done.push(format!("the format of the documents is now {FORMAT}")),
            Err(reason) => migration.refused.push(format!("the format of the documents: {reason}")),
        }
    }
    Ok(migration)
}

/// The format and the collections as they are: `None` where the database was not prepared, and which collections are
/// missing. Changes nothing.
pub(crate) async fn look(store: &MongoStore) -> Result<(Option<i64>, Vec<String>)> {
    let schemas = schemas().map_err(|error| store.refused(error.to_string()))?;
    let found = read_format(store).await?;
    let mut listing = Migration::default();
    let existing = list_collections(store, &mut listing).await?;
    // Of a user who may not list them nothing is known to be missing from a database that was prepared.
    let is_listed = listing.refused.is_empty() || found.is_none();
    let mut missing = Vec::new();
    for (schema, check) in &schemas {
        match existing.iter().find(|existing| existing.name == schema.collection) {
            Some(there) => refuse_other_kinds(store, there)?,
            None if is_listed => missing.push(schema.collection.clone()),
            None => {}
        }
        refuse_foreign(store, &schema.collection, check).await?;
    }
    Ok((found, missing))
}

/// The schema of each collection, and how its documents are checked.
type Checked = (Schema, fn(&RawDocument) -> Result<(), RowError>);

fn schemas() -> serde_json::Result<Vec<Checked>> {
    COLLECTIONS.iter().map(|noun| Ok((serde_json::from_str(noun.schema)?, noun.check))).collect()
}

/// The format of the database; `None` where it was not prepared.
async fn read_format(store: &MongoStore) -> Result<Option<i64>> {
    let filter = doc! { "_id": FORMAT_ID };
    let found = store.find("cannot read the format", FORMATS, filter, |find| find.limit(1)).await?;
    let Some(document) = found.first() else { return Ok(None) };
    let document = Document::try_from(document)
        .map_err(|error| store.refused(format!("a document of {FORMATS} is damaged: {error}")))?;
    match integer(document.get("format")) {
        Some(found) if found > FORMAT => {
            Err(LiveStoreError::NewerFormat { place: store.place.clone(), found, known: FORMAT })
        }
        Some(found) if found > 0 => Ok(Some(found)),
        _ => Err(store.refused(format!(
            "the document {FORMAT_ID} of the collection {FORMATS} names no format; this is no database of ours, or it \
             is damaged: name another in the path of STORE_URL"
        ))),
    }
}

/// Records the format, or returns the reason why this user may not: a service that only reads may start before the one
/// that writes has prepared the database.
async fn write_format(store: &MongoStore) -> Result<Result<(), String>> {
    let statement = raw(
        store,
        &doc! {
            "q": { "_id": FORMAT_ID, "format": { "$lt": FORMAT } },
            "u": { "$set": { "format": FORMAT } },
            "upsert": true,
        },
    )?;
    let what = "cannot write the format";
    let command = store.write_command(Write::Update, FORMATS, &[statement].iter().collect());
    match store.try_run(what, command).await? {
        // A format that is taken was written by a process that started at the same moment.
        Ok(reply) => judge(&store.place, what, &reply).map(|_| Ok(())),
        Err((code::UNAUTHORIZED, reason)) => Ok(Err(reason)),
        Err((_, reason)) => Err(store.refused(format!("{what}: {reason}"))),
    }
}

async fn list_collections(store: &MongoStore, migration: &mut Migration) -> Result<Vec<Existing>> {
    let command = raw(store, &doc! { "listCollections": 1, "cursor": { "batchSize": 10_000 } })?;
    let reply = store.try_run("cannot list the collections", command).await?;
    let reply = match reply {
        Ok(reply) => reply,
        Err((_, reason)) => {
            migration.refused.push(format!("listing the collections: {reason}"));
            return Ok(Vec::new());
        }
    };
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let listed = batch.map_or(&[][..], Vec::as_slice).iter().filter_map(Bson::as_document);
    let existing = listed.filter_map(|listed| {
        let options = listed.get_document("options").ok();
        let validator = options.and_then(|options| options.get_document("validator").ok());
        Some(Existing {
            name: listed.get_str("name").ok()?.to_owned(),
            kind: listed.get_str("type").unwrap_or("collection").to_owned(),
            validator: validator.cloned().unwrap_or_default(),
        })
    });
    Ok(existing.collect())
}

/// Refuses what cannot hold our documents: a view takes none, a time series takes an identity twice.
fn refuse_other_kinds(store: &MongoStore, there: &Existing) -> Result<()> {
    if there.kind == "collection" {
        return Ok(());
    }
    Err(store.refused(format!(
        "{} is of the kind `{}`, not a plain collection; name another database in the path of STORE_URL, or rename it",
        there.name, there.kind
    )))
}

/// Refuses a collection that holds documents of another program, also one that was prepared before: they may have come
/// since.
async fn refuse_foreign(
    store: &MongoStore,
    name: &str,
    check: &fn(&RawDocument) -> Result<(), RowError>,
) -> Result<()> {
    let sample = store
        .find("cannot look into the collections", name, doc! {}, |find| {
            find.limit(i64::from(SAMPLE_DOCUMENTS))
        })
        .await?;
    for document in &sample {
        let checked = check(document).and_then(|()| fields::id(document).map(drop));
        if let Err(error) = checked {
            let fields: Vec<&str> =
                document.iter().filter_map(|field| Some(field.ok()?.0.as_str())).take(8).collect();
            return Err(store.refused(format!(
                "the collection {name} of the database {} holds documents that are not Tapedeck's ({error}; one has \
                 the fields {}); nothing was written. Name another database in the path of STORE_URL, or rename \
                 that collection",
                store.database.name(),
                fields.join(", ")
            )));
        }
    }
    Ok(())
}

/// Creates the collection, or gives it the validator.
async fn apply_validator(
    store: &MongoStore,
    schema: &Schema,
    there: Option<&Existing>,
    migration: &mut Migration,
) -> Result<()> {
    let name = schema.collection.as_str();
    let (verb, done) = match there {
        Some(there) if same(&schema.validator, &there.validator) => return Ok(()),
        Some(_) => ("collMod", format!("{name} has its validator")),
        None => ("create", format!("{name} is created, with its validator")),
    };
    let command = raw(store, &doc! { verb: name, "validator": schema.validator.clone() })?;
    let what = format!("cannot {verb} {name}");
    match store.try_run(&what, command).await? {
        Ok(_) => migration.done.push(done),
        // Created by a process that started at the same moment.
        Err((code::NAMESPACE_EXISTS, _)) => {}
        // The collection comes with its first index or document; what is lost is the server's second look at each
        // document, which nothing here depends on.
        Err((_, reason)) => migration.refused.push(format!("the validator of {name}: {reason}")),
    }
    Ok(())
}

/// Creates the indexes that are missing.
async fn create_indexes(store: &MongoStore, schema: &Schema, migration: &mut Migration) -> Result<()> {
    let name = schema.collection.as_str();
    if schema.indexes.is_empty() {
        return Ok(());
    }
    let listed = list_indexes(store, name).await?;
    for index in &schema.indexes {
        let has_key = |listed: &Document| listed.get_document("key").is_ok_and(|key| same(key, &index.key));
        if listed.iter().any(has_key) {
            continue;
        }
        let mut wanted = doc! { "name": index.name.as_str(), "key": index.key.clone() };
        if index.unique {
            wanted.insert("unique", true);
        }
        let command = raw(store, &doc! { "createIndexes": name, "indexes": [wanted] })?;
        match store.try_run(&format!("cannot create an index of {name}"), command).await? {
            Ok(_) => migration.done.push(format!("{name} has its index {}", index.name)),
            // Reading is slow without, but right.
            Err((_, reason)) => {
                migration.refused.push(format!("the index {} of {name}: {reason}", index.name));
            }
        }
    }
    Ok(())
}

/// The indexes of a collection. None of one that is not there yet, or that the user may not list.
async fn list_indexes(store: &MongoStore, name: &str) -> Result<Vec<Document>> {
    let command = raw(store, &doc! { "listIndexes": name, "cursor": { "batchSize": 1000 } })?;
    let listed =
        store.try_run(&format!("cannot list the indexes of {name}"), command).await?.unwrap_or_default();
    let batch = listed.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    Ok(batch.map_or(&[][..], Vec::as_slice).iter().filter_map(Bson::as_document).cloned().collect())
}

impl MongoStore {
    /// Whether the server keeps the values of a field unique.
    pub(crate) async fn has_unique_index(&self, collection: &str, field: &str) -> Result<bool> {
        let key = doc! { field: 1 };
        let is_it = |index: &Document| {
            index.get_bool("unique").unwrap_or(false)
                && index.get_document("key").is_ok_and(|found| same(found, &key))
        };
        Ok(list_indexes(self, collection).await?.iter().any(is_it))
    }
}

pub(crate) fn raw(store: &MongoStore, command: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(command)
        .map_err(|error| store.refused(format!("cannot write a command: {error}")))
}

/// The same fields in the same order; servers give numbers back in types of their own.
fn same(one: &Document, other: &Document) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((name, value), (other_name, other_value))| {
            name == other_name && same_value(value, other_value)
        })
}

fn same_value(one: &Bson, other: &Bson) -> bool {
    match (one, other) {
        (Bson::Document(one), Bson::Document(other)) => same(one, other),
        (Bson::Array(one), Bson::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(one, other))
        }
        _ => match (integer(Some(one)), integer(Some(other))) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_with_their_fields_in_order() {
        let schemas = schemas().expect("readable");
        let names: Vec<&str> = schemas.iter().map(|(schema, _)| schema.collection.as_str()).collect();
        let expected = [
            "realtime_prices",
            "candles",
            "checkpoints",
            "job_runs",
            "mails",
            "alert_rules",
            "alert_history",
            "alert_facts",
            "users",
            "sessions",
            "tokens",
            "news_articles",
            "news_sources",
            "digests",
            "stale_days",
            "gaps",
            "feed_circuits",
            "key_calls",
        ];
        assert_eq!(names, expected);
        let key: Vec<&String> = schemas[0].0.indexes[0].key.keys().collect();
        assert_eq!(key, ["symbol", "timestamp", "timestamp_us", "source", "seq"]);
    }

    /// Those that documents of earlier formats do not have.
    fn optional_fields(collection: &str) -> &'static [&'static str] {
        match collection {
            "alert_history" => &["candle_volume", "closed_at_us"],
            "checkpoints" => &["saved_generation", "log_identity", "caught_up_at", "caught_up_at_us"],
            "job_runs" => &["finished"],
            "realtime_prices" => &["size"],
            "users" => &["confirmed_at", "confirmed_at_us", "threshold_percent"],
            _ => &[],
        }
    }

    /// A validator that refuses what we write would stop the consumer, and no stand-in for MongoDB would show it.
    #[test]
    fn every_document_has_the_fields_of_its_validator_in_their_types() {
        let written = COLLECTIONS.iter().map(|noun| (noun.sample)());
        for ((schema, _), document) in schemas().expect("readable").iter().zip(written) {
            let rules = schema.validator.get_document("$jsonSchema").expect("a schema");
            let properties = rules.get_document("properties").expect("properties");
            let required = rules.get_array("required").expect("required fields");
            let names: Vec<&str> = required.iter().filter_map(Bson::as_str).collect();
            let mut fields: Vec<&str> = document.keys().map(String::as_str).collect();
            let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
            let optional: Vec<&str> =
                described.iter().copied().filter(|field| !names.contains(field)).collect();
            assert_eq!(
                optional,
                optional_fields(&schema.collection),
                "{}: the others are required",
                schema.collection
            );
            fields.sort_unstable();
            described.sort_unstable();
            assert_eq!(fields, described, "{}", schema.collection);
            for (name, value) in &document {
                let allowed = match properties.get_document(name).expect("rules").get("bsonType") {
                    Some(Bson::Array(types)) => types.clone(),
                    Some(one) => vec![one.clone()],
                    None => Vec::new(),
                };
                let found = match value {
                    Bson::String(_) => "string",
                    Bson::Double(_) => "double",
                    Bson::DateTime(_) => "date",
                    Bson::Int32(_) => "int",
                    Bson::Int64(_) => "long",
                    Bson::Boolean(_) => "bool",
                    Bson::Array(_) => "array",
                    Bson::Document(_) => "object",
                    Bson::Null => "null",
                    _ => "other",
                };
                assert!(allowed.contains(&Bson::from(found)), "{}.{name} is {found}", schema.collection);
            }
        }
    }

    #[test]
    fn numbers_are_the_same_whatever_their_type() {
        assert!(same(&doc! { "a": { "b": [1_i32] } }, &doc! { "a": { "b": [1_i64] } }));
        assert!(same(&doc! { "a": 1_i64 }, &doc! { "a": 1.0 }));
        for other in [doc! { "a": 2 }, doc! { "b": 1 }, doc! { "a": "1" }, doc! {}, doc! { "a": 1, "b": 1 }] {
            assert!(!same(&doc! { "a": 1 }, &other), "{other}");
        }
    }
}
