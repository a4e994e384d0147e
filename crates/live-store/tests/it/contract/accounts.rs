//! Users, sessions and tokens.

use accounts::{
    Digest, DigestHour, OneTimeToken, PasswordHash, Secret, Session, Threshold, TokenPurpose, User, UserId,
    parse_time_zone,
};
use chrono::{TimeDelta, Timelike};
use live_store::LiveStore;
use owed_mails::EmailAddress;

use crate::{
    place::Place,
    samples::{at, symbol},
};

const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

fn user(email: &str, seconds: i64) -> User {
    let hash = PasswordHash::parse(HASH).expect("a hash");
    User::new(address(email), hash, at(seconds).with_nanosecond(214_007_000).expect("a time"))
}

async fn read(store: &dyn LiveStore, id: UserId) -> Option<User> {
    store.user(id).await.expect("read")
}

pub(crate) async fn of_two_spellings_of_an_address_one_is_a_user(place: impl Place) {
    let store = place.open().await;
    let first = user("Jane@Example.com", 0);
    assert!(store.add_user(&first).await.expect("added"));
    assert!(!store.add_user(&user("jANE@example.COM", 1)).await.expect("refused"));
    for spelling in ["jane@example.com", "JANE@EXAMPLE.com"] {
        assert_eq!(store.user_of(&address(spelling)).await.expect("read").as_ref(), Some(&first));
    }
    assert_eq!(
        read(&*store, first.id).await.expect("there").email.as_str(),
        "Jane@example.com",
        "as it was given"
    );
    assert_eq!(store.user_of(&address("john@example.com")).await.expect("read"), None);
    assert_eq!(store.users(None, 10).await.expect("read"), [first]);
}

pub(crate) async fn of_several_that_register_an_address_at_once_one_succeeds(place: impl Place) {
    let store = place.open().await;
    let adding = (0..8).map(|n| {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.add_user(&user("jane@example.com", n)).await })
    });
    let mut added = 0;
    for adding in adding.collect::<Vec<_>>() {
        added += usize::from(adding.await.expect("no panic").expect("added or not"));
    }
    assert_eq!((added, store.users(None, 10).await.expect("read").len()), (1, 1));
}

pub(crate) async fn a_user_is_read_as_it_was_changed(place: impl Place) {
    let store = place.open().await;
    let mut jane = user("jane@example.com", 0);
    assert!(store.add_user(&jane).await.expect("added"));
    jane.created_at = at(3);
    jane.confirmed_at = Some(at(5));
    jane.time_zone = parse_time_zone("Europe/Berlin").expect("a zone");
    jane.watch_list = vec![symbol("MSFT"), symbol("BTC/USDT"), symbol("AAPL")];
    jane.threshold = Some(Threshold::new(2.5).expect("a threshold"));
    jane.mails_alerts = false;
    jane.digest = Digest { is_on: false, hour: DigestHour::parse("23").expect("an hour") };
    jane.unsubscribe_key = Secret::generate();
    assert!(store.change_user(&jane).await.expect("changed"));
    jane.revision = 1;
    drop(store);
    let store = place.open().await;
    assert_eq!(read(&*store, jane.id).await.as_ref(), Some(&jane));
    (jane.threshold, jane.confirmed_at, jane.watch_list) = (None, None, Vec::new());
    assert!(store.change_user(&jane).await.expect("changed"));
    jane.revision = 2;
    assert_eq!(read(&*store, jane.id).await.as_ref(), Some(&jane));
}

pub(crate) async fn a_change_of_an_outdated_user_is_refused(place: impl Place) {
    let store = place.open().await;
    let jane = user("jane@example.com", 0);
    assert!(!store.change_user(&jane).await.expect("refused"), "there is none yet");
    assert!(store.add_user(&jane).await.expect("added"));
    let (mut one, mut other) = (jane.clone(), jane.clone());
    one.mails_alerts = false;
    other.threshold = None;
    assert!(store.change_user(&one).await.expect("changed"));
    assert!(!store.change_user(&other).await.expect("refused"), "it was changed meanwhile");
    let stored = read(&*store, jane.id).await.expect("there");
    assert_eq!(stored, User { revision: 1, ..one });
    assert!(!store.remove_user(jane.id, Some(0)).await.expect("refused"), "it was changed meanwhile");
    assert!(store.remove_user(jane.id, Some(1)).await.expect("removed"));
    assert!(!store.change_user(&stored).await.expect("refused"), "it was removed meanwhile");
    assert_eq!(read(&*store, jane.id).await, None);
}

