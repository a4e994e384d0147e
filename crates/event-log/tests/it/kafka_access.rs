//! Access to a broker, and the errors of refused connections: users and passwords, certificates, ports of another protocol.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use event_log::{Event, EventLogError, StartAt, open};
use tokio::task::JoinSet;

use crate::{
    broker::{Broker, free_port},
    fixture::Fixture,
    steps::{DEADLINE, WAIT, numbered, publish, step, take, topic},
};

/// Has nearly every character that is special in a URL.
const PASSWORD: &str = "p@ss:w/rd?&+%1";
const IN_URL: &str = "p%40ss%3Aw%2Frd%3F%26+%251";
/// Time limit for the error of a refused connection; one request may take ten seconds.
const ERROR_LIMIT: Duration = Duration::from_secs(30);

/// Publishes and consumes through a URL.
async fn works(url: &str) -> anyhow::Result<()> {
    let fixture = Fixture::at(url.to_owned());
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 2).await?;
    publish(&*log, &topic, numbered(0..20)).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    ensure!(take(&mut *subscription, StartAt::Beginning, 20).await?.len() == 20);
    Ok(())
}

/// The same for several URLs at once, to save time.
async fn all_work(urls: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let mut working: JoinSet<_> = urls.into_iter().map(async |url| works(&url).await).collect();
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    Ok(())
}

/// A URL that is refused, and the error of its first operation.
struct Refused {
    what: &'static str,
    url: String,
    /// Part of the message.
    message: &'static str,
    /// Whether the broker reports the refusal; otherwise it closes the connection, and the reason is a possible one.
    is_reported: bool,
}

/// Tries all of them at once.
async fn all_are_refused(all: Vec<Refused>) -> anyhow::Result<()> {
    let mut trying: JoinSet<_> =
        all.into_iter().map(async |refused| (refusal(&refused.url).await, refused)).collect();
    while let Some(tried) = trying.join_next().await {
        let (error, Refused { what, message, is_reported, .. }) = tried?;
        let error = error.with_context(|| what)?;
        let text = error.to_string();
        ensure!(matches!(error, EventLogError::AccessDenied { .. }) == is_reported, "{what}: {text}");
        ensure!(text.contains(message), "{what}: {text}");
    }
    Ok(())
}

