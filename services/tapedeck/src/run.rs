//! `tapedeck run`: every service in one process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    sync::Arc,
};

use anyhow::{Context, bail};
use archive::Prices;
use event_log::EventLog;
use live_store::{LiveStore, LiveStoreError};
use mailer::Mailer;
use market::Symbol;
use news::{DigestConfig, NewsConfig};
use producer::{Choice, Prices as FeedPrices, ProducerConfig};
use service_runtime::{
    ExposeSecret, LogGuard, ProcessRuntime, Runtime, SecretString, heartbeat, open_patiently,
};
use tokio_util::sync::CancellationToken;
use topics::names::service;
use tracing::{Instrument, info_span};
use url::Url;
use web::{StartingPages, WebConfig};

use crate::{
    cli::{Places, RunArgs},
    data_dir::{DataDir, folder, outbox},
    disk,
    drain::wait_until_stored,
    output::{print_line, shown},
};

pub(crate) async fn run(args: RunArgs, logs: &LogGuard) -> anyhow::Result<()> {
    // The port first: the most likely conflict, and before anything is written.
    let listener = web::bind(args.web.listen).await?;
    let address = listener.local_addr().context("cannot read the address")?;
    let process = ProcessRuntime::start(service::ALL_IN_ONE)?;
    // Ctrl-C stops the feeds; the other services run until they have processed what the feeds sent.
    let stopping = process.shutdown.clone();
    let serving = ProcessRuntime { shutdown: CancellationToken::new(), ..process.clone() };
    // A recording has symbols of its own.
    let watchlist = (!args.producer.is_recorded()).then(|| args.producer.watchlist.clone());
    let public = args.public.or(public_url(address)?);
    let alert_recipients = args.alerts.recipients.0.clone();
    let digest = DigestConfig { alert_recipients, public_url: public.url(), ..args.news.digest };
    let alpha_vantage = args.producer.alpha_vantage.account.clone();
    let news = NewsConfig { watchlist: watchlist.clone(), digest, alpha_vantage, ..args.news };
    let web = WebConfig {
        watchlist,
        consumer_group: args.consumer.group.clone(),
        public_url: public.url(),
        ..args.web
    };
    let pages = StartingPages::serve(&web, listener, serving.for_service(service::WEB));
    let choice = producer::choose(&args.producer).await?;
    let data = open_data(&args.places, &choice, &format!("http://{address}"))?;
    let mail = args.mail.with_outbox(&outbox(data.path()));
    let (mailer, outbox) = (Mailer::open(&mail)?, mail.outbox()?);
    let (runtime, store) = open_runtime(&process, &args.places, &data).await?;
    print_line(summary(&choice, &format!("http://{address}"), &data, &args.places, &mailer.place()))?;

    let opened = Opened { log: Arc::clone(&runtime.log), store: Arc::clone(&store) };

    let runtime = Runtime { shutdown: serving.shutdown, ..runtime };
    let analytics = args.analytics.url(|| Ok(data.analytics_url()))?;
    let web = WebConfig { analytics: Some(analytics.clone()), outbox, ..web };
    let mut tasks = runtime.tasks();
    let group = args.consumer.group.clone();
    let mut spawn = |service: &'static str, run: BoxFuture| {
        tasks.spawn(service, run.instrument(info_span!("service", service)));
    };
    let of = |service: &str| runtime.for_service(service);
    let of_pages = Arc::clone(&store);
    let open = move || std::future::ready(Ok(Arc::clone(&of_pages)));
    spawn(service::WEB, Box::pin(web::run(web, pages, open, of(service::WEB))));
    spawn(
        service::CONSUMER,
        Box::pin(consumer::run(args.consumer, Arc::clone(&store), of(service::CONSUMER))),
    );
    let of_digests = Some(news::open_analytics(analytics.clone()));
    let of_alerts = analytics.clone();
    let open = move || {
        let url = analytics.clone();
        async move { analytics_store::open(url.expose_secret()).await }
    };
    let process = of(service::BATCH).process();
    spawn(service::BATCH, Box::pin(batch::run(args.batch, Arc::clone(&store), open, process)));
    let stores =
        ::alerts::Stores { live: Arc::clone(&store), mails: Arc::clone(&store) as _, analytics: of_alerts };
    let alerts = ::alerts::run(args.alerts, public, stores, mailer, of(service::ALERTS));
    spawn(service::ALERTS, Box::pin(alerts));
    let stores = news::Stores { live: Arc::clone(&store), analytics: of_digests };
    spawn(service::NEWS, Box::pin(news::run(news, stores, of(service::NEWS))));
    let feeding = Feeding { config: args.producer, choice, store: Arc::clone(&store) };
    let feeds = feed_then_drain(feeding, of(service::PRODUCER), stopping, group);
    spawn(service::PRODUCER, Box::pin(feeds));
    if args.places.log.is_none() || args.places.store.is_none() {
        tasks.spawn("disk", disk::watch(data.path().to_owned(), runtime.clone()));
    }
    logs.watch(&mut tasks, &runtime.process());
    tasks.spawn("heartbeat", heartbeat(runtime));
    opened.close(tasks.join().await).await?;
    print_line(format_args!("stopped; the data is in {}", data.path().display()))
}

/// Where a browser on this machine reaches the pages, for the links in mails.
fn public_url(address: SocketAddr) -> anyhow::Result<Url> {
    let is_local = address.ip().is_loopback() || address.ip().is_unspecified();
    let host = if is_local { format!("localhost:{}", address.port()) } else { address.to_string() };
    Url::parse(&format!("http://{host}")).context("the address of the pages is no URL")
}

