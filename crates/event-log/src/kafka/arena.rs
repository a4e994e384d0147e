//! Messages of the client, which must go back to it soon, become ours: one allocation holds the bytes of many.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::{CommitHandle, MAX_DELIVERY_BYTES, Message, Position, TopicPartition, check::size};

/// Bytes after which a new allocation begins: a message kept for long keeps its neighbours in memory.
const ARENA_BYTES: usize = 256 << 10;

/// Collects messages.
#[derive(Default)]
pub(crate) struct Arena {
    bytes: BytesMut,
    /// Of all messages, in bytes.
    size: usize,
    waiting: Vec<Waiting>,
    done: Vec<Message>,
}

struct Waiting {
    position: Position,
    generation: Option<u64>,
    key_bytes: Option<usize>,
    payload_bytes: usize,
    headers: Vec<(String, Bytes)>,
    timestamp: DateTime<Utc>,
}

impl Arena {
    /// Whether a delivery of up to `max` messages has no room for more.
    pub(crate) fn is_full(&self, max: usize) -> bool {
        self.waiting.len() + self.done.len() >= max || self.size >= MAX_DELIVERY_BYTES
    }

    /// Copies one.
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
        self.waiting.push(Waiting {
            position: Position { topic_partition: from.clone(), offset: message.offset().unsigned_abs() },
            generation,
            key_bytes: key.map(<[u8]>::len),
            payload_bytes: payload.len(),
            headers,
            timestamp: DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH),
        });
        if self.bytes.len() >= ARENA_BYTES {
            self.settle();
        }
    }

    /// All of them, in the order they came.
    pub(crate) fn finish(mut self) -> Vec<Message> {
        self.settle();
        self.done
    }

    fn settle(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes).freeze();
        self.done.reserve(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            let Waiting { position, generation, key_bytes, payload_bytes, headers, timestamp } = waiting;
            let key = key_bytes.map(|length| bytes.split_to(length));
            let payload = bytes.split_to(payload_bytes);
            let handle = generation.map(|generation| CommitHandle { position: position.clone(), generation });
            self.done.push(Message { position, key, payload, headers, timestamp, handle });
        }
    }
}

fn headers_of(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let Some(headers) = message.headers() else {
        return Vec::new();
    };
    let read = |index| {
        // The client panics on a name that is not UTF-8, which anybody may have published.
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok().flatten();
        if header.is_none() {
            tracing::warn!(
                topic = message.topic(),
                offset = message.offset(),
                "a header's name is not UTF-8"
            );
        }
        header.map(|header| (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default())))
    };
    (0..headers.count()).filter_map(read).collect()
}
