//! A store into a folder.

use std::{
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use live_store::LiveStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    ArchiveError, Kind, Manifest, OnProgress, Progress, Result, Selection,
    file::{self, FileEntry, MAX_FILE_BYTES, blocking, joined},
    journal::{Finished, Journal},
    noun::{Page, Place},
    walk::Walk,
};

/// A file is closed with the first page that makes it as large as this, unpacked.
const FILE_BYTES: usize = 16 << 20;
/// Hardly a page of rows is larger.
const PAGE_BYTES: usize = 3 << 20;

/// What an export has written.
#[derive(Debug)]
pub struct Exported {
    /// The manifest, as it lies in the folder.
    pub manifest: Manifest,
    /// How many of its files were kept from an earlier try.
    pub kept_files: usize,
}

/// Writes the selected rows of `store` into `folder`, which must be new, empty, or hold an unfinished export of the same
/// rows, which is then continued. `source` names the store in the manifest, without credentials. Of a store that is being
/// written to, the archive holds what was there when each part was read.
///
/// # Errors
/// Stores and folders that fail or refuse, and [`ArchiveError::Stopped`]. All that is finished is kept.
pub async fn export(
    store: &dyn LiveStore,
    source: &str,
    folder: &Path,
    selection: &Selection,
    now: DateTime<Utc>,
    stop: &CancellationToken,
    on_progress: OnProgress<'_>,
) -> Result<Exported> {
    let journal = {
        let (folder, source, selection) = (folder.to_owned(), source.to_owned(), selection.clone());
        blocking(move || Journal::open(&folder, &source, &selection, now)).await?
    };
    let kept_files = journal.finished().len();
    let mut rows = journal.finished().iter().map(|line| line.file.rows).sum();
    let after = journal.finished().last().map(|line| line.end.clone());
    let mut walk = Walk::start(store, selection, after.as_ref()).await?;
    let mut files = Files::new(folder, journal);
    while let Some(page) = walk.next().await? {
        rows += page.rows.len() as u64;
        on_progress(Progress { rows, part: &page.part });
        files.add(&page).await?;
        if stop.is_cancelled() {
            files.finish_writing().await?;
            return Err(ArchiveError::Stopped);
        }
    }
    let journal = files.close_all().await?;
    let prices = walk.prices()?;
    let manifest = blocking(move || journal.finish(prices)).await?;
    Ok(Exported { manifest, kept_files })
}

/// The file that is being filled, and the one before it that is being packed.
struct Files {
    folder: PathBuf,
    journal: Journal,
    open: Option<OpenFile>,
    writing: Option<Writing>,
    /// Part and number of the newest file.
    newest: Option<(Kind, String, u32)>,
}

struct OpenFile {
    kind: Kind,
    part: String,
    rows: u64,
    text: Vec<u8>,
    end: Place,
}

struct Writing {
    task: JoinHandle<Result<FileEntry>>,
    part: String,
    number: u32,
    end: Place,
}

impl Files {
    fn new(folder: &Path, journal: Journal) -> Self {
        let newest = journal.finished().last().map(|line| (line.file.kind, line.part.clone(), line.number));
        Self { folder: folder.to_owned(), journal, open: None, writing: None, newest }
    }

    async fn add(&mut self, page: &Page) -> Result<()> {
        let kind = page.rows.kind();
        if self.open.as_ref().is_some_and(|open| (open.kind, &open.part) != (kind, &page.part)) {
            self.close().await?;
        }
        let open = self.open.get_or_insert_with(|| OpenFile {
            kind,
            part: page.part.clone(),
            rows: 0,
            // It never grows, and so is never there twice.
            text: Vec::with_capacity(FILE_BYTES + PAGE_BYTES),
            end: page.end.clone(),
        });
        page.rows.encode(&mut open.text)?;
        open.rows += page.rows.len() as u64;
        open.end = page.end.clone();
        if open.text.len() >= FILE_BYTES { self.close().await } else { Ok(()) }
    }

    /// Hands the open file over to be packed and written, after the one before it.
    async fn close(&mut self) -> Result<()> {
        self.finish_writing().await?;
        let Some(OpenFile { kind, part, rows, text, end }) = self.open.take() else { return Ok(()) };
        let number = match &self.newest {
            Some((before, of, number)) if *before == kind && *of == part => number + 1,
            _ => 1,
        };
        self.newest = Some((kind, part.clone(), number));
        let name = format!("{kind}/{part}-{number:04}{}", file::SUFFIX);
        if text.len() as u64 > MAX_FILE_BYTES {
            let error = io::Error::other(format!("a page of rows has {} bytes", text.len()));
            return Err(ArchiveError::io("write", &self.folder.join(name), error));
        }
        let folder = self.folder.clone();
        let task = tokio::task::spawn_blocking(move || file::write(&folder, name, kind, rows, &text));
        self.writing = Some(Writing { task, part, number, end });
        Ok(())
    }

    /// Waits for the file that is being written, and notes that it is whole.
    async fn finish_writing(&mut self) -> Result<()> {
        let Some(Writing { task, part, number, end }) = self.writing.take() else { return Ok(()) };
        let file = joined(task).await?;
        self.journal.add(Finished { file, part, number, end })
    }

    async fn close_all(mut self) -> Result<Journal> {
        self.close().await?;
        self.finish_writing().await?;
        Ok(self.journal)
    }
}
