//! What became of deliveries, in the analytics store.

use alert_rules::{Alert, DeliveryState};
use analytics_store::{AlertLogRow, AlertLogStatus};
use chrono::{DateTime, Utc};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use topics::status::ComponentState;

use crate::world::{World, tick, wait_until};

const LOG: &str = "alert log";

/// An alert with deliveries that have these states.
fn alert(seq: u64, deliveries: &serde_json::Value) -> Alert {
    let alert = serde_json::json!({
        "_id": format!("house-volume@1:AAPL:yahoo:5m:{seq}"), "rule": "house-volume", "revision": 1, "owner": "house",
        "symbol": "AAPL", "kind": "volume_spike", "threshold": 2.0, "measure": 3.5, "peak": 3.5,
        "tick": { "source": "yahoo", "seq": seq, "price": 260.123_456_789, "open": 259.0, "volume": 90_000.0 },
        "candle_volume": 3_500.0, "opened_at": "2026-01-13T15:30:00.5Z", "closed_at": null,
        "message": "AAPL traded 3500 in five minutes", "is_simulated": false, "is_recorded": true,
        "deliveries": deliveries,
    });
    serde_json::from_value(alert).unwrap()
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_a_row_when_it_has_ended() {
    let mut world = World::new(&[]).await;
    let deliveries = serde_json::json!([
        { "recipient": "ops@example.com", "state": "sent", "mail": "alerts:1", "at": "2026-01-13T15:30:02Z" },
        { "recipient": "desk@example.com", "state": "refused", "mail": "alerts:2", "at": "2026-01-13T15:30:03Z", "reason": "no such user" },
        // Of a mail that is not stored: it does not end by itself.
        { "recipient": "ann@example.com", "state": "in_mail", "mail": "alerts:3" },
    ]);
    let alert = alert(7, &deliveries);
    world.store.add_alerts(std::slice::from_ref(&alert), Utc::now()).await.unwrap();
    world.start();
    world.all_logged().await;
    let sent = AlertLogRow {
        alert_id: alert.id.to_string(),
        symbol: alert.symbol,
        kind: "volume_spike".to_owned(),
        price: "260.12345679".parse().unwrap(),
        change_pct: None,
        volume: Some(3_500.into()),
        threshold: 2.0,
        recipient: "ops@example.com".to_owned(),
        status: AlertLogStatus::Sent,
        message: "RECORDING: AAPL traded 3500 in five minutes".to_owned(),
        triggered_at: time("2026-01-13T15:30:00.5Z"),
        sent_at: Some(time("2026-01-13T15:30:02Z")),
    };
    let refused = AlertLogRow {
        recipient: "desk@example.com".to_owned(),
        status: AlertLogStatus::Refused,
        message: "RECORDING: AAPL traded 3500 in five minutes; not sent: no such user".to_owned(),
        sent_at: None,
        ..sent.clone()
    };
    assert_eq!(world.logged().await, [refused.clone(), sent.clone()]);

    let mut stored = world.store.alert(&alert.id).await.unwrap().unwrap();
    let at = time("2026-01-13T16:00:00Z");
    stored.alert.deliveries[2].state = DeliveryState::Sent { mail: "alerts:3".to_owned(), at };
    assert!(world.store.replace_alert(&stored).await.unwrap());
    world.all_logged().await;
    let last = AlertLogRow { recipient: "ann@example.com".to_owned(), sent_at: Some(at), ..sent.clone() };
    let rows = [last, refused, sent];
    assert_eq!(world.logged().await, rows);
    world.stop().await;

    // As after `kill -9` between the rows and the mark: the version is not marked, and its rows are there.
    let stored = world.store.alert(&alert.id).await.unwrap().unwrap();
    assert!(world.store.replace_alert(&stored).await.unwrap());
    world.start();
    world.all_logged().await;
    assert_eq!(world.logged().await, rows);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_analytics_store_is_away_mails_are_sent_and_the_log_follows_when_it_is_back() {
    let mut world = World::new(&["--alert-recipients", "ops@example.com"]).await;
    std::fs::write(world.analytics(), "this is no database, and long enough to be none".repeat(100)).unwrap();
    world.start();
    wait_until("the log of alerts is down", async || world.component(LOG).0 == ComponentState::Down).await;
    world.publish(&[tick("AAPL", 0, 100.0), tick("AAPL", 1, 106.0)], false).await;
    world.drained().await;
    world.delivered().await;
    assert_eq!(world.mails(), 1);
    let (state, detail) = world.component(LOG);
    assert!(
        state == ComponentState::Down
            && detail.contains("analytics.db")
            && detail.contains("trying again in"),
        "{detail}"
    );
    std::fs::remove_file(world.analytics()).unwrap();
    world.all_logged().await;
    assert_eq!(world.logged().await.len(), 1);

    // Away again, while it is open: another process has the lock for longer than the store waits for it.
    let options = SqliteConnectOptions::new().filename(world.analytics()).disable_statement_logging();
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    world.publish(&[tick("MSFT", 2, 106.0)], false).await;
    world.drained().await;
    world.delivered().await;
    assert_eq!(world.mails(), 2);
    wait_until("the log of alerts is down", async || world.component(LOG).0 == ComponentState::Down).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    world.all_logged().await;
    wait_until("the log of alerts is up", async || world.component(LOG).0 == ComponentState::Up).await;
    let rows = world.logged().await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.status == AlertLogStatus::Sent && row.change_pct == Some(6.0)));
    world.stop().await;
}
