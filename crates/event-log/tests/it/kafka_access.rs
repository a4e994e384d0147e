//! Who is let in by a broker, and what those hear who are not: users and passwords, certificates, ports of another kind.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use event_log::{Event, EventLogError, StartAt, open};
use tokio::task::JoinSet;

use crate::{
    broker::{Broker, free_port},
    fixture::Fixture,
    steps::{DEADLINE, WAIT, numbered, publish, step, take, topic},
};

/// Nearly every character that means something in a URL.
const PASSWORD: &str = "p@ss:w/rd?&+%1";
const IN_URL: &str = "p%40ss%3Aw%2Frd%3F%26+%251";
/// How long somebody who is kept out may wait for the reason; answers are waited for ten seconds.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Publishes and reads as somebody who is let in.
async fn works(url: &str) -> anyhow::Result<()> {
    let fixture = Fixture::at(url.to_owned());
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 2).await?;
    publish(&*log, &topic, numbered(0..20)).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    ensure!(take(&mut *subscription, StartAt::Beginning, 20).await?.len() == 20);
    Ok(())
}

/// The same for several, at once: starting a broker takes long enough.
async fn all_work(urls: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let mut working: JoinSet<_> = urls.into_iter().map(async |url| works(&url).await).collect();
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    Ok(())
}

/// Somebody who is not let in, and what the first operation says.
struct Refused {
    what: &'static str,
    url: String,
    /// Part of the message.
    named: &'static str,
    /// Whether the broker says so itself; otherwise it hangs up, and the reason is a guess.
    is_told: bool,
}

/// All of them, at once.
async fn all_are_refused(all: Vec<Refused>) -> anyhow::Result<()> {
    let mut asking: JoinSet<_> =
        all.into_iter().map(async |refused| (refusal(&refused.url).await, refused)).collect();
    while let Some(asked) = asking.join_next().await {
        let (error, Refused { what, named, is_told, .. }) = asked?;
        let error = error.with_context(|| what)?;
        let said = error.to_string();
        ensure!(matches!(error, EventLogError::NotAdmitted { .. }) == is_told, "{what}: {said}");
        ensure!(said.contains(named), "{what}: {said}");
    }
    Ok(())
}

async fn refusal(url: &str) -> anyhow::Result<EventLogError> {
    let begun = Instant::now();
    let log = open(url).await?;
    let Err(error) = log.ensure_topics(&[crate::steps::spec("topic", 1)]).await else {
        anyhow::bail!("{} was let in", url.rsplit('@').next().unwrap_or_default())
    };
    ensure!(begun.elapsed() < TOLD_WITHIN, "told after {:?}: {error}", begun.elapsed());
    for text in [error.to_string(), format!("{error:?}")] {
        ensure!(!text.contains(PASSWORD) && !text.contains("wrong-word"), "a password is shown: {text}");
    }
    Ok(error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a Kafka server of its own: `make test-servers`"]
async fn a_kafka_server_with_users_lets_the_right_one_in_and_tells_the_others() -> anyhow::Result<()> {
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
        Refused { what, url, named: "LOG_PASSWORD", is_told: true }
    };
    let nobody = Refused {
        what: "no user",
        url: format!("kafka://127.0.0.1:{port}"),
        named: "USER@host",
        is_told: false,
    };
    let refused = vec![wrong("a wrong password", "me"), wrong("an unknown user", "nobody"), nobody];
    all_are_refused(refused).await?;
    kept_out_while_the_password_is_another(&mut broker, &url).await
}

/// A member hears of it at every call, and goes on where it was once it is let in again.
async fn kept_out_while_the_password_is_another(broker: &mut Broker, url: &str) -> anyhow::Result<()> {
    // Otherwise it tries again every ten seconds only.
    let fixture = Fixture::at(format!("{url}?reconnect.backoff.max.ms=500"));
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    publish(&*log, &topic, numbered(0..10)).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    take(&mut *subscription, StartAt::Beginning, 10).await?;

    broker.script("stop")?;
    broker.set("KAFKA_PASSWORD", "another");
    broker.script("start")?;
    let begun = Instant::now();
    loop {
        match subscription.next(100, WAIT).await {
            Err(EventLogError::NotAdmitted { .. }) => break,
            Err(error) if !error.is_transient() => return Err(error.into()),
            _ => ensure!(begun.elapsed() < DEADLINE, "the member was told nothing"),
        }
    }
    broker.script("stop")?;
    broker.set("KAFKA_PASSWORD", PASSWORD);
    broker.script("start")?;
    publish(&*log, &topic, numbered(10..20)).await?;
    let begun = Instant::now();
    loop {
        match step(&mut *subscription, StartAt::Beginning).await? {
            Event::Messages(messages) if !messages.is_empty() => return Ok(()),
            _ => ensure!(begun.elapsed() < DEADLINE, "the member was not let in again"),
        }
    }
}

#[cfg(feature = "kafka-tls")]
mod tls {
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    /// A certificate authority in `folder`/`name`.pem, and certificates of it: one for `localhost` with its key in
    /// `folder`/`name`-server.pem, as Kafka wants them, and one of a client in `folder`/`name`-client.pem, with its key in
    /// `folder`/`name`-client.key.
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
    async fn a_kafka_server_with_tls_and_scram_lets_the_right_one_in_and_tells_the_others()
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

        let told = |what, url, named| Refused { what, url, named, is_told: true };
        let guessed = |what, url, named| Refused { what, url, named, is_told: false };
        let other = pem("other");
        let wrong = "me:wrong-word";
        all_are_refused(vec![
            told(
                "another authority",
                format!("kafka+tls://localhost:{tls}?ca={other}"),
                "`ca` (ssl.ca.location)",
            ),
            told("no authority", format!("kafka+tls://localhost:{tls}"), "`ca` (ssl.ca.location)"),
            told("another host name", format!("kafka+tls://127.0.0.1:{tls}?ca={ca}"), "another host name"),
            told(
                "no certificate of its own",
                format!("kafka+tls://localhost:{mutual}?ca={ca}"),
                "look at `cert`",
            ),
            told("a certificate of somebody else", with_certificate("other"), "look at `cert`"),
            told(
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
