//! Copies messages out of the client's buffers, which must be returned to it soon. One allocation holds the bytes of many
//! messages.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::{CommitHandle, MAX_DELIVERY_BYTES, Message, Position, TopicPartition, check::size};

/// Size at which a new allocation starts, in bytes: a message that is kept keeps its whole allocation in memory.
const ARENA_BYTES: usize = 256 << 10;

/// Collects messages.
#[derive(Default)]
pub(crate) struct Arena {
    bytes: BytesMut,
    /// Size of all messages, in bytes.
    size: usize,
    pending: Vec<Pending>,
    finished: Vec<Message>,
}

struct Pending {
    position: Position,
    generation: Option<u64>,
    key_bytes: Option<usize>,
    payload_bytes: usize,
    headers: Vec<(String, Bytes)>,
    timestamp: DateTime<Utc>,
}

impl Arena {
    /// Whether a delivery of up to `max` messages is full.
    pub(crate) fn is_full(&self, max: usize) -> bool {
        self.pending.len() + self.finished.len() >= max || self.size >= MAX_DELIVERY_BYTES
    }

    /// Copies one message. `generation` is the assignment that delivered it; without one the message has no handle.
    pub(crate) fn push(
        &mut self,
        from: &TopicPartition,
        generation: Option<u64>,
        message: &BorrowedMessage<'_>,
    ) {
        let key = message.key();
        let payload = message.payload().unwrap_or_default();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(payload);
        let headers = headers_of(message);
        self.size += size(key, payload, &headers);
        let millis = message.timestamp().to_millis().unwrap_or(0);
        self.pending.push(Pending {
            position: Position { topic_partition: from.clone(), offset: message.offset().unsigned_abs() },
            generation,
            key_bytes: key.map(<[u8]>::len),
            payload_bytes: payload.len(),
            headers,
            timestamp: DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH),
        });
        if self.bytes.len() >= ARENA_BYTES {
            self.freeze();
        }
    }

    /// All messages, in the order of [`Arena::push`].
    pub(crate) fn finish(mut self) -> Vec<Message> {
        self.freeze();
        self.finished
    }

    fn freeze(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes).freeze();
        self.finished.reserve(self.pending.len());
        for pending in self.pending.drain(..) {
            let Pending { position, generation, key_bytes, payload_bytes, headers, timestamp } = pending;
            let key = key_bytes.map(|length| bytes.split_to(length));
            let payload = bytes.split_to(payload_bytes);
            let handle = generation.map(|generation| CommitHandle { position: position.clone(), generation });
            self.finished.push(Message { position, key, payload, headers, timestamp, handle });
        }
    }
}

fn headers_of(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let Some(headers) = message.headers() else {
        return Vec::new();
    };
    let read = |index| {
        // The client panics on a header name that is not UTF-8, which any other program may have published.
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok().flatten();
        if header.is_none() {
            tracing::warn!(
                topic = message.topic(),
                offset = message.offset(),
                "skipped a header whose name is not UTF-8"
            );
        }
        header.map(|header| (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default())))
    };
    (0..headers.count()).filter_map(read).collect()
}
