//! Faults 11 and 15: the service of the alerts is killed while rules fire, and its clock jumps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use accounts::{PasswordHash, User};
use alert_rules::{
    Alert, AlertRule, DeliveryState, Owner, RuleFields, RuleId, RuleKind, UserId, WatchedSymbols,
};
use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::NewRecord;
use live_store::{AlertQuery, LiveStore, MAX_PAGE_ALERTS};
use market::{Source, Symbol, Tick, TickFields};
use owed_mails::EmailAddress;
use rust_decimal::Decimal;

use crate::{
    Outcome,
    numbers::SETTLE_SECONDS,
    process::{Program, wait_until},
    scene::{Scene, StoreKind, TICKS, World, end, ready},
    shim::preload,
};

/// The group of the service.
pub(super) const GROUP: &str = "alerts-group";
/// The symbols, of both topics.
const SYMBOLS: [&str; 6] = ["ZA", "ZB", "ZC", "ZA/USDT", "ZB/USDT", "ZC/USDT"];
/// A minute less than an hour, as brokers refuse records that are more than an hour in the future.
const NEARLY_AN_HOUR: i64 = 3_540;
/// The form of a hash of a password that is never used.
const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
/// Restarts with another clock.
const JUMPS: u64 = 4;

/// What happens between two parts of the ticks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    /// `kill -9`, at a random time.
    Kill,
    /// A start with a clock that is an hour ahead, or an hour behind.
    ClockJump,
}

/// Fault 11.
pub(super) async fn kills(world: &World) -> anyhow::Result<Outcome> {
    run(world, 11, Between::Kill, u64::from(world.numbers.kills)).await
}

/// Fault 15.
pub(super) async fn clock_jumps(world: &World) -> anyhow::Result<Outcome> {
    run(world, 15, Between::ClockJump, JUMPS).await
}

async fn run(world: &World, number: u8, between: Between, times: u64) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, number, 0, StoreKind::Mongodb).await?;
    let store = live_store::open(&scene.store_url_direct).await?;
    let (rules, flaps) = (world.numbers.alert_rules, world.numbers.alert_flaps);
    let mut owner = None;
    for index in 0..rules {
        // Ten rules have one owner.
        let owner = match &owner {
            Some(owner) if !index.is_multiple_of(10) => owner,
            _ => owner.insert(person(&*store, &format!("user-{}@example.com", index / 10)).await?),
        };
        let put = store.put_alert_rule(&rule(index, owner)?).await?;
        anyhow::ensure!(put, "the store has a rule of another run");
    }
    let parts = times + 1;
    let mut flap = 0;
    for part in 0..parts {
        let program = start(&mut scene, between, part).await?;
        let until = flaps * (part + 1) / parts;
        while flap < until {
            publish(&scene, flap).await?;
            flap += 1;
        }
        if part + 1 == parts {
            settled(&scene, &store, rules * flaps).await?;
            end([program]).await?;
        } else if between == Between::Kill {
            super::random_wait(&mut scene.rng, 3_000).await;
            program.kill_9()?;
        } else {
            end([program]).await?;
        }
    }
    check(&scene, &store, rules * flaps, &mut outcome).await?;
    Ok(outcome)
}

/// Starts the service for fault 11 or 15.
async fn start(scene: &mut Scene<'_>, between: Between, part: u64) -> anyhow::Result<Program> {
    let outbox = format!("file:{}", scene.folder.join("outbox").display());
    let ahead = if part.is_multiple_of(2) { NEARLY_AN_HOUR } else { -NEARLY_AN_HOUR };
    let clock = match between {
        Between::Kill => Vec::new(),
        Between::ClockJump => preload(&scene.folder, "clock", ("CLOCK_AHEAD_SECONDS", ahead))?.into(),
    };
    service(scene, &outbox, "1", clock).await
}

/// Starts the service of the alerts with this mail server, and waits until it is ready.
pub(super) async fn service(
    scene: &mut Scene<'_>,
    mail_url: &str,
    grouping_seconds: &str,
    more: Vec<(String, String)>,
) -> anyhow::Result<Program> {
    let analytics = format!("sqlite:{}", scene.folder.join("analytics.db").display());
    let mut env = vec![
        ("MAIL_URL", mail_url),
        ("ANALYTICS_URL", analytics.as_str()),
        ("MAIL_FROM", "alerts@example.com"),
        ("ALERTS_GROUPING_SECONDS", grouping_seconds),
        ("ALERTS_MAILS_A_DAY", "10000"),
        // The house stays silent: every alert is one of the rules here.
        ("PRICE_CHANGE_THRESHOLD", "1000"),
        ("VOLUME_THRESHOLD_MULTIPLIER", "1000"),
    ];
    env.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let (mut program, address) = scene.service("alerts", &env)?;
    ready(&mut program, &address).await?;
    Ok(program)
}

/// A person with a confirmed address.
pub(super) async fn person(store: &dyn LiveStore, address: &str) -> anyhow::Result<User> {
    let mut user = User::new(EmailAddress::parse(address)?, PasswordHash::parse(HASH)?, Utc::now());
    user.confirmed_at = Some(Utc::now());
    anyhow::ensure!(store.add_user(&user).await?, "the store has the account of {address} of another run");
    Ok(user)
}

/// A rule of one symbol.
fn rule(index: u64, owner: &User) -> anyhow::Result<AlertRule> {
    let symbol = SYMBOLS.get((index % SYMBOLS.len() as u64) as usize).context("a symbol")?;
    above(&format!("rule-{index}"), symbol, owner)
}

