//! Which program a file belongs to, which format it has, and the steps that bring an older one up.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::{Failure, Result, WriteTransaction};

/// The format of one kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// `PRAGMA application_id`: four letters.
    pub application_id: i64,
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
                   (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)";
        let (found, application, tables): (i64, i64, i64) =
            sqlx::query_as(sql).fetch_one(connection).await.map_err(|error| Failure::of(&error).at(path))?;
        let known = self.newest() as i64;
        match (application, found) {
            (0, 0) if tables == 0 => Ok(0),
            (id, found) if id == self.application_id && found > known => {
                Err(Failure::NewerFormat { found, known }.at(path))
            }
            (id, found) if id == self.application_id && found >= 0 => Ok(found as usize),
            _ => Err(Failure::OtherProgram(self.name).at(path)),
        }
    }

    /// Brings the file to the newest format. Returns the formats that were made, oldest first.
    pub(crate) async fn apply(&self, writing: &mut WriteTransaction<'_>) -> Result<Vec<usize>> {
        let path = writing.path().to_owned();
        let found = self.check(&path, writing.connection()).await?;
        let mut made = Vec::new();
        for (step, format) in self.steps.iter().zip(1..).skip(found) {
            let id = self.application_id;
            let script = format!("{step};\nPRAGMA user_version = {format};\nPRAGMA application_id = {id};");
            sqlx::raw_sql(AssertSqlSafe(script))
                .execute(writing.connection())
                .await
                .map_err(|error| Failure::of(&error).at(&path))?;
            made.push(format);
        }
        Ok(made)
    }
}
