//! Who is let in by a broker, and what those hear who are not: users and passwords, certificates, ports of another kind.

use std::time::{Duration, Instant};

use anyhow::ensure;
use event_log::{Event, EventLogError, StartAt, open};

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

/// What the first operation of somebody says who is not let in.
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
    let Some(mut broker) = Broker::start_with(users)? else { return Ok(()) };
    let url = format!("kafka://me:{IN_URL}@127.0.0.1:{port}");
    works(&url).await?;
    works(&format!("{url}?sasl=plain")).await?;

    for wrong in ["me:wrong-word", "nobody:wrong-word"] {
        let error = refusal(&format!("kafka://{wrong}@127.0.0.1:{port}")).await?;
        let said = error.to_string();
        assert!(matches!(error, EventLogError::NotAdmitted { .. }), "{said}");
        assert!(said.contains("LOG_PASSWORD"), "{said}");
    }
    let said = refusal(&format!("kafka://127.0.0.1:{port}")).await?.to_string();
    assert!(said.contains("USER@host"), "{said}");

    kept_out_while_the_password_is_another(&mut broker, &url).await
}

/// A member hears of it at every call, and goes on where it was once it is let in again.
async fn kept_out_while_the_password_is_another(broker: &mut Broker, url: &str) -> anyhow::Result<()> {
    let fixture = Fixture::at(url.to_owned());
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    publish(&*log, &topic, numbered(0..10)).await?;
    let mut subscription = log.subscribe(&fixture.name("group"), &[&topic]).await?;
    take(&mut *subscription, StartAt::CommittedOrBeginning, 10).await?;

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
        match step(&mut *subscription, StartAt::CommittedOrBeginning).await? {
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

    /// A certificate authority in `folder`/`name`.pem, and a certificate of it for `localhost`: its key and itself in
    /// `folder`/`name`-server.pem, as Kafka wants them.
    fn authority(folder: &Path, name: &str) -> anyhow::Result<String> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("the authority {name}"));
        let own = params.self_signed(&key)?;
        std::fs::write(folder.join(format!("{name}.pem")), own.pem())?;
        let server_key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["localhost".to_owned()])?
            .signed_by(&server_key, &Issuer::new(params, key))?;
        let both = folder.join(format!("{name}-server.pem"));
        std::fs::write(&both, format!("{}{}", server_key.serialize_pem(), server.pem()))?;
        Ok(both.display().to_string())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_kafka_server_with_tls_and_scram_lets_the_right_one_in_and_tells_the_others()
    -> anyhow::Result<()> {
        let (tls, both, sasl) = (free_port()?, free_port()?, free_port()?);
        let settings = |folder: &Path| {
            authority(folder, "other")?;
            Ok(vec![
                ("KAFKA_TLS_PORT", tls.to_string()),
                ("KAFKA_SASL_TLS_PORT", both.to_string()),
                ("KAFKA_SASL_PORT", sasl.to_string()),
                ("KAFKA_USER", "me".to_owned()),
                ("KAFKA_PASSWORD", PASSWORD.to_owned()),
                ("KAFKA_PEM", authority(folder, "ours")?),
            ])
        };
        let Some(broker) = Broker::start_with(settings)? else { return Ok(()) };
        let pem = |name: &str| broker.folder.path().join(format!("{name}.pem")).display().to_string();
        let ca = pem("ours");
        works(&format!("kafka+tls://localhost:{tls}?ca={ca}")).await?;
        for sasl in ["plain", "scram-sha-256", "scram-sha-512"] {
            works(&format!("kafka+tls://me:{IN_URL}@localhost:{both}?sasl={sasl}&ca={ca}")).await?;
        }
        works(&format!("kafka://me:{IN_URL}@127.0.0.1:{sasl}?sasl=scram-sha-512")).await?;

        let other = pem("other");
        for (what, url, part) in [
            (
                "another authority",
                format!("kafka+tls://localhost:{tls}?ca={other}"),
                "`ca` (ssl.ca.location)",
            ),
            ("no authority", format!("kafka+tls://localhost:{tls}"), "`ca` (ssl.ca.location)"),
            ("another host name", format!("kafka+tls://127.0.0.1:{tls}?ca={ca}"), "another host name"),
            (
                "a wrong password",
                format!("kafka+tls://me:wrong-word@localhost:{both}?sasl=scram-sha-512&ca={ca}"),
                "LOG_PASSWORD",
            ),
        ] {
            let error = refusal(&url).await?;
            let said = error.to_string();
            assert!(matches!(error, EventLogError::NotAdmitted { .. }), "{what}: {said}");
            assert!(said.contains(part), "{what}: {said}");
        }
        let said = refusal(&format!("kafka+tls://me:wrong-word@127.0.0.1:{sasl}?ca={ca}")).await?.to_string();
        assert!(said.contains("kafka:// instead"), "{said}");
        let said = refusal(&format!("kafka://localhost:{tls}")).await?.to_string();
        assert!(said.contains("kafka+tls://"), "{said}");
        Ok(())
    }
}
