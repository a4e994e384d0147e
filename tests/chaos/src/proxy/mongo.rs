//! The part of MongoDB's wire protocol that is needed to lose the reply to a write: a message starts with its length, its number
//! and the number of its request; in an `OP_MSG` the first element of the first body is the command.

use std::{
    collections::HashMap,
    io::{Error, ErrorKind, Result},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use super::{Mode, passable};

/// Length, number, number of the request, kind; four bytes each, little-endian.
const HEADER_BYTES: usize = 16;
/// Size limit of a message, in bytes, as in MongoDB.
const MAX_MESSAGE_BYTES: usize = 48_000_000;
/// The kind `OP_MSG`.
const OP_MSG: u32 = 2013;
/// Commands that write.
const WRITES: [&[u8]; 4] = [b"insert", b"update", b"delete", b"findAndModify"];

/// How a reply is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// With its connection: the client gets an error at once.
    Cut,
    /// Without an error: the client waits until its timeout.
    Dropped,
}

/// Shared state of all connections of a proxy.
#[derive(Clone)]
pub(super) struct Conversation {
    every: u64,
    writes: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

/// One connection.
pub(super) struct Connection {
    conversation: Conversation,
    /// Numbers of the requests whose reply is to be lost.
    to_lose: Mutex<HashMap<u32, Loss>>,
}

impl Conversation {
    pub(super) fn new(every: u64, lost: Arc<AtomicU64>) -> Self {
        Self { every: every.max(1), writes: Arc::default(), lost }
    }

    pub(super) fn connection(self) -> Connection {
        Connection { conversation: self, to_lose: Mutex::default() }
    }

    /// Counts a write. Returns whether and how its reply is to be lost.
    fn next_write(&self) -> Option<Loss> {
        let count = self.writes.fetch_add(1, Ordering::AcqRel) + 1;
        let is_lost = count.is_multiple_of(self.every);
        // Alternates, as clients handle the two differently.
        is_lost.then(|| if (count / self.every).is_multiple_of(2) { Loss::Dropped } else { Loss::Cut })
    }
}

impl Connection {
    pub(super) async fn requests(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
        mut modes: watch::Receiver<Mode>,
    ) -> Result<()> {
        loop {
            let message = read(&mut from).await?;
            if command(&message).is_some_and(|command| WRITES.contains(&command))
                && let Some(loss) = self.conversation.next_write()
            {
                self.to_lose().insert(number(&message, 4), loss);
            }
            passable(&mut modes).await?;
            to.write_all(&message).await?;
        }
    }

    pub(super) async fn replies(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
        mut modes: watch::Receiver<Mode>,
    ) -> Result<()> {
        loop {
            let message = read(&mut from).await?;
            passable(&mut modes).await?;
            let to_lose = self.to_lose().remove(&number(&message, 8));
            match to_lose {
                None => to.write_all(&message).await?,
                Some(loss) => {
                    self.conversation.lost.fetch_add(1, Ordering::AcqRel);
                    if loss == Loss::Cut {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn to_lose(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Loss>> {
        self.to_lose.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one message.
async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> Result<Vec<u8>> {
    let mut message = vec![0; HEADER_BYTES];
    from.read_exact(&mut message).await?;
    let length = number(&message, 0) as usize;
    if !(HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&length) {
        return Err(Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    message.resize(length, 0);
    from.read_exact(&mut message[HEADER_BYTES..]).await?;
    Ok(message)
}

fn number(message: &[u8], at: usize) -> u32 {
    let bytes = message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

/// The command of a request. After the flags there are sections: one of kind 0 is a document, whose first element has the name
/// of the command; one of kind 1 starts with its length.
fn command(message: &[u8]) -> Option<&[u8]> {
    if number(message, 12) != OP_MSG {
        return None;
    }
    let mut at = HEADER_BYTES + 4;
    loop {
        match message.get(at)? {
            0 => {
                // Length of the document, type of the first element, its name up to a zero byte.
                let name = message.get(at + 6..)?;
                return name.split(|byte| *byte == 0).next();
            }
            1 => at += 1 + number(message, at + 1).max(4) as usize,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sections: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + 4 + sections.len()) as u32;
        let head = [length, 7, 0, OP_MSG, 0].map(u32::to_le_bytes).concat();
        [&head[..], sections].concat()
    }

    #[test]
    fn the_command_is_found_before_and_after_its_documents() {
        let body = b"\0\x11\0\0\0\x02insert\0\x01\0\0\0x\0\0";
        let documents = b"\x01\x12\0\0\0documents\0\x05\0\0\0\0";
        assert_eq!(command(&message(&[&body[..], documents].concat())), Some(&b"insert"[..]));
        let documents = [&[1][..], &18_u32.to_le_bytes(), b"documents\0\0\0\0\0"].concat();
        assert_eq!(command(&message(&[&documents[..], body].concat())), Some(&b"insert"[..]));
        assert_eq!(command(&message(b"\x09")), None);
        assert_eq!(command(b"short"), None);
    }
}