type BoxFuture = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What the feeds run with.
struct Feeding {
    config: ProducerConfig,
    choice: Choice,
    store: Arc<dyn LiveStore>,
}

/// Runs the feeds until `stopping`, waits until the consumer has stored what they sent, and stops the other services.
async fn feed_then_drain(
    feeding: Feeding,
    runtime: Runtime,
    stopping: CancellationToken,
    group: String,
) -> anyhow::Result<()> {
    let of_feeds = Runtime { shutdown: stopping.clone(), ..runtime.clone() };
    // Counted from `stopping`.
    let budget = of_feeds.shutdown_budget();
    let Feeding { config, choice, store } = feeding;
    let mut feeds = pin!(producer::run(config, choice, Some(store), of_feeds));
    tokio::select! {
        ended = &mut feeds => ended?,
        () = budget.feeds().passed() => tracing::warn!("a feed has not ended in time; it is aborted"),
        // Another service has failed.
        () = runtime.shutdown.cancelled() => {
            stopping.cancel();
            return feeds.await;
        }
    }
    tokio::select! {
        drained = wait_until_stored(&runtime, &group) => drained?,
        () = budget.catch_up().passed() => {
            tracing::warn!("not all ticks in the log are stored yet; the rest is stored after the next start");
        }
    }
    runtime.shutdown.cancel();
    Ok(())
}

/// Opens the log and the store of the flags, or the embedded ones in the data folder.
pub(crate) async fn open_runtime(
    process: &ProcessRuntime,
    places: &Places,
    data: &DataDir,
) -> anyhow::Result<(Runtime, Arc<dyn LiveStore>)> {
    let log = places.log_url()?.unwrap_or_else(|| data.log_url().into());
    let runtime = process.open_log(&log).await?;
    let of_others = places.store_url()?;
    // The lock of the data folder keeps other processes from writing the store in it.
    let own = data.store_url();
    let open = || async {
        match &of_others {
            Some(url) => live_store::open(url.expose_secret()).await,
            None => live_store::open_alone(&own).await,
        }
    };
    let store = open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open);
    Ok((runtime, store.await?))
}

/// What is closed at the end of a process.
pub(crate) struct Opened {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<dyn LiveStore>,
}

impl Opened {
    /// Closes store and log in order, whatever happened before. Embedded ones are whole files then, of which a copy is a backup.
    /// Returns the first error, `done` before those of closing.
    pub(crate) async fn close(self, done: anyhow::Result<()>) -> anyhow::Result<()> {
        let store = self.store.close().await.context("the live store was not closed in order");
        let log = self.log.close().await.context("the event log was not closed in order");
        done.and(store).and(log)
    }
}

/// Opens the data folder. Simulated prices go to a folder inside it, unless both `--provider simulated` and `--data` are set:
/// real and simulated prices never share a folder.
fn open_data(places: &Places, choice: &Choice, who: &str) -> anyhow::Result<DataDir> {
    let prices = if choice.is_simulated() { Prices::Simulated } else { Prices::Real };
    DataDir::open(&data_path(places, choice), prices, who)
}

/// Path of the data folder.
pub(crate) fn data_path(places: &Places, choice: &Choice) -> PathBuf {
    let root = folder(places.data.as_deref());
    let apart = choice.is_simulated() && (places.data.is_none() || choice.was_automatic());
    if apart { root.join("simulated") } else { root }
}

/// URL of the event log: that of --log, or the one in an existing data folder.
pub(crate) fn existing_log_url(places: &Places) -> anyhow::Result<SecretString> {
    if let Some(url) = places.log_url()? {
        return Ok(url);
    }
    let root = folder(places.data.as_deref());
    let candidates = [root.join("log.db"), root.join("simulated").join("log.db")];
    // If both exist, the one written last.
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let found = candidates.iter().filter(|path| path.exists()).max_by_key(|path| modified(path));
    match found {
        Some(path) => Ok(format!("sqlite:{}", path.display()).into()),
        None => bail!(
            "there is no event log in {}; set its folder with --data, or the URL of a log with --log",
            root.display()
        ),
    }
}

fn summary(choice: &Choice, url: &str, data: &DataDir, places: &Places, mail: &str) -> String {
    let mut lines = vec![format!("Tapedeck {}", env!("CARGO_PKG_VERSION"))];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<8} {text}"));
    line("pages", format!("{url}   pipeline {url}/system   interface {url}/v1/symbols"));
    for (number, feed) in choice.feeds.iter().enumerate() {
        let before = choice.feeds.iter().take(number);
        if feed.symbols.iter().any(|symbol| before.clone().any(|other| other.symbols.contains(symbol))) {
            line("", format!("{} where these have none", feed.provider));
            continue;
        }
        let kind = match feed.provider.prices() {
            FeedPrices::Simulated => "SIMULATED",
            FeedPrices::Recorded => "recorded",
            FeedPrices::Live(_) => "live",
        };
        line("prices", format!("{} ({kind}): {}", feed.provider, listed(&feed.symbols)));
    }
    for note in &choice.notes {
        line("note", note.clone());
    }
    line("data", data.path().display().to_string());
    line("log", shown(places.log.as_ref().map(ExposeSecret::expose_secret), "embedded"));
    line("store", shown(places.store.as_ref().map(ExposeSecret::expose_secret), "embedded"));
    line("mails", mail.to_owned());
    line("stop", "Ctrl-C".to_owned());
    lines.join("\n")
}

fn listed(symbols: &[Symbol]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = symbols.iter().take(SHOWN).map(Symbol::as_str).collect();
    let more = symbols.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", names.join(" ")) } else { names.join(" ") }
}
