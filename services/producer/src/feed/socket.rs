//! One web socket of a venue: with limits on its frames and on every wait.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};
use url::Url;

use crate::supervise::FeedError;

/// Venues end a connection after 24 hours; we end it before, at a moment of our own.
const MAX_CONNECTION_SECONDS: u64 = 23 * 3_600;
/// Larger frames are refused.
const MAX_FRAME_BYTES: usize = 1 << 20;
const CONNECT_TIMEOUT_MS: u64 = 5_000;
const SEND_TIMEOUT_MS: u64 = 2_000;

/// What a connection requests: by its address, by messages, or both.
pub(crate) struct Request {
    pub(crate) url: Url,
    /// Sent at once.
    pub(crate) messages: Vec<String>,
}

/// A connection whose deadline is moved by data only: a venue may answer pings while its data have stopped.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    silence: Duration,
    silent_at: Instant,
    end: Instant,
}

impl Socket {
    /// Connects and subscribes.
    pub(crate) async fn open(request: Request, silence: Duration) -> Result<Self, FeedError> {
        service_runtime::install_tls();
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let connecting = connect_async_with_config(request.url.as_str(), Some(limits), true);
        let (stream, _) = timeout(Duration::from_millis(CONNECT_TIMEOUT_MS), connecting)
            .await
            .map_err(|_| FeedError::provider("the web socket does not answer"))?
            .map_err(|error| FeedError::provider(format!("the web socket: {error}")))?;
        let now = Instant::now();
        let end = now + Duration::from_secs(MAX_CONNECTION_SECONDS);
        let mut socket = Self { stream, silence, silent_at: now + silence, end };
        socket.send(request.messages).await?;
        Ok(socket)
    }

    pub(crate) async fn send(&mut self, messages: Vec<String>) -> Result<(), FeedError> {
        for message in messages {
            let sending = self.stream.send(Message::text(message));
            timeout(Duration::from_millis(SEND_TIMEOUT_MS), sending)
                .await
                .map_err(|_| FeedError::provider("the web socket takes no messages"))?
                .map_err(|error| FeedError::provider(format!("the web socket: {error}")))?;
        }
        Ok(())
    }

    /// The next frame; `None` at the end of the connection, which is the venue's or ours.
    ///
    /// # Errors
    /// No data until the deadline, or a connection that broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Utf8Bytes>, FeedError> {
        while Instant::now() < self.end {
            let silent = |_| FeedError::provider(format!("no data for {:.1} s", self.silence.as_secs_f64()));
            match timeout_at(self.silent_at, self.stream.next()).await.map_err(silent)? {
                Some(Ok(Message::Text(text))) => return Ok(Some(text)),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                // Pings, which reading on answers, are no data: a connection may ping for ever.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(FeedError::provider(format!("the web socket: {error}"))),
            }
        }
        Ok(None)
    }

    /// The last frame was data.
    pub(crate) fn data_received(&mut self) {
        self.silent_at = Instant::now() + self.silence;
    }
}
