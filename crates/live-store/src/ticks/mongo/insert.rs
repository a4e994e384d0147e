//! Storing ticks: unordered inserts under identities made here. A tick whose identity is taken is looked up, to
//! distinguish this very delivery from another.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use market::Tick;
use mongodb::bson::{Bson, RawArrayBuf, doc};

use super::{COLLECTION, row};
use crate::{
    Result, StoredTick, TickOutcome,
    mongo::{MongoStore, command::Write, times::Moment},
    ticks::{Arrival, Identity, identity},
};

/// Documents per command, and commands under way at a time; chosen with `examples/throughput`.
const CHUNK_DOCUMENTS: usize = 2000;
const COMMANDS_IN_FLIGHT: usize = 2;

const WHAT: &str = "cannot store ticks";

/// A tick of a batch that was not stored just now, by its place, and why.
type Settled = (usize, TickOutcome);

impl MongoStore {
    pub(super) async fn insert_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>> {
        // Before anything is sent: of a batch with a tick that cannot be stored nothing is.
        if let Some(odd) = ticks.iter().find(|row| Moment::new(row.processed_at).is_none()) {
            return Err(self.refused(format!(
                "cannot store the tick {}: the time {} is outside the years 0 to 9999",
                odd.tick.id(),
                odd.processed_at
            )));
        }
        let mut outcomes = vec![TickOutcome::New; ticks.len()];
        let places = first_of_each(ticks, &mut outcomes);
        let inserts: Vec<_> =
            places.chunks(CHUNK_DOCUMENTS).map(|places| self.insert_chunk(ticks, places)).collect();
        let settled: Vec<Vec<Settled>> =
            stream::iter(inserts).buffer_unordered(COMMANDS_IN_FLIGHT).try_collect().await?;
        for (place, outcome) in settled.into_iter().flatten() {
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        Ok(outcomes)
    }

    async fn insert_chunk(&self, ticks: &[StoredTick], places: &[usize]) -> Result<Vec<Settled>> {
        let taken = self.insert_at(ticks, places).await?;
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let (mut settled, missing) = self.look_up(ticks, &taken).await?;
        if !missing.is_empty() {
            // It was there a moment ago and is not there now: it was pruned in between.
            let taken = self.insert_at(ticks, &missing).await?;
            let (again, missing) = self.look_up(ticks, &taken).await?;
            settled.extend(again);
            if let Some(tick) = missing.first().and_then(|place| ticks.get(*place)) {
                return Err(self.refused(format!(
                    "{WHAT}: {} is refused as a duplicate, but is not there; drop the unique indexes of \
                     {COLLECTION} that are not on _id",
                    tick.tick.id()
                )));
            }
        }
        Ok(settled)
    }

    /// Inserts the ticks at these places; returns the places of those whose identity is taken.
    async fn insert_at(&self, ticks: &[StoredTick], places: &[usize]) -> Result<Vec<usize>> {
        let mut documents = RawArrayBuf::new();
        let mut id = String::new();
        for row in places.iter().filter_map(|place| ticks.get(*place)) {
            write_id(&row.tick, &mut id);
            let document = row::encode(row, &id)
                .map_err(|error| self.refused(format!("cannot store the tick {id}: {error}")))?;
            documents.push(&document);
        }
        let reply = self.write(WHAT, Write::Insert, COLLECTION, &documents).await?;
        let taken: Vec<usize> = reply.taken.iter().filter_map(|index| places.get(*index).copied()).collect();
        // Some servers count those they refused as touched, too.
        if reply.touched + (taken.len() as u64) < places.len() as u64 {
            return Err(self.unavailable(format!(
                "{WHAT}: of {} the server stored {} and refused {}",
                places.len(),
                reply.touched,
                taken.len()
            )));
        }
        Ok(taken)
    }

    /// By which delivery these were stored; and the places of those that are not there.
    async fn look_up(&self, ticks: &[StoredTick], places: &[usize]) -> Result<(Vec<Settled>, Vec<usize>)> {
        if places.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let rows = || places.iter().filter_map(|place| Some((*place, ticks.get(*place)?)));
        let ids: Vec<Bson> = rows().map(|(_, row)| Bson::String(row.tick.id())).collect();
        let filter = doc! { "_id": { "$in": ids } };
        let found = self
            .find("cannot look up ticks", COLLECTION, filter, |find| {
                let wanted = doc! { "partition": 1, "offset": 1, "processed_at": 1, "processed_at_us": 1 };
                find.projection(wanted).batch_size(CHUNK_DOCUMENTS as u32)
            })
            .await?;
        let stored: HashMap<String, Arrival> =
            self.decode(COLLECTION, &found, row::arrival)?.into_iter().collect();
        let mut settled = Vec::with_capacity(places.len());
        let mut missing = Vec::new();
        for (place, row) in rows() {
            match stored.get(&row.tick.id()) {
                Some(arrival) => settled.push((place, arrival.outcome_for(row))),
                None => missing.push(place),
            }
        }
        Ok((settled, missing))
    }
}

/// The places of the ticks to insert: of each identity the first. Inserted together, the server might take any.
fn first_of_each(ticks: &[StoredTick], outcomes: &mut [TickOutcome]) -> Vec<usize> {
    let mut seen: HashSet<Identity> = HashSet::with_capacity(ticks.len());
    let mut places = Vec::with_capacity(ticks.len());
    for ((place, row), outcome) in ticks.iter().enumerate().zip(outcomes) {
        if seen.insert(identity(&row.tick)) {
            places.push(place);
        } else {
            *outcome = TickOutcome::Duplicate;
        }
    }
    places
}

/// [`Tick::id`] into a text that is used again.
fn write_id(tick: &Tick, id: &mut String) {
    id.clear();
    // Writing to a text cannot fail.
    let _ = write!(id, "{}:{}:{}", tick.source.as_str(), tick.symbol.as_str(), tick.seq);
}
