//! A local venue with the interface of Binance that fails at random: its market goes on while connections are closed, hang, or bring
//! frames twice, in another order, in two parts, or not at all, and while its HTTP interface refuses.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use market::Symbol;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::venue::listen;

/// Its symbols, with their names there.
pub const SYMBOLS: [(&str, &str); 3] =
    [("BNB/USDT", "BNBUSDT"), ("BTC/USDT", "BTCUSDT"), ("ETH/USDT", "ETHUSDT")];
/// Between two trades of a symbol.
const TRADE_INTERVAL_MS: u64 = 50;
/// Between two looks of a connection at the market.
const SEND_INTERVAL_MS: u64 = 20;
/// A fault every so often, about.
const FAULT_INTERVAL_MS: std::ops::Range<u64> = 1_000..4_000;
/// How long a connection hangs, longer than the feed waits.
const HANGS: Duration = Duration::from_secs(4);
/// One HTTP request in so many is refused.
const REFUSED_OF: u32 = 5;
/// Size limit of an HTTP request, in bytes.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// One trade of the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Contiguous in its symbol, from 1.
    pub id: u64,
    /// When it happened.
    pub time: DateTime<Utc>,
}

/// What a connection does next.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Close,
    Drop,
    Hang,
    OnlyPings,
    Twice,
    Reorder,
    InTwoParts,
    Html,
    LeaveOut,
}

const FAULTS: [Fault; 9] = [
    Fault::Close,
    Fault::Drop,
    Fault::Hang,
    Fault::OnlyPings,
    Fault::Twice,
    Fault::Reorder,
    Fault::InTwoParts,
    Fault::Html,
    Fault::LeaveOut,
];

/// The venue; closed when dropped.
pub struct FaultyVenue {
    /// Base URL of its HTTP interface.
    pub rest_url: String,
    /// Base URL of its web socket.
    pub socket_url: String,
    market: Arc<Market>,
    tasks: Vec<JoinHandle<()>>,
}

/// The trades of each symbol, and what happened to connections.
#[derive(Default)]
struct Market {
    trades: Mutex<BTreeMap<&'static str, Vec<Trade>>>,
    is_faulty: AtomicBool,
    is_closed: AtomicBool,
    seed: u64,
    connections: AtomicU64,
    faults: Mutex<BTreeMap<String, u64>>,
}

impl FaultyVenue {
    /// Opens a venue whose faults begin at once.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub async fn open(seed: u64) -> anyhow::Result<Self> {
        let (rest, socket) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let rest_url = format!("http://{}", rest.local_addr()?);
        let socket_url = format!("ws://{}", socket.local_addr()?);
        let market = Arc::new(Market { seed, is_faulty: true.into(), ..Market::default() });
        let (of_rest, of_socket) = (Arc::clone(&market), Arc::clone(&market));
        let tasks = vec![
            tokio::spawn(trade(Arc::clone(&market))),
            tokio::spawn(listen(rest, move |stream| {
                let market = Arc::clone(&of_rest);
                async move {
                    // The feed retries a failed request.
                    let _ = respond(stream, &market).await;
                }
            })),
            tokio::spawn(listen(socket, move |stream| {
                let market = Arc::clone(&of_socket);
                async move {
                    // A connection that broke is one of the faults.
                    let _ = send_trades(stream, &market).await;
                }
            })),
        ];
        Ok(Self { rest_url, socket_url, market, tasks })
    }

    /// From now on everything works.
    pub fn recover(&self) {
        self.market.is_faulty.store(false, Ordering::Release);
    }

    /// Ends the trading; connections stay open.
    pub fn close(&self) {
        self.market.is_closed.store(true, Ordering::Release);
    }

    /// All trades of a symbol so far, in their order.
    pub fn trades(&self, symbol: &str) -> Vec<Trade> {
        self.market.trades().get(symbol).cloned().unwrap_or_default()
    }

    /// What happened, for the notes.
    pub fn summary(&self) -> String {
        let faults = self.market.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let faults: Vec<String> = faults.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        format!("{} connections; {}", self.market.connections.load(Ordering::Acquire), faults.join(", "))
    }
}

