//! Starting, watching and ending.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::ClientBuilder;

use crate::{
    client::Elasticsearch,
    counts::Counts,
    dead_letters::DeadLetterFile,
    document::Encoder,
    layer::{ElasticLayer, Intake},
    panics,
    queue::{Health, Queue},
    sender::Sender,
    settings::{Settings, SettingsError},
};

/// The longest wait for the end of the sender beyond its own deadline: it may be writing dead letters.
const GRACE: Duration = Duration::from_secs(1);
/// The deadline of a value that is dropped without [`Logs::shutdown`].
const DROP_TIMEOUT: Duration = Duration::from_secs(3);

/// Sends what is queued when it is dropped. Keep it until the end of the process.
#[must_use = "what is queued is sent when this is dropped"]
pub struct Logs {
    monitor: Monitor,
    is_shut_down: bool,
}

/// Counts and health, and a flush; can be cloned.
#[derive(Clone)]
pub struct Monitor {
    intake: Arc<Intake>,
}

/// Starts the thread that sends, and returns its layer. `client` has the certificates and proxies to be used; its timeouts and redirects
/// are replaced. Without one, the system's certificates count.
///
/// # Errors
/// Settings that cannot be used. A server that does not answer is no error: see [`Monitor::health`].
pub fn start(
    settings: Settings,
    client: Option<ClientBuilder>,
) -> Result<(ElasticLayer, Logs), SettingsError> {
    let timeout = Duration::from_millis(settings.limits.request_timeout_ms);
    let server = Elasticsearch::new(settings.place()?, client, timeout)?;
    // The keys of a hash map are random.
    let random = RandomState::new().build_hasher().finish();
    let encoder = Encoder::new(&settings, SystemTime::now(), random);
    let queue = Arc::new(Queue::new(settings.limits));
    let intake = Arc::new(Intake::new(encoder, Arc::clone(&queue)));
    let dead_letters = DeadLetterFile::new(settings.dead_letters);
    let manages_template = settings.manages_template;
    let sender = Sender::new(server, Arc::clone(&intake), queue, dead_letters, manages_template, random);
    let thread = std::thread::Builder::new().name(panics::SENDER_THREAD.to_owned());
    thread.spawn(|| sender.run()).map_err(SettingsError::Thread)?;
    let layer = ElasticLayer::new(Arc::clone(&intake));
    Ok((layer, Logs { monitor: Monitor { intake }, is_shut_down: false }))
}

impl Logs {
    /// Counts and health, for other parts of the program.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// From now on, a panic becomes a document, and is sent before the panic goes on, within two seconds. The hook of before is called
    /// as well, first.
    pub fn record_panics(&self) {
        panics::record(self.monitor());
    }

    /// Sends what is queued. What is not sent after `timeout` goes to the dead-letter file, or is dropped without one. Events after
    /// this are dropped. Returns within the timeout and one second.
    pub fn shutdown(mut self, timeout: Duration) -> Counts {
        self.is_shut_down = true;
        self.monitor.intake.queue().close(timeout, GRACE);
        self.monitor.counts()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if !self.is_shut_down {
            self.monitor.intake.queue().close(DROP_TIMEOUT, GRACE);
        }
    }
}

impl Monitor {
    /// What has become of the events so far.
    pub fn counts(&self) -> Counts {
        self.intake.queue().counts()
    }

    /// Whether documents reach Elasticsearch.
    pub fn health(&self) -> Health {
        self.intake.queue().health()
    }

    /// Waits until everything that was logged before is settled, or the time has passed; whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.intake.queue().flush(timeout)
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }
}
