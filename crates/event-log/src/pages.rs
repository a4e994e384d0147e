//! One partition, page by page.

use std::ops::Range;

use crate::{EventLog, Message, Result, TopicPartition};

/// The records of one partition between two offsets, without a group, a page at a time.
pub struct Pages<'a> {
    log: &'a dyn EventLog,
    partition: TopicPartition,
    rest: Range<u64>,
    size: usize,
}

impl<'a> Pages<'a> {
    /// Pages of up to `size` records, and no larger than [`crate::MAX_DELIVERY_BYTES`]. The last page may go on behind the
    /// range.
    pub const fn new(
        log: &'a dyn EventLog,
        partition: TopicPartition,
        offsets: Range<u64>,
        size: usize,
    ) -> Self {
        Self { log, partition, rest: offsets, size }
    }

    /// The next page; `None` at the end of the range, or of the log if that comes first.
    ///
    /// # Errors
    /// As [`EventLog::read`]; asked again, it reads the same page.
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
