//! `manifest.json`: what an archive holds. It is written last, so that an archive that has one is whole.

use std::{collections::BTreeMap, fs, io, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ArchiveError, Kind, Prices, Result, Selection,
    file::{self, FileEntry, MAX_FILE_BYTES, is_file_name},
    noun::NOUNS,
};

/// The format written here, and the newest that is read. Format 2: ticks may have a `size`, and the `volume` of a candle may be
/// null; everything in format 1 is read as well.
pub const FORMAT: u64 = 2;
/// The name of the manifest.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The name of what an unfinished export has in its place.
pub(crate) const JOURNAL: &str = "export.jsonl";
/// A manifest of this size would describe 500 million ticks and more.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Sums over all files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows of each kind.
    #[serde(flatten)]
    rows: BTreeMap<Kind, u64>,
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Bytes as the files lie there.
    pub packed_bytes: u64,
    /// SHA-256 over kind and hash of the files, in order: equal where the same rows were exported, whatever the store.
    /// Checkpoints, which change by themselves, are left out.
    pub sha256: String,
}

impl Totals {
    pub(crate) fn of(files: &[FileEntry]) -> Self {
        // An archive of before does not have every kind; none and 0 are the same.
        let rows = NOUNS.iter().map(|noun| (noun.kind(), 0)).collect();
        let mut totals = Self { rows, ..Self::default() };
        let mut hash = Sha256::new();
        for file in files {
            let rows = totals.rows.entry(file.kind).or_default();
            // A manifest may hold any number.
            *rows = rows.saturating_add(file.rows);
            totals.bytes = totals.bytes.saturating_add(file.bytes);
            totals.packed_bytes = totals.packed_bytes.saturating_add(file.packed_bytes);
            if file.kind != Kind::CHECKPOINTS {
                hash.update(format!("{} {}\n", file.kind, file.sha256));
            }
        }
        totals.sha256 = file::hex(&hash.finalize());
        totals
    }

    /// Rows of all kinds.
    pub fn rows(&self) -> u64 {
        self.rows.values().fold(0, |sum, rows| sum.saturating_add(*rows))
    }

    /// Rows of one kind.
    pub fn of_kind(&self, kind: Kind) -> u64 {
        self.rows.get(&kind).copied().unwrap_or_default()
    }
}

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u64,
    /// Which program wrote it, with its version.
    pub made_by: String,
    /// When the export was begun.
    pub made_at: DateTime<Utc>,
    /// The store it came from, without credentials.
    pub source: String,
    /// Which prices; `None` where there are none.
    pub prices: Option<Prices>,
    /// Which rows were asked for.
    pub selection: Selection,
    /// Sums.
    pub totals: Totals,
    /// The files, in the order in which they were written.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Reads and checks the manifest of a folder.
    ///
    /// # Errors
    /// A folder without one, one of a newer format, one that contradicts itself.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = match file::read_bounded(&path, MAX_MANIFEST_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = folder.display().to_string();
                return Err(if fs::exists(Path::new(&folder).join(JOURNAL)).unwrap_or(false) {
                    ArchiveError::Unfinished { folder }
                } else {
                    ArchiveError::NoArchive { folder }
                });
            }
            Err(error) => return Err(ArchiveError::io("read", &path, error)),
        };
        let shown = path.display().to_string();
        Self::parse(&text).map_err(|problem| match problem {
            Problem::Newer(found) => ArchiveError::NewerFormat { path: shown, found, known: FORMAT },
            Problem::Bad(reason) => ArchiveError::BadManifest { path: shown, reason },
        })
    }

    fn parse(text: &[u8]) -> Result<Self, Problem> {
        // The number first: of a newer format nothing else can be expected to be readable.
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let bad = |error: serde_json::Error| Problem::Bad(error.to_string());
        let Format { format } = serde_json::from_slice(text).map_err(bad)?;
        if format > FORMAT {
            return Err(Problem::Newer(format));
        }
        let mut manifest: Self = serde_json::from_slice(text).map_err(bad)?;
        for noun in NOUNS {
            manifest.totals.rows.entry(noun.kind()).or_default();
        }
        for file in &manifest.files {
            if !is_file_name(&file.name, file.kind) {
                return Err(Problem::Bad(format!("`{}` is no file name", file.name.escape_debug())));
            }
            if file.bytes > MAX_FILE_BYTES {
                return Err(Problem::Bad(format!("{} would unpack to {} bytes", file.name, file.bytes)));
            }
        }
        let totals = Totals::of(&manifest.files);
        if totals != manifest.totals {
            return Err(Problem::Bad("its totals are not those of its files".to_owned()));
        }
        Ok(manifest)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| ArchiveError::io("write", &path, io::Error::other(error)))?;
        text.push(b'\n');
        file::write_whole(&path, &text).map_err(|error| ArchiveError::io("write", &path, error))
    }
}

enum Problem {
    Newer(u64),
    Bad(String),
}
