//! A log for one test.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Context;
use chrono::Utc;
use event_log::{EventLog, open};
use tempfile::TempDir;

/// The URL of a log, and unique names for topics and groups.
pub(crate) struct Fixture {
    pub(crate) url: String,
    tag: String,
    _folder: Option<TempDir>,
}

impl Fixture {
    /// An embedded log in its own folder.
    pub(crate) fn sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite:{}", folder.path().join("log.db").display());
        Ok(Self { url, tag: tag(), _folder: Some(folder) })
    }

    /// The broker of `KAFKA_URL`.
    pub(crate) fn kafka() -> anyhow::Result<Self> {
        kafka_url().map(Self::at)
    }

    /// The log of a URL.
    pub(crate) fn at(url: String) -> Self {
        Self { url, tag: tag(), _folder: None }
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        open(&self.url).await.with_context(|| format!("opening {}", self.url))
    }

    /// A unique name for a topic or group.
    pub(crate) fn name(&self, base: &str) -> String {
        format!("{base}-{}", self.tag)
    }
}

/// `KAFKA_URL`. Tests that need it are ignored by default.
pub(crate) fn kafka_url() -> anyhow::Result<String> {
    std::env::var("KAFKA_URL").context("KAFKA_URL names no broker")
}

fn tag() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}-{}", Utc::now().timestamp_millis(), process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
