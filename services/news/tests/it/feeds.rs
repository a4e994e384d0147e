//! A server of feeds, and a store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use clap::Parser;
use live_store::{AlphaVantageAccount, LiveStore, NewsArticle, NewsQuery, NewsSource};
use news::{NewsCommand, NewsConfig, Outcome, Stores};
use tempfile::TempDir;

/// What is answered to a request.
type Answer = Arc<dyn Fn(&HeaderMap) -> Response + Send + Sync>;

/// A server whose answers are set by path. Stops with the runtime of the test.
#[derive(Clone)]
pub(crate) struct Feeds {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    answers: HashMap<String, Answer>,
    requests: Vec<String>,
}

impl Feeds {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    /// The address of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn answers(
        &self,
        path: &str,
        answer: impl Fn(&HeaderMap) -> Response + Send + Sync + 'static,
    ) {
        self.inner.lock().unwrap().answers.insert(path.to_owned(), Arc::new(answer));
    }

    pub(crate) fn has_feed(&self, path: &str, items: &str) {
        let body = rss(items);
        self.answers(path, move |_| body.clone().into_response());
    }

    /// The paths with queries that were requested since the last call.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().requests)
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let found = {
        let mut inner = inner.lock().unwrap();
        inner.requests.push(request.uri().to_string());
        inner.answers.get(request.uri().path()).cloned()
    };
    match found {
        Some(answer) => answer(request.headers()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(crate) fn rss(items: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>The Feed</title>{items}</channel></rss>"
    )
}

pub(crate) fn item(title: &str, url: &str) -> String {
    let published = Utc::now().to_rfc2822();
    format!("<item><title>{title}</title><link>{url}</link><pubDate>{published}</pubDate></item>")
}

/// A body that never ends.
pub(crate) fn endless() -> Body {
    let part = Ok::<_, std::io::Error>(" ".repeat(64 << 10));
    Body::from_stream(futures_util::stream::repeat_with(move || {
        part.as_ref().map(Clone::clone).map_err(|_| std::io::Error::other("none"))
    }))
}

pub(crate) fn redirect(to: String) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

/// A store, and the settings of the news.
pub(crate) struct World {
    pub(crate) store: Arc<dyn LiveStore>,
    folder: TempDir,
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    news: NewsConfig,
    #[command(flatten)]
    alpha_vantage: AlphaVantageAccount,
}

/// Settings for some symbols.
pub(crate) fn config(args: &[&str]) -> NewsConfig {
    let watchlist = Some("AAPL,MSFT,BTC/USDT".parse().unwrap());
    let args = [&["news", "--news-host-interval-ms", "0"], args].concat();
    let Settings { news, alpha_vantage } = Settings::parse_from(args);
    NewsConfig { watchlist, alpha_vantage, ..news }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = live_store::open(&format!("sqlite:{}/store.db", folder.path().display())).await.unwrap();
        Self { store, folder }
    }

    /// The URL of an analytics store beside it.
    pub(crate) fn analytics_url(&self) -> String {
        format!("sqlite:{}/analytics.db", self.folder.path().display())
    }

    /// One gathering by hand with these settings, for some symbols.
    pub(crate) async fn gather(&self, args: &[&str]) -> Outcome {
        let stores = Stores { live: Arc::clone(&self.store), analytics: None };
        news::execute(NewsCommand::Run, config(args), stores, "test").await.unwrap()
    }

    /// From feeds of the server only, which is on this machine.
    pub(crate) async fn gather_feeds(&self, feeds: &str) -> Outcome {
        self.gather(&["--news-sources", "none", "--news-allow-private", "--news-feeds", feeds]).await
    }

    pub(crate) async fn stories(&self) -> Vec<NewsArticle> {
        let from = DateTime::<Utc>::MIN_UTC;
        let query = NewsQuery { symbol: None, from, limit: 500, cursor: None };
        self.store.articles(&query).await.unwrap().articles
    }

    pub(crate) async fn source(&self, name: &str) -> NewsSource {
        let sources = self.store.news_sources().await.unwrap();
        sources.into_iter().find(|source| source.name.contains(name)).unwrap()
    }
}
