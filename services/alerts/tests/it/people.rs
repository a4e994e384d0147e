//! Mails to people with accounts.

use accounts::{UnsubscribeToken, User};
use alert_rules::{Alert, DeliveryState, RuleKind};
use mailer::{MailSettings, ReadMail};

use crate::world::{World, rule, tick, wait_until};

/// Opens an alert of a person for AAPL above 102, and waits until its delivery has ended. `n` numbers the ticks.
async fn fire(world: &World, n: u64) -> Vec<Alert> {
    open(world, n).await;
    world.delivered().await;
    world.alerts().await
}

/// Opens an alert of a person for AAPL above 102.
async fn open(world: &World, n: u64) {
    let before = world.alerts().await.len();
    let mut n = n;
    // The first tick of a feed opens no episode of people.
    world.publish(&[tick("AAPL", n, 100.0)], false).await;
    wait_until("the rule has fired", async || {
        n += 1;
        world.publish(&[tick("AAPL", n, 103.0)], false).await;
        world.drained().await;
        world.alerts().await.len() > before
    })
    .await;
}

async fn above(world: &World, user: &User) {
    let above = rule(user, &format!("{}-1", user.id), RuleKind::Above { price: 102.into() });
    assert!(world.store.put_alert_rule(&above).await.unwrap());
}

fn to<'a>(mails: &'a [ReadMail], address: &str) -> Vec<&'a ReadMail> {
    mails.iter().filter(|mail| mail.header("To").contains(address)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personal_mail_ends_by_one_post_and_a_mail_of_the_house_names_the_operator() {
    let mut world =
        World::new(&["--alert-recipients", "ops@example.com", "--price-change-threshold", "2"]).await;
    let ann = world.person("ann@example.com").await;
    above(&world, &ann).await;
    world.start();
    fire(&world, 0).await;
    world.stop().await;

    let mails = world.read_mails();
    let (personal, of_house) = (to(&mails, "ann@example.com"), to(&mails, "ops@example.com"));
    assert_eq!((personal.len(), of_house.len()), (1, 1), "{mails:?}");
    let header = personal[0].header("List-Unsubscribe");
    let link = header.trim_start_matches('<').trim_end_matches('>');
    let (page, token) = link.split_once("?token=").unwrap_or_else(|| panic!("{header}"));
    assert!(page.ends_with("/unsubscribe"), "{page}");
    assert!(token.parse::<UnsubscribeToken>().unwrap().is_of(&ann));
    assert_eq!(personal[0].header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    assert!(personal[0].text.contains(link) && personal[0].html.as_ref().unwrap().contains(link));
    assert_eq!(of_house[0].header("List-Unsubscribe"), "");
    assert!(of_house[0].text.contains("ALERT_RECIPIENTS") && !of_house[0].text.contains("/unsubscribe"));
}

/// The reason for which the only delivery of a person was suppressed, who was changed after the alert was stored.
async fn suppressed_after(change: impl AsyncFn(&World, User)) -> String {
    let mut world = World::new(&[]).await;
    let ann = world.person("ann@example.com").await;
    above(&world, &ann).await;
    world.start();
    let alert = fire(&world, 0).await.remove(0);
    assert!(matches!(alert.deliveries[0].state, DeliveryState::Sent { .. }));
    world.stop().await;

    // The rule names the address as long as the pages do not bring it in step.
    change(&world, ann).await;
    world.start();
    world.publish(&[tick("MSFT", 500, 100.0), tick("MSFT", 501, 103.0)], false).await;
    world.drained().await;
    world.delivered().await;
    world.all_logged().await;
    world.stop().await;
    assert_eq!(world.mails(), 1, "no further mail");
    let alerts = world.alerts().await;
    let DeliveryState::Suppressed { reason, .. } = &alerts[1].deliveries[0].state else {
        panic!("{:?}", alerts[1].deliveries);
    };
    let rows = world.logged().await;
    assert!(rows.iter().any(|row| row.message.contains(reason.as_str())), "{rows:?}");
    reason.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_has_unsubscribed_or_has_no_account_any_more_gets_no_mail() {
    let unsubscribed = suppressed_after(async |world, mut user| {
        user.mails_alerts = false;
        assert!(world.store.change_user(&user).await.unwrap());
    });
    assert_eq!(unsubscribed.await, "its owner does not receive mails about alerts any more");
    let deleted = suppressed_after(async |world, user| {
        assert!(world.store.remove_user(user.id, None).await.unwrap());
    });
    assert_eq!(deleted.await, "the account of its owner was deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_owed_when_its_reader_ends_such_mails_is_not_sent() {
    let mut world = World::new(&[]).await;
    let mut ann = world.person("ann@example.com").await;
    above(&world, &ann).await;
    world.start_with(&MailSettings {
        mail_url: Some("smtp://127.0.0.1:9?tls=none".to_owned().into()),
        mail_from: Some("tapedeck@example.com".to_owned()),
        ..MailSettings::default()
    });
    open(&world, 0).await;
    wait_until("its mail is owed", async || world.store.owed_mails().await.unwrap() == 1).await;
    world.kill().await;
    ann.mails_alerts = false;
    assert!(world.store.change_user(&ann).await.unwrap());
    // The mail server works again.
    world.start();
    world.delivered().await;
    world.stop().await;
    let alerts = world.alerts().await;
    let DeliveryState::Refused { reason, .. } = &alerts[0].deliveries[0].state else { panic!("{alerts:?}") };
    assert_eq!(reason, "its reader has ended such mails");
    assert_eq!(world.mails(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_unsubscribes_as_a_person_still_receives_the_mails_of_the_house() {
    let mut world =
        World::new(&["--alert-recipients", "Ann@example.com", "--price-change-threshold", "2"]).await;
    let mut ann = world.person("ann@example.com").await;
    above(&world, &ann).await;
    ann.mails_alerts = false;
    assert!(world.store.change_user(&ann).await.unwrap());
    world.start();
    fire(&world, 0).await;
    world.stop().await;
    let states: Vec<_> = world
        .alerts()
        .await
        .iter()
        .map(|alert| (alert.owner.is_house(), alert.deliveries[0].state.name()))
        .collect();
    assert!(states.contains(&(true, "sent")) && states.contains(&(false, "suppressed")), "{states:?}");
    let mails = world.read_mails();
    assert_eq!(mails.len(), 1);
    assert!(!mails[0].text.contains("account"), "{}", mails[0].text);
}
