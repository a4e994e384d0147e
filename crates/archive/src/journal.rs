//! `export.jsonl`: what an unfinished export has finished. One line holds what is exported, and one more is added for
//! every file that is whole; the manifest takes its place at the end.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ArchiveError, Prices, Result, Selection,
    file::{self, FileEntry, is_file_name, remove_unfinished},
    manifest::{FORMAT, JOURNAL, MANIFEST, Manifest, Totals},
    noun::Place,
};

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u64,
    made_by: String,
    made_at: DateTime<Utc>,
    source: String,
    selection: Selection,
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) file: FileEntry,
    /// The day or width it belongs to, and its number among the files of that.
    pub(crate) part: String,
    pub(crate) number: u32,
    /// Everything up to here is in this file and those before it.
    pub(crate) end: Place,
}

/// An export under way; no other process has it while this is held.
pub(crate) struct Journal {
    folder: PathBuf,
    file: File,
    header: Header,
    finished: Vec<Finished>,
}

impl Journal {
    /// Begins an export into a folder that is new or empty, or takes up the one that was begun there. Finished files are
    /// read and compared; from the first that is not what it was, everything is made again.
    pub(crate) fn open(
        folder: &Path,
        source: &str,
        selection: &Selection,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| ArchiveError::io("create", folder, error))?;
        refuse_finished(folder)?;
        let path = folder.join(JOURNAL);
        if !path.exists() {
            refuse_other_files(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| ArchiveError::io("write", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ArchiveError::InUse { folder: folder.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(ArchiveError::io("lock", &path, error)),
        }
        // It may have been finished between the look and the lock.
        refuse_finished(folder)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| ArchiveError::io("read", &path, error))?;
        let mut lines = Lines { text: &text, read: 0 };
        let Some(header) = lines.next_as::<Header>() else {
            return Self::begin(folder, file, source, selection, now);
        };
        check_header(&header, folder, &path, source, selection)?;
        let mut finished = Vec::new();
        let mut whole = lines.read;
        while let Some(line) = lines.next_as::<Finished>() {
            if !is_file_name(&line.file.name, line.file.kind) || file::read(folder, &line.file).is_err() {
                break;
            }
            finished.push(line);
            whole = lines.read;
        }
        let cut = file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(|error| ArchiveError::io("write", &path, error))?;
        Ok(Self { folder: folder.to_owned(), file, header, finished })
    }

    fn begin(
        folder: &Path,
        file: File,
        source: &str,
        selection: &Selection,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let header = Header {
            format: FORMAT,
            made_by: concat!("tapedeck ", env!("CARGO_PKG_VERSION")).to_owned(),
            made_at: now,
            source: source.to_owned(),
            selection: selection.clone(),
        };
        let mut journal = Self { folder: folder.to_owned(), file, header, finished: Vec::new() };
        // A journal without a readable first line was killed before it had one.
        let emptied = journal.file.set_len(0).and_then(|()| journal.file.rewind());
        emptied.map_err(|error| ArchiveError::io("write", &journal.path(), error))?;
        let line = serde_json::to_vec(&journal.header);
        journal.append(line)?;
        Ok(journal)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(JOURNAL)
    }

    fn append(&mut self, line: serde_json::Result<Vec<u8>>) -> Result<()> {
        let written = line.map_err(io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)?;
            self.file.sync_data()
        });
        written.map_err(|error| ArchiveError::io("write", &self.path(), error))
    }

    /// The files that are whole.
    pub(crate) fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// One more file is whole.
    pub(crate) fn add(&mut self, finished: Finished) -> Result<()> {
        self.append(serde_json::to_vec(&finished))?;
        self.finished.push(finished);
        Ok(())
    }

    /// The manifest takes the journal's place.
    pub(crate) fn finish(self, prices: Option<Prices>) -> Result<Manifest> {
        remove_unfinished(&self.folder)?;
        let path = self.path();
        let files: Vec<FileEntry> = self.finished.into_iter().map(|line| line.file).collect();
        let Header { format, made_by, made_at, source, selection } = self.header;
        let totals = Totals::of(&files);
        let manifest = Manifest { format, made_by, made_at, source, prices, selection, totals, files };
        manifest.write(&self.folder)?;
        fs::remove_file(&path).map_err(|error| ArchiveError::io("remove", &path, error))?;
        Ok(manifest)
    }
}

fn refuse_finished(folder: &Path) -> Result<()> {
    if folder.join(MANIFEST).exists() {
        let made_at = Manifest::read(folder)?.made_at;
        return Err(ArchiveError::Finished { folder: folder.display().to_string(), made_at });
    }
    Ok(())
}

/// Refuses a folder with other files: nothing is overwritten.
fn refuse_other_files(folder: &Path) -> Result<()> {
    let mut entries = fs::read_dir(folder).map_err(|error| ArchiveError::io("read", folder, error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(ArchiveError::NotEmpty { folder: folder.display().to_string() }),
    }
}

fn check_header(
    header: &Header,
    folder: &Path,
    path: &Path,
    source: &str,
    selection: &Selection,
) -> Result<()> {
    if header.format > FORMAT {
        let path = path.display().to_string();
        return Err(ArchiveError::NewerFormat { path, found: header.format, known: FORMAT });
    }
    let what = if header.source != source {
        "store"
    } else if header.selection != *selection {
        "selection of rows"
    } else {
        return Ok(());
    };
    Err(ArchiveError::OtherExport { folder: folder.display().to_string(), what })
}

/// The whole lines of a journal; what a crash has cut off is none.
struct Lines<'a> {
    text: &'a [u8],
    /// How many bytes the lines so far have.
    read: usize,
}

impl Lines<'_> {
    fn next_as<T: for<'de> Deserialize<'de>>(&mut self) -> Option<T> {
        let rest = self.text.get(self.read..)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = serde_json::from_slice(&rest[..end]).ok()?;
        self.read += end + 1;
        Some(line)
    }
}
