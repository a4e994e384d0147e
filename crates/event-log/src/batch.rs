//! Storage format of the embedded log: many records of one partition in one blob.
//!
//! Version 1: one byte 1, then per record, integers little-endian: `u32` key length ([`NO_KEY`] without a key),
//! `u32` payload length, `u32` number of headers, `i64` timestamp in milliseconds, key, payload, then per header `u32`
//! name length, `u32` value length, name (UTF-8), value.
//!
//! Version 2, in the file only: one byte 2, `u32` length of version 1, and version 1 compressed with zstd.

use bytes::{BufMut, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use crate::NewRecord;

/// Version byte at the start of a blob.
const VERSION: u8 = 1;
/// That of a compressed blob.
const COMPRESSED: u8 = 2;
/// Bytes before the compressed data.
const COMPRESSED_HEAD_BYTES: usize = 5;
/// Largest size of a compressed blob when it is expanded, in bytes. Far above what one transaction has.
const MAX_EXPANDED_BYTES: usize = 64 << 20;
/// Level of zstd: records of ticks are a fifth at each of the first levels, and the first is the fastest.
const ZSTD_LEVEL: i32 = 1;
/// Key length of a record without a key.
const NO_KEY: u32 = u32::MAX;
/// Bytes before the key of each record.
const RECORD_HEAD_BYTES: usize = 20;
/// Bytes before the name of each header.
const HEADER_HEAD_BYTES: usize = 8;

/// Why a blob cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The blob is empty, or its version is not supported.
    #[error("record batch of an unknown version")]
    Version,
    /// It ends within a record, or a length exceeds its end.
    #[error("record batch is cut short at byte {0}")]
    Short(usize),
    /// A header's name is not UTF-8, or a time is out of range.
    #[error("record batch is damaged at byte {0}")]
    Damaged(usize),
    /// Compressed, and cannot be expanded.
    #[error("compressed record batch is damaged")]
    Compression,
}

/// A decoded record; its bytes are slices of the blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its key.
    pub(crate) key: Option<Bytes>,
    /// Its value.
    pub(crate) payload: Bytes,
    /// Names and values.
    pub(crate) headers: Vec<(String, Bytes)>,
    /// When it was created, in milliseconds.
    pub(crate) timestamp: DateTime<Utc>,
}

/// An empty batch, for [`append`].
pub(crate) fn begin(capacity_bytes: usize) -> BytesMut {
    let mut blob = BytesMut::with_capacity(capacity_bytes + 1);
    blob.put_u8(VERSION);
    blob
}

/// The records of a blob without its version byte, to append them to another batch.
pub(crate) fn records_of(blob: &[u8]) -> &[u8] {
    blob.get(1..).unwrap_or_default()
}

/// The blob for the file: compressed if that makes it smaller.
pub(crate) fn compress(blob: &[u8]) -> Vec<u8> {
    let mut compressed = vec![COMPRESSED];
    compressed.extend_from_slice(&u32::try_from(blob.len()).unwrap_or(u32::MAX).to_le_bytes());
    match zstd::bulk::compress(blob, ZSTD_LEVEL) {
        Ok(data) if data.len() + COMPRESSED_HEAD_BYTES < blob.len() && blob.len() <= MAX_EXPANDED_BYTES => {
            compressed.extend_from_slice(&data);
            compressed
        }
        _ => blob.to_vec(),
    }
}

/// A blob of the file as it was before [`compress`].
pub(crate) fn expand(stored: Vec<u8>) -> Result<Bytes, DecodeError> {
    if stored.first() != Some(&COMPRESSED) {
        return Ok(Bytes::from(stored));
    }
    let (head, data) = stored.split_at_checked(COMPRESSED_HEAD_BYTES).ok_or(DecodeError::Compression)?;
    let length = head.get(1..).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    let length = length.map_or(usize::MAX, |length| length as usize);
    // A damaged length must not allocate gigabytes.
    if length > MAX_EXPANDED_BYTES {
        return Err(DecodeError::Compression);
    }
    let blob = zstd::bulk::decompress(data, length).map_err(|_| DecodeError::Compression)?;
    if blob.len() == length { Ok(Bytes::from(blob)) } else { Err(DecodeError::Compression) }
}

/// Size of a record in a blob, in bytes.
pub(crate) fn encoded_bytes(record: &NewRecord) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| HEADER_HEAD_BYTES + name.len() + value.len()).sum();
    RECORD_HEAD_BYTES + record.key.as_ref().map_or(0, Bytes::len) + record.payload.len() + headers
}

/// Appends a record. The caller has checked that it is within [`crate::MAX_RECORD_BYTES`], so lengths fit 32 bits.
pub(crate) fn append(blob: &mut BytesMut, record: &NewRecord) {
    blob.reserve(encoded_bytes(record));
    blob.put_u32_le(record.key.as_ref().map_or(NO_KEY, |key| key.len() as u32));
    blob.put_u32_le(record.payload.len() as u32);
    blob.put_u32_le(record.headers.len() as u32);
    blob.put_i64_le(record.timestamp.timestamp_millis());
    if let Some(key) = &record.key {
        blob.put_slice(key);
    }
    blob.put_slice(&record.payload);
    for (name, value) in &record.headers {
        blob.put_u32_le(name.len() as u32);
        blob.put_u32_le(value.len() as u32);
        blob.put_slice(name.as_bytes());
        blob.put_slice(value);
    }
}

