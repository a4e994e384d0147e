//! A running service on a log and a store of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Once},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::NewRecord;
use futures_util::{Stream, StreamExt};
use live_store::LiveStore;
use market::{Candle, CandleFields, CandleSource, Interval, Source, Symbol, Tick, TickFields, parse_decimal};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use service_runtime::{Runtime, Status};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use topics::{alert::AlertRecord, status::ServiceStatus};
use web::{StartingPages, WebConfig};

/// Anything that is waited for is there long before.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Suite {
    pub(crate) runtime: Runtime,
    pub(crate) address: String,
    pub(crate) http: Client,
    service: JoinHandle<anyhow::Result<()>>,
    _dir: TempDir,
}

/// The registry belongs to the process, which all tests share.
static METRICS: Once = Once::new();

/// What a service runs on.
type Parts = (Runtime, Arc<dyn LiveStore>);

/// A log and a store with nothing in them.
pub(crate) async fn empty_runtime(dir: &TempDir) -> Parts {
    METRICS.call_once(|| {
        service_runtime::install_metrics().expect("a registry");
    });
    let url = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
    let log = event_log::open(&url("log.db")).await.expect("a log");
    service_runtime::create_topics(&*log).await.expect("topics");
    let store = live_store::open(&url("store.db")).await.expect("a store");
    let status = Status::new("web", "web-test", Utc::now());
    (Runtime { log, status, shutdown: CancellationToken::new() }, store)
}

/// The client is built for TLS although nothing here uses it; a second call finds it installed.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The settings of the service.
pub(crate) fn config(listen: SocketAddr, settings: Settings) -> WebConfig {
    WebConfig {
        listen,
        watchlist: settings.watchlist.map(|list| list.parse().expect("a watch list")),
        consumer_group: "stock-consumer-group".to_owned(),
        web_max_live_clients: settings.max_live_clients,
        web_allowed_hosts: vec!["prices.example".to_owned()],
        registration: web::Registration::Open,
        web_trusted_proxies: web::TrustedProxies::default(),
        public_url: format!("http://{listen}").parse().expect("a URL"),
        analytics: settings.analytics.map(Into::into),
        is_historical: settings.is_historical,
        outbox: None,
    }
}

/// What differs between tests.
pub(crate) struct Settings {
    pub(crate) watchlist: Option<&'static str>,
    pub(crate) max_live_clients: usize,
    /// URL of the analytics store.
    pub(crate) analytics: Option<String>,
    pub(crate) is_historical: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { watchlist: None, max_live_clients: 512, analytics: None, is_historical: false }
    }
}

impl Suite {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// On a log and a store with nothing in them.
    pub(crate) async fn with(settings: Settings) -> Self {
        let dir = TempDir::new().expect("a folder");
        let parts = empty_runtime(&dir).await;
        Self::configured(parts, dir, settings).await
    }

    pub(crate) async fn over(parts: Parts, dir: TempDir, watchlist: Option<&'static str>) -> Self {
        Self::configured(parts, dir, Settings { watchlist, ..Settings::default() }).await
    }

    /// Whose store is opened when `opened` is cancelled; returns before it is ready.
    pub(crate) async fn opening(parts: Parts, dir: TempDir, opened: CancellationToken) -> Self {
        Self::started(parts, dir, Settings::default(), opened).await
    }

    async fn configured(parts: Parts, dir: TempDir, settings: Settings) -> Self {
        let opened = CancellationToken::new();
        opened.cancel();
        let suite = Self::started(parts, dir, settings, opened).await;
        suite.until(async || suite.service.is_finished() || suite.is_ready().await).await;
        if !suite.service.is_finished() {
            return suite;
        }
        panic!("the service ended by itself: {:?}", suite.service.await)
    }

    async fn started(
        (runtime, store): Parts,
        dir: TempDir,
        settings: Settings,
        opened: CancellationToken,
    ) -> Self {
        install_tls();
        let listener = web::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
        let listen = listener.local_addr().expect("an address");
        let config = config(listen, settings);
        let open = move || {
            let (store, opened) = (Arc::clone(&store), opened.clone());
            async move {
                opened.cancelled().await;
                Ok(store)
            }
        };
        let pages = StartingPages::serve(&config, listener, runtime.process());
        let service = tokio::spawn(web::run(config, pages, open, runtime.clone()));
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { runtime, address: listen.to_string(), http, service, _dir: dir }
    }

