//! One write transaction.

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};

use crate::{Result, SqliteFile};

/// The writer, inside a transaction. Dropped before [`WriteTransaction::commit`] has returned (an error, a cancelled
/// call), it closes the connection, and with it whatever was under way: after some failures SQLite has already
/// rolled back by itself, after others not, and a fresh connection is right in both cases.
pub struct WriteTransaction<'a> {
    file: &'a SqliteFile,
    connection: PoolConnection<Sqlite>,
    is_open: bool,
}

impl SqliteFile {
    /// Takes the writer. `IMMEDIATE`: the lock is waited for here, not in the middle.
    ///
    /// # Errors
    /// [`crate::SqliteFileError`].
    pub async fn begin(&self) -> Result<WriteTransaction<'_>> {
        self.presence.check(&self.path)?;
        let connection = self.writer.acquire().await.map_err(|error| self.failure(&error))?;
        let mut transaction = WriteTransaction { file: self, connection, is_open: true };
        transaction.run("BEGIN IMMEDIATE").await?;
        Ok(transaction)
    }
}

impl WriteTransaction<'_> {
    /// The connection, for the statements of the transaction.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// [`crate::SqliteFileError`].
    pub async fn commit(mut self) -> Result<()> {
        self.run("COMMIT").await?;
        self.is_open = false;
        let file = self.file;
        // Back to the pool, where the next line may need it.
        drop(self);
        file.wal.enforce(&file.writer).await;
        Ok(())
    }

    /// Undoes everything so far and begins again, still holding its place in the queue for the writer.
    ///
    /// # Errors
    /// [`crate::SqliteFileError`].
    pub async fn restart(&mut self) -> Result<()> {
        self.run("ROLLBACK").await?;
        self.run("BEGIN IMMEDIATE").await
    }

    async fn run(&mut self, sql: &'static str) -> Result<()> {
        sqlx::query(sql)
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(|error| self.file.failure(&error))
    }
}

impl Drop for WriteTransaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.close_on_drop();
        }
    }
}
