//! A file beside the database for small transactions. A page of the database is written whole however little of it changes:
//! a few records in several partitions change a page for each of them, and a sync writes all these pages. The journal is
//! appended to and has exactly the bytes of the transactions; the writer moves them into the database when they are many.
//!
//! Format: frames of `u32` length, `u64` checksum (FNV-1a) and content, integers little-endian. The first frame has the
//! identity of the log, each further one a transaction. The first frame that is cut or damaged ends the file: it was being
//! written when the process ended.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the content of a frame.
const HEAD_BYTES: usize = 12;
/// Longest content of a frame that is read, in bytes. Transactions in the journal are small.
const MAX_FRAME_BYTES: usize = 16 << 20;
/// Kind of an entry.
const BATCH: u8 = 1;
/// See [`BATCH`].
const OFFSET: u8 = 2;

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Records of one partition.
    Batch(JournalBatch),
    /// The committed offset of a group.
    Offset(JournalOffset),
}

/// Records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalBatch {
    /// Id of the topic in the database.
    pub(crate) topic: i64,
    pub(crate) partition: i32,
    pub(crate) base_offset: u64,
    /// Number of records.
    pub(crate) count: u64,
    /// Latest timestamp of a record, in milliseconds.
    pub(crate) max_timestamp_ms: i64,
    /// When they were stored, in milliseconds.
    pub(crate) stored_ms: i64,
    /// The records, see [`crate::batch`].
    pub(crate) blob: Bytes,
}

/// The committed offset of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalOffset {
    pub(crate) group: String,
    /// Id of the topic in the database.
    pub(crate) topic: i64,
    pub(crate) partition: i32,
    pub(crate) next_offset: u64,
}

/// The journal, open for appending.
pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    /// End of the last whole frame, in bytes.
    end: u64,
    identity: String,
}

/// The file beside a database.
pub(crate) fn path_beside(database: &Path) -> PathBuf {
    let mut name: OsString = database.as_os_str().to_owned();
    name.push(".recent");
    name.into()
}

impl Journal {
    /// Opens or creates the journal of a database. Also returns the entries of all its transactions; those of another log are
    /// dropped.
    pub(crate) fn open(database: &Path, identity: &str) -> io::Result<(Self, Vec<Entry>)> {
        let path = path_beside(database);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, end) = decode(&Bytes::from(bytes), identity);
        if entries.is_none() && end > 0 {
            tracing::warn!(file = %path.display(), "belongs to another event log and is emptied");
        }
        let end = if entries.is_some() { end } else { 0 };
        file.set_len(end)?;
        let journal = Self { path, file: Arc::new(file), end, identity: identity.to_owned() };
        Ok((journal, entries.unwrap_or_default()))
    }

    /// Appends a transaction. With `sync` it survives a power failure when this returns, without it `kill -9`. After an error
    /// nothing of it is kept.
    pub(crate) async fn append(&mut self, entries: &[Entry], sync: bool) -> io::Result<()> {
        let mut frames = BytesMut::new();
        if self.end == 0 {
            put_frame(&mut frames, self.identity.as_bytes());
        }
        put_frame(&mut frames, &encode(entries));
        let (file, start) = (Arc::clone(&self.file), self.end);
        let bytes = frames.len() as u64;
        let written = tokio::task::spawn_blocking(move || {
            let append = || {
                let mut file = &*file;
                file.seek(SeekFrom::Start(start))?;
                file.write_all(&frames)?;
                if sync { file.sync_data() } else { Ok(()) }
            };
            append().inspect_err(|_| {
                // A rest that stays is not a whole frame, or is overwritten by the next one.
                let _ = file.set_len(start);
            })
        });
        written.await.map_err(io::Error::other)??;
        self.end += bytes;
        Ok(())
    }

    /// Removes all transactions. They must be durable in the database.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.end = 0;
        Ok(())
    }

    /// Removes the file. All transactions must be durable in the database.
    pub(crate) fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(file = %self.path.display(), %error, "was not removed");
        }
    }
}

