//! Alert rules, alerts, and the facts behind them.

use alert_rules::{
    Alert, AlertRule, DeliveryState, Owner, RuleFields, RuleId, RuleKind, UserId, WatchedSymbols,
};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{AlertQuery, LiveStore, LiveStoreError, StoredAlert};

use crate::{
    place::Place,
    samples::{at, symbol},
};

fn user(id: &str) -> Owner {
    Owner::User(UserId::parse(id).expect("an identity"))
}

fn rule(id: &str, revision: u64, owner: Owner, kind: RuleKind) -> AlertRule {
    AlertRule::new(RuleFields {
        id: RuleId::parse(id).expect("an identity"),
        owner,
        revision,
        symbols: WatchedSymbols::Only(vec![symbol("AAPL"), symbol("BTC/USDT")]),
        kind,
        cooldown_minutes: 60,
        is_active: true,
        recipients: vec!["ann@example.com".to_owned()],
    })
    .expect("a rule")
}

fn changed(rule: &AlertRule, change: impl FnOnce(&mut RuleFields)) -> AlertRule {
    let mut fields = rule.clone().into_fields();
    fields.revision += 1;
    change(&mut fields);
    AlertRule::new(fields).expect("a rule")
}

async fn put(store: &dyn LiveStore, rule: &AlertRule) -> bool {
    store.put_alert_rule(rule).await.expect("stored or not")
}

pub(crate) async fn a_rule_is_replaced_by_the_next_revision_only(place: impl Place) {
    let store = place.open().await;
    let first = rule("one", 1, user("ann"), RuleKind::Above { price: "300.5".parse().expect("a price") });
    assert!(put(&*store, &first).await);
    assert!(put(&*store, &first).await, "the same again");
    let other = changed(&first, |fields| (fields.revision, fields.cooldown_minutes) = (1, 5));
    assert!(!put(&*store, &other).await, "another rule has its place");
    let second = changed(&first, |fields| {
        fields.kind = RuleKind::ChangeFromOpen { percent: 2.5 };
        fields.symbols = WatchedSymbols::All;
        fields.recipients.clear();
    });
    let third = changed(&second, |fields| fields.is_active = false);
    assert!(!put(&*store, &third).await, "a revision is missing in between");
    assert!(put(&*store, &second).await);
    assert!(!put(&*store, &first).await, "older");
    assert_eq!(store.alert_rule(&first.id).await.expect("read"), Some(second.clone()));
    assert!(put(&*store, &third).await);
    let new = rule("two", 2, user("ann"), RuleKind::VolumeSpike { multiplier: 2.0 });
    assert!(!put(&*store, &new).await, "a new rule begins with revision 1");
    drop(store);
    let store = place.open().await;
    assert_eq!(store.alert_rule(&first.id).await.expect("read"), Some(third));
    assert_eq!(store.alert_rule(&new.id).await.expect("read"), None);
}

pub(crate) async fn rules_are_listed_by_owner_and_removed(place: impl Place) {
    let store = place.open().await;
    let below = RuleKind::Below { price: "0.000012".parse().expect("a price") };
    let rules = [
        rule("b", 1, user("ann"), below),
        rule("a", 1, user("ann"), below),
        rule("c", 1, user("bob"), below),
        rule("h", 1, Owner::House, below),
    ];
    for rule in &rules {
        assert!(put(&*store, rule).await);
    }
    let [b, a, c, h] = &rules;
    let idle = changed(c, |fields| fields.is_active = false);
    assert!(put(&*store, &idle).await);
    let of = async |owner: &Owner| store.alert_rules_of(owner).await.expect("read");
    assert_eq!(of(&user("ann")).await, [a.clone(), b.clone()]);
    assert_eq!(of(&user("bob")).await, std::slice::from_ref(&idle));
    assert_eq!(of(&user("eve")).await, []);
    let active = store.active_alert_rules().await.expect("read");
    assert_eq!(active, [a.clone(), b.clone(), h.clone()]);
    assert!(!store.remove_alert_rule(&a.id, &user("bob")).await.expect("removed"), "of another owner");
    assert!(store.remove_alert_rule(&a.id, &user("ann")).await.expect("removed"));
    assert!(!store.remove_alert_rule(&a.id, &user("ann")).await.expect("removed"));
    assert_eq!(store.remove_alert_rules_of(&user("ann")).await.expect("removed"), 1);
    assert_eq!(store.active_alert_rules().await.expect("read"), std::slice::from_ref(h));
}

