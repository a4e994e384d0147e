//! A local venue with the interface of Binance: the statistics of the day over HTTP, trades over a web socket. It sends trades at
//! a rate, limited by its reader, and counts them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// Interval between two bursts of trades.
const BURST_INTERVAL_MS: u64 = 10;
/// Size limit of an HTTP request, in bytes.
const MAX_REQUEST_BYTES: usize = 16 << 10;
/// Statistics of the day, of the one symbol.
const FIGURES: &str = r#"[{"symbol":"BNBUSDT","priceChangePercent":"1.5","openPrice":"100","highPrice":"120","lowPrice":"90","volume":"1000"}]"#;

/// The venue; closed when dropped.
pub struct Venue {
    /// Base URL of its HTTP interface.
    pub rest_url: String,
    /// Base URL of its web socket.
    pub socket_url: String,
    counters: Arc<Counters>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counters {
    trades: AtomicU64,
    connections: AtomicU64,
    is_paused: AtomicBool,
}

impl Venue {
    /// Its symbol.
    pub const SYMBOL: &str = "BNB/USDT";

    /// Starts a venue that sends this number of trades per second on each connection.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub async fn open(trades_per_second: u32) -> anyhow::Result<Self> {
        let (rest, socket) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let rest_url = format!("http://{}", rest.local_addr()?);
        let socket_url = format!("ws://{}", socket.local_addr()?);
        let counters = Arc::new(Counters::default());
        let sending = Arc::clone(&counters);
        let tasks = vec![
            tokio::spawn(listen(rest, |stream| async {
                // The feed retries a failed request.
                let _ = respond(stream).await;
            })),
            tokio::spawn(listen(socket, move |stream| {
                let counters = Arc::clone(&sending);
                async move { send_trades(stream, trades_per_second, counters).await }
            })),
        ];
        Ok(Self { rest_url, socket_url, counters, tasks })
    }

    /// Number of trades sent so far.
    pub fn trades(&self) -> u64 {
        self.counters.trades.load(Ordering::Acquire)
    }

    /// Number of connections to its web socket so far.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Acquire)
    }

    /// Stops sending trades, and keeps the connections.
    pub fn pause(&self) {
        self.counters.is_paused.store(true, Ordering::Release);
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) async fn listen<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    // Connections end with the set, when the venue is dropped.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    // No candles of the past.
    let body = if request.starts_with(b"GET /api/v3/ticker/24hr") { FIGURES } else { "[]" };
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await?;
    stream.shutdown().await
}

async fn send_trades(stream: TcpStream, trades_per_second: u32, counters: Arc<Counters>) {
    let Ok(socket) = accept_async(stream).await else { return };
    counters.connections.fetch_add(1, Ordering::AcqRel);
    let (mut to, mut from) = socket.split();
    let begun = Instant::now();
    let mut sent = 0;
    let mut burst = tokio::time::interval(Duration::from_millis(BURST_INTERVAL_MS));
    loop {
        tokio::select! {
            _ = burst.tick() => {}
            // Reading responds to pings, and detects the end of the connection.
            received = from.next() => match received {
                Some(Ok(_)) => continue,
                _ => return,
            },
        }
        let due = (begun.elapsed().as_secs_f64() * f64::from(trades_per_second)) as u64;
        while sent < due && !counters.is_paused.load(Ordering::Acquire) {
            sent += 1;
            let id = counters.trades.load(Ordering::Acquire) + 1;
            if to.feed(Message::text(trade(id))).await.is_err() {
                return;
            }
            counters.trades.store(id, Ordering::Release);
        }
        if to.flush().await.is_err() {
            return;
        }
    }
}

fn trade(id: u64) -> String {
    let now = Utc::now().timestamp_millis();
    let cents = id % 100;
    format!(
        r#"{{"stream":"bnbusdt@trade","data":{{"e":"trade","E":{now},"s":"BNBUSDT","t":{id},"p":"100.{cents:02}","q":"1","T":{now},"m":true,"M":true}}}}"#
    )
}