async fn refusal(url: &str) -> anyhow::Result<EventLogError> {
    let started = Instant::now();
    let log = open(url).await?;
    let Err(error) = log.ensure_topics(&[crate::steps::spec("topic", 1)]).await else {
        anyhow::bail!("{} was accepted", url.rsplit('@').next().unwrap_or_default())
    };
    ensure!(started.elapsed() < ERROR_LIMIT, "returned after {:?}: {error}", started.elapsed());
    for text in [error.to_string(), format!("{error:?}")] {
        ensure!(!text.contains(PASSWORD) && !text.contains("wrong-word"), "a password is shown: {text}");
    }
    Ok(error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a Kafka server of its own: `make test-servers`"]
async fn a_kafka_server_with_users_accepts_the_right_password_and_others_get_the_reason() -> anyhow::Result<()>
{
    let port = free_port()?;
    let users = |_: &_| {
        let text = str::to_owned;
        Ok(vec![
            ("KAFKA_SASL_PORT", port.to_string()),
            ("KAFKA_USER", text("me")),
            ("KAFKA_PASSWORD", text(PASSWORD)),
        ])
    };
    let mut broker = Broker::start_with(users)?;
    let url = format!("kafka://me:{IN_URL}@127.0.0.1:{port}");
    all_work([url.clone(), format!("{url}?sasl=plain")]).await?;
    let wrong = |what, user| {
        let url = format!("kafka://{user}:wrong-word@127.0.0.1:{port}");
        Refused { what, url, message: "LOG_PASSWORD", is_reported: true }
    };
    let without_user = Refused {
        what: "no user",
        url: format!("kafka://127.0.0.1:{port}"),
        message: "USER@host",
        is_reported: false,
    };
    let refused = vec![wrong("a wrong password", "me"), wrong("an unknown user", "other"), without_user];
    all_are_refused(refused).await?;
    continues_after_its_password_was_refused(&mut broker, &url).await
}

/// A member whose password is refused returns the error at every call, and continues once the password is accepted.
async fn continues_after_its_password_was_refused(broker: &mut Broker, url: &str) -> anyhow::Result<()> {
    // Otherwise it retries only every ten seconds.
    let fixture = Fixture::at(format!("{url}?reconnect.backoff.max.ms=500"));
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    publish(&*log, &topic, numbered(0..10)).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    take(&mut *subscription, StartAt::Beginning, 10).await?;

    broker.script("stop")?;
    broker.set("KAFKA_PASSWORD", "another");
    broker.script("start")?;
    let started = Instant::now();
    loop {
        match subscription.next(100, WAIT).await {
            Err(EventLogError::AccessDenied { .. }) => break,
            Err(error) if !error.is_transient() => return Err(error.into()),
            _ => ensure!(started.elapsed() < DEADLINE, "the member returned no error"),
        }
    }
    broker.script("stop")?;
    broker.set("KAFKA_PASSWORD", PASSWORD);
    broker.script("start")?;
    publish(&*log, &topic, numbered(10..20)).await?;
    let started = Instant::now();
    loop {
        match step(&mut *subscription, StartAt::Beginning).await? {
            Event::Messages(messages) if !messages.is_empty() => return Ok(()),
            _ => ensure!(started.elapsed() < DEADLINE, "the member did not continue"),
        }
    }
}

#[cfg(feature = "kafka-tls")]
mod tls {
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    /// A certificate authority in `folder`/`name`.pem, and certificates that it signed: one for `localhost` with its key in
    /// `folder`/`name`-server.pem, as Kafka requires it, and a client certificate in `folder`/`name`-client.pem, with its key in
    /// `folder`/`name`-client.key. Returns the path of the server's file.
    fn authority(folder: &Path, name: &str) -> anyhow::Result<String> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("the authority {name}"));
        let own = params.self_signed(&key)?;
        std::fs::write(folder.join(format!("{name}.pem")), own.pem())?;
        let (server_key, client_key) = (KeyPair::generate()?, KeyPair::generate()?);
        let issuer = Issuer::new(params, key);
        let server = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&server_key, &issuer)?;
        let client = CertificateParams::new(Vec::new())?.signed_by(&client_key, &issuer)?;
        std::fs::write(folder.join(format!("{name}-client.pem")), client.pem())?;
        std::fs::write(folder.join(format!("{name}-client.key")), client_key.serialize_pem())?;
        let both = folder.join(format!("{name}-server.pem"));
        std::fs::write(&both, format!("{}{}", server_key.serialize_pem(), server.pem()))?;
        Ok(both.display().to_string())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "starts a Kafka server of its own: `make test-servers`"]
    async fn a_kafka_server_with_tls_and_scram_accepts_the_right_client_and_others_get_the_reason()
    -> anyhow::Result<()> {
        let (tls, both, sasl, mutual) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let settings = |folder: &Path| {
            authority(folder, "other")?;
            Ok(vec![
                ("KAFKA_TLS_PORT", tls.to_string()),
                ("KAFKA_SASL_TLS_PORT", both.to_string()),
                ("KAFKA_SASL_PORT", sasl.to_string()),
                ("KAFKA_USER", "me".to_owned()),
                ("KAFKA_PASSWORD", PASSWORD.to_owned()),
                ("KAFKA_PEM", authority(folder, "ours")?),
                ("KAFKA_MTLS_PORT", mutual.to_string()),
                ("KAFKA_CLIENT_CA", folder.join("ours.pem").display().to_string()),
            ])
        };
        let broker = Broker::start_with(settings)?;
        let pem = |name: &str| broker.folder.path().join(format!("{name}.pem")).display().to_string();
        let ca = pem("ours");
        let with_user = |sasl| format!("kafka+tls://me:{IN_URL}@localhost:{both}?sasl={sasl}&ca={ca}");
        let with_certificate = |of: &str| {
            let (cert, key) =
                (pem(&format!("{of}-client")), pem(&format!("{of}-client")).replace(".pem", ".key"));
            format!("kafka+tls://localhost:{mutual}?ca={ca}&cert={cert}&key={key}")
        };
        all_work([
            format!("kafka+tls://localhost:{tls}?ca={ca}"),
            with_certificate("ours"),
            with_user("plain"),
            with_user("scram-sha-256"),
            with_user("scram-sha-512"),
            format!("kafka://me:{IN_URL}@127.0.0.1:{sasl}?sasl=scram-sha-512"),
        ])
        .await?;

        let reported = |what, url, message| Refused { what, url, message, is_reported: true };
        let guessed = |what, url, message| Refused { what, url, message, is_reported: false };
        let other = pem("other");
        let wrong = "me:wrong-word";
        all_are_refused(vec![
            reported(
                "another authority",
                format!("kafka+tls://localhost:{tls}?ca={other}"),
                "`ca` (ssl.ca.location)",
            ),
            reported("no authority", format!("kafka+tls://localhost:{tls}"), "`ca` (ssl.ca.location)"),
            reported(
                "another host name",
                format!("kafka+tls://127.0.0.1:{tls}?ca={ca}"),
                "another host name",
            ),
            reported(
                "no client certificate",
                format!("kafka+tls://localhost:{mutual}?ca={ca}"),
                "check `cert`",
            ),
            reported("a client certificate of another authority", with_certificate("other"), "check `cert`"),
            reported(
                "a wrong password",
                format!("kafka+tls://{wrong}@localhost:{both}?sasl=scram-sha-512&ca={ca}"),
                "LOG_PASSWORD",
            ),
            guessed(
                "TLS to a plain port",
                format!("kafka+tls://{wrong}@127.0.0.1:{sasl}?ca={ca}"),
                "kafka:// instead",
            ),
            guessed("a TLS port without TLS", format!("kafka://localhost:{tls}"), "kafka+tls://"),
        ])
        .await
    }
}
