//! From a URL to a database.

use std::{fs::File, io::Read, time::Duration};

use mongodb::{
    Client,
    bson::{RawDocumentBuf, raw::cstr, rawdoc},
    error::ErrorKind,
    options::{Acknowledgment, ClientOptions, ConnectionString, Tls, WriteConcern},
};

use super::{MongoStore, failure, schema};
use crate::{LiveStoreError, Migration, Result};

/// The database, where the URL names none.
const DEFAULT_DATABASE: &str = "stock_market";
/// The name in the server's log, unless the URL sets `appName`.
const APP_NAME: &str = "tapedeck";
/// How long a server that takes writes is looked for, unless the URL sets `serverSelectionTimeoutMS`.
const SERVER_SELECTION_TIMEOUT_MS: u64 = 5_000;
/// How long connecting may take, unless the URL sets `connectTimeoutMS`.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// How long a command may take altogether, unless the URL sets `socketTimeoutMS`.
const COMMAND_TIMEOUT_MS: u64 = 30_000;
/// The bounds of that setting.
const COMMAND_TIMEOUT_RANGE_MS: std::ops::RangeInclusive<u128> = 100..=600_000;
/// How long a write waits for a majority of a replica set, unless the URL sets `wTimeoutMS`.
const MAJORITY_TIMEOUT_MS: u64 = 10_000;
/// Connections, unless the URL sets `maxPoolSize`.
const MAX_POOL_SIZE: u32 = 16;

impl MongoStore {
    /// Connects, and brings the collections up to date. `shown` is the URL for messages.
    pub(crate) async fn open(url: &str, shown: &str) -> Result<(Self, Migration)> {
        let store = Self::connect(url, shown).await?;
        let migration = schema::prepare(&store).await?;
        Ok((store, migration))
    }

    /// Opens no connection yet: a server that is away shows at the first command.
    pub(crate) async fn connect(url: &str, shown: &str) -> Result<Self> {
        let settings = Settings::parse(url).await.map_err(|problem| match problem {
            Problem::Url(reason) => {
                LiveStoreError::BadUrl { url: shown.to_owned(), reason: without_secrets(url, &reason) }
            }
            Problem::Driver(error) => failure::translate(shown, "cannot look up the servers", &error),
        })?;
        let Settings { options, database, command_timeout } = settings;
        let write_concern = write_concern(options.write_concern.as_ref());
        let place = place(shown, &database);
        let client = Client::with_options(options)
            .map_err(|error| failure::translate(&place, "cannot connect", &error))?;
        Ok(Self { database: client.database(&database), place, write_concern, command_timeout })
    }
}

struct Settings {
    options: ClientOptions,
    database: String,
    command_timeout: Duration,
}

/// Why there are no settings.
enum Problem {
    /// The URL is wrong, in the driver's words or ours.
    Url(String),
    /// The name service that `mongodb+srv` needs is in the way.
    Driver(mongodb::error::Error),
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Url(reason)
    }
}

impl From<mongodb::error::Error> for Problem {
    fn from(error: mongodb::error::Error) -> Self {
        match error.kind.as_ref() {
            ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) => Self::Driver(error),
            // The driver's message has the address: with a forgotten host it is a user and a password.
            ErrorKind::InvalidArgument { message, .. } if message.contains("server address") => {
                Self::Url("an address has no valid port; write it as HOST[:PORT]".to_owned())
            }
            other => Self::Url(other.to_string()),
        }
    }
}

impl Settings {
    /// Reads the URL, and fills in what it leaves open.
    async fn parse(url: &str) -> Result<Self, Problem> {
        let mut parsed = ConnectionString::parse(url)?;
        // The driver reads this setting, and then refuses it: it has no such timeout. We have.
        #[allow(deprecated)]
        let command_timeout = parsed.socket_timeout.take();
        let command_timeout = command_timeout.unwrap_or(Duration::from_millis(COMMAND_TIMEOUT_MS));
        if !COMMAND_TIMEOUT_RANGE_MS.contains(&command_timeout.as_millis()) {
            let (min, max) = COMMAND_TIMEOUT_RANGE_MS.into_inner();
            return Err(format!("socketTimeoutMS must be from {min} to {max}").into());
        }
        // Of `mongodb+srv` this asks the name service.
        let mut options = tokio::time::timeout(command_timeout, ClientOptions::parse(parsed))
            .await
            .map_err(|_| mongodb::error::Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))??;
        if options.write_concern.as_ref().is_some_and(|concern| concern.w == Some(Acknowledgment::Nodes(0))) {
            return Err("w=0 would lose ticks without a word; leave it out".to_owned().into());
        }
        check_files(options.tls.as_ref())?;
        let database = options.default_database.take().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        check_name(&database)?;
        // Reading from another server than was written to would find ticks missing that are stored.
        options.selection_criteria = None;
        options.read_concern = None;
        let millis = Duration::from_millis;
        options.server_selection_timeout.get_or_insert(millis(SERVER_SELECTION_TIMEOUT_MS));
        options.connect_timeout.get_or_insert(millis(CONNECT_TIMEOUT_MS));
        options.max_pool_size.get_or_insert(MAX_POOL_SIZE);
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        Ok(Self { options, database, command_timeout })
    }
}

