//! Logs to stderr, metrics to a Prometheus registry.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

/// Shown unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,reqwest=warn,rustls=warn,tungstenite=warn";

/// Starts logging to stderr, so that stdout belongs to commands.
///
/// # Errors
/// A `RUST_LOG` that does not parse, or logging that already runs.
pub fn init_logs(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).with_context(|| format!("RUST_LOG=`{text}`"))?
        }
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let json = match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = fmt().with_env_filter(filter).with_writer(stderr);
    let started = if json {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.compact().with_ansi(stderr().is_terminal()).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

static REGISTRY: OnceLock<PrometheusHandle> = OnceLock::new();

/// Between two times that observations are gathered into their summaries. Until then each takes memory of its own, so
/// that a process that nobody asks for its figures would grow for ever.
const UPKEEP_INTERVAL_MS: u64 = 1_000;

/// The process's metrics registry; installed at the first call.
///
/// # Errors
/// When somebody else has installed a recorder, or no thread is to be had.
pub fn install_metrics() -> anyhow::Result<&'static PrometheusHandle> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    // Two first calls at once must not both install.
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = REGISTRY.get() {
        return Ok(handle);
    }
    let handle =
        PrometheusBuilder::new().install_recorder().context("cannot install the metrics recorder")?;
    let kept = handle.clone();
    // A thread of its own, as the first call may come from outside the runtime; it lives as long as the process.
    let upkeep = std::thread::Builder::new().name("metrics-upkeep".to_owned());
    let started = upkeep.spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(UPKEEP_INTERVAL_MS));
            kept.run_upkeep();
        }
    });
    started.context("no thread for the upkeep of the metrics")?;
    Ok(REGISTRY.get_or_init(|| handle))
}
