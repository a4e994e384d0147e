//! What every service does around its own work: settings, logs, health, figures, supervision, shutdown.
//!
//! A service is a function `run(config, runtime)`. [`main`] makes a process of it; the all-in-one binary calls the functions
//! of all services with one [`Runtime`], narrowed to each by [`Runtime::for_service`].

mod admin;
mod connections;
mod elastic_logs;
mod figures;
mod heartbeat;
mod http_client;
mod http_server;
mod locked;
mod log_output;
mod metric_help;
mod open_files;
mod process_figures;
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
pub use elastic_logs::{LOG_DATA_STREAM, check_log_server, set_up_log_template};
pub use figures::{Figures, Gauge, Latency, Meter};
pub use heartbeat::heartbeat;
pub use http_client::{http_client, install_tls};
pub use http_server::{ClientAddress, serve_http};
pub use log_output::LogOutput;
pub use open_files::raise_open_files;
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::{HELP_END, LogPassword, LogSettings, PublicAddress, RENAMED_VARIABLES, renamed_variables};
pub use shutdown::{SHUTDOWN_LIMIT, ShutdownBudget, ShutdownDeadline, cancel_on_signals};
pub use start::{create_topics, main, main_without_log, open_log, open_patiently, run_service};
pub use status::{Component, Status};
pub use tasks::Tasks;
pub use telemetry::{LogFormat, LogGuard, init_logs, install_metrics};
pub use tracing_elastic::{ServerCheck as LogServerCheck, TemplateState};

/// The allocator of every process: the C library's returns little of what is freed (docs/decisions/0070).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a service receives besides its own settings.
#[derive(Clone)]
pub struct Runtime {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// Health and figures of this process, or of one service of it.
    pub status: Arc<Status>,
    /// Cancelled when the service has to drain and end.
    pub shutdown: CancellationToken,
}

impl Runtime {
    /// The same for one service of the process: components and figures that it adds carry its name, and do not replace those
    /// of another service.
    pub fn for_service(&self, service: &str) -> Self {
        Self { status: self.status.for_service(service), ..self.clone() }
    }

    /// Without the event log.
    pub fn process(&self) -> ProcessRuntime {
        ProcessRuntime { status: Arc::clone(&self.status), shutdown: self.shutdown.clone() }
    }

    /// See [`ProcessRuntime::tasks`].
    pub fn tasks(&self) -> Tasks {
        self.process().tasks()
    }

    /// See [`ProcessRuntime::shutdown_budget`].
    pub fn shutdown_budget(&self) -> ShutdownBudget {
        self.process().shutdown_budget()
    }
}

/// What a process has from its start on, before its event log is open: pages can be served by then.
#[derive(Clone)]
pub struct ProcessRuntime {
    /// Health and figures of this process, or of one service of it.
    pub status: Arc<Status>,
    /// Cancelled when the process has to drain and end.
    pub shutdown: CancellationToken,
}

impl ProcessRuntime {
    /// The same for one service of the process, as [`Runtime::for_service`].
    pub fn for_service(&self, service: &str) -> Self {
        Self { status: self.status.for_service(service), ..self.clone() }
    }

    /// No tasks yet; they end with [`shutdown`](Self::shutdown), within its budget.
    pub fn tasks(&self) -> Tasks {
        Tasks::with_budget(self.shutdown.clone(), self.shutdown_budget())
    }

    /// The deadlines of the shutdown, counted from its beginning anywhere in the process.
    pub fn shutdown_budget(&self) -> ShutdownBudget {
        ShutdownBudget::since(self.shutdown.clone(), self.status.shutdown_began())
    }
}
