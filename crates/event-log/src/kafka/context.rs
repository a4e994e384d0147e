//! Where the client's own words go: into `tracing`, and what keeps us out also to whoever waits for an answer. The client
//! does not print settings, so no passwords either.

use std::sync::{Arc, Mutex};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::locked::locked;

/// Why a broker that can be reached does not let us in, as its client last heard it. The client only says it once in a
/// while and tries again for ever; a call hears no more than that no answer came. Shared by the clients of one log.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    kept_out: Option<String>,
    /// A broker that hangs up on a new connection: because we do not speak as its port expects, or because it is just
    /// being stopped. A guess to add where nothing came of it.
    guess: Option<&'static str>,
}

impl Trouble {
    /// Something was answered: it is over.
    pub(crate) fn clear(&self) {
        *locked(&self.0) = Heard::default();
    }

    /// What it is, if there is any, with the setting to mend.
    pub(crate) fn reason(&self) -> Option<String> {
        locked(&self.0).kept_out.clone()
    }

    /// What may be the matter with a broker that does not answer.
    pub(crate) fn guess(&self) -> Option<&'static str> {
        locked(&self.0).guess
    }

    /// An error that belongs to no call: the client goes on by itself.
    pub(crate) fn hear(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if let Some(explained) = code.and_then(|code| explained(code, reason)) {
            if locked(&self.0).kept_out.replace(explained.clone()).is_none() {
                tracing::warn!("kafka does not let us in: {explained}");
            }
        } else if code.is_some_and(super::failure::is_transient) {
            if let Some(guess) = guessed(reason) {
                locked(&self.0).guess = Some(guess);
            }
            tracing::debug!("{error}: {reason}");
        } else {
            tracing::warn!("{error}: {reason}");
        }
    }
}

fn guessed(reason: &str) -> Option<&'static str> {
    if reason.contains("SSL listener?") {
        Some("it hung up: that port may speak TLS; write kafka+tls:// instead of kafka://")
    } else if reason.contains("PLAINTEXT broker") {
        Some(
            "it hung up: that port may not speak TLS; write kafka:// instead of kafka+tls://, or name the TLS port",
        )
    } else {
        None
    }
}

/// The client's words about being kept out, and which part of the URL to look at; `None` where it is about something else.
fn explained(code: RDKafkaErrorCode, reason: &str) -> Option<String> {
    let look_at = match code {
        RDKafkaErrorCode::SSL if reason.contains("certificate verify failed") => {
            "the broker's certificate was not accepted: either `ca` (ssl.ca.location) of the URL is not the authority \
             that signed it, or it is made out to another host name than the one in the URL"
        }
        RDKafkaErrorCode::SSL if reason.contains("wrong version") => {
            "that port does not speak TLS: write kafka:// instead of kafka+tls://, or name the broker's TLS port"
        }
        // Said after the handshake, in which the client cannot know it yet.
        RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure if is_about_ours(reason) => {
            "the broker asks for a certificate, and got none or one that it does not accept: look at `cert` \
             (ssl.certificate.location) and `key` (ssl.key.location) of the URL, and at the authority of `cert`"
        }
        RDKafkaErrorCode::SSL => "TLS failed; look at kafka+tls://, `ca`, `cert` and `key` of the URL",
        RDKafkaErrorCode::UnsupportedSASLMechanism => UNKNOWN_MECHANISM,
        RDKafkaErrorCode::Authentication if reason.to_ascii_lowercase().contains("unsupported") => {
            UNKNOWN_MECHANISM
        }
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            "user or password was refused; look at the user in the URL, at LOG_PASSWORD or LOG_PASSWORD_FILE, and at \
             `sasl` (sasl.mechanism)"
        }
        _ => return None,
    };
    Some(format!("{look_at} ({reason})"))
}

/// Alerts that a server sends about its client's certificate (RFC 8446, 6.2).
fn is_about_ours(reason: &str) -> bool {
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
    "the broker does not have this `sasl` (sasl.mechanism); choose one that it has";

/// For clients that only ask.
pub(crate) struct Quiet(pub(crate) Trouble);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.hear(&error, reason);
    }
}

impl ConsumerContext for Quiet {}

/// One line of the client.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
            // A broker that is away is reported for each try; the callers say it once, in better words.
            if facility != "FAIL" =>
        {
            tracing::warn!(facility, "{line}");
        }
        RDKafkaLogLevel::Warning if facility != "CONFWARN" => tracing::warn!(facility, "{line}"),
        _ => tracing::debug!(facility, "{line}"),
    }
}
