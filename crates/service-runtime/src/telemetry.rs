//! Logs to stderr, metrics to a Prometheus registry.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, OnceLock, PoisonError},
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

/// The process's metrics registry; installed at the first call.
///
/// # Errors
/// When somebody else has installed a recorder.
pub fn install_metrics() -> anyhow::Result<&'static PrometheusHandle> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    // Two first calls at once must not both install.
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = REGISTRY.get() {
        return Ok(handle);
    }
    let handle =
        PrometheusBuilder::new().install_recorder().context("cannot install the metrics recorder")?;
    Ok(REGISTRY.get_or_init(|| handle))
}
