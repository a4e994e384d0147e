//! A venue on this host that speaks as Binance does: the day's figures over HTTP, trades over a web socket. It sends at its
//! pace, as fast as its reader takes them, and counts.

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

/// Between two bursts of trades.
const BURST_INTERVAL_MS: u64 = 10;
/// The largest question over HTTP.
const MAX_QUESTION_BYTES: usize = 16 << 10;
/// The day's figures of the one symbol.
const FIGURES: &str = r#"[{"symbol":"BNBUSDT","priceChangePercent":"1.5","openPrice":"100","highPrice":"120","lowPrice":"90","volume":"1000"}]"#;

/// The venue; closed when dropped.
pub struct Venue {
    /// Base of its HTTP side.
    pub rest_url: String,
    /// Base of its web socket.
    pub socket_url: String,
    said: Arc<Said>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Said {
    trades: AtomicU64,
    connections: AtomicU64,
    is_quiet: AtomicBool,
}

impl Venue {
    /// What it trades.
    pub const SYMBOL: &str = "BNB/USDT";

    /// Opens it; on a connection it says so many trades a second.
    ///
    /// # Errors
    /// When the operating system has no port.
    pub async fn open(trades_per_second: u32) -> anyhow::Result<Self> {
        let (rest, socket) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let rest_url = format!("http://{}", rest.local_addr()?);
        let socket_url = format!("ws://{}", socket.local_addr()?);
        let said = Arc::new(Said::default());
        let talking = Arc::clone(&said);
        let tasks = vec![
            tokio::spawn(listen(rest, |stream| async {
                // A question that breaks off is asked again.
                let _ = answer(stream).await;
            })),
            tokio::spawn(listen(socket, move |stream| {
                let said = Arc::clone(&talking);
                async move { talk(stream, trades_per_second, said).await }
            })),
        ];
        Ok(Self { rest_url, socket_url, said, tasks })
    }

    /// Trades that were said so far.
    pub fn trades(&self) -> u64 {
        self.said.trades.load(Ordering::Acquire)
    }

    /// How often its socket was opened.
    pub fn connections(&self) -> u64 {
        self.said.connections.load(Ordering::Acquire)
    }

    /// Says nothing more, and stays connected.
    pub fn fall_quiet(&self) {
        self.said.is_quiet.store(true, Ordering::Release);
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn listen<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
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

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut question = Vec::new();
    while !question.windows(4).any(|end| end == b"\r\n\r\n") && question.len() < MAX_QUESTION_BYTES {
        if stream.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    // No bars of the past.
    let body = if question.starts_with(b"GET /api/v3/ticker/24hr") { FIGURES } else { "[]" };
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await?;
    stream.shutdown().await
}

async fn talk(stream: TcpStream, trades_per_second: u32, said: Arc<Said>) {
    let Ok(socket) = accept_async(stream).await else { return };
    said.connections.fetch_add(1, Ordering::AcqRel);
    let (mut to, mut from) = socket.split();
    let begun = Instant::now();
    let mut here = 0;
    let mut burst = tokio::time::interval(Duration::from_millis(BURST_INTERVAL_MS));
    loop {
        tokio::select! {
            _ = burst.tick() => {}
            // Reading answers pings, and tells of the end.
            heard = from.next() => match heard {
                Some(Ok(_)) => continue,
                _ => return,
            },
        }
        let due = (begun.elapsed().as_secs_f64() * f64::from(trades_per_second)) as u64;
        while here < due && !said.is_quiet.load(Ordering::Acquire) {
            here += 1;
            let id = said.trades.load(Ordering::Acquire) + 1;
            if to.feed(Message::text(trade(id))).await.is_err() {
                return;
            }
            said.trades.store(id, Ordering::Release);
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
