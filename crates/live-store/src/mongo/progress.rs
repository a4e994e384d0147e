//! Writing candles. One command holds many statements; `bulkWrite` would need MongoDB 8.

use std::collections::HashMap;

use chrono::Utc;
use market::Candle;
use mongodb::bson::{RawArrayBuf, RawDocumentBuf, raw::cstr, rawdoc};

use super::{
    CANDLES, MongoStore,
    command::Write,
    rows::{self, RowError},
};
use crate::Result;

/// Bounds of one command; a server takes 100,000 statements and 16 MB.
const COMMAND_STATEMENTS: usize = 1000;
const COMMAND_BYTES: usize = 4 << 20;

impl MongoStore {
    pub(crate) async fn store_candles(&self, candles: &[Candle]) -> Result<()> {
        let mut statements = Vec::with_capacity(candles.len());
        for candle in last_of_each(candles) {
            let statement = candle_statement(candle)
                .map_err(|error| self.refused(format!("cannot store the candle {}: {error}", candle.id())))?;
            statements.push(statement);
        }
        let taken = self.upsert("cannot store candles", CANDLES, &statements).await?;
        if taken.is_empty() {
            return Ok(());
        }
        Err(self.refused(format!(
            "cannot store candles: {} of them are refused as duplicates; drop the unique indexes of {CANDLES} that \
             are not on _id",
            taken.len()
        )))
    }

    /// Runs update statements; returns those whose identity is taken by a document that their filter does not match.
    async fn upsert<'a>(
        &self,
        what: &str,
        collection: &str,
        statements: &'a [RawDocumentBuf],
    ) -> Result<Vec<&'a RawDocumentBuf>> {
        let all: Vec<&RawDocumentBuf> = statements.iter().collect();
        let taken = self.upsert_once(what, collection, &all).await?;
        // Somebody else may have made the document between the server's look for it and its insert. Now it is there, so
        // the second try tells for certain.
        self.upsert_once(what, collection, &taken).await
    }

    async fn upsert_once<'a>(
        &self,
        what: &str,
        collection: &str,
        statements: &[&'a RawDocumentBuf],
    ) -> Result<Vec<&'a RawDocumentBuf>> {
        let mut taken = Vec::new();
        let mut rest = statements;
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(chunk_length(rest));
            rest = behind;
            self.upsert_chunk(what, collection, chunk.to_vec(), &mut taken).await?;
        }
        Ok(taken)
    }

    /// One command; more where a server stops at the first statement that fails, although told not to: FerretDB does.
    async fn upsert_chunk<'a>(
        &self,
        what: &str,
        collection: &str,
        mut statements: Vec<&'a RawDocumentBuf>,
        taken: &mut Vec<&'a RawDocumentBuf>,
    ) -> Result<()> {
        loop {
            let list: RawArrayBuf = statements.iter().copied().collect();
            let reply = self.write(what, Write::Update, collection, &list).await?;
            taken.extend(reply.taken.iter().filter_map(|place| statements.get(*place).copied()));
            let settled = reply.touched + reply.taken.len() as u64;
            if settled >= statements.len() as u64 {
                return Ok(());
            }
            if reply.taken.is_empty() {
                let count = statements.len();
                return Err(self.unavailable(format!("{what}: of {count} the server answers for {settled}")));
            }
            let mut place = 0..;
            statements.retain(|_| place.next().is_none_or(|place| !reply.taken.contains(&place)));
        }
    }
}

/// How many of the first statements fit into one command; at least one.
fn chunk_length(statements: &[&RawDocumentBuf]) -> usize {
    let mut bytes = 0;
    let fitting = statements.iter().take(COMMAND_STATEMENTS).take_while(|statement| {
        bytes += statement.as_bytes().len();
        bytes <= COMMAND_BYTES
    });
    fitting.count().max(1)
}

/// Replaces what the bar says; when it was first stored stays.
pub(crate) fn candle_statement(candle: &Candle) -> Result<RawDocumentBuf, RowError> {
    let mut first_stored = RawDocumentBuf::new();
    rows::append_time(&mut first_stored, cstr!("stored_at"), cstr!("stored_at_us"), Utc::now())?;
    Ok(rawdoc! {
        "q": { "_id": rows::candle_id(candle) },
        "u": { "$set": rows::encode_candle(candle)?, "$setOnInsert": first_stored },
        "upsert": true,
    })
}

/// Statements of one command may run in any order, so that of one identity only the last may be among them.
fn last_of_each(candles: &[Candle]) -> Vec<&Candle> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(candles.len());
    let mut last: Vec<&Candle> = Vec::with_capacity(candles.len());
    for candle in candles {
        let place = *places.entry(rows::candle_id(candle)).or_insert(last.len());
        match last.get_mut(place) {
            Some(slot) => *slot = candle,
            None => last.push(candle),
        }
    }
    last
}