/// A file of certificates is read up to here; more is none.
const MAX_PEM_BYTES: u64 = 4 << 20;

/// Reads the files that the URL names, now and by the names of their settings: the driver would take a file without
/// certificates as one that trusts no certificate.
fn check_files(tls: Option<&Tls>) -> Result<(), String> {
    let Some(Tls::Enabled(tls)) = tls else { return Ok(()) };
    let files = [
        ("tlsCAFile", &tls.ca_file_path, &["CERTIFICATE"][..]),
        ("tlsCertificateKeyFile", &tls.cert_key_file_path, &["CERTIFICATE", "PRIVATE KEY"]),
    ];
    for (setting, path, parts) in files {
        let Some(path) = path else { continue };
        let shown = format!("{setting}={}", path.display());
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_PEM_BYTES).read_to_string(&mut text))
            .map_err(|error| format!("{shown} cannot be read: {error}"))?;
        for part in parts {
            let begins = |line: &str| line.starts_with("-----BEGIN ") && line.contains(part);
            if !text.lines().any(begins) {
                return Err(format!("{shown} holds no {} in PEM format", part.to_lowercase()));
            }
        }
    }
    Ok(())
}

/// <https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions>, of the stricter platform.
fn check_name(database: &str) -> Result<(), String> {
    let odd =
        |c: char| matches!(c, '/' | '\\' | '.' | ' ' | '"' | '$' | '*' | '<' | '>' | ':' | '|' | '?' | '\0');
    if database.is_empty() || database.len() > 63 || database.contains(odd) {
        let shown: String = database.chars().take(80).flat_map(char::escape_debug).collect();
        return Err(format!("`{shown}` is no name of a database: at most 63 letters, digits, _ and -"));
    }
    Ok(())
}

/// A majority of the replica set, in its journals; a single server takes it for itself alone. What the URL sets has
/// precedence.
fn write_concern(of_url: Option<&WriteConcern>) -> RawDocumentBuf {
    let mut concern = rawdoc! {};
    match of_url.and_then(|concern| concern.w.as_ref()) {
        Some(Acknowledgment::Nodes(nodes)) => concern.append(cstr!("w"), *nodes as i32),
        Some(Acknowledgment::Custom(tag)) => concern.append(cstr!("w"), tag.as_str()),
        _ => concern.append(cstr!("w"), "majority"),
    }
    concern.append(cstr!("j"), of_url.and_then(|concern| concern.journal).unwrap_or(true));
    let timeout = of_url.and_then(|concern| concern.w_timeout);
    let timeout = timeout.unwrap_or(Duration::from_millis(MAJORITY_TIMEOUT_MS));
    concern.append(cstr!("wtimeout"), i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
    concern
}

/// The URL for messages, always with the database.
fn place(shown: &str, database: &str) -> String {
    let rest = shown.split_once("://").map_or(shown, |(_, rest)| rest);
    match rest.split_once('/') {
        Some((_, path)) if !path.is_empty() => shown.to_owned(),
        _ => format!("{}/{database}", shown.trim_end_matches('/')),
    }
}

/// Settings whose values are secret.
const SECRET_SETTINGS: [&str; 3] = ["password", "properties", "token"];

/// The driver's message about a URL, unless it repeats a part that may be secret.
fn without_secrets(url: &str, message: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A password that should have been written with % codes may hold anything.
    let password =
        rest.rsplit_once('@').and_then(|(login, _)| login.split_once(':')).map_or("", |(_, word)| word);
    let settings = rest.split_once('?').map_or("", |(_, settings)| settings);
    let values = settings.split('&').filter_map(|pair| pair.split_once('=')).filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        SECRET_SETTINGS.iter().any(|secret| name.contains(secret)).then_some(value)
    });
    let mut secrets = password
        .split([':', '@', '/', '?', '%', '#', '&', '='])
        .chain(values)
        .filter(|part| !part.is_empty());
    if secrets.any(|secret| message.contains(secret)) {
        return "the driver cannot read it; check host and settings, and that user and password are written with % \
                codes where they hold : / ? # [ ] @ or %"
            .to_owned();
    }
    failure::one_line(message)
}
