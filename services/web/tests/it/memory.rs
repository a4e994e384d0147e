//! What a live client costs, measured from outside on the real binary.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chrono::Utc;
use live_store::StoredTick;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{DEADLINE, empty_runtime, minute_candle, tick};

const SYMBOLS: usize = 50;
const MINUTES: i64 = 100;
/// Before the measurement, so that what is allocated once does not count.
const FIRST_CLIENTS: usize = 50;
const CLIENTS: usize = 400;
/// Measured are 7.2 KB (`docs/decisions/0070-memory-is-allocated-by-jemalloc.md`).
const MAX_BYTES_PER_CLIENT: u64 = 16 * 1024;

/// A store with prices and sparklines.
async fn filled_store(dir: &TempDir) -> String {
    let (runtime, store) = empty_runtime(dir).await;
    for n in 0..SYMBOLS {
        let name = format!("S{n}/USDT");
        let tick = tick(&name, "101.25", Utc::now(), n as u64);
        let stored = StoredTick { tick, processed_at: Utc::now(), partition: 0, offset: n as u64 };
        store.write_ticks(&[stored]).await.expect("stored");
        let candles: Vec<_> = (1..=MINUTES).map(|ago| minute_candle(&name, ago, "101.125")).collect();
        store.write_candles(&candles).await.expect("stored");
    }
    drop((runtime, store));
    dir.path().display().to_string()
}

/// The binary, ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(dir: &TempDir) -> (Server, String) {
    let path = filled_store(dir).await;
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let child = Command::new(env!("CARGO_BIN_EXE_web"))
        .args(["--log", &format!("sqlite:{path}/log.db"), "--store", &format!("sqlite:{path}/store.db")])
        .args(["--listen", &port.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let server = Server(child);
    let url = format!("http://{port}/readyz");
    let ready = async {
        while !reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, ready).await.expect("ready before the deadline");
    (server, port.to_string())
}

/// A client that has received a price, a candle and a sparkline of every symbol, and waits for more.
async fn client(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // What a browser sends.
    let request = format!(
        "GET /events?kinds=quote,spark HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCache-Control: no-cache\r\n\
         Connection: keep-alive\r\nReferer: http://{address}/\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Site: same-origin\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like \
         Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut received = Vec::new();
    let complete = async {
        while received.windows(12).filter(|text| text == b"event: spark").count() < SYMBOLS {
            assert_ne!(stream.read_buf(&mut received).await.expect("bytes"), 0, "the stream goes on");
        }
    };
    timeout(DEADLINE, complete).await.expect("everything arrives before the deadline");
    stream
}

fn resident_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.0.id())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

#[tokio::test]
async fn an_idle_live_client_costs_at_most_16_kib() {
    // The client is built for TLS although nothing here uses it; a second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = TempDir::new().expect("a folder");
    let (server, address) = start(&dir).await;
    let mut clients = Vec::new();
    for _ in 0..FIRST_CLIENTS {
        clients.push(client(&address).await);
    }
    let before = resident_bytes(&server);
    for _ in 0..CLIENTS {
        clients.push(client(&address).await);
    }
    let per_client = resident_bytes(&server).saturating_sub(before) / CLIENTS as u64;
    println!("{per_client} bytes for each live client");
    assert!(per_client <= MAX_BYTES_PER_CLIENT, "{per_client} bytes for each live client");
}