/// The entries in the journal of a database that another process may be writing.
pub(crate) fn read(database: &Path, identity: &str) -> io::Result<Vec<Entry>> {
    match std::fs::read(path_beside(database)) {
        Ok(bytes) => Ok(decode(&Bytes::from(bytes), identity).0.unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The entries of all whole frames and where these end; no entries if they belong to another log.
fn decode(bytes: &Bytes, identity: &str) -> (Option<Vec<Entry>>, u64) {
    let mut rest = bytes.clone();
    let mut entries = Vec::new();
    let mut end = 0;
    while let Some(content) = next_frame(&mut rest) {
        if end == 0 {
            if content != identity.as_bytes() {
                return (None, bytes.len() as u64);
            }
        } else {
            let Some(transaction) = decode_entries(content) else { break };
            entries.extend(transaction);
        }
        end = (bytes.len() - rest.len()) as u64;
    }
    (Some(entries), end)
}

fn next_frame(rest: &mut Bytes) -> Option<Bytes> {
    let mut head = rest.clone();
    let (length, checksum) = (head.try_get_u32_le().ok()? as usize, head.try_get_u64_le().ok()?);
    if length > MAX_FRAME_BYTES || head.len() < length {
        return None;
    }
    let content = head.split_to(length);
    if fnv1a(&content) != checksum {
        return None;
    }
    *rest = head;
    Some(content)
}

fn put_frame(to: &mut BytesMut, content: &[u8]) {
    to.reserve(HEAD_BYTES + content.len());
    to.put_u32_le(content.len() as u32);
    to.put_u64_le(fnv1a(content));
    to.put_slice(content);
}

/// <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv-21>, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn encode(entries: &[Entry]) -> BytesMut {
    let mut to = BytesMut::new();
    for entry in entries {
        match entry {
            Entry::Batch(batch) => {
                to.put_u8(BATCH);
                to.put_i64_le(batch.topic);
                to.put_i32_le(batch.partition);
                to.put_u64_le(batch.base_offset);
                to.put_u64_le(batch.count);
                to.put_i64_le(batch.max_timestamp_ms);
                to.put_i64_le(batch.stored_ms);
                to.put_u32_le(batch.blob.len() as u32);
                to.put_slice(&batch.blob);
            }
            Entry::Offset(offset) => {
                to.put_u8(OFFSET);
                to.put_u32_le(offset.group.len() as u32);
                to.put_slice(offset.group.as_bytes());
                to.put_i64_le(offset.topic);
                to.put_i32_le(offset.partition);
                to.put_u64_le(offset.next_offset);
            }
        }
    }
    to
}

/// `None` if the content is damaged.
fn decode_entries(mut from: Bytes) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while from.has_remaining() {
        entries.push(match from.try_get_u8().ok()? {
            BATCH => Entry::Batch(JournalBatch {
                topic: from.try_get_i64_le().ok()?,
                partition: from.try_get_i32_le().ok()?,
                base_offset: from.try_get_u64_le().ok()?,
                count: from.try_get_u64_le().ok()?,
                max_timestamp_ms: from.try_get_i64_le().ok()?,
                stored_ms: from.try_get_i64_le().ok()?,
                blob: slice(&mut from)?,
            }),
            OFFSET => Entry::Offset(JournalOffset {
                group: String::from_utf8(slice(&mut from)?.to_vec()).ok()?,
                topic: from.try_get_i64_le().ok()?,
                partition: from.try_get_i32_le().ok()?,
                next_offset: from.try_get_u64_le().ok()?,
            }),
            _ => return None,
        });
    }
    Some(entries)
}

fn slice(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32_le().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let batch = (any::<i64>(), any::<i32>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..60));
        let batch = batch.prop_map(|(number, partition, base_offset, blob)| {
            Entry::Batch(JournalBatch {
                topic: number,
                partition,
                base_offset,
                count: base_offset / 2,
                max_timestamp_ms: number / 3,
                stored_ms: number / 5,
                blob: blob.into(),
            })
        });
        let offset = (".{0,12}", any::<i64>(), any::<i32>(), any::<u64>());
        let offset = offset.prop_map(|(group, topic, partition, next_offset)| {
            Entry::Offset(JournalOffset { group, topic, partition, next_offset })
        });
        prop_oneof![batch, offset]
    }

    fn file_of(transactions: &[Vec<Entry>]) -> BytesMut {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, b"this log");
        for entries in transactions {
            put_frame(&mut bytes, &encode(entries));
        }
        bytes
    }

    proptest! {
        /// Wherever the process or the power ends: the transactions that were written whole are there, in order.
        #[test]
        fn a_file_that_is_cut_or_damaged_has_the_transactions_before(
            transactions in prop::collection::vec(prop::collection::vec(any_entry(), 0..4), 0..6),
            at in 0.0..1.0_f64,
            flipped in 1_u8..,
        ) {
            let whole = file_of(&transactions).freeze();
            let (entries, end) = decode(&whole, "this log");
            prop_assert_eq!(entries.unwrap(), transactions.concat());
            prop_assert_eq!(end, whole.len() as u64);
            let at = (whole.len() as f64 * at) as usize;
            let before = (0..=transactions.len())
                .rev()
                .map(|count| &transactions[..count])
                .find(|some| file_of(some).len() <= at);
            let mut damaged = whole.to_vec();
            damaged[at] ^= flipped;
            for file in [whole.slice(..at), Bytes::from(damaged)] {
                if let Some(before) = before {
                    prop_assert_eq!(decode(&file, "this log").0.unwrap(), before.concat());
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&Bytes::from(bytes.clone()), "");
            let mut framed = file_of(&[]);
            put_frame(&mut framed, &bytes);
            let _ = decode(&framed.freeze(), "this log");
        }
    }

    #[tokio::test]
    async fn transactions_are_read_back_until_they_are_cleared_and_not_by_another_log() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("log.db");
        let offset = |next_offset| {
            Entry::Offset(JournalOffset { group: "group".into(), topic: 1, partition: 2, next_offset })
        };
        let (mut journal, entries) = Journal::open(&database, "this log").unwrap();
        assert_eq!(entries, []);
        journal.append(&[offset(1)], true).await.unwrap();
        journal.clear().unwrap();
        journal.append(&[offset(2)], false).await.unwrap();
        journal.append(&[offset(3), offset(4)], true).await.unwrap();
        drop(journal);
        assert_eq!(read(&database, "this log").unwrap(), [offset(2), offset(3), offset(4)]);
        assert_eq!(read(&database, "another").unwrap(), []);
        let (journal, entries) = Journal::open(&database, "another").unwrap();
        assert_eq!(entries, []);
        journal.remove();
        assert_eq!(read(&database, "this log").unwrap(), []);
    }
}
