//! The file of documents that Elasticsearch refused.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
};

use crate::{json, settings::DeadLetters, timestamp};

/// Appends lines to the file, which is opened with the first one.
#[derive(Debug)]
pub(crate) struct DeadLetterFile {
    settings: Option<DeadLetters>,
    file: Option<File>,
}

/// Why a document was refused.
pub(crate) struct Refusal<'a> {
    /// The status of its item, if there is one.
    pub(crate) status: Option<u16>,
    pub(crate) reason: &'a str,
}

impl DeadLetterFile {
    pub(crate) fn new(settings: Option<DeadLetters>) -> Self {
        Self { settings, file: None }
    }

    /// Appends one line for each of the entries of a bulk request. An error if a line does not fit, or cannot be written whole: then it
    /// is not in the file.
    pub(crate) fn append(&mut self, entry: &[u8], refusal: &Refusal<'_>) -> io::Result<()> {
        let Some(settings) = &self.settings else {
            return Err(io::Error::other("there is no dead-letter file"));
        };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(settings)?),
        };
        let line = line(entry, refusal);
        let size = file.metadata()?.len();
        if size + line.len() as u64 > settings.max_bytes {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the dead-letter file is full"));
        }
        let written = file.write_all(&line);
        if written.is_err() {
            // Half a line would spoil the next one. If this fails as well, the next line has an error of its own.
            let _ = file.set_len(size);
            // It may have been removed.
            self.file = None;
        }
        written
    }
}

fn open(settings: &DeadLetters) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // For its owner, as logs are.
        options.mode(0o600);
    }
    options.open(&settings.path)
}

/// `{"refused_at", "status", "reason", "action", "document"}` with the two lines of the entry as they are.
fn line(entry: &[u8], refusal: &Refusal<'_>) -> Vec<u8> {
    let mut parts = entry.split(|byte| *byte == b'\n');
    let (action, document) = (parts.next().unwrap_or(b"null"), parts.next().unwrap_or(b"null"));
    let mut line = Vec::with_capacity(entry.len() + 256);
    line.extend_from_slice(b"{\"refused_at\":\"");
    timestamp::append(&mut line, std::time::SystemTime::now());
    line.extend_from_slice(b"\",\"status\":");
    match refusal.status {
        Some(status) => json::number(&mut line, u64::from(status)),
        None => line.extend_from_slice(b"null"),
    }
    line.extend_from_slice(b",\"reason\":");
    json::string(&mut line, refusal.reason);
    line.extend_from_slice(b",\"action\":");
    line.extend_from_slice(action);
    line.extend_from_slice(b",\"document\":");
    line.extend_from_slice(document);
    line.extend_from_slice(b"}\n");
    line
}
