//! Many upserts as few commands; `bulkWrite` would need MongoDB 8.

use mongodb::bson::{RawArrayBuf, RawDocumentBuf};

use super::{MongoStore, command::Write};
use crate::Result;

/// Bounds of one command; a server takes 100,000 statements and 16 MB.
const COMMAND_STATEMENTS: usize = 1000;
const COMMAND_BYTES: usize = 4 << 20;

impl MongoStore {
    /// An error if identities of upserts by `_id` alone were taken: of another field, then.
    pub(crate) fn refuse_taken(&self, collection: &str, taken: usize) -> Result<()> {
        if taken == 0 {
            return Ok(());
        }
        Err(self.refused(format!(
            "cannot store in {collection}: {taken} documents are refused as duplicates; drop the unique indexes of \
             {collection} that are not on _id"
        )))
    }

    /// Runs update statements; returns those whose identity is taken by a document that their filter does not match.
    pub(crate) async fn upsert<'a>(
        &self,
        what: &str,
        collection: &str,
        statements: &'a [RawDocumentBuf],
    ) -> Result<Vec<&'a RawDocumentBuf>> {
        let all: Vec<&RawDocumentBuf> = statements.iter().collect();
        let taken = self.upsert_once(what, collection, &all).await?;
        // Another process may have created the document between the server's search and its insert. Now it is there, so
        // that the second attempt is certain.
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

    /// One command; more where a server stops at the first statement that fails, although the command is unordered: FerretDB does.
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
                return Err(
                    self.unavailable(format!("{what}: of {count} statements the server reports {settled}"))
                );
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
