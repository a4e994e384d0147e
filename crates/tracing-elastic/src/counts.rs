//! What has become of the events.

/// What has become of the events so far. All values are of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that the layer received, and documents that this crate added itself: one for each run of dropped events, one for each
    /// panic.
    pub accepted: u64,
    /// Documents that Elasticsearch created (201).
    pub indexed: u64,
    /// Documents that an earlier try had created, whose answer was lost (409).
    pub already_there: u64,
    /// Documents in the dead-letter file.
    pub dead_lettered: u64,
    /// Events lost: the queue was full or closed, or the dead-letter file was full or could not be written.
    pub dropped: u64,
    /// Documents that wait or are being sent.
    pub queued: u64,
    /// Bytes of the queued documents.
    pub queued_bytes: u64,
}

impl Counts {
    /// Whether every event has one known end: accepted = indexed + already there + dead-lettered + dropped.
    pub fn is_settled(&self) -> bool {
        self.accepted == self.indexed + self.already_there + self.dead_lettered + self.dropped
    }
}