    async fn is_ready(&self) -> bool {
        let answer = self.http.get(self.url("/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.expect("a text")
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.expect("JSON")
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, mut condition: impl AsyncFnMut() -> bool) {
        let held = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, held).await.expect("the condition holds before the deadline");
    }

    /// Publishes ticks and waits until the last price of each symbol is shown.
    pub(crate) async fn publish(&self, ticks: &[Tick]) {
        let publisher = self.runtime.log.publisher().expect("a publisher");
        let mut receipts = Vec::new();
        for tick in ticks {
            let mut payload = Vec::new();
            topics::tick::encode(tick, &mut payload);
            let topic = topics::tick::topic_for(tick.asset_class());
            receipts
                .push(publisher.send(topic, vec![record(&tick.symbol, payload)]).await.expect("accepted"));
        }
        for receipt in receipts {
            receipt.durable().await.expect("durable");
        }
        let Some(last) = ticks.last() else { return };
        let path = format!("/v1/quotes?symbols={}", last.symbol);
        let price = market::decimal_to_f64(last.price);
        self.until(async || self.json(&path).await["quotes"][0]["price"] == price).await;
    }

    pub(crate) async fn publish_candle(&self, candle: &Candle) {
        let publisher = self.runtime.log.publisher().expect("a publisher");
        let record = record(&candle.symbol, topics::candle::encode(candle));
        publisher
            .send(topics::quoted_candle::TOPIC, vec![record])
            .await
            .expect("accepted")
            .durable()
            .await
            .expect("durable");
    }

    pub(crate) async fn publish_alert(&self, alert: &AlertRecord) {
        let publisher = self.runtime.log.publisher().expect("a publisher");
        let record = record(&alert.symbol, topics::alert::encode(alert));
        let receipt = publisher.send(topics::alert::TOPIC, vec![record]).await.expect("accepted");
        receipt.durable().await.expect("durable");
    }

    pub(crate) async fn publish_status(&self, status: &ServiceStatus) {
        let publisher = self.runtime.log.publisher().expect("a publisher");
        let record = NewRecord {
            key: Some(Bytes::from(status.instance.clone())),
            payload: Bytes::from(topics::status::encode(status).expect("JSON")),
            headers: Vec::new(),
            timestamp: status.at,
        };
        let receipt = publisher.send(topics::status::TOPIC, vec![record]).await.expect("accepted");
        receipt.durable().await.expect("durable");
    }

    /// Shuts down and returns what the service returned.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.runtime.shutdown.cancel();
        timeout(DEADLINE, self.service).await.expect("it ends before the deadline").expect("no panic")
    }
}

fn record(symbol: &Symbol, payload: Vec<u8>) -> NewRecord {
    NewRecord {
        key: Some(Bytes::from(symbol.to_string())),
        payload: Bytes::from(payload),
        headers: Vec::new(),
        timestamp: Utc::now(),
    }
}

pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).expect("a symbol")
}

/// A tick that was received when it happened.
pub(crate) fn tick(name: &str, price: &str, at: DateTime<Utc>, seq: u64) -> Tick {
    let decimal = |text| parse_decimal(text).expect("a decimal");
    let price = decimal(price);
    Tick::new(TickFields {
        symbol: symbol(name),
        timestamp: at,
        price,
        volume: decimal("1000"),
        open: decimal("100"),
        high: price.max(decimal("100")),
        low: price.min(decimal("100")),
        size: None,
        change_percent: 1.5,
        source: Source::parse("binance").expect("a source"),
        received_at: at,
        seq,
    })
    .expect("a tick")
}

/// A closed one-minute candle of the provider, so many minutes ago.
pub(crate) fn minute_candle(name: &str, minutes_ago: i64, close: &str) -> Candle {
    let close = parse_decimal(close).expect("a decimal");
    Candle::new(CandleFields {
        symbol: symbol(name),
        interval: Interval::Minute,
        time: Interval::Minute.floor(Utc::now()) - TimeDelta::minutes(minutes_ago),
        open: close,
        high: close,
        low: close,
        close,
        volume: Some(parse_decimal("10").expect("a decimal")),
        ticks: 3,
        source: "binance".parse::<CandleSource>().expect("a source"),
        is_final: true,
    })
    .expect("a candle")
}

/// An event as a browser sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// Reads a stream of events.
pub(crate) struct Events {
    chunks: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: String,
}

impl Events {
    pub(crate) async fn open(suite: &Suite, path: &str, last_id: Option<&str>) -> Self {
        let mut request = suite.http.get(suite.url(path));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { chunks: Box::pin(response.bytes_stream()), buffer: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let event = parse(block);
                self.buffer = rest.into();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = timeout(DEADLINE, self.chunks.next()).await.expect("a chunk before the deadline")?;
            self.buffer.push_str(std::str::from_utf8(&chunk.ok()?).expect("UTF-8"));
        }
    }

    /// The next event of this name.
    pub(crate) async fn next_of(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
    };
    let data = serde_json::from_str(&field("data:")?).expect("JSON");
    Some(Event { id: field("id:"), name: field("event:")?, data })
}
