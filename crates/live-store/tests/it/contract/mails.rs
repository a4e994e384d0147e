//! Owed mails: each once, each with one owner at a time.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::LiveStore;
use owed_mails::{EmailAddress, InlineImage, MailContent, MailId, MailState, OwedMail, StoredMail};

use crate::{place::Place, samples::at};

const LEASE: TimeDelta = TimeDelta::seconds(60);

fn id(text: &str) -> MailId {
    MailId::parse(text).expect("an id")
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

fn mail(name: &str, created_at: DateTime<Utc>) -> OwedMail {
    OwedMail {
        id: id(name),
        recipient: address("Me@example.com"),
        content: MailContent {
            subject: "Grüße: +5.1 %".to_owned(),
            text: "one\r\ntwo\n".to_owned(),
            html: "<p>one &amp; two</p>".to_owned(),
            images: vec![
                InlineImage { cid: "day".to_owned(), png: [0, 255, 13, 10].into() },
                InlineImage { cid: "before".to_owned(), png: [1].into() },
            ],
            unsubscribe: Some("https://example.com/u?t=1&u=2".parse().expect("a URL")),
        },
        created_at,
        expires_at: created_at + TimeDelta::hours(24),
        is_recorded: true,
    }
}

async fn add(store: &dyn LiveStore, mail: &OwedMail) -> bool {
    store.add_mail(mail).await.expect("stored or not")
}

async fn lease(store: &dyn LiveStore, owner: &str, now: DateTime<Utc>) -> Option<String> {
    let leased = store.lease_mail(owner, now, now + LEASE).await.expect("leased or not");
    leased.map(|leased| leased.mail.id.to_string())
}

async fn state(store: &dyn LiveStore, name: &str) -> MailState {
    store.mails(&[id(name)]).await.expect("read")[0].state.clone()
}

pub(crate) async fn a_mail_is_owed_once_and_read_as_it_was_stored(place: impl Place) {
    let store = place.open().await;
    let first = mail("digest:1:2026-01-13", at(0));
    assert!(add(&*store, &first).await);
    let mut other = mail("digest:1:2026-01-13", at(5));
    "another".clone_into(&mut other.content.subject);
    assert!(!add(&*store, &other).await, "the same id is the same mail");
    let bare = MailContent { images: Vec::new(), unsubscribe: None, ..first.content.clone() };
    let second = OwedMail { content: bare, is_recorded: false, ..mail("digest:2:2026-01-13", at(1)) };
    assert!(add(&*store, &second).await);
    drop(store);
    let store = place.open().await;
    let ids = [id("digest:2:2026-01-13"), id("unknown"), id("digest:1:2026-01-13")];
    let owed = |mail: OwedMail| StoredMail { state: MailState::new(mail.created_at), mail };
    assert_eq!(store.mails(&ids).await.expect("read"), [owed(second), owed(first)]);
    assert_eq!(store.mails(&[]).await.expect("read"), []);
    assert_eq!(store.owed_mails().await.expect("counted"), 2);
}

pub(crate) async fn the_mail_that_has_been_due_for_longest_is_leased_first(place: impl Place) {
    let store = place.open().await;
    for (name, second) in [("b", 2), ("a", 1), ("c", 30)] {
        add(&*store, &mail(name, at(second))).await;
    }
    assert_eq!(lease(&*store, "one", at(0)).await, None, "none is due");
    assert_eq!(lease(&*store, "one", at(10)).await.as_deref(), Some("a"));
    assert_eq!(lease(&*store, "two", at(10)).await.as_deref(), Some("b"));
    assert_eq!(lease(&*store, "one", at(10)).await, None, "one is not due, the others are leased");
    let retry = MailState::Owed { attempts: 1, next_try_at: at(40), last_error: Some("451 busy".to_owned()) };
    assert!(store.finish_try(&id("a"), "one", &retry).await.expect("stored"));
    assert_eq!(state(&*store, "a").await, retry);
    assert_eq!(lease(&*store, "one", at(35)).await.as_deref(), Some("c"));
    assert_eq!(lease(&*store, "one", at(39)).await, None);
    assert_eq!(lease(&*store, "two", at(40)).await.as_deref(), Some("a"));
}

pub(crate) async fn one_sender_at_a_time_has_a_mail(place: impl Place) {
    const MAILS: usize = 24;
    let store = place.open().await;
    for number in 0..MAILS {
        add(&*store, &mail(&format!("alerts:{number}"), at(number as i64))).await;
    }
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut leased = Vec::new();
                while let Some(id) = lease(&*store, &format!("sender-{sender}"), at(100)).await {
                    leased.push(id);
                }
                leased
            })
        })
        .collect();
    let mut all = Vec::new();
    for sender in senders {
        all.extend(sender.await.expect("no panic"));
    }
    // A sender that was outrun several times in a row ended before the last mail was leased.
    while let Some(id) = lease(&*store, "last", at(100)).await {
        all.push(id);
    }
    assert_eq!(all.len(), MAILS, "{all:?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), MAILS, "each once: {all:?}");
}

