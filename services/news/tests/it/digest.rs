//! The digest: one mail a reader and day, whatever comes in between, and no story twice.

use std::sync::Arc;

use analytics_store::{Changes, DailyAggregate};
use chrono::{NaiveDate, TimeDelta, Utc};
use live_store::{ArticleId, Digest, NewsArticle, Relevance};
use mailer::{EmailAddress, StoredMail};
use market::Symbol;
use news::{NewsCommand, NewsConfig, Stores, open_analytics};
use rust_decimal::Decimal;
use url::Url;

use crate::feeds::{World, config};

const READERS: &str = "one@example.com,Two@Example.com";

fn story(n: usize, publisher: &str) -> NewsArticle {
    let url = Url::parse(&format!("https://example.com/{n}")).unwrap();
    let published_at = Utc::now() - TimeDelta::hours(2);
    let symbol = Symbol::parse("AAPL").unwrap();
    NewsArticle {
        id: ArticleId::of(&url),
        title: format!("Story number {n}"),
        summary: String::new(),
        source: "rss".to_owned(),
        publisher: publisher.to_owned(),
        url,
        published_at,
        fetched_at: published_at,
        relevance: vec![Relevance { symbol, score: 0.9, reasons: Vec::new() }],
        sentiment: None,
        duplicates: Vec::new(),
    }
}

fn row() -> DailyAggregate {
    let price = Decimal::new(26_105, 2);
    DailyAggregate {
        date: Utc::now().date_naive() - TimeDelta::days(1),
        symbol: Symbol::parse("AAPL").unwrap(),
        open_price: price,
        close_price: price,
        high_price: price,
        low_price: price,
        avg_price: price,
        vwap: None,
        total_volume: None,
        avg_volume: None,
        volatility: None,
        intraday_volatility: None,
        daily_change_pct: 5.25,
        sma_20: None,
        rsi_14: Some(71.0),
        ticks: 1,
        source: "yahoo".to_owned(),
        computed_at: Utc::now(),
    }
}

async fn digest(world: &World, user: Option<&str>, preview: bool) -> String {
    let config: NewsConfig = config(&["--digest-recipients", READERS]);
    let analytics = open_analytics(world.analytics_url().into());
    let stores = Stores { live: Arc::clone(&world.store), analytics: Some(analytics) };
    let user = user.map(|user| EmailAddress::parse(user).unwrap());
    news::execute(NewsCommand::Digest { user, preview, wait_seconds: 0 }, config, stores, "test")
        .await
        .unwrap()
        .text
}

async fn mails(world: &World, address: &str) -> Vec<StoredMail> {
    let address = EmailAddress::parse(address).unwrap();
    world.store.mails_to(&address, Utc::now() - TimeDelta::days(2)).await.unwrap()
}

#[tokio::test]
async fn each_reader_gets_one_digest_a_day_with_moves_and_stories() {
    let world = World::new().await;
    let analytics = analytics_store::open(&world.analytics_url()).await.unwrap();
    analytics.store(Changes::default().with(&[row()])).await.unwrap();
    analytics.close().await.unwrap();
    world.store.write_articles(&[story(1, "A"), story(2, "A"), story(3, "A"), story(4, "B")]).await.unwrap();

    let preview = digest(&world, Some("TWO@example.com"), true).await;
    for part in ["Subject: Morning digest", "AAPL +5.25 %", "261.05", "71 (high)", "Story number"] {
        assert!(preview.contains(part), "{part}: {preview}");
    }
    assert!(mails(&world, "two@example.com").await.is_empty(), "a preview sends nothing");

    let done = digest(&world, None, false).await;
    assert_eq!(done.lines().count(), 2, "{done}");
    let again = digest(&world, None, false).await;
    assert_eq!(again.matches("was made before").count(), 2, "{again}");
    for address in ["one@example.com", "two@example.com"] {
        let mails = mails(&world, address).await;
        assert_eq!(mails.len(), 1);
        let text = &mails[0].mail.content.text;
        assert_eq!(text.matches("Story number").count(), 3, "at most two of one publisher: {text}");
    }
}

#[tokio::test]
async fn no_story_is_in_two_digests_and_a_digest_that_was_cut_keeps_its_stories() {
    let world = World::new().await;
    let [first, second, third] = [story(1, "A"), story(2, "B"), story(3, "C")];
    world.store.write_articles(&[first.clone(), second.clone(), third.clone()]).await.unwrap();
    let reader = "one@example.com";
    // Beginning of the SHA-256 of the address.
    let id = |date: NaiveDate| format!("digest:d25354f658256d3988a0a1f07ae2dbfa:{date}");
    let digest_of = |date: NaiveDate, hours, story: &NewsArticle| Digest {
        id: id(date),
        reader: reader.to_owned(),
        created_at: Utc::now() - TimeDelta::hours(hours),
        stories: vec![story.id.clone()],
    };
    let today = Utc::now().date_naive();
    // Yesterday's had the first; today's was recorded with the second, and its process was killed before the mail was owed.
    world.store.record_digest(&digest_of(today - TimeDelta::days(1), 24, &first)).await.unwrap();
    world.store.record_digest(&digest_of(today, 0, &second)).await.unwrap();
    digest(&world, Some(reader), false).await;
    let mail = mails(&world, reader).await.remove(0).mail;
    assert!(mail.content.text.contains("Story number 2"), "{}", mail.content.text);
    assert!(!mail.content.text.contains("Story number 1") && !mail.content.text.contains("Story number 3"));
    assert_eq!(mail.id.as_str(), id(today));
}

#[tokio::test]
async fn an_address_that_gets_no_digest_is_refused() {
    let world = World::new().await;
    let stores = Stores { live: Arc::clone(&world.store), analytics: None };
    for (args, expected) in
        [(vec!["--digest-recipients", READERS], "gets no digest"), (vec![], "there is no recipient")]
    {
        let user = (!args.is_empty()).then(|| EmailAddress::parse("other@example.com").unwrap());
        let command = NewsCommand::Digest { user, preview: true, wait_seconds: 0 };
        let error = news::execute(command, config(&args), stores.clone(), "test").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let bad = config(&["--digest-recipients", READERS, "--news-schedule", "eight"]);
    let command = NewsCommand::Digest { user: None, preview: true, wait_seconds: 0 };
    let error = format!("{:#}", news::execute(command, bad, stores, "test").await.unwrap_err());
    assert!(error.contains("NEWS_SCHEDULE"), "{error}");
}
