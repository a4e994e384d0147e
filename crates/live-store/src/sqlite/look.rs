//! A look at the file without changing it.

use std::{fs::OpenOptions, io::ErrorKind, path::Path};

use sqlite_file::Failure;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use super::schema::FORMAT;
use crate::{LiveStoreError, Result, StoreCheck, checkpoints};

/// Which format the file has, and whether it may be written.
pub(crate) async fn look(path: &Path) -> Result<StoreCheck> {
    let place = path.display().to_string();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let check = |is_there, found, checkpoints| StoreCheck {
        place: place.clone(),
        is_there,
        found,
        warnings: Vec::new(),
        folder: Some(folder.to_owned()),
        checkpoints,
    };
    // Opened for writing, and written nothing.
    let bytes = match OpenOptions::new().write(true).open(path).and_then(|file| file.metadata()) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(check(false, "not created yet".to_owned(), Vec::new()));
        }
        Err(error) => {
            return Err(LiveStoreError::Refused { place, reason: format!("cannot be written: {error}") });
        }
    };
    let reading = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let failed = |error: sqlx::Error| LiveStoreError::from(Failure::of(&error).at(path));
    let mut connection = reading.connect().await.map_err(failed)?;
    let format = FORMAT.check(path, &mut connection).await?;
    // The tables of an older format lack columns; the first start adds them.
    let checkpoints = if format == FORMAT.newest() {
        checkpoints::sqlite::all(path, &mut connection).await?
    } else {
        Vec::new()
    };
    connection.close().await.map_err(failed)?;
    let found = format!("format {format} of {}, {:.1} MB", FORMAT.newest(), bytes as f64 / 1e6);
    Ok(check(true, found, checkpoints))
}