pub(crate) async fn the_lease_of_a_sender_that_died_expires(place: impl Place) {
    let store = place.open().await;
    add(&*store, &mail("a", at(0))).await;
    assert_eq!(lease(&*store, "dead", at(0)).await.as_deref(), Some("a"));
    assert_eq!(lease(&*store, "dead", at(59)).await, None, "its own, too: it is being tried");
    assert!(store.renew_mail(&id("a"), "dead", at(75)).await.expect("renewed"));
    assert!(!store.renew_mail(&id("a"), "heir", at(99)).await.expect("refused"));
    assert_eq!(lease(&*store, "heir", at(74)).await, None);
    assert_eq!(lease(&*store, "heir", at(75)).await.as_deref(), Some("a"));
    let sent = MailState::Sent { at: at(76) };
    assert!(!store.finish_try(&id("a"), "dead", &sent).await.expect("refused"), "it was only asleep");
    assert!(!store.renew_mail(&id("a"), "dead", at(99)).await.expect("refused"));
    assert_eq!(state(&*store, "a").await, MailState::new(at(0)));
    assert!(store.finish_try(&id("a"), "heir", &sent).await.expect("stored"));
    assert_eq!(state(&*store, "a").await, sent);
}

pub(crate) async fn a_final_state_of_a_mail_stays(place: impl Place) {
    let store = place.open().await;
    let reason = "550 no such user".to_owned();
    let finals = [
        MailState::Sent { at: at(1) },
        MailState::Refused { at: at(1), reason: reason.clone() },
        MailState::Expired { at: at(1), reason },
    ];
    for state_now in finals {
        let name = state_now.name();
        add(&*store, &mail(name, at(0))).await;
        assert_eq!(lease(&*store, "one", at(0)).await.as_deref(), Some(name));
        assert!(store.finish_try(&id(name), "one", &state_now).await.expect("stored"));
        assert!(!store.finish_try(&id(name), "one", &MailState::new(at(2))).await.expect("refused"));
        assert!(!add(&*store, &mail(name, at(0))).await);
        assert_eq!(lease(&*store, "two", at(10_000)).await, None);
        assert_eq!(state(&*store, name).await, state_now);
    }
    assert_eq!(store.owed_mails().await.expect("counted"), 0);
}

pub(crate) async fn the_mails_to_a_person_are_found_by_any_spelling(place: impl Place) {
    let store = place.open().await;
    for (name, second) in [("late", 30), ("early", 10), ("too early", 0)] {
        let name = name.replace(' ', "-");
        add(&*store, &mail(&name, at(second))).await;
    }
    let of_other = OwedMail { recipient: address("you@example.com"), ..mail("other", at(20)) };
    add(&*store, &of_other).await;
    let found = store.mails_to(&address("ME@EXAMPLE.com"), at(10)).await.expect("read");
    let names: Vec<&str> = found.iter().map(|found| found.mail.id.as_str()).collect();
    assert_eq!(names, ["early", "late"]);
    assert_eq!(found[0].mail.content.images, [], "pictures are left out");
    assert_eq!(found[0].mail.content.text, "one\r\ntwo\n");
}

pub(crate) async fn pruning_removes_finished_and_expired_mails(place: impl Place) {
    let store = place.open().await;
    for (name, second) in [("sent", 0), ("owed", 1), ("recent", 100)] {
        add(&*store, &mail(name, at(second))).await;
    }
    assert_eq!(lease(&*store, "one", at(0)).await.as_deref(), Some("sent"));
    store.finish_try(&id("sent"), "one", &MailState::Sent { at: at(0) }).await.expect("stored");
    assert_eq!(store.prune_mails(at(50)).await.expect("pruned"), 1);
    assert_eq!(store.prune_mails(at(50)).await.expect("pruned"), 0);
    let all = [id("sent"), id("owed"), id("recent")];
    let left = store.mails(&all).await.expect("read");
    assert_eq!(left.iter().map(|left| left.mail.id.as_str()).collect::<Vec<_>>(), ["owed", "recent"]);
    assert_eq!(left[0].mail.content.images.len(), 2);
    let behind_expiry = at(2) + TimeDelta::hours(24);
    assert_eq!(store.prune_mails(behind_expiry).await.expect("pruned"), 1, "it was not sent in time");
}
