//! From the driver's errors and the server's codes to the errors of the port.

use mongodb::error::{Error, ErrorKind};

use crate::LiveStoreError;

/// What a failure means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Away, busy, or another server has become the primary: the same call may succeed later.
    Away,
    /// No space, or over the quota that the provider has set.
    NoSpace,
    /// This user may not do that.
    Forbidden,
    /// The user or the password is wrong.
    Login,
    /// For good.
    Refused,
}

/// <https://www.mongodb.com/docs/manual/reference/error-codes/>
pub(crate) mod code {
    pub(crate) const UNAUTHORIZED: i32 = 13;
    pub(crate) const AUTHENTICATION_FAILED: i32 = 18;
    pub(crate) const NAMESPACE_EXISTS: i32 = 48;
    pub(crate) const ATLAS_ERROR: i32 = 8000;
    pub(crate) const QUOTA_EXCEEDED: i32 = 12501;
    pub(crate) const DUPLICATE_KEY: i32 = 11000;
    pub(crate) const OUT_OF_DISK_SPACE: i32 = 14031;

    /// The server, the network between servers, or the election of a primary is in the way, or another
    /// operation is; all of it is transient.
    pub(crate) const PASSING: [i32; 33] = [
        6,     // HostUnreachable
        7,     // HostNotFound
        24,    // LockTimeout
        43,    // CursorNotFound
        46,    // LockBusy
        50,    // MaxTimeMSExpired
        63,    // StaleShardVersion
        64,    // WriteConcernFailed: written, but not yet on a majority in time
        89,    // NetworkTimeout
        91,    // ShutdownInProgress
        112,   // WriteConflict
        117,   // ConflictingOperationInProgress
        133,   // FailedToSatisfyReadPreference
        134,   // ReadConcernMajorityNotAvailableYet
        150,   // StaleEpoch
        175,   // QueryPlanKilled
        189,   // PrimarySteppedDown
        202,   // NetworkInterfaceExceededTimeLimit
        237,   // CursorKilled
        262,   // ExceededTimeLimit
        365,   // TemporarilyUnavailable
        371,   // UserWritesBlocked: while a cluster is copied
        462,   // IngressRequestRateLimitExceeded
        9001,  // SocketException
        10058, // LegacyNotPrimary
        10107, // NotWritablePrimary
        11600, // InterruptedAtShutdown
        11601, // Interrupted
        11602, // InterruptedDueToReplStateChange
        13388, // StaleConfig
        13435, // NotPrimaryNoSecondaryOk
        13436, // NotPrimaryOrSecondary
        16500, // requests beyond the rate that was paid for, of servers that speak this protocol
    ];
}

/// What the server's code means.
pub(crate) fn kind_of_code(code: i32, message: &str) -> Kind {
    match code {
        code::UNAUTHORIZED => Kind::Forbidden,
        code::AUTHENTICATION_FAILED => Kind::Login,
        code::OUT_OF_DISK_SPACE | code::QUOTA_EXCEEDED => Kind::NoSpace,
        code::ATLAS_ERROR if message.contains("quota") => Kind::NoSpace,
        code::ATLAS_ERROR if message.contains("auth") => Kind::Login,
        code if code::PASSING.contains(&code) => Kind::Away,
        _ => Kind::Refused,
    }
}

/// The error of the port for a code of the server. `what` is the attempted action, `words` the server's message.
pub(crate) fn of_code(place: &str, what: &str, code: i32, words: &str) -> LiveStoreError {
    of_kind(place, what, kind_of_code(code, words), &format!("{} (code {code})", one_line(words)))
}

/// Code and message of a server that refuses, now and later.
pub(crate) fn refusal(error: &Error) -> Option<(i32, String)> {
    let ErrorKind::Command(command) = error.kind.as_ref() else { return None };
    let kind = kind_of_code(command.code, &command.message);
    let for_good = matches!(kind, Kind::Refused | Kind::Forbidden);
    for_good.then(|| (command.code, format!("{} (code {})", one_line(&command.message), command.code)))
}

