//! The store on MongoDB beside the driver's `insert_many` of the same documents.

use std::time::Instant;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use live_store::StoredTick;
use mongodb::{
    Client, Database,
    bson::{RawDocumentBuf, doc},
};

use super::{cpu_seconds, read, write};

/// Each way has so many turns; the first warms the server up.
const TURNS: usize = 4;
/// Commands of the driver under way at a time: one after the other, and as many as the store has.
const IN_FLIGHT: [usize; 2] = [1, 2];

/// Both ways in turns, each into an empty database; then the store's other questions.
pub(crate) async fn compare(server: &str, all: &[StoredTick], batch: usize) -> anyhow::Result<()> {
    let client = Client::with_uri_str(server).await?;
    let name = format!("throughput_{}", std::process::id());
    let database = client.database(&name);
    let compared = compare_in(&database, &url_of(server, &name), all, batch).await;
    database.drop().await?;
    compared
}

async fn compare_in(database: &Database, url: &str, all: &[StoredTick], batch: usize) -> anyhow::Result<()> {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for turn in 0..TURNS {
        database.drop().await?;
        let store = live_store::open(url).await?;
        ours.push(write(&*store, "write_ticks", all, batch).await?);
        if turn + 1 == TURNS {
            write(&*store, "again", &all[..all.len().min(5 * batch)], batch).await?;
            read(&*store, all).await?;
        }
        let documents = documents(database).await?;
        for in_flight in IN_FLIGHT {
            database.drop().await?;
            live_store::open(url).await?;
            theirs.push(insert_many(database, documents.clone(), batch, in_flight).await?);
        }
    }
    let best = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    let (ours, theirs) = (best(&ours), best(&theirs));
    println!(
        "write_ticks {ours:.0}/s is {:.0} % of insert_many {theirs:.0}/s, best turn of each",
        ours / theirs * 100.0
    );
    Ok(())
}

async fn documents(database: &Database) -> anyhow::Result<Vec<RawDocumentBuf>> {
    let stored = database.collection::<RawDocumentBuf>("realtime_prices");
    stored
        .find(doc! {})
        .batch_size(5_000)
        .await?
        .try_collect()
        .await
        .context("cannot read the documents back")
}

async fn insert_many(
    database: &Database,
    documents: Vec<RawDocumentBuf>,
    batch: usize,
    in_flight: usize,
) -> anyhow::Result<f64> {
    let collection = database.collection::<RawDocumentBuf>("realtime_prices");
    let (began, cpu) = (Instant::now(), cpu_seconds());
    // The whole batch one after the other, or cut into as many parts as are under way.
    let inserts: Vec<_> = documents
        .chunks(batch.div_ceil(in_flight))
        .map(|chunk| {
            let collection = collection.clone();
            async move { collection.insert_many(chunk).ordered(false).await.map(drop) }
        })
        .collect();
    stream::iter(inserts).buffer_unordered(in_flight).try_collect::<()>().await?;
    let seconds = began.elapsed().as_secs_f64();
    let rate = documents.len() as f64 / seconds;
    println!(
        "insert_many, {in_flight} at a time: {rate:.0} documents/s ({:.0} per second of one core), batches of {batch}",
        documents.len() as f64 / (cpu_seconds() - cpu)
    );
    Ok(rate)
}

fn url_of(server: &str, database: &str) -> String {
    let (place, settings) = server.split_once('?').unwrap_or((server, ""));
    format!("{}/{database}?{settings}", place.trim_end_matches('/'))
}
