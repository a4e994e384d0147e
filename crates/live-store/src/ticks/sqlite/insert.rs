//! Storing ticks: fast where all are new, exact where some are not.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use sqlite_file::WriteTransaction;
use sqlx::{Arguments, SqliteConnection, sqlite::SqliteArguments};

use super::row::{self, COLUMN_COUNT, COLUMNS, TickBinder};
use crate::{
    Result, StoredTick, TickOutcome,
    sqlite::{SqliteStore, columns::placeholders},
    ticks::{Arrival, Identity, identity},
};

/// Rows per statement: few sizes, so that each stays prepared; chosen with `examples/throughput`.
const CHUNKS: [usize; 4] = [256, 32, 4, 1];

/// `OR IGNORE`, not `ON CONFLICT DO NOTHING`: with it no row can fail the statement, so that SQLite keeps no undo copy
/// of the pages (a quarter of the speed). What it leaves out is noticed: the rows are counted.
static INSERTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        let values = placeholders(rows, COLUMN_COUNT);
        format!("INSERT OR IGNORE INTO realtime_prices ({COLUMNS}) VALUES {values}")
    })
});

/// Finds the rows of identities: their index in the chunk, and how they arrived.
static LOOKUPS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        let wanted: Vec<String> = (0..rows).map(|index| format!("({index},?,?,?)")).collect();
        format!(
            "WITH wanted (index_, source, symbol, seq) AS (VALUES {}) \
             SELECT wanted.index_, stored.\"partition\", stored.\"offset\", stored.processed_at FROM wanted \
             CROSS JOIN realtime_prices AS stored USING (source, symbol, seq)",
            wanted.join(",")
        )
    })
});

/// A chunk, ready to run.
struct Insert {
    sql: &'static str,
    arguments: SqliteArguments,
    rows: u64,
}

impl SqliteStore {
    /// Stores ticks in one transaction.
    pub(crate) async fn insert_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>> {
        if ticks.is_empty() {
            return Ok(Vec::new());
        }
        let mut writing = self.begin().await?;
        let outcomes = self.insert_in(&mut writing, ticks).await?;
        writing.commit().await?;
        Ok(outcomes)
    }

    /// The first statements of a transaction. First all are taken for new; the count of inserted rows shows whether they are.
    /// If it falls short, the insert is undone, what is stored already is looked up, and the insert is repeated.
    pub(crate) async fn insert_in(
        &self,
        writing: &mut WriteTransaction<'_>,
        ticks: &[StoredTick],
    ) -> Result<Vec<TickOutcome>> {
        if self.insert_all(writing, ticks).await? {
            return Ok(vec![TickOutcome::New; ticks.len()]);
        }
        writing.restart().await?;
        let stored = self.look_up(writing.connection(), ticks).await?;
        let outcomes = outcomes(ticks, &stored);
        let new: Vec<StoredTick> = ticks
            .iter()
            .zip(&outcomes)
            .filter_map(|(tick, outcome)| (*outcome == TickOutcome::New).then_some(*tick))
            .collect();
        if !self.insert_all(writing, &new).await? {
            return Err(self.refused("ticks that were not stored a moment ago are; is the index damaged?"));
        }
        Ok(outcomes)
    }

    /// How those of these ticks arrived that are in the file. Refuses ticks that the file cannot hold.
    pub(crate) async fn stored_arrivals(&self, ticks: &[StoredTick]) -> Result<HashMap<Identity, Arrival>> {
        let mut binder = TickBinder::default();
        let mut rest = ticks;
        while self.bind_chunk(&mut binder, &mut rest)?.is_some() {}
        let mut connection = self.file.readers().acquire().await.map_err(|error| self.failure(&error))?;
        self.look_up(&mut connection, ticks).await
    }

    /// Whether every row was inserted; gives up at the first chunk of which one was not.
    async fn insert_all(&self, writing: &mut WriteTransaction<'_>, ticks: &[StoredTick]) -> Result<bool> {
        let mut binder = TickBinder::default();
        let mut rest = ticks;
        let mut next = self.bind_chunk(&mut binder, &mut rest)?;
        while let Some(Insert { sql, arguments, rows }) = next {
            let insert = sqlx::query_with(sql, arguments).execute(writing.connection());
            // The engine works in a thread of its own; the next chunk is made ready meanwhile.
            let (inserted, prepared) =
                tokio::join!(biased; insert, async { self.bind_chunk(&mut binder, &mut rest) });
            if inserted.map_err(|error| self.failure(&error))?.rows_affected() != rows {
                return Ok(false);
            }
            next = prepared?;
        }
        Ok(true)
    }

    /// Cuts the next chunk off `rest`.
    fn bind_chunk(&self, binder: &mut TickBinder, rest: &mut &[StoredTick]) -> Result<Option<Insert>> {
        let Some((chunk, sql)) = cut(rest, &*INSERTS) else {
            return Ok(None);
        };
        let mut arguments = SqliteArguments::default();
        arguments.reserve(chunk.len() * COLUMN_COUNT, 0);
        for row in chunk {
            binder
                .bind(row, &mut arguments)
                .map_err(|error| self.refused(format!("cannot store the tick {}: {error}", row.tick.id())))?;
        }
        Ok(Some(Insert { sql, arguments, rows: chunk.len() as u64 }))
    }

    /// Which of these ticks are stored, and by which delivery.
    async fn look_up(
        &self,
        connection: &mut SqliteConnection,
        ticks: &[StoredTick],
    ) -> Result<HashMap<Identity, Arrival>> {
        let mut stored = HashMap::new();
        let mut binder = TickBinder::default();
        let mut rest = ticks;
        while let Some((chunk, sql)) = cut(&mut rest, &*LOOKUPS) {
            let mut arguments = SqliteArguments::default();
            arguments.reserve(chunk.len() * 3, 0);
            for row in chunk {
                binder.bind_identity(&row.tick, &mut arguments).map_err(|error| {
                    self.refused(format!("cannot look up the tick {}: {error}", row.tick.id()))
                })?;
            }
            let rows = sqlx::query_with(sql, arguments)
                .fetch_all(&mut *connection)
                .await
                .map_err(|error| self.failure(&error))?;
            for row in rows {
                let (index, arrival) = row::arrival(&row)
                    .map_err(|error| self.refused(format!("a stored tick cannot be read: {error}")))?;
                if let Some(tick) = usize::try_from(index).ok().and_then(|index| chunk.get(index)) {
                    stored.insert(identity(&tick.tick), arrival);
                }
            }
        }
        Ok(stored)
    }
}

/// The largest chunk there is a statement for.
fn cut<'a, T>(rest: &mut &'a [T], statements: &'static [String]) -> Option<(&'a [T], &'static str)> {
    let (rows, sql) = CHUNKS.iter().zip(statements).find(|(rows, _)| **rows <= rest.len())?;
    let (chunk, behind) = rest.split_at(*rows);
    *rest = behind;
    Some((chunk, sql))
}

fn outcomes(ticks: &[StoredTick], stored: &HashMap<Identity, Arrival>) -> Vec<TickOutcome> {
    let mut seen = HashSet::with_capacity(ticks.len());
    ticks
        .iter()
        .map(|row| {
            let identity = identity(&row.tick);
            if !seen.insert(identity) {
                return TickOutcome::Duplicate;
            }
            stored.get(&identity).map_or(TickOutcome::New, |arrival| arrival.outcome_for(row))
        })
        .collect()
}
