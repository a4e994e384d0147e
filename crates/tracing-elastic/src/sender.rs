//! The thread that sends.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tracing::{Dispatch, dispatcher};

use crate::{
    bulk::{self, Item, Outcome},
    client::Elasticsearch,
    dead_letters::{DeadLetterFile, Refusal},
    layer::Intake,
    queue::{Batch, Health, Queue, Settled},
    template::{self, SetupError},
};

/// A wait is this part of itself longer or shorter, so that many processes do not retry together.
const JITTER: f64 = 0.25;
/// The reason of documents that the shutdown left.
const NOT_SENT: &str = "not sent before the end of the process";

/// Sends batches until the queue is closed and empty, or it has to give up.
pub(crate) struct Sender {
    server: Elasticsearch,
    queue: Arc<Queue>,
    intake: Arc<Intake>,
    dead_letters: DeadLetterFile,
    template: Template,
    /// What is being sent; the first one is in the request.
    parts: VecDeque<Batch>,
    backoff: Backoff,
}

/// Whether the index template is there, as far as the sender is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Template {
    /// Others see to it.
    OfOthers,
    /// Not looked at since the start, or since a document was refused for want of it.
    Unknown,
    /// It is there.
    There,
    /// This user may not; the reason.
    NotAllowed(String),
}

/// The wait before the next retry.
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    /// Of a linear congruential generator: jitter needs no better one.
    random: u64,
}

impl Sender {
    pub(crate) fn new(
        server: Elasticsearch,
        intake: Arc<Intake>,
        queue: Arc<Queue>,
        dead_letters: DeadLetterFile,
        manages_template: bool,
        random: u64,
    ) -> Self {
        let min = Duration::from_millis(queue.limits().retry_min_ms);
        let max = Duration::from_millis(queue.limits().retry_max_ms).max(min);
        Self {
            server,
            queue,
            intake,
            dead_letters,
            template: if manages_template { Template::Unknown } else { Template::OfOthers },
            parts: VecDeque::new(),
            backoff: Backoff { min, max, next: min, random },
        }
    }

    /// The body of the thread.
    pub(crate) fn run(mut self) {
        // Counts what is left as dropped, should this thread panic.
        let ending = Ending(Arc::clone(&self.queue));
        // What the HTTP client logs must not become another document to send.
        let silent = || dispatcher::set_default(&Dispatch::none());
        let _silent = silent();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Threads that look up host names; they end with the runtime.
            .on_thread_start(move || std::mem::forget(silent()))
            .build();
        match runtime {
            Ok(runtime) => {
                let queue = Arc::clone(&self.queue);
                runtime.block_on(async {
                    tokio::select! {
                        () = self.work() => {}
                        () = queue.overdue() => {}
                    }
                });
                self.give_up();
                // A look-up of a host name may take longer than anything waits.
                runtime.shutdown_background();
            }
            Err(error) => self.queue.set_health(Health::Down(format!("cannot start sending: {error}"))),
        }
        drop(ending);
    }

    /// Can be cancelled at every wait: what is unsent is in the queue or in `parts`.
    async fn work(&mut self) {
        loop {
            let intake = &self.intake;
            let Some(batch) = self.queue.next(|dropped| intake.notice(dropped)).await else { return };
            let documents = batch.len();
            self.parts.push_back(batch);
            while !self.parts.is_empty() {
                if let Err(reason) = self.send_first().await {
                    self.queue.set_health(Health::Down(reason));
                    self.queue.wait_for_retry(self.backoff.wait()).await;
                }
            }
            self.queue.complete(documents);
        }
    }

    /// One request with the first part. What is to be retried stays the first part; an error is the reason to wait first.
    async fn send_first(&mut self) -> Result<(), String> {
        self.ensure_template().await?;
        let Some(part) = self.parts.front() else { return Ok(()) };
        match bulk::post(&self.server, part).await {
            Outcome::Items(items) => self.settle(&items),
            Outcome::Unacceptable(reason) => {
                self.split(&reason);
                Ok(())
            }
            Outcome::Unavailable(reason) => Err(reason),
            Outcome::NoTemplate(reason) => {
                let hint = match &self.template {
                    Template::NotAllowed(why) => why.clone(),
                    Template::OfOthers | Template::Unknown | Template::There => {
                        "set up its index template".to_owned()
                    }
                };
                if self.template != Template::OfOthers {
                    self.template = Template::Unknown;
                }
                Err(format!("data stream {}: {reason}; {hint}", self.server.data_stream()))
            }
        }
    }

    async fn ensure_template(&mut self) -> Result<(), String> {
        if self.template != Template::Unknown {
            return Ok(());
        }
        self.template = match template::ensure(&self.server).await {
            Ok(_) => Template::There,
            Err(error @ SetupError::Refused(_)) => Template::NotAllowed(error.to_string()),
            Err(error) => return Err(error.to_string()),
        };
        Ok(())
    }

    /// Counts the results of the first part. What is to be retried becomes the first part again.
    fn settle(&mut self, items: &[Item]) -> Result<(), String> {
        let Some(part) = self.parts.pop_front() else { return Ok(()) };
        let mut ends = Settled::default();
        let mut wait_because = None;
        for (entry, item) in part.entries().zip(items) {
            match item {
                Item::Retry(reason) => {
                    wait_because.get_or_insert_with(|| reason.clone());
                    continue;
                }
                Item::Indexed => ends.indexed += 1,
                Item::AlreadyThere => ends.already_there += 1,
                Item::Refused { status, reason } => {
                    bury(
                        &mut self.dead_letters,
                        entry,
                        &Refusal { status: Some(*status), reason },
                        &mut ends,
                    );
                }
            }
            ends.bytes += entry.len();
        }
        self.queue.settle(ends);
        let Some(reason) = wait_because else {
            self.backoff.reset();
            self.queue.set_health(Health::Up);
            return Ok(());
        };
        self.parts.push_front(part.only(items.iter().map(|item| matches!(item, Item::Retry(_)))));
        Err(format!("{}: {reason}", self.server.data_stream()))
    }

    /// Replaces the first part by its halves, so that a document that cannot be sent is found. Alone, it is refused.
    fn split(&mut self, reason: &str) {
        let Some(part) = self.parts.pop_front() else { return };
        if part.len() > 1 {
            let [first, second] = part.halves();
            self.parts.push_front(second);
            self.parts.push_front(first);
        } else {
            self.bury_all(&part, reason);
        }
    }

    /// Puts what is left into the dead-letter file.
    fn give_up(&mut self) {
        let parts: Vec<Batch> = self.parts.drain(..).chain(self.queue.drain()).collect();
        for part in parts {
            self.bury_all(&part, NOT_SENT);
        }
    }

    fn bury_all(&mut self, part: &Batch, reason: &str) {
        let mut ends = Settled::default();
        for entry in part.entries() {
            bury(&mut self.dead_letters, entry, &Refusal { status: None, reason }, &mut ends);
            ends.bytes += entry.len();
        }
        self.queue.settle(ends);
    }
}

/// Appends an entry to the dead-letter file; one that does not fit, or cannot be written, is dropped.
fn bury(file: &mut DeadLetterFile, entry: &[u8], refusal: &Refusal<'_>, ends: &mut Settled) {
    match file.append(entry, refusal) {
        Ok(()) => ends.dead_lettered += 1,
        Err(_) => ends.dropped += 1,
    }
}

struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Backoff {
    fn reset(&mut self) {
        self.next = self.min;
    }

    /// The wait now; the next one is twice as long.
    fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.random >> 33) as f64 / f64::from(1_u32 << 31);
        wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * unit)
    }
}
