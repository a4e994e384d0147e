//! A folder into a store.

use std::path::Path;

use live_store::LiveStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    ArchiveError, Counts, Kind, Manifest, OnProgress, Prices, Progress, Result, Selection, check_target,
    file::{self, FileEntry, joined},
    noun::{AnyNoun, NOUNS, Rows},
    target::Target,
};

/// How to import.
#[derive(Clone, Debug, Default)]
pub struct Importing {
    /// Which rows.
    pub selection: Selection,
    /// Also the checkpoints: every stream processor continues in the target where it was in the source. Right only on
    /// the same event log.
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
    let mut held_back: Vec<Box<dyn Rows>> = Vec::new();
    let mut rows_done = 0;
    let mut files = files.into_iter();
    let mut reading = files.next().map(|file| Reading::start(folder, file, manifest.prices));
    while let Some(Reading { entry, task }) = reading.take() {
        let rows = joined(task).await;
        // The next is read and checked while this one is written.
        reading = files.next().map(|file| Reading::start(folder, file, manifest.prices));
        match rows {
            Ok(rows) if rows.stands_for_others() => {
                rows.check(&target).await?;
                held_back.push(rows);
            }
            Ok(mut rows) => {
                rows.retain(&importing.selection);
                let on_page = |rows| {
                    on_progress(Progress { rows: rows_done + rows, part: &entry.name });
                    if stop.is_cancelled() { Err(ArchiveError::Stopped) } else { Ok(()) }
                };
                target.store(&*rows, &on_page).await?;
            }
            Err(error) if importing.skip_damaged && error.is_damage() => imported.skipped.push(error),
            Err(error) => return Err(error),
        }
        rows_done = entry.rows.saturating_add(rows_done);
        on_progress(Progress { rows: rows_done, part: &entry.name });
    }
    if !held_back.is_empty() && !imported.skipped.is_empty() {
        return Err(ArchiveError::Checkpoints("they stand for all rows, and some are damaged".to_owned()));
    }
    for rows in &held_back {
        target.store(&**rows, &|_| Ok(())).await?;
    }
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
    if manifest.totals.of_kind(Kind::CHECKPOINTS) == 0 {
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
    let is_wanted = |noun: &dyn AnyNoun| {
        if noun.stands_for_others() { importing.checkpoints } else { importing.selection.has_noun(noun) }
    };
    let wanted = |file: &&FileEntry| noun_of(file.kind).is_some_and(is_wanted);
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
    task: JoinHandle<Result<Box<dyn Rows>>>,
}

impl Reading {
    fn start(folder: &Path, entry: FileEntry, prices: Option<Prices>) -> Self {
        let (folder, file) = (folder.to_owned(), entry.clone());
        let task = tokio::task::spawn_blocking(move || read(&folder, &file, prices));
        Self { entry, task }
    }
}

/// All rows of a file, or nothing.
fn read(folder: &Path, entry: &FileEntry, prices: Option<Prices>) -> Result<Box<dyn Rows>> {
    let path = folder.join(&entry.name);
    let text = file::read(folder, entry)?;
    let text = str::from_utf8(&text)
        .map_err(|error| file::damaged(&path, format!("it is not UTF-8 (byte {})", error.valid_up_to())))?;
    let Some(noun) = noun_of(entry.kind) else {
        return Err(file::damaged(&path, format!("{} are not known here", entry.kind)));
    };
    let rows = noun.parse(&path, text)?;
    if let Some((index, found, _)) = rows.prices().find(|(_, found, _)| Some(*found) != prices) {
        let reason = match prices {
            Some(of_manifest) => {
                format!("the price is {}, by the manifest all are {}", found.as_str(), of_manifest.as_str())
            }
            None => "by the manifest there are no prices".to_owned(),
        };
        return Err(ArchiveError::BadRow { path: path.display().to_string(), line: index + 1, reason });
    }
    if rows.len() as u64 != entry.rows {
        let reason = format!("it has {} rows, by the manifest {}", rows.len(), entry.rows);
        return Err(file::damaged(&path, reason));
    }
    Ok(rows)
}

fn noun_of(kind: Kind) -> Option<&'static dyn AnyNoun> {
    NOUNS.into_iter().find(|noun| noun.kind() == kind)
}
