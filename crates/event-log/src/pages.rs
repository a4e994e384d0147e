//! Reads one partition page by page.

use std::ops::Range;

use crate::{EventLog, Message, Result, TopicPartition};

/// Reads an offset range of one partition without a group, one page at a time.
pub struct Pages<'a> {
    log: &'a dyn EventLog,
    partition: TopicPartition,
    rest: Range<u64>,
    size: usize,
}

impl<'a> Pages<'a> {
    /// Pages of up to `size` records, and of at most about [`crate::MAX_DELIVERY_BYTES`]. The last page may extend beyond the
    /// range.
    pub const fn new(
        log: &'a dyn EventLog,
        partition: TopicPartition,
        offsets: Range<u64>,
        size: usize,
    ) -> Self {
        Self { log, partition, rest: offsets, size }
    }

    /// The next page; `None` at the end of the range or of the partition.
    ///
    /// # Errors
    /// As [`EventLog::read`]; another call reads the same page again.
    pub async fn next(&mut self) -> Result<Option<Vec<Message>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let page = self.log.read(&self.partition, self.rest.start, self.size).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.rest.start = last.position.offset + 1;
        Ok(Some(page))
    }
}
