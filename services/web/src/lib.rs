//! Prices to look at: pages, JSON under `/v1`, and live events.
//!
//! Pages are rendered here and readable without JavaScript; scripts add what lives. All of them, and the JSON, show
//! the same numbers: the picture in memory, and the store behind it.

mod bar;
mod config;
mod day;
mod format;
mod heartbeats;
mod live;
mod metrics;
mod pace;
mod params;
mod picture;
mod pipeline;
mod problem;
mod quote;
mod routes;
mod seed;
mod session;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use chrono::Utc;
use live_store::LiveStore;
use service_runtime::Runtime;
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    live::{Live, Reader},
    metrics::Metrics,
    picture::Picture,
    pipeline::Pipeline,
    routes::App,
};

pub use config::{WebArgs, WebConfig};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Bytes that the system buffers for one connection: what a tab that reads nothing would find there, outdated.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// Whether the pages' scripts and styles were built before this program was; without them pages can be read only.
pub fn has_assets() -> bool {
    routes::assets::are_built()
}

/// Takes the address, before anything else is started.
///
/// # Errors
/// A port in use, named.
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

/// Serves until the shutdown, then ends what is open. The metrics registry is installed by whoever made the runtime.
///
/// # Errors
/// A log or a store that fails for good.
pub async fn run(
    config: WebConfig,
    listener: TcpListener,
    store: Arc<dyn LiveStore>,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let metrics = Metrics::new(&runtime.status);
    let watched = config.watchlist.as_ref().map_or(&[][..], |watchlist| watchlist.symbols());
    let boot = format!("{:x}", Utc::now().timestamp_micros());
    let live = Arc::new(Live::new(boot, Picture::new(watched), Pipeline::default()));

    let reader = Reader::join(Arc::clone(&live), &runtime, Arc::clone(&metrics.unreadable)).await?;
    let app = App::new(Arc::clone(&live), metrics, Arc::clone(&store), runtime.clone());
    let mut tasks = runtime.tasks();
    // The live topics first, then the store: what lies between is seen twice rather than never.
    tasks.spawn("web live prices", reader.run(runtime.clone()));
    seed::first(&live, &*store, Utc::now()).await.context("the live store cannot be read")?;
    tasks.spawn("web pages", serve(listener, app, runtime.clone()));
    tasks.spawn("web events", live::flush(Arc::clone(&live), runtime.clone()));
    tasks.spawn("web history", seed::again(Arc::clone(&live), store, runtime.shutdown.clone()));
    tasks.spawn("web pipeline", watch::watch(live, runtime, config.consumer_group));
    tasks.join().await
}

async fn serve(listener: TcpListener, app: App, runtime: Runtime) -> anyhow::Result<()> {
    // A client that reads nothing never ends its connection.
    let deadline = runtime.shutdown_budget().connections();
    let server =
        axum::serve(listener, routes::router(app)).with_graceful_shutdown(runtime.shutdown.cancelled_owned());
    tokio::select! {
        ended = server.into_future() => ended.context("the web server failed"),
        () = deadline.passed() => Ok(()),
    }
}
