//! A TCP proxy between the services and a server: passes on, delays, falls silent, cuts, or loses replies.

mod mongo;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::mongo::Conversation;

/// Bytes passed on at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What a proxy does with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes them on.
    Pass,
    /// Passes them on so much later, in milliseconds; both ways.
    Delay(u64),
    /// Keeps connections, takes new ones, and passes nothing on: a network that swallows everything.
    Silent,
    /// Ends connections, and every new one at once: nobody listens.
    Cut,
}

/// A proxy; ends with all its connections when dropped.
pub struct Proxy {
    mode: watch::Sender<Mode>,
    lost: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of this host and passes on to another. With `lost_reply_every` both sides speak MongoDB's
    /// protocol, and the reply to every so many-th write is lost.
    ///
    /// # Errors
    /// A port that is taken.
    pub async fn start(port: u16, to_port: u16, lost_reply_every: Option<u64>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("the proxy's port {port}"))?;
        let (mode, heard) = watch::channel(Mode::Pass);
        let lost = Arc::new(AtomicU64::new(0));
        let conversation = lost_reply_every.map(|every| Conversation::new(every, Arc::clone(&lost)));
        let accepting = tokio::spawn(accept(listener, to_port, heard, conversation));
        Ok(Self { mode, lost, accepting })
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Replies lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    to_port: u16,
    heard: watch::Receiver<Mode>,
    conversation: Option<Conversation>,
) {
    // Connections end with the set.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(serve(client, to_port, heard.clone(), conversation.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    client: TcpStream,
    to_port: u16,
    mut heard: watch::Receiver<Mode>,
    conversation: Option<Conversation>,
) {
    let mut cut = heard.clone();
    let passing = async {
        // While it is silent the client's side is open, and nobody is asked.
        passable(&mut heard).await?;
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to_port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        if let Some(conversation) = conversation {
            let connection = conversation.connection();
            let there = connection.requests(from_client, to_server, heard.clone());
            let back = connection.replies(from_server, to_client, heard);
            tokio::select! { ended = there => ended, ended = back => ended }
        } else {
            let there = pass(from_client, to_server, heard.clone());
            let back = pass(from_server, to_client, heard);
            tokio::select! { ended = there => ended, ended = back => ended }
        }
    };
    // However a connection ends, both its sides are closed.
    tokio::select! {
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
        _ = passing => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut heard: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        passable(&mut heard).await?;
        to.write_all(&buffer[..count]).await?;
    }
}

/// Waits as the mode has it.
async fn passable(heard: &mut watch::Receiver<Mode>) -> std::io::Result<()> {
    let gone = |_| std::io::Error::other("the proxy is gone");
    let mode = *heard.wait_for(|mode| *mode != Mode::Silent).await.map_err(gone)?;
    if let Mode::Delay(delay_ms) = mode {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await; // the fault itself
    }
    Ok(())
}
