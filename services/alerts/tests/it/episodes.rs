//! From ticks to alerts and mails.

use std::collections::BTreeSet;

use alert_rules::{AlertRule, DeliveryState, RuleFields, RuleId, RuleKind};

use crate::world::{World, rule, tick, wait_until};

const OPS: [&str; 2] = ["--alert-recipients", "ops@example.com"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_of_five_percent_is_one_alert_and_one_mail() {
    let mut world = World::new(&OPS).await;
    world.start();
    let prices = [100.0, 106.0, 107.0, 103.0, 106.0];
    let ticks: Vec<_> = prices.iter().zip(0..).map(|(price, n)| tick("AAPL", n, *price)).collect();
    world.publish(&ticks, true).await;
    world.drained().await;
    world.delivered().await;
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let alert = &alerts[0];
    assert_eq!(alert.id.as_str(), "house-change@1:AAPL:yahoo:2");
    assert!(alert.closed_at.is_some() && alert.is_recorded, "{alert:?}");
    assert!(matches!(&alert.deliveries[0].state, DeliveryState::Sent { .. }), "{:?}", alert.deliveries);
    assert_eq!(world.mails(), 1);
    let published = world.published().await;
    assert_eq!(published.len(), 2, "opened and closed: {published:?}");
    world.stop().await;
    // The same recording again adds nothing.
    world.start();
    world.publish(&ticks, true).await;
    world.drained().await;
    world.stop().await;
    assert_eq!((world.alerts().await.len(), world.mails()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_of_a_person_takes_effect_without_a_restart_and_a_changed_setting_is_a_new_revision() {
    let mut world = World::new(&[]).await;
    world.start();
    world.publish(&[tick("AAPL", 0, 100.0)], false).await;
    world.drained().await;
    let ann = world.person("Ann@Example.com").await;
    let above = rule(&ann, "ann-1", RuleKind::Above { price: 102.into() });
    assert!(world.store.put_alert_rule(&above).await.unwrap());
    let mut n = 0;
    wait_until("the rule has fired", async || {
        n += 1;
        world.publish(&[tick("AAPL", n, 103.0)], false).await;
        world.drained().await;
        !world.alerts().await.is_empty()
    })
    .await;
    world.delivered().await;
    let alert = world.alerts().await.remove(0);
    assert_eq!((alert.rule.as_str(), world.mails()), ("ann-1", 1));
    assert_eq!(alert.deliveries[0].recipient, "Ann@example.com");
    world.stop().await;
    world.with_args(&["--price-change-threshold", "3.5"]);
    world.start();
    wait_until("the house has an alert", async || {
        n += 1;
        world.publish(&[tick("AAPL", n, 104.0)], false).await;
        world.drained().await;
        world.alerts().await.len() == 2
    })
    .await;
    let alerts = world.alerts().await;
    assert_eq!(alerts[1].id.as_str(), format!("house-change@2:AAPL:yahoo:{}", n + 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_every_episode_is_mailed_once_to_each_recipient() {
    let mut world = World::new(&["--alert-recipients", "ops@example.com,desk@example.com"]).await;
    let ann = world.person("Ann@Example.com").await;
    for (id, percent) in [("ann-1", 4.0), ("ann-2", 6.0)] {
        let rule = rule(&ann, id, RuleKind::ChangeFromOpen { percent });
        assert!(world.store.put_alert_rule(&rule).await.unwrap());
    }
    let symbols = ["AAPL", "MSFT", "TSLA", "NVDA", "BTC/USDT"];
    let mut n = 0;
    for round in 0..12_u64 {
        world.start();
        for _ in 0..6 {
            let price = if n % 2 == 0 { 100.0 } else { 108.0 };
            let ticks: Vec<_> = symbols.iter().map(|symbol| tick(symbol, n, price)).collect();
            world.publish(&ticks, false).await;
            n += 1;
        }
        // A rule changes while others are read again.
        let stored = world.store.alert_rule(&RuleId::parse("ann-1").unwrap()).await.unwrap();
        let mut fields = stored.unwrap().into_fields();
        fields.revision += 1;
        fields.kind = RuleKind::ChangeFromOpen { percent: if round % 2 == 0 { 3.0 } else { 4.0 } };
        let changed = AlertRule::new(RuleFields { ..fields }).unwrap();
        assert!(world.store.put_alert_rule(&changed).await.unwrap());
        // Some are cut at once, some behind the first alert, some behind the first mail.
        let before = world.mails();
        match round % 3 {
            0 => {}
            1 => {
                wait_until("a tick is committed", async || {
                    let lag = world.log.lag("alerts-group", &alerts::TOPICS).await.unwrap();
                    lag.iter().all(|partition| partition.lag == 0)
                })
                .await;
            }
            _ => wait_until("there is a mail", async || world.mails() > before).await,
        }
        world.kill().await;
    }
    world.start();
    world.drained().await;
    world.delivered().await;
    world.all_logged().await;
    let alerts = world.alerts().await;
    world.stop().await;

    let rows = world.logged().await.into_iter().map(|row| (row.alert_id, row.recipient));
    let deliveries = alerts.iter().flat_map(|alert| {
        alert.deliveries.iter().map(|delivery| (alert.id.to_string(), delivery.recipient.clone()))
    });
    assert_eq!(rows.collect::<BTreeSet<_>>(), deliveries.collect(), "a row for each delivery");

    // By ann-2: the last of the prices is up or down for all symbols, and every rise is an episode.
    let of_second = alerts.iter().filter(|alert| alert.rule.as_str() == "ann-2").count() as u64;
    assert_eq!(of_second, n / 2 * symbols.len() as u64, "every rise once");
    let mut in_mails = BTreeSet::new();
    for alert in &alerts {
        for delivery in &alert.deliveries {
            let DeliveryState::Sent { mail, .. } = &delivery.state else {
                panic!("{} to {} is {:?}", alert.id, delivery.recipient, delivery.state);
            };
            in_mails.insert(mail.clone());
            let sealed = world.store.alert_fact(&format!("mail:{mail}")).await.unwrap().unwrap();
            assert!(
                sealed.contains(&format!("\"{}\"", alert.id)),
                "{} is not in its mail {sealed}",
                alert.id
            );
        }
    }
    assert_eq!(world.mails(), in_mails.len(), "a file for each mail, and no other");
    let published = world.published().await;
    for alert in &alerts {
        assert!(published.contains_key(&(alert.id.to_string(), false)), "{} was not published", alert.id);
    }
}