/// The error of the port for an error of the driver.
pub(crate) fn translate(place: &str, what: &str, error: &Error) -> LiveStoreError {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => of_code(place, what, command.code, &command.message),
        ErrorKind::Authentication { message, .. } => of_kind(place, what, Kind::Login, &one_line(message)),
        ErrorKind::Io(io) => of_kind(place, what, Kind::Away, &io.to_string()),
        ErrorKind::ServerSelection { message, .. } => {
            // A pool that was cleared because the login failed reports it only here.
            let login =
                error_beneath(error).is_some_and(is_login) || message.contains("AuthenticationFailed");
            let kind = if login { Kind::Login } else { Kind::Away };
            of_kind(place, what, kind, &reason_of_selection(message))
        }
        ErrorKind::ConnectionPoolCleared { message, .. } | ErrorKind::DnsResolve { message, .. } => {
            of_kind(place, what, Kind::Away, &one_line(message))
        }
        other => of_kind(place, what, Kind::Refused, &one_line(&other.to_string())),
    }
}

fn error_beneath(error: &Error) -> Option<&Error> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>())
}

fn is_login(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Authentication { .. })
}

fn of_kind(place: &str, what: &str, kind: Kind, words: &str) -> LiveStoreError {
    let place = place.to_owned();
    match kind {
        Kind::Away => LiveStoreError::Unavailable {
            place,
            reason: format!("{what}: {words}{}", advice_on_encryption(words)),
        },
        Kind::NoSpace => LiveStoreError::DiskFull { place },
        Kind::Forbidden => LiveStoreError::Refused {
            place,
            reason: format!(
                "{what}: this user may not ({words}); give it the role readWrite on the database, or name another \
                 user in STORE_URL"
            ),
        },
        Kind::Login => LiveStoreError::Refused {
            place,
            reason: format!(
                "{what}: the login failed ({words}); check user and authSource of STORE_URL (without authSource the \
                 user is looked for in the database that the URL names) and the password, in STORE_URL or \
                 STORE_PASSWORD"
            ),
        },
        Kind::Refused => LiveStoreError::Refused { place, reason: format!("{what}: {words}") },
    }
}

/// Encryption that cannot be agreed upon looks like a server that is away; each of its faults has words of its own.
fn advice_on_encryption(words: &str) -> &'static str {
    const ADVICE: [(&[&str], &str); 6] = [
        // An alert is the server's: it is not content with ours.
        (
            &["fatal alert: CertificateRequired", "fatal alert: HandshakeFailure", "fatal alert: UnknownCA"],
            "; the server wants to see a certificate of ours: check tlsCertificateKeyFile of STORE_URL",
        ),
        (
            &["not valid for name", "NotValidForName"],
            "; the server's certificate is made out to other names: name the server in STORE_URL as its certificate does",
        ),
        (
            &["certificate"],
            "; either tlsCAFile of STORE_URL is not the authority that signed the server's certificate, or that certificate \
             is of no use any more",
        ),
        (
            &["corrupt message"],
            "; that port does not speak TLS: leave tls=true out of STORE_URL, or name the port that does",
        ),
        // The driver's words where nothing was received.
        (
            &["Type: Unknown, Servers: ["],
            "; nothing answered: check host and port of STORE_URL, and whether that port speaks TLS as STORE_URL has it \
             (tls=true)",
        ),
        // As a server does, too, that is just being stopped.
        (
            &["end of file", "Connection reset", "Broken pipe", "handshake eof"],
            "; it closed the connection: if that stays so, it may speak TLS where STORE_URL lacks tls=true, or the other way round",
        ),
    ];
    let applies = |(signs, _): &&(&[&str], &str)| signs.iter().any(|sign| words.contains(sign));
    ADVICE.iter().find(applies).map_or("", |(_, advice)| advice)
}

/// The driver lists the whole topology; what a person needs is the reason within.
fn reason_of_selection(message: &str) -> String {
    let reasons = message.split("Error: ").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix("Kind: ").unwrap_or(rest);
        rest.split(", labels:").next()
    });
    match reasons.last() {
        Some(reason) => format!("no server that takes writes was found in time: {}", one_line(reason)),
        None => one_line(message),
    }
}

/// Longest message of a server that is passed on.
const MAX_WORDS: usize = 400;

pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.chars().take(MAX_WORDS).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
