//! Fault 12: the mail server refuses recipients and texts, closes connections before its reply, and is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alert_rules::{Alert, DeliveryState};
use anyhow::Context;
use live_store::LiveStore;

use super::alerts::{above, all_alerts, person, publish, service, settled};
use crate::{
    Outcome,
    scene::{Scene, StoreKind, World, end},
};

/// Recipients, by what the server does with them (`tests/servers/smtpfault.sh`), and whether their mails arrive.
const RECIPIENTS: [(&str, bool); 6] = [
    ("accepted", true),
    ("451-x2", true),
    ("421-x1", true),
    ("data-451-x1", true),
    ("data-drop-x1", true),
    ("550", false),
];
/// The symbol of all rules.
const SYMBOL: &str = "ZA";
/// What fires within this time becomes one mail, in seconds.
const GROUPING: &str = "2";
/// Alerts while the server is away.
const AWAY_FLAPS: u64 = 5;
/// Mails of these: the one that left at once, and one with the others.
const AWAY_MAILS: usize = 2;

/// Fault 12.
pub(super) async fn refused_dropped_away(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, 12, 0, StoreKind::Mongodb).await?;
    world.smtp.wipe().await?;
    world.smtp.start().await?;
    let store = live_store::open(&scene.store_url_direct).await?;
    for (name, _) in RECIPIENTS {
        let owner = person(&*store, &format!("{name}@example.com")).await?;
        let put = store.put_alert_rule(&above(&format!("rule-{name}"), SYMBOL, &owner)?).await?;
        anyhow::ensure!(put, "the store has a rule of another run");
    }
    let url = format!("smtp://127.0.0.1:{}?tls=none", world.smtp_port);
    let program = service(&mut scene, &url, GROUPING, Vec::new()).await?;
    publish(&scene, 0).await?;
    settled(&scene, &store, RECIPIENTS.len() as u64).await?;

    world.smtp.kill_9()?;
    let pause = Duration::from_secs(world.numbers.outage_seconds) / AWAY_FLAPS as u32;
    for flap in 1..=AWAY_FLAPS {
        publish(&scene, flap).await?;
        tokio::time::sleep(pause).await;
    }
    world.smtp.start().await?;
    settled(&scene, &store, RECIPIENTS.len() as u64 * AWAY_FLAPS).await?;
    end([program]).await?;
    check(&scene, &store, &mut outcome).await?;
    Ok(outcome)
}

/// Every alert has arrived in one mail, or was refused for good, and what the server took is what the alerts name.
async fn check(scene: &Scene<'_>, store: &Arc<dyn LiveStore>, outcome: &mut Outcome) -> anyhow::Result<()> {
    let alerts = all_alerts(&**store).await?;
    let taken = taken(scene)?;
    let episodes = 1 + AWAY_FLAPS as usize;
    for (name, arrives) in RECIPIENTS {
        let address = format!("{name}@example.com");
        let mine: Vec<&Alert> = alerts.iter().filter(|alert| has_recipient(alert, &address)).collect();
        outcome
            .check(mine.len() == episodes, format!("{} alerts of {name}, {episodes} episodes", mine.len()));
        let mut mails = BTreeSet::new();
        for alert in &mine {
            for delivery in &alert.deliveries {
                match &delivery.state {
                    DeliveryState::Sent { mail, .. } if arrives => {
                        mails.insert(mail.clone());
                    }
                    DeliveryState::Refused { reason, .. } if !arrives => {
                        outcome.check(reason.contains(name), format!("the reason of {name} is {reason}"));
                    }
                    state => outcome.check(false, format!("{} to {name} is {}", alert.id, state.name())),
                }
            }
        }
        let copies = taken.get(&address).cloned().unwrap_or_default();
        let again: usize = copies.values().sum::<usize>() - copies.len();
        outcome.note(format!("{name}: {} mails, {again} of them twice", copies.len()));
        outcome.check(
            mails.len() <= 1 + AWAY_MAILS,
            format!("{} mails to {name} for one alert and an outage", mails.len()),
        );
        outcome.check(copies.len() == mails.len(), format!("the server took {copies:?}, sent are {mails:?}"));
        // A reply that was lost is not known to be one: the mail comes twice, with the same Message-ID.
        let bound = usize::from(name.starts_with("data-drop"));
        outcome.check(
            copies.values().all(|times| *times <= 1 + bound) && again <= 2 * bound,
            format!("{name} got mails more than once: {copies:?}"),
        );
    }
    Ok(())
}

fn has_recipient(alert: &Alert, address: &str) -> bool {
    alert.deliveries.iter().any(|delivery| delivery.recipient == address)
}

/// What the mail server took since it was wiped: objects with `message` and the list `to`.
pub(super) fn taken_mails(world: &World) -> anyhow::Result<Vec<serde_json::Value>> {
    let file = world.smtp.data().join("mails.jsonl");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// How often the server took each Message-ID, by recipient.
fn taken(scene: &Scene<'_>) -> anyhow::Result<BTreeMap<String, BTreeMap<String, usize>>> {
    let mut taken: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for mail in taken_mails(scene.world)? {
        let message = mail["message"].as_str().context("a message")?;
        let id = message
            .lines()
            .find_map(|line| line.strip_prefix("Message-ID:"))
            .context("a mail without Message-ID")?;
        for recipient in mail["to"].as_array().context("recipients")? {
            let recipient = recipient.as_str().context("a recipient")?.to_owned();
            *taken.entry(recipient).or_default().entry(id.trim().to_owned()).or_default() += 1;
        }
    }
    Ok(taken)
}
