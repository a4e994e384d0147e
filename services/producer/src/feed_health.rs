//! How a feed is: for the health of the process, and for the routes of its symbols.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use market::Symbol;
use service_runtime::Component;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::route::{Change, FeedNumber, Report, Routes};

/// How often routes are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The routes of all feeds of a process.
pub(crate) struct RouteTable {
    routes: Mutex<Routes>,
    /// The active feed of each symbol, as [`Routes`] has it: read with every batch of ticks.
    active: RwLock<HashMap<Symbol, FeedNumber>>,
    names: Vec<&'static str>,
    /// The symbols that each feed is to follow.
    followed: Vec<watch::Sender<Vec<Symbol>>>,
}

impl RouteTable {
    /// The feeds in their order of preference, each with the symbols that it may serve.
    pub(crate) fn new(feeds: &[(&'static str, Vec<Symbol>)]) -> Self {
        let now = Instant::now();
        let symbols: Vec<Vec<Symbol>> = feeds.iter().map(|(_, symbols)| symbols.clone()).collect();
        let routes = Routes::new(&symbols, now);
        let active = symbols.iter().flatten().filter_map(|symbol| Some((*symbol, routes.active(*symbol)?)));
        let followed = symbols
            .iter()
            .enumerate()
            .map(|(feed, of_feed)| watch::Sender::new(followed(&routes, feed, of_feed, now)));
        Self {
            active: RwLock::new(active.collect()),
            followed: followed.collect(),
            names: feeds.iter().map(|(name, _)| *name).collect(),
            routes: Mutex::new(routes),
        }
    }

    /// The symbols that a feed is to follow, as they change.
    pub(crate) fn followed(&self, feed: FeedNumber) -> Option<watch::Receiver<Vec<Symbol>>> {
        self.followed.get(feed).map(watch::Sender::subscribe)
    }

    /// Whether a feed serves a symbol. A symbol that is not watched, as in a recording, is served by every feed.
    pub(crate) fn is_active(&self, feed: FeedNumber, symbol: Symbol) -> bool {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        active.get(&symbol).is_none_or(|active| *active == feed)
    }

    /// Changes routes as their feeds come and go, until the shutdown.
    pub(crate) async fn keep(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(LOOK);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            self.look(Instant::now());
        }
        Ok(())
    }

    fn look(&self, now: Instant) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = routes.advance(now);
        if !changes.is_empty() {
            let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
            active.extend(changes.iter().map(|change| (change.symbol, change.to)));
        }
        for (feed, sender) in self.followed.iter().enumerate() {
            let now_followed: Vec<Symbol> = routes.followed(feed, now).into_iter().collect();
            sender.send_if_modified(|symbols| {
                let is_same = symbols.len() == now_followed.len()
                    && symbols.iter().all(|symbol| now_followed.binary_search(symbol).is_ok());
                if !is_same {
                    *symbols = now_followed;
                }
                !is_same
            });
        }
        drop(routes);
        self.log(&changes);
    }

    fn log(&self, changes: &[Change]) {
        let name = |feed: FeedNumber| self.names.get(feed).copied().unwrap_or_default();
        for Change { symbol, from, to } in changes {
            tracing::warn!(%symbol, from = name(*from), to = name(*to), "the feed of a symbol has changed");
        }
    }
}

/// In the order of the watch list.
fn followed(routes: &Routes, feed: FeedNumber, of_feed: &[Symbol], now: Instant) -> Vec<Symbol> {
    let followed = routes.followed(feed, now);
    of_feed.iter().copied().filter(|symbol| followed.contains(symbol)).collect()
}

/// The health of one feed.
#[derive(Clone)]
pub(crate) struct FeedHealth {
    component: Component,
    table: Arc<RouteTable>,
    feed: FeedNumber,
    /// Prices came after a time without.
    came_up: Arc<Notify>,
}

impl FeedHealth {
    pub(crate) fn new(component: Component, table: Arc<RouteTable>, feed: FeedNumber) -> Self {
        Self { component, table, feed, came_up: Arc::default() }
    }

    /// The feed has prices of all its symbols.
    pub(crate) fn up(&self, detail: &str) {
        self.up_without(detail, []);
    }

    /// The feed has prices, but not of these symbols.
    pub(crate) fn up_without(&self, detail: &str, missing: impl IntoIterator<Item = Symbol>) {
        self.component.up(detail);
        self.report(Report::Up { missing: missing.into_iter().collect() });
        self.came_up.notify_one();
    }

    /// The feed has no prices, and why.
    pub(crate) fn down(&self, reason: &str) {
        self.component.down(reason);
        self.report(Report::Down);
    }

    /// The feed is not needed now.
    pub(crate) fn stands_by(&self) {
        self.component.up("stands by: a feed that is preferred serves its symbols");
        self.report(Report::StandsBy);
    }

    /// The feed begins.
    pub(crate) fn starts(&self) {
        self.report(Report::Starts);
    }

    /// Whether the feed is the one that serves a symbol as long as it has prices.
    pub(crate) fn is_preferred(&self, symbol: Symbol) -> bool {
        let routes = self.table.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.is_preferred(self.feed, symbol)
    }

    /// Waits until the feed has prices after a time without.
    pub(crate) async fn came_up(&self) {
        self.came_up.notified().await;
    }

    fn report(&self, report: Report) {
        let mut routes = self.table.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.report(self.feed, report, Instant::now());
    }
}
