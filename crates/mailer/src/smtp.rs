//! SMTP, step by step: which step failed decides whether a mail is tried again, and whether others can be sent meanwhile.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::{
    MailSettingsError, SendError,
    smtp_server::{SmtpServer, TlsMode},
};

/// Longest time to connect, encrypt and log in.
const CONNECT_SECONDS: u64 = 30;
/// Longest time to send one mail. A server may check its content for minutes before it replies, and a client that gives up too
/// early sends the mail twice (RFC 5321, 4.5.3.2.6).
const SEND_SECONDS: u64 = 300;
/// Longest time for `NOOP` and `QUIT`.
const SHORT_SECONDS: u64 = 5;
/// A connection that was not used for so long is closed.
const IDLE_SECONDS: u64 = 20;
/// Connections that are kept open.
const MAX_IDLE: usize = 4;

/// A mail server, with the connections that are open to it.
pub(crate) struct SmtpClient {
    server: SmtpServer,
    hello: ClientId,
    tls: TlsParameters,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// A step of sending a mail to which the server replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Sender,
    Recipient,
    Content,
}

impl SmtpClient {
    /// `domain` names this client to the server. Connects to nothing.
    pub(crate) fn new(server: SmtpServer, domain: &str) -> Result<Self, MailSettingsError> {
        let tls = tls_parameters(&server)?;
        Ok(Self { server, hello: ClientId::Domain(domain.to_owned()), tls, idle: Mutex::default() })
    }

    /// `mail.example.com:587`.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    pub(crate) async fn send(&self, from: Address, to: Address, message: &[u8]) -> Result<(), SendError> {
        let mut connection = self.connection().await?;
        let limit = Duration::from_secs(SEND_SECONDS);
        let sent = match timeout(limit, send_on(&mut connection, from, to, message)).await {
            Ok(sent) => sent.map_err(|(step, error)| self.failure(step, &error)),
            Err(_) => {
                let address = self.address();
                Err(SendError::Transient(format!("{address} has not taken the mail within {SEND_SECONDS} s")))
            }
        };
        match &sent {
            Ok(()) => self.keep(connection),
            Err(_) => quit(connection).await,
        }
        sent
    }

    /// Connects, encrypts and logs in.
    pub(crate) async fn check(&self) -> Result<(), SendError> {
        let connection = self.connection().await?;
        quit(connection).await;
        Ok(())
    }

    /// A connection that is open and works, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        while let Some(mut idle) = self.take_idle() {
            let probe = timeout(Duration::from_secs(SHORT_SECONDS), idle.test_connected());
            if probe.await.unwrap_or(false) {
                return Ok(idle);
            }
        }
        match timeout(Duration::from_secs(CONNECT_SECONDS), self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.unavailable(&format!("has not replied within {CONNECT_SECONDS} s"))),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let server = &self.server;
        let is_wrapped = server.tls == TlsMode::FirstByte;
        let wrapped = is_wrapped.then(|| self.tls.clone());
        let limit = Some(Duration::from_secs(CONNECT_SECONDS));
        let place = (server.host.as_str(), server.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(place, limit, &self.hello, wrapped, None)
            .await
            .map_err(|error| {
                let hint = if is_wrapped && error.is_tls() {
                    "; for a server that begins without TLS use smtp:// and port 587"
                } else {
                    ""
                };
                self.unavailable(&format!("cannot be reached: {}{hint}", text(&error)))
            })?;
        let wants_tls = matches!(server.tls, TlsMode::StartTls | TlsMode::Opportunistic);
        if wants_tls && connection.can_starttls() {
            let encrypted = connection.starttls(self.tls.clone(), &self.hello).await;
            encrypted.map_err(|error| self.unavailable(&format!("cannot encrypt: {}", text(&error))))?;
        } else if server.tls == TlsMode::StartTls {
            quit(connection).await;
            return Err(self.unavailable(
                "offers no STARTTLS, which its setting asks for; nothing was sent: use a server with TLS, or tls=none in a \
                 trusted network",
            ));
        }
        self.log_in(connection).await
    }

    async fn log_in(&self, mut connection: AsyncSmtpConnection) -> Result<AsyncSmtpConnection, SendError> {
        let Some(login) = &self.server.login else { return Ok(connection) };
        if !connection.is_encrypted() && !self.server.is_this_host() {
            quit(connection).await;
            return Err(self.unavailable("offers no TLS, without which the password is not sent"));
        }
        let credentials = Credentials::new(login.user.clone(), login.password.expose_secret().to_owned());
        match connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await {
            Ok(_) => Ok(connection),
            Err(error) => {
                quit(connection).await;
                Err(self.unavailable(&format!("does not accept the user and password: {}", text(&error))))
            }
        }
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < Duration::from_secs(IDLE_SECONDS));
        idle.pop().map(|idle| idle.connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !connection.has_broken() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn unavailable(&self, reason: &str) -> SendError {
        SendError::Unavailable(format!(
            "the mail server {} {reason}; check MAIL_URL (or SMTP_SERVER)",
            self.server.address()
        ))
    }

    /// What an error in a step means. The address of the recipient is left out: reasons are logged.
    fn failure(&self, step: Step, error: &Error) -> SendError {
        let address = self.server.address();
        let reason = text(error);
        match step {
            Step::Sender if error.is_permanent() => SendError::Unavailable(format!(
                "the mail server {address} does not accept the sender: {reason}; check MAIL_FROM (or EMAIL_SENDER)"
            )),
            Step::Recipient | Step::Content if error.is_permanent() => {
                SendError::Refused(format!("{address}: {reason}"))
            }
            Step::Content if !error.is_transient() => SendError::Transient(format!(
                "{address}: {reason}; the server may have taken the mail before the connection broke"
            )),
            Step::Sender | Step::Recipient | Step::Content => {
                SendError::Transient(format!("{address}: {reason}"))
            }
        }
    }
}

