//! The messages of one delivery to the caller.

use crate::{MAX_DELIVERY_BYTES, Message};

/// Messages up to a number, and up to [`MAX_DELIVERY_BYTES`].
pub(crate) struct Delivery {
    messages: Vec<Message>,
    max: usize,
    size: usize,
}

impl Delivery {
    /// A delivery of up to `max` messages.
    pub(crate) fn new(max: usize) -> Self {
        Self { messages: Vec::new(), max, size: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max || self.size >= MAX_DELIVERY_BYTES
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.size += message.size();
        self.messages.push(message);
    }

    pub(crate) fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// An empty delivery with the remaining capacity, for [`Delivery::append`].
    pub(crate) fn rest(&self) -> Self {
        Self { messages: Vec::new(), max: self.max.saturating_sub(self.len()), size: self.size }
    }

    pub(crate) fn append(&mut self, mut rest: Self) {
        self.messages.append(&mut rest.messages);
        self.size = rest.size;
    }
}
