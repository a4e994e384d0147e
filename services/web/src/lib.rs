//! Serves prices: pages, JSON under `/v1`, and live events.
//!
//! Pages are rendered here and readable without JavaScript; scripts add what moves. Pages, JSON and events show the same
//! numbers: those of the live view in memory, and of the store behind it.

mod candle_json;
mod config;
mod format;
mod heartbeats;
mod history;
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
mod serve;
mod sparkline;
mod trading_hours;
mod updates;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use chrono::Utc;
use live_store::LiveStore;
use service_runtime::Runtime;
use tokio::net::{TcpListener, TcpSocket};

use crate::{live::Live, live_quotes::LiveQuotes, metrics::Metrics, routes::App};

pub use config::{WebArgs, WebConfig};

/// Most connections waiting to be accepted.
const BACKLOG: u32 = 1_024;
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
/// # Errors
/// The log or the store fails with an error that does not pass by itself.
pub async fn run(
    config: WebConfig,
    listener: TcpListener,
    store: Arc<dyn LiveStore>,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let metrics = Metrics::new(&runtime.status, config.web_max_live_clients);
    let watched = config.watchlist.as_ref().map_or(&[][..], |watchlist| watchlist.symbols());
    let boot = format!("{:x}", Utc::now().timestamp_micros());
    let live = Arc::new(Live::new(boot.clone(), LiveQuotes::new(watched)));

    let unreadable = Arc::clone(&metrics.unreadable);
    let follow = live_reader::join(&runtime, &boot).await?;
    let reader = live_reader::LiveReader::new(Arc::clone(&live), unreadable);
    let app = App::new(Arc::clone(&live), metrics, Arc::clone(&store), runtime.clone(), watched);
    let mut tasks = runtime.tasks();
    // The live topics first, then the store: records between the two are seen twice rather than never.
    tasks.spawn("web live prices", follow.run(reader, runtime.shutdown.clone()));
    history::load(&live, &*store, Utc::now()).await.context("the live store cannot be read")?;
    tasks.spawn("web pages", serve::serve(listener, routes::router(app), runtime.clone()));
    tasks.spawn("web events", live::flush(Arc::clone(&live), runtime.clone()));
    tasks.spawn("web history", history::reload(Arc::clone(&live), store, runtime.shutdown.clone()));
    tasks.spawn("web pipeline", log_probe::run(live, runtime, config.consumer_group));
    tasks.join().await
}
