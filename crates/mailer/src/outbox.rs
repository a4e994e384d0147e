//! A folder of .eml files: where mails go that are not sent, for a person to read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use crate::eml::ReadMail;

/// Most files in the folder; the oldest are removed.
const MAX_FILES: usize = 2_000;
/// Most entries of the folder that are looked at.
const MAX_ENTRIES: usize = 100_000;
/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Of each file of a list, so much is read: the headers come first.
const HEADER_BYTES: u64 = 16 << 10;
/// `20260113T153000.214Z-` and 32 digits of the key of the mail, `.eml`.
const NAME_PATTERN: &[u8] = b"00000000T000000.000Z-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.eml";

/// A folder of .eml files.
#[derive(Clone, Debug)]
pub struct Outbox {
    folder: PathBuf,
}

/// The name of a file of an outbox: time and key. Nothing else can be read by a name, so that no name leads out of the folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutboxName(String);

/// A mail in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its file.
    pub name: OutboxName,
    /// Its headers; empty fields where the file cannot be read.
    pub mail: ReadMail,
}

impl OutboxName {
    /// Only names that an outbox gives.
    pub fn parse(text: &str) -> Option<Self> {
        let is_like = |(byte, pattern): (u8, &u8)| match pattern {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            other => byte == *other,
        };
        let is_name = text.len() == NAME_PATTERN.len() && text.bytes().zip(NAME_PATTERN).all(is_like);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Outbox {
    /// The outbox of a folder, which is made with the first mail.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a mail; the same mail replaces its file. Only the user of this process may read it.
    pub(crate) fn write(&self, created_at: DateTime<Utc>, key: &str, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let name = format!("{}-{key}.eml", created_at.format("%Y%m%dT%H%M%S%.3fZ"));
        // Renamed when it is whole: a reader never sees a part. Two senders of one mail write the same bytes.
        let path = self.folder.join(format!(".{name}.{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| fs::rename(&path, self.folder.join(&name))) {
            // What is left of a full disk takes space from everything else.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        File::open(&self.folder)?.sync_all()?;
        self.remove_oldest()
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let names = self.names()?;
        for name in names.iter().skip(MAX_FILES) {
            match fs::remove_file(self.folder.join(name.as_str())) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Newest first.
    fn names(&self) -> io::Result<Vec<OutboxName>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries.take(MAX_ENTRIES) {
            names.extend(entry?.file_name().to_str().and_then(OutboxName::parse));
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names)
    }

    /// The newest mails with their headers, newest first. Reads the folder: blocks.
    ///
    /// # Errors
    /// A folder that cannot be read; a missing one is an empty list.
    pub fn newest(&self, most: usize) -> io::Result<Vec<OutboxEntry>> {
        let mut entries = Vec::new();
        for name in self.names()?.into_iter().take(most) {
            // Removed in between: not in the list.
            let Some(bytes) = self.bytes(&name, HEADER_BYTES)? else { continue };
            entries.push(OutboxEntry { mail: ReadMail::headers_of(&bytes), name });
        }
        Ok(entries)
    }

    /// A mail; `None` if there is none of that name. Reads a file: blocks.
    ///
    /// # Errors
    /// A file that cannot be read, or is no mail.
    pub fn read(&self, name: &OutboxName) -> io::Result<Option<ReadMail>> {
        let Some(bytes) = self.bytes(name, MAX_FILE_BYTES)? else { return Ok(None) };
        ReadMail::parse(&bytes).map(Some)
    }

    fn bytes(&self, name: &OutboxName, most: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.folder.join(name.as_str())) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}