pub(crate) async fn users_are_listed_page_by_page_in_the_order_of_registration(place: impl Place) {
    let store = place.open().await;
    let users: Vec<User> = (0..5).map(|n| user(&format!("user{n}@example.com"), n)).collect();
    for user in users.iter().rev() {
        assert!(store.add_user(user).await.expect("added"));
    }
    let first = store.users(None, 3).await.expect("a page");
    let second = store.users(first.last().map(|user| user.id), 3).await.expect("a page");
    assert_eq!([first, second].concat(), users);
    assert_eq!(store.users(users.last().map(|user| user.id), 3).await.expect("a page"), []);
}

pub(crate) async fn a_removed_address_can_be_registered_again(place: impl Place) {
    let store = place.open().await;
    let jane = user("jane@example.com", 0);
    assert!(store.add_user(&jane).await.expect("added"));
    assert!(store.remove_user(jane.id, None).await.expect("removed"));
    assert!(!store.remove_user(jane.id, None).await.expect("nothing there"));
    assert!(store.add_user(&user("jane@example.com", 1)).await.expect("added"));
}

pub(crate) async fn sessions_are_found_renewed_and_removed(place: impl Place) {
    let store = place.open().await;
    let [jane, john] = [UserId::generate(at(0)), UserId::generate(at(1))];
    let [one, two, other] = [(jane, 0), (jane, 1), (john, 2)]
        .map(|(user, seconds)| Session::start(&Secret::generate(), user, at(seconds)));
    for session in [&two, &one, &other] {
        store.save_session(session).await.expect("saved");
    }
    assert_eq!(store.session(one.hash).await.expect("read"), Some(one.clone()));
    assert_eq!(store.sessions_of(jane).await.expect("read"), [one.clone(), two.clone()]);
    let renewed = one.renewed(at(7200)).expect("renewed");
    assert!(store.renew_session(&renewed).await.expect("renewed"));
    assert_eq!(store.session(one.hash).await.expect("read"), Some(renewed.clone()));
    assert!(store.remove_session(one.hash).await.expect("removed"));
    assert!(!store.remove_session(one.hash).await.expect("nothing there"));
    assert!(!store.renew_session(&renewed).await.expect("refused"), "a session that was ended stays so");
    assert_eq!(store.session(one.hash).await.expect("read"), None);
    store.save_session(&one).await.expect("saved");
    assert_eq!(store.remove_sessions_of(jane).await.expect("removed"), 2);
    assert_eq!(store.sessions_of(john).await.expect("read"), [other]);
}

pub(crate) async fn expired_sessions_and_tokens_are_pruned(place: impl Place) {
    let store = place.open().await;
    let user = UserId::generate(at(0));
    let [early, late] = [0, 60].map(|seconds| Session::start(&Secret::generate(), user, at(seconds)));
    let issue = |seconds| OneTimeToken::issue(&Secret::generate(), TokenPurpose::Reset, user, at(seconds));
    let [old, new] = [0, 60].map(issue);
    for session in [&early, &late] {
        store.save_session(session).await.expect("saved");
    }
    for token in [&old, &new] {
        store.add_token(token).await.expect("added");
    }
    assert_eq!(store.prune_sessions(early.expires_at).await.expect("pruned"), 0);
    assert_eq!(store.prune_sessions(late.expires_at).await.expect("pruned"), 1);
    assert_eq!(store.sessions_of(user).await.expect("read"), [late]);
    assert_eq!(store.prune_tokens(old.expires_at + TimeDelta::microseconds(1)).await.expect("pruned"), 1);
    assert_eq!(store.token(old.hash).await.expect("read"), None);
    assert_eq!(store.token(new.hash).await.expect("read"), Some(new));
}

pub(crate) async fn a_token_is_removed_once(place: impl Place) {
    let store = place.open().await;
    let [jane, john] = [UserId::generate(at(0)), UserId::generate(at(1))];
    let issue = |purpose, user| OneTimeToken::issue(&Secret::generate(), purpose, user, at(0));
    let tokens = [
        issue(TokenPurpose::Confirm, jane),
        issue(TokenPurpose::Reset, jane),
        issue(TokenPurpose::Reset, john),
    ];
    for token in &tokens {
        store.add_token(token).await.expect("added");
        store.add_token(token).await.expect("repeated");
        assert_eq!(store.token(token.hash).await.expect("read").as_ref(), Some(token));
    }
    let removing = (0..4).map(|_| {
        let (store, hash) = (std::sync::Arc::clone(&store), tokens[0].hash);
        tokio::spawn(async move { store.remove_token(hash).await })
    });
    let mut removed = 0;
    for removing in removing.collect::<Vec<_>>() {
        removed += usize::from(removing.await.expect("no panic").expect("removed or not"));
    }
    assert_eq!(removed, 1);
    assert_eq!(store.remove_tokens_of(jane).await.expect("removed"), 1);
    assert_eq!(store.token(tokens[2].hash).await.expect("read").as_ref(), Some(&tokens[2]));
}
