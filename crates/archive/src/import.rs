//! A folder into a store.

use std::path::Path;

use live_store::{Checkpoint, LiveStore, StoredTick};
use market::Candle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    ArchiveError, Counts, Kind, Manifest, OnProgress, Prices, Progress, Result, Selection, check_target,
    file::{self, FileEntry, joined},
    pages::PAGE_ROWS,
    row,
    target::Target,
    walk::Rows,
};

/// How to import.
#[derive(Clone, Debug, Default)]
pub struct Importing {
    /// Which rows.
    pub selection: Selection,
    /// Also the consumer's checkpoints: it goes on in the target where it was in the source. Right only on the same
    /// event log.
    pub checkpoints: bool,
    /// Leave out damaged files, instead of stopping at the first.
    pub skip_damaged: bool,
}

/// What an import has done.
#[derive(Debug, Default)]
pub struct Imported {
    /// What became of the rows.
    pub counts: Counts,
    /// What was wrong with the files that were left out.
    pub skipped: Vec<ArchiveError>,
}

/// Brings an archive into a store. Each file is compared with the manifest before the first of its rows is written.
/// What is in the store stays, so that an import can be repeated at will.
///
/// # Errors
/// Damaged archives, stores that fail or refuse, and [`ArchiveError::Stopped`].
pub async fn import(
    folder: &Path,
    manifest: &Manifest,
    store: &dyn LiveStore,
    importing: &Importing,
    stop: &CancellationToken,
    on_progress: OnProgress<'_>,
) -> Result<Imported> {
    check_order(manifest, importing)?;
    if let Some(prices) = manifest.prices {
        check_target(store, prices).await?;
    }
    let mut imported = Imported::default();
    let files = present_files(folder, manifest, importing, &mut imported.skipped)?;
    let mut target = Target::new(store);
    let mut checkpoints = Vec::new();
    let mut rows_done = 0;
    let mut files = files.into_iter();
    let mut reading = files.next().map(|file| Reading::start(folder, file, manifest.prices));
    while let Some(Reading { entry, task }) = reading.take() {
        let rows = joined(task).await;
        // The next is read and checked while this one is written.
        reading = files.next().map(|file| Reading::start(folder, file, manifest.prices));
        match rows {
            Ok(Rows::Checkpoints(all)) => {
                target.check_checkpoints(&all).await?;
                checkpoints.extend(all);
            }
            Ok(rows) => {
                let on_page = |rows| on_progress(Progress { rows: rows_done + rows, part: &entry.name });
                write(&mut target, rows, &importing.selection, stop, &on_page).await?;
            }
            Err(error) if importing.skip_damaged && error.is_damage() => imported.skipped.push(error),
            Err(error) => return Err(error),
        }
        rows_done = entry.rows.saturating_add(rows_done);
        on_progress(Progress { rows: rows_done, part: &entry.name });
    }
    if !checkpoints.is_empty() && !imported.skipped.is_empty() {
        return Err(ArchiveError::Checkpoints("they stand for all rows, and some are damaged".to_owned()));
    }
    target.checkpoints(&checkpoints).await?;
    imported.counts = target.counts;
    Ok(imported)
}

fn check_order(manifest: &Manifest, importing: &Importing) -> Result<()> {
    if !importing.checkpoints {
        return Ok(());
    }
    let refused = |reason: &str| Err(ArchiveError::Checkpoints(reason.to_owned()));
    if !importing.selection.is_everything() {
        return refused("they stand for all rows, and only some are imported");
    }
    if manifest.totals.checkpoints == 0 {
        return refused("the archive holds none");
    }
    Ok(())
}