fn alert(n: u64, name: &str, owner: &Owner, opened_at: DateTime<Utc>, recipients: &[&str]) -> Alert {
    let alert = serde_json::json!({
        "_id": format!("rule@1:{name}:yahoo:{n}"), "rule": "rule", "revision": 1, "owner": owner, "symbol": name,
        "kind": "above", "threshold": 300.5, "measure": 300.75, "peak": 300.75,
        "tick": { "source": "yahoo", "seq": n, "price": 300.75, "open": 299.0, "volume": 1000.0 },
        "candle_volume": n.is_multiple_of(2).then_some(500.25), "opened_at": opened_at, "closed_at": null, "message": "AAPL is at 300.75 \u{fc}", "is_simulated": n.is_multiple_of(2),
        "is_recorded": true, "deliveries": [],
    });
    let mut alert: Alert = serde_json::from_value(alert).expect("an alert");
    for recipient in recipients {
        let recipient = (*recipient).to_owned();
        alert.deliveries.push(alert_rules::Delivery { recipient, state: DeliveryState::Owed });
    }
    alert
}

fn everything(limit: usize) -> AlertQuery {
    AlertQuery { symbol: None, owners: Vec::new(), from: at(-100_000), to: at(100_000), limit, cursor: None }
}

async fn ids(store: &dyn LiveStore, query: &AlertQuery) -> Vec<u64> {
    let page = store.alerts(query).await.expect("a page");
    page.alerts.iter().map(|stored| stored.alert.tick.seq).collect()
}

pub(crate) async fn an_alert_is_stored_once_and_changed_by_one_writer_at_a_time(place: impl Place) {
    let store = place.open().await;
    let opened = at(0) + TimeDelta::microseconds(214_007);
    let first = alert(1, "AAPL", &Owner::House, opened, &["ann@example.com", "bob@example.com"]);
    let other = Alert { message: "another".to_owned(), ..first.clone() };
    assert!(store.add_alerts(&[], at(1)).await.expect("stored").is_empty());
    assert_eq!(
        store.add_alerts(&[first.clone(), other.clone()], at(1)).await.expect("stored"),
        [true, false]
    );
    assert_eq!(store.add_alerts(&[other], at(2)).await.expect("stored"), [false]);
    let stored = store.alert(&first.id).await.expect("read").expect("there");
    assert_eq!(stored, StoredAlert { alert: first.clone(), recorded_at: at(1), version: 1 });

    let mut changed = stored.clone();
    assert!(changed.alert.close(at(60), 301.5));
    assert!(store.replace_alert(&changed).await.expect("replaced"));
    assert!(!store.replace_alert(&changed).await.expect("refused"), "its version is an old one");
    let read = store.alert(&first.id).await.expect("read").expect("there");
    assert_eq!(read, StoredAlert { version: 2, ..changed });
    assert_eq!(store.pending_alerts(10).await.expect("read"), std::slice::from_ref(&read));

    let mut done = read.clone();
    let states = [
        DeliveryState::Sent { mail: "alerts:1".to_owned(), at: at(61) },
        DeliveryState::Refused { mail: "alerts:2".to_owned(), at: at(62), reason: "550 \u{fc}".to_owned() },
    ];
    for (delivery, state) in done.alert.deliveries.iter_mut().zip(states) {
        delivery.state = state;
    }
    assert!(store.replace_alert(&done).await.expect("replaced"));
    assert_eq!(store.pending_alerts(10).await.expect("read"), []);
    drop(store);
    let read = place.open().await.alert(&first.id).await.expect("read").expect("there");
    assert_eq!(read, StoredAlert { version: 3, ..done });
}