impl Drop for FaultyVenue {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Market {
    fn trades(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Vec<Trade>>> {
        self.trades.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of trades of each symbol.
    fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.trades().iter().map(|(symbol, trades)| (*symbol, trades.len())).collect()
    }

    fn note(&self, fault: impl std::fmt::Debug) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(format!("{fault:?}")).or_default() += 1;
    }

    fn is_faulty(&self) -> bool {
        self.is_faulty.load(Ordering::Acquire)
    }
}

/// The market goes on, whatever happens to connections.
async fn trade(market: Arc<Market>) {
    let mut due = tokio::time::interval(Duration::from_millis(TRADE_INTERVAL_MS));
    while !market.is_closed.load(Ordering::Acquire) {
        due.tick().await;
        let time = Utc::now();
        let mut trades = market.trades();
        for (symbol, _) in SYMBOLS {
            let of_symbol = trades.entry(symbol).or_default();
            of_symbol.push(Trade { id: of_symbol.len() as u64 + 1, time });
        }
    }
}

async fn respond(mut stream: TcpStream, market: &Market) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let is_refused = market.is_faulty() && rand::rng().random_range(0..REFUSED_OF) == 0;
    let (status, more, body) =
        if is_refused { refusal(market) } else { ("200 OK", "", answer(&request, market)) };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Connection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await?;
    stream.shutdown().await
}

fn refusal(market: &Market) -> (&'static str, &'static str, String) {
    let refusals = [
        ("200 OK", "", "<html>Sorry</html>"),
        ("429 Too Many Requests", "Retry-After: 1\r\n", r#"{"code":-1003,"msg":"Too many requests"}"#),
        ("418 I'm a teapot", "Retry-After: 1\r\n", r#"{"code":-1003,"msg":"Banned"}"#),
        ("429 Too Many Requests", "", ""),
        ("503 Service Unavailable", "", ""),
    ];
    let (status, more, body) = refusals[rand::rng().random_range(0..refusals.len())];
    market.note(status);
    (status, more, body.to_owned())
}

/// The figures of the day, or the candles of the past, which are made of all trades.
fn answer(request: &str, market: &Market) -> String {
    if request.starts_with("GET /api/v3/ticker/24hr") {
        let figures = SYMBOLS.map(|(_, name)| {
            format!(
                r#"{{"symbol":"{name}","openPrice":"100","highPrice":"120","lowPrice":"90","volume":"1000"}}"#
            )
        });
        return format!("[{}]", figures.join(","));
    }
    let parameter = |name: &str| {
        let (_, behind) = request.split_once(&format!("{name}="))?;
        behind.split(['&', ' ']).next()
    };
    let symbol = SYMBOLS.iter().find(|(_, name)| parameter("symbol") == Some(*name));
    let (Some((symbol, _)), Some("1m")) = (symbol, parameter("interval")) else { return "[]".to_owned() };
    let millis = |name: &str| parameter(name).and_then(|text| text.parse().ok());
    let (from, to) = (millis("startTime").unwrap_or(0_i64), millis("endTime").unwrap_or(i64::MAX));
    let mut minutes: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for trade in market.trades().get(symbol).into_iter().flatten() {
        let minute = trade.time.timestamp_millis().div_euclid(60_000) * 60_000;
        if (from..=to).contains(&minute) {
            minutes.entry(minute).or_default().push(trade.id);
        }
    }
    let row = |(open, ids): (&i64, &Vec<u64>)| {
        let price = |id: &u64| format!("100.{:02}", id % 100);
        let prices: Vec<String> = ids.iter().map(price).collect();
        let highest = prices.iter().max().cloned().unwrap_or_default();
        let lowest = prices.iter().min().cloned().unwrap_or_default();
        let (first, last) =
            (prices.first().cloned().unwrap_or_default(), prices.last().cloned().unwrap_or_default());
        format!(
            r#"[{open},"{first}","{highest}","{lowest}","{last}","{}",{},"0",{},"0","0","0"]"#,
            ids.len(),
            open + 59_999,
            ids.len()
        )
    };
    format!("[{}]", minutes.iter().map(row).collect::<Vec<_>>().join(","))
}

type Sender = SplitSink<WebSocketStream<TcpStream>, Message>;

async fn send_trades(stream: TcpStream, market: &Market) -> anyhow::Result<()> {
    let connection = market.connections.fetch_add(1, Ordering::AcqRel);
    let mut rng = ChaCha8Rng::seed_from_u64(market.seed.wrapping_add(connection));
    let (mut to, mut from) = accept_async(stream).await?.split();
    // What was traded before is not sent.
    let mut sent = market.counts();
    let mut looks = tokio::time::interval(Duration::from_millis(SEND_INTERVAL_MS));
    // Frames that come after later ones.
    let mut held = Vec::new();
    let mut fault_at = tokio::time::Instant::now() + random_interval(&mut rng);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            // Reading responds to pings, and detects the end of the connection.
            received = from.next() => match received {
                Some(Ok(_)) => continue,
                _ => return Ok(()),
            },
        }
        let mut fault = None;
        if market.is_faulty() && tokio::time::Instant::now() >= fault_at {
            let next = FAULTS[rng.random_range(0..FAULTS.len())];
            market.note(next);
            fault_at = tokio::time::Instant::now() + random_interval(&mut rng);
            match next {
                Fault::Close => return Ok(to.send(Message::Close(None)).await?),
                Fault::Drop => return Ok(()),
                Fault::Hang => {
                    tokio::time::sleep(HANGS).await; // the fault itself
                    return Ok(());
                }
                Fault::OnlyPings => {
                    let end = tokio::time::Instant::now() + HANGS;
                    while tokio::time::Instant::now() < end {
                        to.send(Message::Ping("1".into())).await?;
                        tokio::time::sleep(Duration::from_millis(200)).await; // the fault itself
                    }
                    return Ok(());
                }
                other => fault = Some(other),
            }
        }
        let mut frames = new_frames(market, &mut sent);
        if !frames.is_empty() {
            frames.append(&mut held);
        }
        match fault {
            Some(Fault::Twice) => {
                frames = frames.iter().flat_map(|frame| [frame.clone(), frame.clone()]).collect();
            }
            Some(Fault::Reorder) => held = std::mem::take(&mut frames),
            Some(Fault::LeaveOut) => {
                frames.pop();
            }
            Some(Fault::Html) => frames.insert(0, "<html>Sorry</html>".to_owned()),
            Some(Fault::InTwoParts) => {
                for frame in frames.drain(..) {
                    send_in_two_parts(&mut to, &frame).await?;
                }
            }
            _ => {}
        }
        for frame in frames {
            to.feed(Message::text(frame)).await?;
        }
        to.flush().await?;
    }
}

