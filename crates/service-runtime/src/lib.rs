//! What every service does around its own work: settings, logs, health, figures, supervision, shutdown.
//!
//! A service is a function `run(config, runtime)`. Its `main` and the all-in-one binary both make a [`Runtime`] and
//! call it, so that it is started the same way everywhere.

mod admin;
mod figures;
mod heartbeat;
mod http_client;
mod settings;
mod shutdown;
mod start;
mod status;
mod tasks;
mod telemetry;

use std::sync::Arc;

use event_log::EventLog;
use tokio_util::sync::CancellationToken;

pub use admin::{admin_routes, health_response, metrics_response, ready_response, serve_admin};
pub use figures::{Figures, Latency, Meter};
pub use heartbeat::heartbeat;
pub use http_client::{http_client, install_tls};
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::{HELP_END, LogPassword, LogSettings};
pub use shutdown::cancel_on_signals;
pub use start::{create_topics, open_log, open_patiently, start};
pub use status::{Component, Status};
pub use tasks::Tasks;
pub use telemetry::{LogFormat, init_logs, install_metrics};

/// What a service is given besides its own settings.
#[derive(Clone)]
pub struct Runtime {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// Health and figures of this process.
    pub status: Arc<Status>,
    /// Cancelled when it is time to drain and leave.
    pub shutdown: CancellationToken,
}
