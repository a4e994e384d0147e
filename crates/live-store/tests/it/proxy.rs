//! A wire between store and server that can be cut, and that can swallow what the server answers.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::JoinHandle,
};

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Passes everything on.
    Whole,
    /// Forwards the client's requests, and drops the server's replies.
    NoAnswers,
    /// Closes every connection, old and new.
    Cut,
}

/// The proxy; ends with the value.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    wire: AtomicU8,
    changed: Notify,
}

impl Shared {
    fn is(&self, wire: Wire) -> bool {
        self.wire.load(Ordering::SeqCst) == wire as u8
    }
}

impl Proxy {
    /// In front of `host:port`.
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { wire: AtomicU8::new(Wire::Whole as u8), changed: Notify::new() });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Self { port, shared, accepting }
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.shared.wire.store(wire as u8, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Wire::Cut);
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.is(Wire::Cut) {
            continue;
        }
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pump(from_client, to_server, Arc::clone(&shared), false));
        tokio::spawn(pump(from_server, to_client, Arc::clone(&shared), true));
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: Arc<Shared>, is_answer: bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let changed = shared.changed.notified();
        if shared.is(Wire::Cut) {
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = changed => continue,
        };
        let Ok(length @ 1..) = read else { return };
        let swallowed = is_answer && shared.is(Wire::NoAnswers);
        if !swallowed && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
