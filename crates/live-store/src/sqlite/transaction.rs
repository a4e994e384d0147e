//! One write transaction.

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};

use super::SqliteStore;
use crate::Result;

/// The writer, inside a transaction. Dropped before [`WriteTransaction::commit`] has answered (an error, a cancelled
/// call), it closes the connection, and with it whatever was under way: after some failures SQLite has already
/// rolled back by itself, after others not, and a fresh connection is right in both cases.
pub(crate) struct WriteTransaction<'a> {
    store: &'a SqliteStore,
    connection: PoolConnection<Sqlite>,
    open: bool,
}

impl SqliteStore {
    /// Takes the writer. `IMMEDIATE`: the lock is waited for here, not in the middle.
    pub(crate) async fn begin(&self) -> Result<WriteTransaction<'_>> {
        let connection = self.writer.acquire().await.map_err(|error| self.failure(&error))?;
        let mut transaction = WriteTransaction { store: self, connection, open: true };
        transaction.run("BEGIN IMMEDIATE").await?;
        Ok(transaction)
    }
}

impl WriteTransaction<'_> {
    /// The connection, for the statements of the transaction.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Makes it durable.
    pub(crate) async fn commit(mut self) -> Result<()> {
        self.run("COMMIT").await?;
        self.open = false;
        let store = self.store;
        // Back to the pool, where the next line may need it.
        drop(self);
        store.bound_wal().await;
        Ok(())
    }

    /// Undoes everything so far and begins again, still holding the lock's place in the queue.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.run("ROLLBACK").await?;
        self.run("BEGIN IMMEDIATE").await
    }

    async fn run(&mut self, sql: &'static str) -> Result<()> {
        sqlx::query(sql)
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(|error| self.store.failure(&error))
    }
}

impl Drop for WriteTransaction<'_> {
    fn drop(&mut self) {
        if self.open {
            self.connection.close_on_drop();
        }
    }
}
