//! Sends [`tracing`] events, with the fields of their spans, to Elasticsearch as documents of the Elastic Common Schema (ECS).
//!
//! ```no_run
//! use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = tracing_elastic::Service::new("shop", "1.4.0");
//! let settings = tracing_elastic::Settings::new("http://localhost:9200".to_owned(), "shop-logs", service);
//! let (layer, logs) = tracing_elastic::start(settings, None)?;
//! tracing_subscriber::registry().with(layer).init();
//! tracing::info!(order = 17, "paid");
//! let counts = logs.shutdown(std::time::Duration::from_secs(5));
//! assert!(counts.is_settled());
//! # Ok(())
//! # }
//! ```
//!
//! - The caller encodes the event into a buffer of its thread and appends it to a queue in memory. It never waits for the network.
//! - The queue is bounded in bytes and documents. While it is full, events are dropped and counted, and the next request carries a
//!   document with their number.
//! - A thread of its own, without a subscriber, posts the queue to `_bulk` in gzip. Documents are created under ids of the sender, so
//!   that a request that is sent again doubles nothing.
//! - The answer to each document is read: 429 and 5xx are retried with back-off, other refusals go to a dead-letter file.
//! - After [`Logs::shutdown`], accepted = indexed + already there + dead-lettered + dropped, exactly ([`Counts`]).
//!
//! It needs Elasticsearch 8.14 or later.

mod bulk;
mod check;
mod client;
mod counts;
mod dead_letters;
mod document;
mod fields;
mod json;
mod layer;
mod logs;
mod panics;
mod queue;
mod sender;
mod settings;
mod template;
mod timestamp;

pub use check::{CheckError, ServerCheck, TemplateState, check};
pub use counts::Counts;
pub use layer::ElasticLayer;
pub use logs::{Logs, Monitor, start};
pub use queue::Health;
pub use settings::{Credentials, DeadLetters, Limits, Service, Settings, SettingsError};
pub use template::{SetupError, setup, template};
