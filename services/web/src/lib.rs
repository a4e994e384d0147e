//! Serves prices: pages, JSON under `/v1`, and live events.
//!
//! Pages are rendered here and readable without JavaScript; scripts add what moves. Pages, JSON and events show the same
//! numbers: those of the live view in memory, and of the store behind it.

mod candle_json;
mod config;
mod format;
mod heartbeats;
mod history;
mod latency_limit;
mod live;
mod live_quotes;
mod live_reader;
mod log_probe;
mod metrics;
mod middleware;
mod pace;
mod params;
mod pipeline;
mod problem;
mod quote;
mod routes;
mod snapshot;
mod sparkline;
mod starting;
mod trading_hours;
mod updates;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use chrono::Utc;
use live_store::{LiveStore, LiveStoreError};
use service_runtime::{Runtime, serve_http};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};
use topics::names::component;

use crate::{
    live::Live, live_quotes::LiveQuotes, metrics::Metrics, middleware::host::AllowedHosts, routes::App,
};

pub use config::{WebArgs, WebConfig};

/// Most connections waiting to be accepted.
const BACKLOG: u32 = 1_024;
/// Connections besides those of live clients: browsers keep a few open between requests.
const OTHER_CONNECTIONS: usize = 512;
/// Open files besides connections: the log, the store, and their connections.
const OTHER_FILES: usize = 256;
/// Bytes that the kernel buffers for one connection: for a client that stops reading they become outdated.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// Whether the pages' scripts and styles were built before this program was; without them pages are static.
pub fn has_assets() -> bool {
    routes::assets::are_built()
}

/// Binds the address, before anything else is started.
///
/// # Errors
/// The address cannot be bound, such as a port in use.
#[expect(clippy::unused_async, reason = "the socket registers with the runtime that polls this")]
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let listening = || {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(listen)?;
        socket.listen(BACKLOG)
    };
    listening()
        .with_context(|| format!("cannot listen on {listen}; choose another address with --listen (LISTEN)"))
}

/// Serves until the shutdown, then ends open connections. The caller has installed the metrics registry.
///
/// Until `open` has opened the store and the live view is loaded from it, pages show what is waited for, and the service is not
/// ready. A store that is unavailable is tried again without end.
///
/// # Errors
/// The log or the store fails with an error that does not pass by itself.
pub async fn run<F>(
    config: WebConfig,
    listener: TcpListener,
    open: impl Fn() -> F,
    runtime: Runtime,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<Arc<dyn LiveStore>, LiveStoreError>>,
{
    let metrics = Metrics::new(&runtime.status, config.web_max_live_clients);
    let watched = config.watchlist.as_ref().map_or(&[][..], |watchlist| watchlist.symbols());
    let boot = format!("{:x}", Utc::now().timestamp_micros());
    let live = Arc::new(Live::new(boot.clone(), LiveQuotes::new(watched)));
    let pages = runtime.status.component(component::PAGES);
    let address = listener.local_addr().unwrap_or(config.listen);
    let hosts = AllowedHosts::new(address, &config.web_allowed_hosts);

    let mut tasks = runtime.tasks();
    let (served, routes) =
        watch::channel(routes::guarded(starting::router(&runtime.status), Arc::clone(&hosts)));
    let max = max_connections(config.web_max_live_clients);
    tasks.spawn("web pages", serve_http(listener, routes, max, runtime.process()));
    // The live topics first, then the store: records between the two are seen twice rather than never.
    let unreadable = Arc::clone(&metrics.unreadable);
    let reader = live_reader::LiveReader::new(Arc::clone(&live), unreadable);
    let follow = live_reader::join(&runtime, &boot).await?;
    tasks.spawn("web live prices", follow.run(reader, runtime.shutdown.clone()));
    tasks.spawn("web pipeline", log_probe::run(Arc::clone(&live), runtime.clone(), config.consumer_group));
    let store = tokio::select! {
        store = history::open_and_load(open, &live, &pages) => store?,
        () = runtime.shutdown.cancelled() => return tasks.join().await,
    };
    let app = App::new(Arc::clone(&live), metrics, Arc::clone(&store), runtime.clone(), watched);
    drop(served.send_replace(routes::router(app, hosts)));
    pages.up("served");
    tasks.spawn("web events", live::flush(Arc::clone(&live), runtime.clone()));
    tasks.spawn("web history", history::reload(live, store, runtime.shutdown.clone()));
    tasks.join().await
}

/// Most connections: one for each live client, and [`OTHER_CONNECTIONS`], as far as the limit of open files admits.
fn max_connections(max_live_clients: usize) -> usize {
    let wanted = max_live_clients.saturating_add(OTHER_CONNECTIONS);
    let files = service_runtime::raise_open_files().map_or(usize::MAX, |limit| limit as usize);
    let max = wanted.min(files.saturating_sub(OTHER_FILES).max(OTHER_FILES));
    if max < wanted {
        tracing::warn!(
            limit = files,
            connections = max,
            "the limit of open files admits fewer connections than --web-max-live-clients (WEB_MAX_LIVE_CLIENTS) needs: raise it \
             (ulimit -Hn, LimitNOFILE), or lower the setting"
        );
    }
    max
}