pub(crate) async fn pages_show_every_alert_once_the_newest_first(place: impl Place) {
    let store = place.open().await;
    let (house, ann) = (Owner::House, user("ann"));
    let mut all = Vec::new();
    // Several at one moment, and several within one millisecond.
    for n in 0..30_u64 {
        let opened = at((n / 3) as i64) + TimeDelta::microseconds((n % 3 / 2) as i64);
        let (name, owner) = if n.is_multiple_of(2) { ("AAPL", &house) } else { ("BTC/USDT", &ann) };
        all.push(alert(n, name, owner, opened, &[]));
    }
    store.add_alerts(&all, at(0)).await.expect("stored");
    all.sort_by(|one, other| (other.opened_at, &other.id).cmp(&(one.opened_at, &one.id)));
    let expected: Vec<u64> = all.iter().map(|alert| alert.tick.seq).collect();
    assert_eq!(ids(&*store, &everything(100)).await, expected);
    let (mut query, mut paged) = (everything(4), Vec::new());
    loop {
        let page = store.alerts(&query).await.expect("a page");
        assert!(page.alerts.len() <= 4);
        paged.extend(page.alerts.iter().map(|stored| stored.alert.tick.seq));
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(paged, expected);
    let of_apple = AlertQuery { symbol: Some(symbol("AAPL")), ..everything(100) };
    assert!(ids(&*store, &of_apple).await.iter().all(|n| n.is_multiple_of(2)));
    let of_ann = AlertQuery { owners: vec![ann.clone()], ..everything(100) };
    assert_eq!(ids(&*store, &of_ann).await.len(), 15);
    let of_both = AlertQuery { owners: vec![ann, house], ..everything(100) };
    assert_eq!(ids(&*store, &of_both).await, expected);
    let range = AlertQuery { from: at(2), to: at(4), ..everything(100) };
    assert_eq!(ids(&*store, &range).await.len(), 6);
    let error = store.alerts(&AlertQuery { cursor: Some("x".to_owned()), ..everything(1) }).await;
    assert!(matches!(error, Err(LiveStoreError::BadCursor { .. })), "{error:?}");
}

pub(crate) async fn pending_alerts_come_in_the_order_in_which_they_were_stored(place: impl Place) {
    let store = place.open().await;
    for n in [3, 1, 2] {
        let owed = alert(n, "AAPL", &Owner::House, at(0), &["ann@example.com"]);
        store.add_alerts(&[owed], at(100 - n as i64)).await.expect("stored");
    }
    let none = alert(4, "AAPL", &Owner::House, at(0), &[]);
    store.add_alerts(&[none], at(0)).await.expect("stored");
    let pending = store.pending_alerts(2).await.expect("read");
    let order: Vec<u64> = pending.iter().map(|stored| stored.alert.tick.seq).collect();
    assert_eq!(order, [3, 2]);
    let unlogged = async || -> Vec<u64> {
        let alerts = store.unlogged_alerts(10).await.expect("read");
        alerts.iter().map(|stored| stored.alert.tick.seq).collect()
    };
    assert_eq!(unlogged().await, [4, 3, 2, 1]);
    let (first, second) = (&pending[0], &pending[1]);
    assert!(store.replace_alert(second).await.expect("replaced"));
    for stored in [first, second] {
        store.mark_alert_logged(&stored.alert.id, stored.version).await.expect("marked");
    }
    assert_eq!(unlogged().await, [4, 2, 1], "the second has a newer version");
    assert!(store.replace_alert(first).await.expect("replaced"));
    assert_eq!(unlogged().await, [4, 3, 2, 1], "and now so has the first");
    let mark = async |place: usize| {
        let stored = &store.unlogged_alerts(10).await.expect("read")[place];
        store.mark_alert_logged(&stored.alert.id, stored.version).await.expect("marked");
    };
    mark(0).await;
    assert_eq!(
        store.prune_alerts(at(98)).await.expect("pruned"),
        1,
        "one is not logged, two were stored later"
    );
    mark(0).await;
    assert_eq!(store.prune_alerts(at(98)).await.expect("pruned"), 1, "it is logged now");
    assert_eq!(ids(&*store, &everything(10)).await, [2, 1]);
}

pub(crate) async fn the_first_fact_of_an_identity_stays(place: impl Place) {
    let store = place.open().await;
    let keep = async |id: &str, body: &str, seconds| {
        store.keep_alert_fact(id, body, at(seconds)).await.expect("kept")
    };
    assert_eq!(store.alert_fact("rules:1").await.expect("read"), None);
    assert_eq!(keep("rules:1", "[1, \"\u{fc}\"]", 0).await, "[1, \"\u{fc}\"]");
    assert_eq!(keep("rules:1", "[2]", 1).await, "[1, \"\u{fc}\"]");
    assert_eq!(keep("volume:1", "{}", 0).await, "{}");
    assert_eq!(keep("volume:2", "{}", 10).await, "{}");
    assert_eq!(store.prune_alert_facts("volume:", at(5)).await.expect("pruned"), 1);
    assert_eq!(store.alert_fact("volume:1").await.expect("read"), None);
    assert_eq!(store.alert_fact("volume:2").await.expect("read").as_deref(), Some("{}"));
    drop(store);
    let store = place.open().await;
    assert_eq!(store.alert_fact("rules:1").await.expect("read").as_deref(), Some("[1, \"\u{fc}\"]"));
}
