//! Logs to stderr, metrics to a Prometheus registry.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_elastic::Monitor;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{LogOutput, ProcessRuntime, Tasks, elastic_logs, locked::locked, metric_help};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The filter without `RUST_LOG`.
const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=warn,reqwest=warn,rustls=warn,tungstenite=warn";

/// Flushes the log lines that are still buffered when it is dropped. `main` holds it until the end.
#[must_use = "log lines are flushed when this is dropped"]
pub struct LogGuard {
    flushes: Vec<Flush>,
    elastic: Option<Monitor>,
}

type Flush = Box<dyn FnOnce() + Send>;
type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl Drop for LogGuard {
    fn drop(&mut self) {
        for flush in self.flushes.drain(..) {
            flush();
        }
    }
}

impl LogGuard {
    /// Reports the part `logs` of the process and its metrics, if log lines go to Elasticsearch.
    pub fn watch(&self, tasks: &mut Tasks, process: &ProcessRuntime) {
        if let Some(monitor) = &self.elastic {
            tasks.spawn("logs", elastic_logs::watch(monitor.clone(), process.clone()));
        }
    }
}

/// Starts logging in the name of a service. Each destination is a layer of its own, with what flushes it.
///
/// # Errors
/// A `RUST_LOG` that does not parse, settings of Elasticsearch that cannot be used, or logging that already runs. An Elasticsearch that
/// does not answer is no error.
pub fn init_logs(service: &'static str, output: &LogOutput) -> anyhow::Result<LogGuard> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).with_context(|| format!("RUST_LOG=`{text}`"))?
        }
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let mut destinations = vec![to_stderr(output.log_format)];
    let elastic = match elastic_logs::start(service, output)? {
        Some((layer, logs)) => {
            let monitor = logs.monitor();
            destinations.push((Box::new(layer), Box::new(move || elastic_logs::end(logs))));
            Some(monitor)
        }
        None => None,
    };
    let (layers, flushes): (Vec<BoxedLayer>, Vec<Flush>) = destinations.into_iter().unzip();
    let started = tracing_subscriber::registry().with(layers).with(filter).try_init();
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))?;
    Ok(LogGuard { flushes, elastic })
}

/// Lines on stderr, so that stdout belongs to commands.
fn to_stderr(format: LogFormat) -> (BoxedLayer, Flush) {
    let json = match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = fmt::layer().with_writer(stderr);
    let layer: BoxedLayer = if json {
        Box::new(lines.json().flatten_event(true).with_current_span(false))
    } else {
        Box::new(lines.compact().with_ansi(stderr().is_terminal()))
    };
    // A stderr that cannot be written takes no message about that.
    (layer, Box::new(|| drop(stderr().flush())))
}

static REGISTRY: OnceLock<PrometheusHandle> = OnceLock::new();

/// Between two times that observations are merged into their summaries. Until then each takes memory of its own, so that
/// a process whose `/metrics` is never read would grow without bound.
const UPKEEP_INTERVAL_MS: u64 = 1_000;

/// The process's metrics registry; installed at the first call.
///
/// # Errors
/// When another recorder is installed, or the operating system has no thread left.
pub fn install_metrics() -> anyhow::Result<&'static PrometheusHandle> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    // Two first calls at once must not both install.
    let _one = locked(&INSTALLING);
    if let Some(handle) = REGISTRY.get() {
        return Ok(handle);
    }
    let handle =
        PrometheusBuilder::new().install_recorder().context("cannot install the metrics recorder")?;
    metric_help::describe();
    let kept = handle.clone();
    // A thread, because the first call may come from outside of the async runtime; it runs until the process ends.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_is_buffered_is_flushed_when_the_guard_is_dropped() {
        static FLUSHED: AtomicBool = AtomicBool::new(false);
        let flush: Flush = Box::new(|| FLUSHED.store(true, Ordering::SeqCst));
        let guard = LogGuard { flushes: vec![flush], elastic: None };
        assert!(!FLUSHED.load(Ordering::SeqCst));
        drop(guard);
        assert!(FLUSHED.load(Ordering::SeqCst));
    }
}
