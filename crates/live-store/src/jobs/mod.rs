//! Jobs: who runs each at the moment, and its newest finished run. The port is [`job_runner::JobStore`].

pub(crate) mod mongo;
pub(crate) mod sqlite;

/// The owner of a job that no process runs.
const FREE: &str = "";