/// A rule that fires with every flap.
pub(super) fn above(id: &str, symbol: &str, owner: &User) -> anyhow::Result<AlertRule> {
    Ok(AlertRule::new(RuleFields {
        id: RuleId::parse(id)?,
        owner: Owner::User(UserId::parse(&owner.id.to_string())?),
        revision: 1,
        symbols: WatchedSymbols::Only(vec![Symbol::parse(symbol)?]),
        kind: RuleKind::Above { price: Decimal::from(105) },
        cooldown_minutes: 0,
        is_active: true,
        recipients: vec![owner.email.as_str().to_owned()],
    })?)
}

/// One flap of every symbol: below the level, then above it.
pub(super) async fn publish(scene: &Scene<'_>, flap: u64) -> anyhow::Result<()> {
    let publisher = scene.log.publisher()?;
    let start: DateTime<Utc> = "2026-01-13T15:00:00Z".parse()?;
    for (step, price) in [(0, 100), (1, 110)] {
        let n = 2 * flap + step;
        for symbol in SYMBOLS {
            let time = start + TimeDelta::seconds(n as i64);
            let price = Decimal::from(price);
            let tick = Tick::new(TickFields {
                symbol: Symbol::parse(symbol)?,
                timestamp: time,
                price,
                volume: Decimal::from(1_000),
                open: Decimal::from(100),
                high: price,
                low: Decimal::from(100),
                size: None,
                change_percent: 0.0,
                source: Source::parse("chaos")?,
                received_at: time,
                seq: n + 1,
            })?;
            let mut payload = Vec::new();
            topics::tick::encode(&tick, &mut payload);
            let record = NewRecord {
                key: Some(Bytes::copy_from_slice(symbol.as_bytes())),
                payload: payload.into(),
                headers: Vec::new(),
                timestamp: Utc::now(),
            };
            publisher
                .send(topics::tick::topic_for(tick.asset_class()), vec![record])
                .await?
                .durable()
                .await?;
        }
    }
    Ok(())
}

/// Waits until all ticks are applied and no delivery is unfinished.
pub(super) async fn settled(
    scene: &Scene<'_>,
    store: &Arc<dyn LiveStore>,
    alerts: u64,
) -> anyhow::Result<()> {
    // A mail that was leased by a process that was killed waits for a minute.
    let patience = Duration::from_secs(SETTLE_SECONDS + 60 + alerts / 50);
    wait_until("all alerts are delivered", patience, async || {
        let lag = scene.log.lag(GROUP, &TICKS).await?;
        let is_read = lag.iter().all(|partition| partition.lag == 0);
        Ok(is_read && store.pending_alerts(1).await?.is_empty())
    })
    .await
    .map(drop)
}

/// Each episode of each rule is an alert, and in exactly one mail, of which there is exactly one file.
async fn check(
    scene: &Scene<'_>,
    store: &Arc<dyn LiveStore>,
    expected: u64,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let alerts = all_alerts(&**store).await?;
    let mut of_mail: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for alert in &alerts {
        for delivery in &alert.deliveries {
            match &delivery.state {
                DeliveryState::Sent { mail, .. } => {
                    of_mail.entry(mail.clone()).or_default().insert(alert.id.to_string());
                }
                state => outcome
                    .check(false, format!("{} to {} is {}", alert.id, delivery.recipient, state.name())),
            }
        }
    }
    // The alerts of a mail were fixed before it was owed: it has these, and no other mail has one of them.
    for (mail, alerts) in &of_mail {
        let sealed = store
            .alert_fact(&format!("mail:{mail}"))
            .await?
            .context("the alerts of a mail are not stored")?;
        let sealed: serde_json::Value = serde_json::from_str(&sealed)?;
        let sealed =
            sealed.get("alerts").and_then(serde_json::Value::as_array).context("a list of alerts")?;
        let sealed: BTreeSet<String> = sealed.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
        outcome
            .check(sealed == *alerts, format!("the mail {mail} has {sealed:?}, and is named by {alerts:?}"));
    }
    let files = mails_in(&scene.folder.join("outbox"))?;
    outcome.note(format!("{} alerts in {} mails", alerts.len(), of_mail.len()));
    outcome.check(alerts.len() as u64 == expected, format!("{} alerts, {expected} episodes", alerts.len()));
    outcome.check(files == of_mail.len() as u64, format!("{files} files for {} mails", of_mail.len()));
    Ok(())
}

pub(super) async fn all_alerts(store: &dyn LiveStore) -> anyhow::Result<Vec<Alert>> {
    let mut query = AlertQuery {
        symbol: None,
        owners: Vec::new(),
        from: DateTime::<Utc>::MIN_UTC,
        to: DateTime::<Utc>::MAX_UTC,
        limit: MAX_PAGE_ALERTS,
        cursor: None,
    };
    let mut alerts = Vec::new();
    loop {
        let page = store.alerts(&query).await?;
        alerts.extend(page.alerts.into_iter().map(|stored| stored.alert));
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(alerts),
        }
    }
}

/// How many .eml files a folder has.
fn mails_in(folder: &std::path::Path) -> anyhow::Result<u64> {
    let mut count = 0;
    for file in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        count += u64::from(file?.path().extension().is_some_and(|end| end == "eml"));
    }
    Ok(count)
}
