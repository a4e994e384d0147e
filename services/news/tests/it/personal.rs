//! The digest of a person by hand: by the address of the account.

use std::sync::Arc;

use accounts::{PasswordHash, User, parse_watch_list};
use chrono::{TimeDelta, Utc};
use live_store::{ArticleId, NewsArticle, Relevance};
use mailer::{EmailAddress, StoredMail};
use market::Symbol;
use news::{NewsCommand, Outcome, Stores, open_analytics};
use url::Url;

use crate::feeds::{World, config};

async fn add(world: &World, email: &str, symbols: &str, change: impl FnOnce(&mut User)) {
    let hash =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
    let now = Utc::now();
    let mut user = User::new(EmailAddress::parse(email).unwrap(), PasswordHash::parse(hash).unwrap(), now);
    (user.confirmed_at, user.watch_list) = (Some(now), parse_watch_list(symbols).unwrap());
    change(&mut user);
    assert!(world.store.add_user(&user).await.unwrap());
}

async fn digest(world: &World, user: &str, preview: bool) -> anyhow::Result<Outcome> {
    let mut config = config(&["--digest-recipients", "ops@example.com"]);
    config.digest.public_url = "https://prices.example.com/".parse().unwrap();
    let analytics = open_analytics(world.analytics_url().into());
    let stores = Stores { live: Arc::clone(&world.store), analytics: Some(analytics) };
    let user = Some(EmailAddress::parse(user).unwrap());
    news::execute(NewsCommand::Digest { user, preview, wait_seconds: 0 }, config, stores, "test").await
}

async fn mails(world: &World, address: &str) -> Vec<StoredMail> {
    let address = EmailAddress::parse(address).unwrap();
    world.store.mails_to(&address, Utc::now() - TimeDelta::days(2)).await.unwrap()
}

fn story(symbol: &str) -> NewsArticle {
    let url = Url::parse(&format!("https://example.com/{symbol}")).unwrap();
    let published_at = Utc::now() - TimeDelta::hours(2);
    NewsArticle {
        id: ArticleId::of(&url),
        title: format!("News of {symbol}"),
        summary: String::new(),
        source: "rss".to_owned(),
        publisher: "A".to_owned(),
        url,
        published_at,
        fetched_at: published_at,
        relevance: vec![Relevance {
            symbol: Symbol::parse(symbol).unwrap(),
            score: 0.9,
            reasons: Vec::new(),
        }],
        sentiment: None,
        duplicates: Vec::new(),
    }
}

#[tokio::test]
async fn the_digest_of_an_account_is_printed_and_sent_once_a_day() {
    let world = World::new().await;
    add(&world, "ann@example.com", "MSFT", |_| {}).await;
    world.store.write_articles(&[story("AAPL"), story("MSFT")]).await.unwrap();
    let preview = digest(&world, "ANN@example.com", true).await.unwrap().text;
    for part in ["To: ann@example.com", "Subject: Morning digest", "News of MSFT"] {
        assert!(preview.contains(part), "{part}: {preview}");
    }
    let link = "https://prices.example.com/unsubscribe?token=digest.";
    assert!(preview.contains(link) && !preview.contains("News of AAPL"), "{preview}");
    assert!(mails(&world, "ann@example.com").await.is_empty(), "a preview sends nothing");

    let done = digest(&world, "ann@example.com", false).await.unwrap();
    assert!(done.is_complete && done.text.contains("ann@example.com is owed"), "{}", done.text);
    let again = digest(&world, "ann@example.com", false).await.unwrap();
    assert!(again.is_complete && again.text.contains("was made before: owed"), "{}", again.text);
    let mails = mails(&world, "ann@example.com").await;
    assert_eq!(mails.len(), 1);
    let content = &mails[0].mail.content;
    assert!(content.unsubscribe.as_ref().unwrap().as_str().starts_with(link));
    assert!(content.text.contains("News of MSFT") && !content.text.contains("DIGEST_RECIPIENTS"));
}

#[tokio::test]
async fn an_address_without_a_digest_is_refused_with_the_reason() {
    let world = World::new().await;
    add(&world, "off@example.com", "MSFT", |user| user.digest.is_on = false).await;
    add(&world, "open@example.com", "MSFT", |user| user.confirmed_at = None).await;
    add(&world, "empty@example.com", "", |_| {}).await;
    for (address, reason) in [
        ("off@example.com", "the digest is off in its account"),
        ("open@example.com", "not confirmed yet"),
        ("empty@example.com", "the watch list of its account is empty"),
        ("other@example.com", "it has no account, and is none of the recipients of the house"),
    ] {
        for preview in [true, false] {
            let error = digest(&world, address, preview).await.unwrap_err().to_string();
            assert!(error.starts_with(&format!("{address} gets no digest")), "{error}");
            assert!(error.contains(reason), "{error}");
        }
        assert!(mails(&world, address).await.is_empty());
    }
    let house = digest(&world, "ops@example.com", true).await.unwrap().text;
    assert!(house.contains("News") && house.contains("DIGEST_RECIPIENTS"), "{house}");
    assert!(!house.contains("unsubscribe?token"), "{house}");
}
