//! A look at the file without changing it.

use std::path::Path;

use sqlite_file::{Failure, FileLook};
use sqlx::Connection;

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
    let Some(FileLook { format, bytes, mut connection }) = sqlite_file::look(path, &FORMAT).await? else {
        return Ok(check(false, "not created yet".to_owned(), Vec::new()));
    };
    // The tables of an older format lack columns; the first start adds them.
    let checkpoints = if format == FORMAT.newest() {
        checkpoints::sqlite::all(path, &mut connection).await?
    } else {
        Vec::new()
    };
    connection.close().await.map_err(|error| LiveStoreError::from(Failure::of(&error).at(path)))?;
    let found = format!("format {format} of {}, {:.1} MB", FORMAT.newest(), bytes as f64 / 1e6);
    Ok(check(true, found, checkpoints))
}
