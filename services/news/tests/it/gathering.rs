//! What gatherings make of feeds that are as they should be.

use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};
use live_store::{CallPurpose, KeyCall, KeyId, KeyLimits};

use crate::feeds::{Feeds, World, item, rss};

#[tokio::test]
async fn feeds_become_stories_with_symbols_and_other_outlets() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    let title = "Apple shares rise after record iPhone sales";
    feeds
        .has_feed("/rss/2.0/headline", &item(title, "https://finance.yahoo.com/news/apple-1.html?.tsrc=rss"));
    let google = format!("{title} - Reuters");
    let pie = item("How to bake an apple pie - Kitchen", "https://news.google.com/rss/articles/B");
    feeds.has_feed("/rss/search", &(item(&google, "https://news.google.com/rss/articles/A?oc=5") + &pie));
    feeds.has_feed("/own.xml", &item("A story of the village", "https://village.example/1"));
    let own = feeds.at("/own.xml");
    let args = [
        "--news-yahoo-url",
        &feeds.url,
        "--news-google-url",
        &feeds.url,
        "--news-allow-private",
        "--news-feeds",
        &own,
    ];
    let done = world.gather(&args).await;
    assert!(done.is_complete, "{}", done.text);
    assert!(done.text.contains("5 sources, 0 fail; 2 new stories, 1 at other outlets"), "{}", done.text);
    assert!(done.text.contains("1 about no watched symbol"), "{}", done.text);

    let stories = world.stories().await;
    let apple = stories.iter().find(|story| story.title == title).unwrap();
    let symbols: Vec<String> = apple.symbols().map(|symbol| symbol.to_string()).collect();
    assert_eq!(symbols, ["AAPL", "BTC/USDT", "MSFT"], "what the source lists, the most relevant first");
    assert!(apple.relevance[0].reasons.iter().any(|reason| reason.contains("names Apple")), "{apple:?}");
    let outlets: Vec<&str> = [&apple.publisher]
        .into_iter()
        .chain(apple.duplicates.iter().map(|other| &other.publisher))
        .map(String::as_str)
        .collect();
    assert!(outlets.contains(&"Yahoo Finance") && outlets.contains(&"Reuters"), "{outlets:?}");
    let village = stories.iter().find(|story| story.publisher == "The Feed").unwrap();
    assert!(village.relevance.is_empty(), "kept, because the operator wants this feed");

    let again = world.gather(&args).await;
    assert!(again.text.contains("0 new stories, 0 at other outlets"), "{}", again.text);
    assert_eq!(world.stories().await, stories, "a second gathering changes nothing");
}

#[tokio::test]
async fn a_feed_that_has_not_changed_is_not_sent_again() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    let body = rss(&item("A story", "https://a.example/1"));
    feeds.answers("/feed", move |headers| {
        let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|etag| etag == "\"one\"")
            && headers.get(header::IF_MODIFIED_SINCE).is_some();
        if is_known {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let validators =
            [(header::ETAG, "\"one\""), (header::LAST_MODIFIED, "Tue, 13 Jan 2026 15:30:00 GMT")];
        (validators, body.clone()).into_response()
    });
    let feed = feeds.at("/feed");
    assert!(world.gather_feeds(&feed).await.text.contains("1 new stories"));
    assert_eq!(world.source("/feed").await.etag.as_deref(), Some("\"one\""));
    let done = world.gather_feeds(&feed).await;
    assert!(done.is_complete && done.text.contains("nothing new"), "{}", done.text);
    assert_eq!(world.source("/feed").await.items, 1, "those of the response that had some");
}

#[tokio::test]
async fn alpha_vantage_is_asked_for_one_symbol_within_its_budget() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    let published = chrono::Utc::now().format("%Y%m%dT%H%M%S");
    let body = format!(
        r#"{{"feed":[{{"title":"A quiet day","url":"https://a.example/1","time_published":"{published}","source":"Benzinga",
            "overall_sentiment_score":0.4,"ticker_sentiment":[{{"ticker":"AAPL","relevance_score":"0.9"}}]}}]}}"#
    );
    feeds.answers("/query", move |_| body.clone().into_response());
    let args = [
        "--news-sources",
        "none",
        "--news-allow-private",
        "--alpha-vantage-key",
        "SECRETKEY1",
        "--news-alpha-vantage-url",
        &feeds.url,
    ];
    let done = world.gather(&args).await;
    assert!(done.is_complete && done.text.contains("1 new stories"), "{}", done.text);
    assert_eq!(feeds.take_requests().len(), 1);
    let story = world.stories().await.remove(0);
    assert_eq!(
        (story.sentiment, story.publisher.as_str(), story.relevance[0].score),
        (Some(0.4), "Benzinga", 0.9)
    );
    world.gather(&args).await;
    assert!(feeds.take_requests().is_empty(), "the budget is that of the key");
    let usage = world.store.key_usage(chrono::Utc::now()).await.unwrap();
    let [news] = usage.as_slice() else { panic!("{usage:?}") };
    assert_eq!((news.purpose, news.calls, news.limit), (CallPurpose::News, 1, 5));
}

#[tokio::test]
async fn calls_that_prices_have_used_are_not_there_for_news() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    feeds.answers("/query", move |_| "{}".into_response());
    let key = KeyId::of("alpha_vantage", &"SECRETKEY1".into());
    // The producer's: its calls of the last minute are all that the account allows.
    let limits = KeyLimits { per_minute: 2, prices_per_day: 20, news_per_day: 5 };
    for _ in 0..2 {
        let now = chrono::Utc::now();
        let taken = world.store.take_call(&key, CallPurpose::Prices, &limits, now).await.unwrap();
        assert!(matches!(taken, KeyCall::Taken { .. }), "{taken:?}");
    }
    let args = ["--news-sources", "none", "--news-allow-private", "--alpha-vantage-key", "SECRETKEY1"];
    let url = ["--news-alpha-vantage-url", &feeds.url, "--alpha-vantage-calls-per-minute", "2"];
    let done = world.gather(&[&args[..], &url].concat()).await;
    assert!(done.is_complete && done.text.contains("next at"), "{}", done.text);
    assert!(feeds.take_requests().is_empty(), "no call was left");
}
