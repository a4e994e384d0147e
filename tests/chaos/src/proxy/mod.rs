//! A TCP proxy between the services and a server: forwards, delays, drops all data, closes connections, or drops replies.

mod mongo;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::mongo::Conversation;

/// Size of a forwarded block, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// What a proxy does with data and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards data.
    Pass,
    /// Keeps connections, accepts new ones, and forwards nothing: a network that drops all packets.
    Silent,
    /// Closes all connections, and new ones at once.
    Cut,
}

/// A proxy; ends with all its connections when dropped.
pub struct Proxy {
    mode: watch::Sender<Mode>,
    lost: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of this host and forwards to another one. With `lost_reply_every` the protocol is MongoDB's, and the
    /// reply to one in this number of writes is lost.
    ///
    /// # Errors
    /// A port in use.
    pub async fn start(port: u16, to_port: u16, lost_reply_every: Option<u64>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("the proxy's port {port}"))?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let lost = Arc::new(AtomicU64::new(0));
        let conversation = lost_reply_every.map(|every| Conversation::new(every, Arc::clone(&lost)));
        let accepting = tokio::spawn(accept(listener, to_port, modes, conversation));
        Ok(Self { mode, lost, accepting })
    }

    /// Sets the mode of all connections.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Number of replies lost so far.
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
    modes: watch::Receiver<Mode>,
    conversation: Option<Conversation>,
) {
    // Connections end with the set.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(serve(client, to_port, modes.clone(), conversation.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    client: TcpStream,
    to_port: u16,
    mut modes: watch::Receiver<Mode>,
    conversation: Option<Conversation>,
) {
    let mut cut = modes.clone();
    let passing = async {
        // In mode `Silent` the connection of the client stays open, without one to the server.
        passable(&mut modes).await?;
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to_port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        if let Some(conversation) = conversation {
            let connection = conversation.connection();
            let there = connection.requests(from_client, to_server, modes.clone());
            let back = connection.replies(from_server, to_client, modes);
            tokio::select! { ended = there => ended, ended = back => ended }
        } else {
            let there = pass(from_client, to_server, modes.clone());
            let back = pass(from_server, to_client, modes);
            tokio::select! { ended = there => ended, ended = back => ended }
        }
    };
    // Both connections are closed, whichever ends first.
    tokio::select! {
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
        _ = passing => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut modes: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        passable(&mut modes).await?;
        to.write_all(&buffer[..count]).await?;
    }
}

/// Waits until the mode permits forwarding.
async fn passable(modes: &mut watch::Receiver<Mode>) -> std::io::Result<()> {
    let gone = |_| std::io::Error::other("the proxy is gone");
    modes.wait_for(|mode| *mode != Mode::Silent).await.map(drop).map_err(gone)
}