/// The files to read. Those that are missing or cut off are noticed before anything is written.
fn present_files(
    folder: &Path,
    manifest: &Manifest,
    importing: &Importing,
    skipped: &mut Vec<ArchiveError>,
) -> Result<Vec<FileEntry>> {
    let wanted = |file: &&FileEntry| match file.kind {
        Kind::Checkpoints => importing.checkpoints,
        kind => importing.selection.has_kind(kind),
    };
    let mut present = Vec::new();
    for entry in manifest.files.iter().filter(wanted) {
        match file::check_size(&folder.join(&entry.name), entry) {
            Ok(()) => present.push(entry.clone()),
            Err(error) if importing.skip_damaged && error.is_damage() => skipped.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(present)
}

/// A file that is being read.
struct Reading {
    entry: FileEntry,
    task: JoinHandle<Result<Rows>>,
}

impl Reading {
    fn start(folder: &Path, entry: FileEntry, prices: Option<Prices>) -> Self {
        let (folder, file) = (folder.to_owned(), entry.clone());
        let task = tokio::task::spawn_blocking(move || read(&folder, &file, prices));
        Self { entry, task }
    }
}

/// All rows of a file, or nothing.
fn read(folder: &Path, entry: &FileEntry, prices: Option<Prices>) -> Result<Rows> {
    let path = folder.join(&entry.name);
    let text = file::read(folder, entry)?;
    let text = str::from_utf8(&text)
        .map_err(|error| file::damaged(&path, format!("it is not UTF-8 (byte {})", error.valid_up_to())))?;
    let of_prices = |found: Prices| match prices {
        Some(said) if said != found => {
            Err(format!("the price is {}, by the manifest all are {}", found.as_str(), said.as_str()))
        }
        Some(_) => Ok(()),
        None => Err("by the manifest there are no prices".to_owned()),
    };
    let rows = match entry.kind {
        Kind::Checkpoints => Rows::Checkpoints(parse::<Checkpoint>(&path, text, row::read_checkpoint)?),
        Kind::Ticks => Rows::Ticks(parse::<StoredTick>(&path, text, |line| {
            let row = row::read_tick(line)?;
            of_prices(Prices::of(row.tick.source)).map(|()| row)
        })?),
        Kind::Candles => Rows::Candles(parse::<Candle>(&path, text, |line| {
            let bar = row::read_candle(line)?;
            of_prices(Prices::of(bar.source.feed)).map(|()| bar)
        })?),
    };
    if rows.len() as u64 != entry.rows {
        let reason = format!("it has {} rows, by the manifest {}", rows.len(), entry.rows);
        return Err(file::damaged(&path, reason));
    }
    Ok(rows)
}

fn parse<T>(path: &Path, text: &str, row: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
    // Counted first: a list that grows is for a moment there twice.
    let mut rows = Vec::with_capacity(text.lines().count());
    for (line, text) in (1..).zip(text.lines()) {
        rows.push(row(text).map_err(|reason| {
            let path = path.display().to_string();
            ArchiveError::BadRow { path, line, reason }
        })?);
    }
    Ok(rows)
}

/// Writes the selected rows, page by page.
async fn write(
    target: &mut Target<'_>,
    rows: Rows,
    selection: &Selection,
    stop: &CancellationToken,
    on_page: &(dyn Fn(u64) + Send + Sync),
) -> Result<()> {
    let mut done = 0;
    match rows {
        Rows::Checkpoints(_) => {}
        Rows::Ticks(mut rows) => {
            rows.retain(|row| selection.has_tick(row));
            for page in rows.chunks(PAGE_ROWS) {
                target.ticks(page).await?;
                done += page.len() as u64;
                on_page(done);
                stopped(stop)?;
            }
        }
        Rows::Candles(mut bars) => {
            bars.retain(|bar| selection.has_candle(bar));
            for page in bars.chunks(PAGE_ROWS) {
                target.candles(page).await?;
                done += page.len() as u64;
                on_page(done);
                stopped(stop)?;
            }
        }
    }
    Ok(())
}

fn stopped(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() { Err(ArchiveError::Stopped) } else { Ok(()) }
}
