//! The part of a service that sends what is owed.

use std::sync::Arc;

use owed_mails::MailStore;
use service_runtime::Runtime;

use crate::Mailer;

/// Sends the mails of the store until the shutdown.
///
/// # Errors
/// None while mail server and store are unavailable: they are reported and tried again.
pub async fn run_sender(
    _store: Arc<dyn MailStore>,
    _mailer: Mailer,
    _runtime: Runtime,
) -> anyhow::Result<()> {
    todo!()
}