fn random_interval(rng: &mut ChaCha8Rng) -> Duration {
    Duration::from_millis(rng.random_range(FAULT_INTERVAL_MS))
}

/// The trades since the last look, each symbol's in their order.
fn new_frames(market: &Market, sent: &mut BTreeMap<&'static str, usize>) -> Vec<String> {
    let trades = market.trades();
    let mut frames = Vec::new();
    for (symbol, name) in SYMBOLS {
        let place = sent.entry(symbol).or_default();
        for trade in trades.get(symbol).into_iter().flatten().skip(*place) {
            frames.push(frame(name, *trade));
            *place += 1;
        }
    }
    frames
}

fn frame(name: &str, Trade { id, time }: Trade) -> String {
    let millis = time.timestamp_millis();
    let stream = name.to_lowercase();
    let cents = id % 100;
    format!(
        r#"{{"stream":"{stream}@trade","data":{{"e":"trade","E":{millis},"s":"{name}","t":{id},"p":"100.{cents:02}","q":"1","T":{millis},"m":true,"M":true}}}}"#
    )
}

/// One message as two frames (RFC 6455, section 5.4).
async fn send_in_two_parts(to: &mut Sender, text: &str) -> anyhow::Result<()> {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let first = Frame::message(first.to_vec(), OpCode::Data(Data::Text), false);
    let second = Frame::message(second.to_vec(), OpCode::Data(Data::Continue), true);
    for frame in [first, second] {
        to.send(Message::Frame(frame)).await?;
    }
    Ok(())
}

/// The symbols as services take them.
///
/// # Errors
/// A name that is none.
pub fn symbols() -> anyhow::Result<Vec<Symbol>> {
    SYMBOLS.iter().map(|(symbol, _)| Ok(Symbol::parse(symbol)?)).collect()
}
