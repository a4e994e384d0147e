//! Accounts, rules and alerts that move with a store.

use accounts::{PasswordHash, User};
use alert_rules::{Alert, AlertRule, Owner, RuleFields, RuleId, RuleKind, WatchedSymbols};
use archive::{AccountCounts, copy_accounts};
use live_store::{LiveStore, StoredAlert};
use market::parse_decimal;
use owed_mails::EmailAddress;
use tokio_util::sync::CancellationToken;

use crate::stores::{at, place, symbol};

async fn copy(from: &dyn LiveStore, to: &dyn LiveStore) -> archive::Result<AccountCounts> {
    copy_accounts(from, to, &CancellationToken::new()).await
}

fn user(address: &str) -> User {
    let hash =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
    User::new(EmailAddress::parse(address).expect("works"), PasswordHash::parse(hash).expect("works"), at(0))
}

fn owner(user: &User) -> Owner {
    Owner::User(alert_rules::UserId::parse(&user.id.to_string()).expect("works"))
}

fn level(owner: Owner, revision: u64) -> AlertRule {
    AlertRule::new(RuleFields {
        id: RuleId::parse("level-1").expect("works"),
        owner,
        revision,
        symbols: WatchedSymbols::Only(vec![symbol("AAPL")]),
        kind: RuleKind::Above { price: parse_decimal("300").expect("works") },
        cooldown_minutes: 60,
        is_active: true,
        recipients: Vec::new(),
    })
    .expect("works")
}

const OWED: &str = r#"{"state": "owed"}"#;
const SENT: &str = r#"{"state": "sent", "mail": "alert:1", "at": "2026-01-13T15:31:00Z"}"#;

fn alert(state: &str) -> Alert {
    let mut delivery: serde_json::Value = serde_json::from_str(state).expect("works");
    delivery["recipient"] = "ops@example.com".into();
    let alert = serde_json::json!({
        "_id": "house-change@1:AAPL:yahoo:7", "rule": "house-change", "revision": 1, "owner": "house",
        "symbol": "AAPL", "kind": "change_from_open", "threshold": 5.0, "measure": 6.0, "peak": 6.0,
        "tick": { "source": "yahoo", "seq": 7, "price": 106.0, "open": 100.0, "volume": 1_000.0 },
        "opened_at": at(5), "closed_at": null, "message": "AAPL moved",
        "is_simulated": false, "is_recorded": false, "deliveries": [delivery],
    });
    serde_json::from_value(alert).expect("works")
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_rules_and_alerts_move_with_a_store_and_their_changes_follow() {
    let (from, to) = (place().await, place().await);
    let person = user("ada@example.com");
    let owner = owner(&person);
    assert!(from.store.add_user(&person).await.expect("works"));
    for revision in 1..=3 {
        assert!(from.store.put_alert_rule(&level(owner.clone(), revision)).await.expect("works"));
    }
    assert_eq!(from.store.add_alerts(&[alert(OWED)], at(6)).await.expect("works"), [true]);
    let expected = AccountCounts { users: 1, rules: 1, alerts: 1 };
    assert_eq!(copy(&*from.store, &*to.store).await.expect("works"), expected);
    assert_eq!(to.store.user(person.id).await.expect("works").as_ref(), Some(&person));
    assert_eq!(to.store.alert_rules_of(&owner).await.expect("works"), [level(owner, 3)]);
    let id = alert(OWED).id.clone();
    let stored = to.store.alert(&id).await.expect("works").expect("works");
    assert_eq!((stored.alert, stored.recorded_at), (alert(OWED), at(6)));

    // What was owed is sent, the person changes the account, and the copy is made again, twice.
    let changed = User { mails_alerts: !person.mails_alerts, ..person.clone() };
    assert!(from.store.change_user(&changed).await.expect("works"));
    let sent = StoredAlert { alert: alert(SENT), recorded_at: at(6), version: 1 };
    assert!(from.store.replace_alert(&sent).await.expect("works"));
    for _ in 0..2 {
        assert_eq!(copy(&*from.store, &*to.store).await.expect("works"), expected);
    }
    assert_eq!(to.store.alert(&id).await.expect("works").expect("works").alert, alert(SENT));
    assert_eq!(
        to.store.user(person.id).await.expect("works").expect("works").mails_alerts,
        changed.mails_alerts
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_another_account_in_the_target_is_named_masked() {
    let (from, to) = (place().await, place().await);
    assert!(from.store.add_user(&user("ada@example.com")).await.expect("works"));
    assert!(to.store.add_user(&user("Ada@example.com")).await.expect("works"));
    let error = copy(&*from.store, &*to.store).await.expect_err("refused").to_string();
    assert!(error.contains("another account of") && !error.contains("ada@"), "{error}");
}
