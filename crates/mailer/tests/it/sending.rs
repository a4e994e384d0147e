//! The sender, with a real store and an outbox, or a mail server that is away.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use mailer::{MailState, Mailer, Outbox, run_sender};
use tempfile::TempDir;
use topics::status::ComponentState;

use crate::samples::{mail_to, runtime, store, to_url, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owed_mails_are_sent_once_and_the_sender_ends_with_the_shutdown() {
    let folder = TempDir::new().expect("a folder");
    let (store, runtime) = (store(folder.path()).await, runtime(folder.path()).await);
    let outbox = folder.path().join("outbox");
    let mailer = Mailer::open(&to_url(&format!("file:{}", outbox.display()))).expect("accepted");
    let mails: Vec<_> = (0..20).map(|number| mail_to("you@example.com", &format!("mail:{number}"))).collect();
    for mail in &mails {
        assert!(store.add_mail(mail).await.expect("stored"));
    }
    let senders: Vec<_> = (0..2)
        .map(|_| tokio::spawn(run_sender(store.clone() as _, mailer.clone(), runtime.clone())))
        .collect();
    let ids: Vec<_> = mails.iter().map(|mail| mail.id.clone()).collect();
    wait_for(&*store, &ids, "all are sent", |states| states.iter().all(|state| state.name() == "sent")).await;
    assert_eq!(Outbox::new(&outbox).newest(100).expect("a list").len(), 20);
    assert_eq!(store.owed_mails().await.expect("counted"), 0);
    let status = runtime.status.snapshot(Utc::now());
    let sent: f64 = status
        .figures
        .iter()
        .filter(|(name, _)| name.contains("mails_sent_total"))
        .map(|(_, sent)| sent)
        .sum();
    assert!(sent > 0.0, "{:?}", status.figures);
    assert!(status.components.iter().any(|part| part.name == "mail" && part.state == ComponentState::Up));
    runtime.shutdown.cancel();
    for sender in senders {
        tokio::time::timeout(Duration::from_secs(20), sender)
            .await
            .expect("ends")
            .expect("no panic")
            .expect("done");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_mail_server_is_away_mails_stay_owed_and_the_reason_is_reported() {
    let folder = TempDir::new().expect("a folder");
    let (store, runtime) = (store(folder.path()).await, runtime(folder.path()).await);
    let mailer = Mailer::open(&to_url("smtp://127.0.0.1:9?tls=none")).expect("accepted");
    let mail = mail_to("you@example.com", "mail:1");
    store.add_mail(&mail).await.expect("stored");
    let sender = tokio::spawn(run_sender(store.clone() as _, mailer, runtime.clone()));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let reason = loop {
        let status = runtime.status.snapshot(Utc::now());
        let down = status.components.into_iter().find(|part| part.state == ComponentState::Down);
        if let Some(down) = down {
            break down.detail;
        }
        assert!(tokio::time::Instant::now() < deadline, "not reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(reason.contains("127.0.0.1:9 cannot be reached") && reason.contains("MAIL_URL"), "{reason}");
    assert!(runtime.status.is_ready() || !reason.is_empty(), "the service works without its mails");
    let states = store.mails(&[mail.id]).await.expect("read");
    assert!(matches!(states[0].state, MailState::Owed { .. }), "{states:?}");
    runtime.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), sender)
        .await
        .expect("ends")
        .expect("no panic")
        .expect("done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_whose_time_is_over_is_not_sent() {
    let folder = TempDir::new().expect("a folder");
    let (store, runtime) = (store(folder.path()).await, runtime(folder.path()).await);
    let outbox = folder.path().join("outbox");
    let mailer = Mailer::open(&to_url(&format!("file:{}", outbox.display()))).expect("accepted");
    let mut mail = mail_to("you@example.com", "mail:late");
    mail.created_at -= TimeDelta::hours(25);
    mail.expires_at -= TimeDelta::hours(25);
    store.add_mail(&mail).await.expect("stored");
    let sender = tokio::spawn(run_sender(store.clone() as _, mailer, runtime.clone()));
    let states = wait_for(&*store, &[mail.id], "it expires", |states| states[0].is_final()).await;
    assert!(matches!(&states[0], MailState::Expired { .. }), "{states:?}");
    assert!(!outbox.exists());
    runtime.shutdown.cancel();
    sender.await.expect("no panic").expect("done");
}
