//! Serves prices: pages, JSON under `/v1`, and live events.
//!
//! Pages are rendered here and readable without JavaScript; scripts add what moves. Pages, JSON and events show the same
//! numbers: those of the live view in memory, and of the store behind it.

mod account;
mod alert_notice;
mod analytics;
mod candle_json;
mod catch_up;
mod client_network;
mod config;
mod format;
mod gap_figures;
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
mod performance_table;
mod pipeline;
mod problem;
mod quote;
mod routes;
mod snapshot;
mod sparkline;
mod starting;
mod trading_hours;
mod updates;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use chrono::Utc;
use job_runner::JobRunner;
use live_store::{LiveStore, LiveStoreError};
use service_runtime::{ExposeSecret, Runtime, SecretString, Tasks};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
};
use topics::names::component;

use crate::{
    account::{AccountSettings, Accounts, Housekeeping, mail_task},
    analytics::Analytics,
    catch_up::LogEnds,
    live::Live,
    live_quotes::LiveQuotes,
    metrics::Metrics,
    routes::App,
};

pub use account::{Registration, remove_account, synchronise_rules};
pub use client_network::TrustedProxies;
pub use config::{WebArgs, WebConfig};
pub use starting::StartingPages;

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

/// [`run`] as a process of its own: on the store at `url`, which is closed at the end.
///
/// # Errors
/// Those of [`run`], and a store that is not closed in order.
pub async fn run_process(
    config: WebConfig,
    pages: StartingPages,
    url: SecretString,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let opened = OnceLock::new();
    let open = || async {
        let store = live_store::open(url.expose_secret()).await?;
        Ok(Arc::clone(opened.get_or_init(|| store)))
    };
    let done = run(config, pages, open, runtime).await;
    match opened.get() {
        Some(store) => done.and(store.close().await.context("the live store was not closed in order")),
        None => done,
    }
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
    pages: StartingPages,
    open: impl Fn() -> F,
    runtime: Runtime,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<Arc<dyn LiveStore>, LiveStoreError>>,
{
    let StartingPages { routes, hosts, health, server } = pages;
    health.down("waiting for the live prices");
    let metrics = Metrics::new(&runtime.status, config.web_max_live_clients);
    let boot = format!("{:x}", Utc::now().timestamp_micros());
    let live = Arc::new(Live::new(boot.clone(), LiveQuotes::new(config.watched())));
    let settings = AccountSettings {
        registration: config.registration,
        public_url: config.public_url.clone(),
        trusted_proxies: config.web_trusted_proxies.clone(),
    };

    let mut tasks = runtime.tasks();
    tasks.spawn("web pages", async { server.await.context("the server panicked")? });
    // The live topics first, then the store: records between the two are seen twice rather than never.
    let unreadable = Arc::clone(&metrics.unreadable);
    let reader = live_reader::LiveReader::new(Arc::clone(&live), unreadable);
    let follow = live_reader::join(&runtime, &boot).await?;
    let ends = LogEnds::read(&*runtime.log).await;
    tasks.spawn("web live prices", follow.run(reader, runtime.shutdown.clone()));
    let group = config.consumer_group.clone();
    tasks.spawn("web pipeline", log_probe::run(Arc::clone(&live), runtime.clone(), group));
    let analytics = Arc::<Analytics>::default();
    if let Some(url) = config.analytics.clone() {
        let health = runtime.status.secondary_component(component::ANALYTICS_STORE);
        let keeper = Arc::clone(&analytics).keep_open(url, health, runtime.shutdown.clone());
        tasks.spawn("web analytics store", keeper);
    }
    let store = tokio::select! {
        store = history::open_and_load(open, &live, &ends, &health) => store?,
        () = runtime.shutdown.cancelled() => return tasks.join().await,
    };
    let accounts = start_accounts(settings, &store, &runtime, &mut tasks)?;
    let app = App::new(
        Arc::clone(&live),
        metrics,
        Arc::clone(&store),
        accounts,
        analytics,
        runtime.clone(),
        &config,
    );
    drop(routes.send_replace(routes::router(app, hosts)));
    health.up("served");
    tasks.spawn("web events", live::flush(Arc::clone(&live), runtime.clone()));
    tasks.spawn("web history", history::reload(live, store, runtime.shutdown.clone()));
    tasks.join().await
}

/// Starts what is done for accounts behind the pages.
fn start_accounts(
    settings: AccountSettings,
    store: &Arc<dyn LiveStore>,
    runtime: &Runtime,
    tasks: &mut Tasks,
) -> anyhow::Result<Arc<Accounts>> {
    let (mail_requests, requests) = mpsc::channel(mail_task::MAX_REQUESTS);
    let public_url = settings.public_url.clone();
    let mails = mail_task::MailTask { store: Arc::clone(store), public_url, requests };
    tasks.spawn("web account mails", mails.run(runtime.shutdown.clone()));
    let job = Housekeeping::new(Arc::clone(store))?;
    let health = runtime.status.secondary_component("account housekeeping");
    let jobs =
        JobRunner::new(job, Arc::clone(store) as _, runtime.status.instance()).reporting(move |state| {
            match state {
                Ok(detail) => health.up(detail),
                Err(reason) => health.down(reason),
            }
        });
    let shutdown = runtime.shutdown.clone();
    tasks.spawn("web account housekeeping", async move {
        jobs.run(shutdown).await;
        Ok(())
    });
    Ok(Arc::new(Accounts::new(settings, Arc::clone(store), mail_requests)))
}

/// Most connections: one for each live client, and [`OTHER_CONNECTIONS`], as far as the limit of open files admits.
fn max_connections(max_live_clients: usize) -> usize {
    let wanted = max_live_clients.saturating_add(OTHER_CONNECTIONS);
    let files = service_runtime::raise_open_files().map_or(usize::MAX, |limit| limit as usize);
    let max = wanted.min(connections_within(files));
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

/// Connections that a limit of open files admits: of a small one, half.
fn connections_within(files: usize) -> usize {
    files - OTHER_FILES.min(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        for (files, connections) in [(64, 32), (256, 128), (500, 250), (512, 256), (1_024, 768)] {
            assert_eq!(connections_within(files), connections, "of {files}");
        }
    }
}
