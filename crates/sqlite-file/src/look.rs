//! A look at a file without changing it.

use std::{fs::OpenOptions, io::ErrorKind, path::Path};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{Failure, Format, Result};

/// What a file is.
#[derive(Debug)]
pub struct FileLook {
    /// Its format, at most the newest known; 0 for an empty file.
    pub format: usize,
    /// Its size.
    pub bytes: u64,
    /// A connection that reads; the caller closes it.
    pub connection: SqliteConnection,
}

/// Looks at a file: whether it may be written, and which format it has. `None`: there is no file.
///
/// # Errors
/// A file that cannot be written, that of another program, and those of the engine.
pub async fn look(path: &Path, format: &Format) -> Result<Option<FileLook>> {
    // Opened for writing, and written nothing.
    let bytes = match OpenOptions::new().write(true).open(path).and_then(|file| file.metadata()) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::Other(format!("cannot be written: {error}")).at(path)),
    };
    let reading = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut connection = reading.connect().await.map_err(|error| Failure::of(&error).at(path))?;
    let format = format.check(path, &mut connection).await?;
    Ok(Some(FileLook { format, bytes, connection }))
}