async fn send_on(
    connection: &mut AsyncSmtpConnection,
    from: Address,
    to: Address,
    message: &[u8],
) -> Result<(), (Step, Error)> {
    let of = |step| move |error| (step, error);
    connection.command(Mail::new(Some(from), Vec::new())).await.map_err(of(Step::Sender))?;
    connection.command(Rcpt::new(to, Vec::new())).await.map_err(of(Step::Recipient))?;
    connection.command(Data).await.map_err(of(Step::Recipient))?;
    connection.message(message).await.map_err(of(Step::Content))?;
    Ok(())
}

/// Closes a connection; a server that does not reply to `QUIT` is not waited for.
async fn quit(mut connection: AsyncSmtpConnection) {
    // Nothing depends on it: the connection is closed in any case.
    let _ = timeout(Duration::from_secs(SHORT_SECONDS), connection.abort()).await;
}

/// The reply of the server, or what else went wrong, in one line.
fn text(error: &Error) -> String {
    let mut reason = error.to_string();
    if let Some(code) = error.status() {
        // `transient error (451): text`
        let words = reason.split_once("): ").map_or("", |(_, words)| words);
        reason = format!("{code} {words}");
    }
    let words: Vec<&str> = reason.split_whitespace().collect();
    words.join(" ")
}

fn tls_parameters(server: &SmtpServer) -> Result<TlsParameters, MailSettingsError> {
    let bad = |reason: String| MailSettingsError::Value {
        setting: "MAIL_URL (--mail-url)",
        value: server.address(),
        reason,
    };
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(path) = &server.ca {
        let shown = path.display();
        let pem = fs::read(path).map_err(|error| bad(format!("cannot read ca={shown}: {error}")))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| bad(format!("ca={shown}: {error}")))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| bad(format!("cannot prepare TLS: {error}")))
}