/// Decodes the records of a blob one by one.
#[derive(Clone, Debug)]
pub(crate) struct BatchReader {
    blob: Bytes,
    at: usize,
}

impl BatchReader {
    /// Starts at the first record.
    pub(crate) fn new(blob: Bytes) -> Result<Self, DecodeError> {
        if blob.first() == Some(&VERSION) { Ok(Self { blob, at: 1 }) } else { Err(DecodeError::Version) }
    }

    /// The next record; `None` at the end.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, DecodeError> {
        if self.at == self.blob.len() {
            return Ok(None);
        }
        let start = self.at;
        let key_length = self.u32()?;
        let payload_length = self.u32()? as usize;
        let header_count = self.u32()?;
        let millis = i64::from_le_bytes(self.array()?);
        let timestamp = DateTime::from_timestamp_millis(millis).ok_or(DecodeError::Damaged(start))?;
        let key = if key_length == NO_KEY { None } else { Some(self.slice(key_length as usize)?) };
        let payload = self.slice(payload_length)?;
        // No capacity from the count: a damaged count must not allocate gigabytes.
        let mut headers = Vec::new();
        for _ in 0..header_count {
            let name_length = self.u32()? as usize;
            let value_length = self.u32()? as usize;
            let name_at = self.at;
            let name = self.slice(name_length)?;
            let name = std::str::from_utf8(&name).map_err(|_| DecodeError::Damaged(name_at))?.to_owned();
            headers.push((name, self.slice(value_length)?));
        }
        Ok(Some(Record { key, payload, headers, timestamp }))
    }

    /// Skips up to `count` records.
    pub(crate) fn skip(&mut self, count: u64) -> Result<(), DecodeError> {
        for _ in 0..count {
            if self.next_record()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.blob.get(self.at..self.at + N).ok_or(DecodeError::Short(self.at))?;
        self.at += N;
        bytes.try_into().map_err(|_| DecodeError::Short(self.at))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.blob.len() - self.at {
            return Err(DecodeError::Short(self.at));
        }
        let slice = self.blob.slice(self.at..self.at + length);
        self.at += length;
        Ok(slice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = NewRecord> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let headers = prop::collection::vec((".{0,12}", bytes()), 0..4);
        // Years 0 to 9999.
        let millis = -62_167_219_200_000_i64..253_402_300_799_999;
        (prop::option::of(bytes()), bytes(), headers, millis).prop_map(|(key, payload, headers, millis)| {
            NewRecord { key, payload, headers, timestamp: DateTime::from_timestamp_millis(millis).unwrap() }
        })
    }

    fn read_all(blob: Bytes) -> Result<Vec<Record>, DecodeError> {
        let mut reader = BatchReader::new(blob)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    fn encode(records: &[NewRecord]) -> Bytes {
        let mut blob = begin(0);
        for record in records {
            append(&mut blob, record);
        }
        blob.freeze()
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_as_it_was_written(records in prop::collection::vec(any_record(), 0..20)) {
            let blob = encode(&records);
            prop_assert_eq!(blob.len(), 1 + records.iter().map(encoded_bytes).sum::<usize>());
            let expected: Vec<_> = records
                .into_iter()
                .map(|NewRecord { key, payload, headers, timestamp }| Record { key, payload, headers, timestamp })
                .collect();
            prop_assert_eq!(&expand(compress(&blob)).unwrap(), &blob);
            prop_assert_eq!(read_all(blob).unwrap(), expected);
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_all(Bytes::from(bytes.clone()));
            let mut compressed = vec![COMPRESSED];
            compressed.extend(&bytes);
            let _ = expand(compressed);
            let mut versioned = vec![VERSION];
            versioned.extend(bytes);
            let _ = read_all(Bytes::from(versioned));
        }

        #[test]
        fn a_cut_batch_is_refused(records in prop::collection::vec(any_record(), 1..4), part in 0.0..1.0_f64) {
            let blob = encode(&records);
            let last = encoded_bytes(records.last().unwrap());
            // Within the last record, never at its boundary.
            let cut = blob.len() - last + 1 + (part * (last - 1) as f64) as usize;
            prop_assume!(cut < blob.len());
            prop_assert!(matches!(read_all(blob.slice(..cut)), Err(DecodeError::Short(_))));
        }
    }

    #[test]
    fn records_that_repeat_are_compressed() {
        let blob = encode(&vec![
            NewRecord {
                key: None,
                payload: Bytes::from_static(b"a payload that repeats"),
                headers: Vec::new(),
                timestamp: DateTime::UNIX_EPOCH,
            };
            100
        ]);
        let stored = compress(&blob);
        assert!(stored.len() < blob.len() / 10, "{} of {}", stored.len(), blob.len());
        assert_eq!(expand(stored.clone()), Ok(blob));
        assert_eq!(expand(stored[..20].to_vec()), Err(DecodeError::Compression));
    }

    #[test]
    fn a_batch_of_another_version_is_refused() {
        assert_eq!(read_all(Bytes::from_static(&[3, 0, 0])), Err(DecodeError::Version));
        assert_eq!(read_all(Bytes::new()), Err(DecodeError::Version));
    }
}
