//! Log lines to Elasticsearch, where that is set.

use std::time::Duration;

use anyhow::{Context, bail};
use metrics::{counter, gauge};
use rustix::system::uname;
use topics::names::component;
use tracing_elastic::{
    Counts, Credentials, DeadLetters, ElasticLayer, Health, Limits, Logs, Monitor, ServerCheck, Service,
    Settings,
};

use crate::{Component, LogOutput, ProcessRuntime, http_client};

/// The data stream of the log lines of all services.
pub const LOG_DATA_STREAM: &str = "stock-system-logs";

/// The setting that messages name.
const SETTING: &str = "--elasticsearch, ELASTICSEARCH_URL";
/// The field of spans that names the service in a process that has several.
const SERVICE_FIELD: &str = "service";
/// Largest dead-letter file.
const DEAD_LETTERS_MAX_BYTES: u64 = 16 << 20;
/// Of a check a person waits for.
const CHECK_TIMEOUT_MS: u64 = 10_000;
/// Between two reports of health and metrics.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The end of a process waits so long for Elasticsearch. Counts on top of the budget of the shutdown, of which little is used where
/// everything else works.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Starts sending; `None` where no Elasticsearch is set.
pub(crate) fn start(
    service: &'static str,
    output: &LogOutput,
) -> anyhow::Result<Option<(ElasticLayer, Logs)>> {
    let Some(settings) = settings(service, output).context(SETTING)? else { return Ok(None) };
    let (layer, logs) = tracing_elastic::start(settings, Some(http_client())).context(SETTING)?;
    logs.record_panics();
    Ok(Some((layer, logs)))
}

/// Creates or updates the index template of the log lines. Returns what was changed, one line each.
///
/// # Errors
/// No Elasticsearch in the settings, one that does not answer, and one that refuses.
pub async fn set_up_log_template(output: &LogOutput) -> anyhow::Result<Vec<String>> {
    let Some(settings) = settings(topics::names::service::ALL_IN_ONE, output).context(SETTING)? else {
        bail!("no Elasticsearch is set; set {SETTING}, such as http://localhost:9200");
    };
    tracing_elastic::setup(&settings, Some(http_client())).await.context(SETTING)
}

/// Looks at the Elasticsearch of the log lines without changing it; `None` where none is set.
///
/// # Errors
/// Settings that cannot be used, a server that does not answer, and one that does not accept the credentials. No message has a secret.
pub async fn check_log_server(output: &LogOutput) -> anyhow::Result<Option<ServerCheck>> {
    let Some(mut settings) = settings(topics::names::service::ALL_IN_ONE, output)? else { return Ok(None) };
    settings.limits.request_timeout_ms = CHECK_TIMEOUT_MS;
    Ok(Some(tracing_elastic::check(&settings, Some(http_client())).await?))
}

fn settings(service: &'static str, output: &LogOutput) -> anyhow::Result<Option<Settings>> {
    let Some(url) = output.elasticsearch_url()? else { return Ok(None) };
    let host = uname().nodename().to_string_lossy().into_owned();
    let sender = Service { host: Some(host), ..Service::new(service, env!("CARGO_PKG_VERSION")) };
    let path = output.elasticsearch_dead_letters.as_ref().filter(|path| !path.is_empty());
    let mut settings = Settings::new(url, LOG_DATA_STREAM, sender);
    if let Some(key) = output.api_key() {
        settings.credentials = Credentials::ApiKey(key.clone());
    }
    settings.service_field = Some(SERVICE_FIELD);
    settings.dead_letters =
        path.map(|path| DeadLetters { path: path.into(), max_bytes: DEAD_LETTERS_MAX_BYTES });
    settings.retention_days = output.elasticsearch_retention_days;
    settings.limits = Limits {
        queue_max_bytes: (output.elasticsearch_queue_max_mb as usize) << 20,
        queue_max_documents: output.elasticsearch_queue_max_lines as usize,
        ..Limits::default()
    };
    Ok(Some(settings))
}

/// Sends what is left, and reports on stderr what could not be sent: the log lines about it have no other place.
pub(crate) fn end(logs: Logs) {
    let Counts { dead_lettered, dropped, .. } = logs.shutdown(END_LIMIT);
    if dead_lettered + dropped > 0 {
        tracing::warn!(dead_lettered, dropped, "log lines have not reached Elasticsearch");
    }
}

/// Reports health and metrics until the shutdown.
pub(crate) async fn watch(monitor: Monitor, process: ProcessRuntime) -> anyhow::Result<()> {
    let health = process.status.secondary_component(component::LOGS);
    loop {
        report(&health, &monitor);
        tokio::select! {
            () = process.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(REPORT_INTERVAL) => {}
        }
    }
}

fn report(health: &Component, monitor: &Monitor) {
    let counts = monitor.counts();
    match monitor.health() {
        Health::Starting => {}
        Health::Up if counts.dropped == 0 => health.up("log lines reach Elasticsearch"),
        Health::Up => health
            .up(&format!("log lines reach Elasticsearch; {} were dropped since the start", counts.dropped)),
        Health::Down(reason) => health.down(&format!("{reason} ({SETTING})")),
    }
    let service = health.service();
    for (name, value) in [
        ("tapedeck_logs_accepted_total", counts.accepted),
        ("tapedeck_logs_indexed_total", counts.indexed),
        ("tapedeck_logs_already_there_total", counts.already_there),
        ("tapedeck_logs_dead_lettered_total", counts.dead_lettered),
        ("tapedeck_logs_dropped_total", counts.dropped),
    ] {
        counter!(name, "service" => service.to_owned()).absolute(value);
    }
    gauge!("tapedeck_logs_queued_bytes", "service" => service.to_owned()).set(counts.queued_bytes as f64);
}
