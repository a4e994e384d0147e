//! Logs and errors that librdkafka reports outside of a call: all go to `tracing`, and denied access also to the calls that wait
//! for a response. librdkafka logs no settings, hence no passwords.

use std::sync::{Arc, Mutex};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::locked::locked;

/// Why a broker that can be reached denies access, as last reported by a client. librdkafka reports it now and then
/// and retries without limit; its calls only time out. Shared by the query clients of one log.
#[derive(Clone, Default)]
pub(crate) struct ConnectionError(Arc<Mutex<Reported>>);

#[derive(Default)]
struct Reported {
    denial: Option<String>,
    /// Set if a broker closed a new connection: its port may have another protocol, or the broker is stopping. Added to the
    /// error of a call that timed out.
    hint: Option<&'static str>,
}

impl ConnectionError {
    /// Resets the error, after a response of a broker.
    pub(crate) fn clear(&self) {
        *locked(&self.0) = Reported::default();
    }

    /// Why access is denied, with the setting to change; `None` if it is not denied.
    pub(crate) fn reason(&self) -> Option<String> {
        locked(&self.0).denial.clone()
    }

    /// A possible reason why a broker does not respond.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        locked(&self.0).hint
    }

    /// Records an error that belongs to no call; the client retries by itself.
    pub(crate) fn record(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if let Some(explained) = code.and_then(|code| explain(code, reason)) {
            if locked(&self.0).denial.replace(explained.clone()).is_none() {
                tracing::warn!("kafka denies access: {explained}");
            }
        } else if code.is_some_and(super::failure::is_transient) {
            if let Some(hint) = hint_of(reason) {
                locked(&self.0).hint = Some(hint);
            }
            tracing::debug!("{error}: {reason}");
        } else {
            tracing::warn!("{error}: {reason}");
        }
    }
}

fn hint_of(reason: &str) -> Option<&'static str> {
    if reason.contains("SSL listener?") {
        Some("it closed the connection: that port may require TLS; write kafka+tls:// instead of kafka://")
    } else if reason.contains("PLAINTEXT broker") {
        Some(
            "it closed the connection: that port may not have TLS; write kafka:// instead of kafka+tls://, or name the TLS port",
        )
    } else {
        None
    }
}

/// Why access is denied, with the part of the URL to check; `None` for other errors.
fn explain(code: RDKafkaErrorCode, reason: &str) -> Option<String> {
    let advice = match code {
        RDKafkaErrorCode::SSL if reason.contains("certificate verify failed") => {
            "the broker's certificate was not accepted: either `ca` (ssl.ca.location) of the URL is not the authority \
             that signed it, or it is for another host name than the one in the URL"
        }
        RDKafkaErrorCode::SSL if reason.contains("wrong version") => {
            "that port does not have TLS: write kafka:// instead of kafka+tls://, or name the broker's TLS port"
        }
        // Reported after the handshake, which the client has completed by then.
        RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure
            if is_client_certificate_alert(reason) =>
        {
            "the broker requires a client certificate, and got none or one that it does not accept: check `cert` \
             (ssl.certificate.location) and `key` (ssl.key.location) of the URL, and the authority of `cert`"
        }
        RDKafkaErrorCode::SSL => "TLS failed; check kafka+tls://, `ca`, `cert` and `key` of the URL",
        RDKafkaErrorCode::UnsupportedSASLMechanism => UNKNOWN_MECHANISM,
        RDKafkaErrorCode::Authentication if reason.to_ascii_lowercase().contains("unsupported") => {
            UNKNOWN_MECHANISM
        }
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            "user or password was refused; check the user in the URL, LOG_PASSWORD or LOG_PASSWORD_FILE, and `sasl` \
             (sasl.mechanism)"
        }
        _ => return None,
    };
    Some(format!("{advice} ({reason})"))
}

/// Whether the reason is an alert that a server sends about the client's certificate (RFC 8446, 6.2).
fn is_client_certificate_alert(reason: &str) -> bool {
    let alerts = [
        "bad certificate",
        "unknown ca",
        "certificate required",
        "certificate unknown",
        "certificate expired",
    ];
    alerts.iter().any(|alert| reason.contains(&format!("alert {alert}")))
}

const UNKNOWN_MECHANISM: &str =
    "the broker does not support this `sasl` (sasl.mechanism); choose one that it supports";

/// Context of clients for queries.
pub(crate) struct QueryContext(pub(crate) ConnectionError);

impl ClientContext for QueryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.record(&error, reason);
    }
}

impl ConsumerContext for QueryContext {}

/// Logs one line of the client.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
            // librdkafka reports an unavailable broker at each attempt; callers report it once.
            if facility != "FAIL" =>
        {
            tracing::warn!(facility, "{line}");
        }
        RDKafkaLogLevel::Warning if facility != "CONFWARN" => tracing::warn!(facility, "{line}"),
        _ => tracing::debug!(facility, "{line}"),
    }
}
