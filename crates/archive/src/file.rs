//! The files of an archive: whole or not there, packed with zstd.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::{ArchiveError, Kind, Result, noun::NOUNS};

/// No file of an archive is larger than this, unpacked; files are held in memory whole.
pub const MAX_FILE_BYTES: u64 = 32 << 20;

/// How every file with rows ends.
pub(crate) const SUFFIX: &str = ".jsonl.zst";
/// How a file is called until it is whole.
const UNFINISHED: &str = "part";
/// Beyond level 3 prices hardly pack better, and much slower.
const LEVEL: i32 = 3;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path inside the archive: `ticks/2026-11-21-0001.jsonl.zst`.
    pub name: String,
    /// What its rows are.
    pub kind: Kind,
    /// How many.
    pub rows: u64,
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Bytes of the file as it lies there.
    pub packed_bytes: u64,
    /// SHA-256 of the unpacked bytes, in hexadecimal.
    pub sha256: String,
}

/// Only names as they are made here: nothing in an archive leads out of its folder.
pub(crate) fn is_file_name(name: &str, kind: Kind) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.strip_prefix(kind.as_str())
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|stem| (1..=64).contains(&stem.len()) && stem.bytes().all(plain))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Writes a file under another name, makes it durable, and gives it its name. A crash leaves the file whole or not
/// there at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".");
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&unfinished, path)?;
    // The name, too.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

pub(crate) fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Packs rows into a file of the folder.
pub(crate) fn write(folder: &Path, name: String, kind: Kind, rows: u64, text: &[u8]) -> Result<FileEntry> {
    let path = folder.join(&name);
    let failed = |error| ArchiveError::io("write", &path, error);
    let packed = pack(text).map_err(failed)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    write_whole(&path, &packed).map_err(failed)?;
    Ok(FileEntry {
        name,
        kind,
        rows,
        bytes: text.len() as u64,
        packed_bytes: packed.len() as u64,
        sha256: hex(&Sha256::digest(text)),
    })
}

fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(text.len() as u64))?;
    encoder.write_all(text)?;
    encoder.finish()
}

/// The rows of a file, unpacked, if it is exactly as in the manifest.
pub(crate) fn read(folder: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let path = folder.join(&entry.name);
    check_size(&path, entry)?;
    let file = File::open(&path).map_err(|error| ArchiveError::io("read", &path, error))?;
    // The size was checked against a bound when the manifest was read; no byte more is unpacked.
    let mut text = Vec::with_capacity(entry.bytes as usize + 1);
    zstd::stream::read::Decoder::new(file)
        .and_then(|decoder| decoder.take(entry.bytes + 1).read_to_end(&mut text))
        .map_err(|error| damaged(&path, format!("it cannot be unpacked ({error})")))?;
    if text.len() as u64 != entry.bytes {
        let reason = format!("it does not unpack to {} bytes as in the manifest", entry.bytes);
        return Err(damaged(&path, reason));
    }
    if hex(&Sha256::digest(&text)) != entry.sha256 {
        return Err(damaged(&path, "its SHA-256 is not that of the manifest".to_owned()));
    }
    Ok(text)
}

/// Missing or cut off: seen without reading the file.
pub(crate) fn check_size(path: &Path, entry: &FileEntry) -> Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.len() == entry.packed_bytes => Ok(()),
        Ok(found) => {
            let reason =
                format!("it has {} bytes, by the manifest it had {}", found.len(), entry.packed_bytes);
            Err(damaged(path, reason))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(damaged(path, "it is missing".to_owned())),
        Err(error) => Err(ArchiveError::io("read", path, error)),
    }
}

pub(crate) fn damaged(path: &Path, reason: String) -> ArchiveError {
    ArchiveError::Damaged { path: path.display().to_string(), reason }
}

/// Removes what killed exports left under the names of unfinished files.
pub(crate) fn remove_unfinished(folder: &Path) -> Result<()> {
    for noun in NOUNS {
        let folder = folder.join(noun.kind().as_str());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(ArchiveError::io("read", &folder, error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| ArchiveError::io("read", &folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(&path).map_err(|error| ArchiveError::io("remove", &path, error))?;
            }
        }
    }
    Ok(())
}

/// Work with files, beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(tokio::task::spawn_blocking(work)).await
}

pub(crate) async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await.map_err(|error| ArchiveError::io("use", Path::new("files"), io::Error::other(error)))?
}
