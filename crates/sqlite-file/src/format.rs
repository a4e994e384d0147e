//! Which program a file belongs to, which format it has, and the steps that bring an older one up.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::{Failure, Result};

/// The format of one kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// `PRAGMA application_id`: four letters.
    pub application_id: i64,
    /// A table by which files from before the application id are recognised.
    pub unmarked_table: Option<&'static str>,
    /// What the file is, for messages: `live store`.
    pub name: &'static str,
    /// Step `n` (from 0) makes format `n + 1` (`PRAGMA user_version`). Steps are only ever appended.
    pub steps: &'static [&'static str],
}

impl Format {
    /// The newest format known.
    pub fn newest(&self) -> usize {
        self.steps.len()
    }

    /// The format found, at most the newest known; 0 for an empty file. Changes nothing.
    ///
    /// # Errors
    /// [`Failure::NewerFormat`], [`Failure::OtherProgram`], and those of the engine.
    pub async fn check(&self, path: &Path, connection: &mut SqliteConnection) -> Result<usize> {
        let sql = "SELECT (SELECT user_version FROM pragma_user_version), \
                   (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema), \
                   (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
        let (found, application, tables, unmarked): (i64, i64, i64, i64) = sqlx::query_as(sql)
            .bind(self.unmarked_table)
            .fetch_one(connection)
            .await
            .map_err(|error| Failure::of(&error).at(path))?;
        let known = self.newest() as i64;
        let is_ours = application == self.application_id || (application == 0 && unmarked > 0);
        match found {
            0 if application == 0 && tables == 0 => Ok(0),
            _ if !is_ours || found < 0 => Err(Failure::OtherProgram(self.name).at(path)),
            _ if found > known => Err(Failure::NewerFormat { found, known }.at(path)),
            _ => Ok(found as usize),
        }
    }

    /// Brings the file to the newest format, in a transaction of the caller. Returns the formats that were made, oldest first.
    ///
    /// # Errors
    /// As [`Format::check`].
    pub async fn apply(&self, path: &Path, connection: &mut SqliteConnection) -> Result<Vec<usize>> {
        let found = self.check(path, connection).await?;
        let mut made = Vec::new();
        for (step, format) in self.steps.iter().zip(1..).skip(found) {
            let id = self.application_id;
            let script = format!("{step};\nPRAGMA user_version = {format};\nPRAGMA application_id = {id};");
            sqlx::raw_sql(AssertSqlSafe(script))
                .execute(&mut *connection)
                .await
                .map_err(|error| Failure::of(&error).at(path))?;
            made.push(format);
        }
        Ok(made)
    }
}
