//! Stories, sources of news, and digests.

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{
    ArticleId, Digest, LiveStore, LiveStoreError, NewsArticle, NewsQuery, NewsSource, OtherOutlet, Relevance,
};
use url::Url;

use crate::{
    place::Place,
    samples::{at, symbol},
};

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// Story number `n`, published so many seconds behind the fixed morning.
fn story(n: u32, seconds: i64, symbols: &[&str]) -> NewsArticle {
    let url = url(&format!("https://example.com/{n}"));
    let relevance = |name: &&str| Relevance {
        symbol: symbol(name),
        score: 0.75,
        reasons: vec!["the title names “Äpple”".to_owned()],
    };
    NewsArticle {
        id: ArticleId::of(&url),
        title: format!("Story {n} – “ö”"),
        summary: String::new(),
        source: "yahoo".to_owned(),
        publisher: "Reuters".to_owned(),
        url,
        published_at: at(seconds),
        fetched_at: at(seconds) + TimeDelta::milliseconds(1234),
        relevance: symbols.iter().map(relevance).collect(),
        sentiment: n.is_multiple_of(2).then_some(-0.25),
        duplicates: Vec::new(),
    }
}

fn all(symbol_name: Option<&str>, limit: usize) -> NewsQuery {
    NewsQuery { symbol: symbol_name.map(symbol), from: DateTime::<Utc>::MIN_UTC, limit, cursor: None }
}

/// The titles of all pages.
async fn titles(store: &dyn LiveStore, mut query: NewsQuery) -> Vec<String> {
    let mut titles = Vec::new();
    loop {
        let page = store.articles(&query).await.expect("a page");
        assert!(page.articles.len() <= query.limit);
        titles.extend(page.articles.into_iter().map(|story| story.title));
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return titles,
        }
    }
}

pub(crate) async fn a_story_is_read_as_it_was_written_last(place: impl Place) {
    let store = place.open().await;
    let first = story(1, 0, &["AAPL", "BTC/USDT"]);
    store.write_articles(std::slice::from_ref(&first)).await.expect("written");
    let changed = NewsArticle {
        sentiment: Some(0.5),
        relevance: story(1, 0, &["MSFT"]).relevance,
        duplicates: vec![OtherOutlet {
            publisher: "AP".to_owned(),
            title: "The same".to_owned(),
            url: url("https://ap.example/1"),
            source: "rss".to_owned(),
        }],
        ..first.clone()
    };
    store.write_articles(&[first, changed.clone()]).await.expect("written again");
    let found = store.articles(&all(None, 10)).await.expect("a page");
    assert_eq!((found.articles, found.next_cursor), (vec![changed.clone()], None));
    assert!(titles(&*store, all(Some("AAPL"), 10)).await.is_empty(), "it no longer belongs to it");
    assert_eq!(titles(&*store, all(Some("MSFT"), 10)).await.len(), 1);
    store.write_articles(&[]).await.expect("nothing to do");
    drop(store);
    let store = place.open().await;
    let (known, unknown) = (changed.id.clone(), ArticleId::of(&url("https://example.com/2")));
    assert_eq!(store.articles_by_id(&[unknown.clone(), known]).await.expect("found"), [changed]);
    assert!(store.articles_by_id(&[unknown]).await.expect("none").is_empty());
    assert!(store.articles_by_id(&[]).await.expect("none").is_empty());
}

pub(crate) async fn pages_of_news_show_every_story_once_newest_first(place: impl Place) {
    let store = place.open().await;
    // Three of each moment, so that pages end between stories of one moment.
    let stories: Vec<NewsArticle> = (0..12)
        .map(|n| story(n, i64::from(n / 3), if n % 2 == 0 { &["AAPL"] } else { &["AAPL", "MSFT"] }))
        .collect();
    store.write_articles(&stories).await.expect("written");
    let mut expected = stories.clone();
    expected.sort_by_key(|story| std::cmp::Reverse((story.published_at, story.id.clone())));
    let of = |name: &str| -> Vec<String> {
        let with = expected.iter().filter(|story| story.symbols().any(|symbol| symbol.as_str() == name));
        with.map(|story| story.title.clone()).collect()
    };
    assert_eq!(titles(&*store, all(None, 5)).await, of("AAPL"));
    assert_eq!(titles(&*store, all(Some("AAPL"), 4)).await, of("AAPL"));
    assert_eq!(titles(&*store, all(Some("MSFT"), 1)).await, of("MSFT"));
    assert!(titles(&*store, all(Some("NVDA"), 1)).await.is_empty());
    let late = NewsQuery { from: at(2), ..all(None, 4) };
    assert_eq!(titles(&*store, late).await, of("AAPL")[..6]);
    for cursor in ["", "x", "1", "1.2", "+1.0000000000000000000000000000000a", "1.binance"] {
        let query = NewsQuery { cursor: Some(cursor.to_owned()), ..all(None, 4) };
        let error = store.articles(&query).await.expect_err("no cursor");
        assert!(matches!(&error, LiveStoreError::BadCursor { .. }), "{error}");
    }
}

pub(crate) async fn pruning_removes_stories_that_are_old_and_were_seen_long_ago(place: impl Place) {
    let store = place.open().await;
    let (old, new) = (story(1, 0, &["AAPL"]), story(2, 100, &["AAPL"]));
    // Published long ago, and found today.
    let found_late = NewsArticle { fetched_at: at(100), ..story(3, 0, &["AAPL"]) };
    store.write_articles(&[old, new, found_late]).await.expect("written");
    assert_eq!(store.prune_articles(at(50)).await.expect("pruned"), 1);
    assert_eq!(titles(&*store, all(Some("AAPL"), 10)).await, ["Story 2 – “ö”", "Story 3 – “ö”"]);
    assert_eq!(store.prune_articles(at(50)).await.expect("pruned"), 0);
}

pub(crate) async fn a_source_of_news_is_kept_as_it_was_written_last(place: impl Place) {
    let store = place.open().await;
    let new = NewsSource {
        id: "yahoo:AAPL".to_owned(),
        name: "Yahoo Finance, AAPL".to_owned(),
        etag: None,
        last_modified: None,
        tried_at: None,
        succeeded_at: None,
        next_try_at: at(0),
        failures: 0,
        last_error: None,
        items: 0,
    };
    let other = NewsSource { id: "google:1".to_owned(), ..new.clone() };
    for source in [&new, &other] {
        store.write_news_source(source).await.expect("written");
    }
    let fetched = NewsSource {
        etag: Some("\"abc\"".to_owned()),
        last_modified: Some("Tue, 13 Jan 2026 15:30:00 GMT".to_owned()),
        tried_at: Some(at(1)),
        succeeded_at: Some(at(1)),
        next_try_at: at(1800),
        failures: 3,
        last_error: Some("feeds.finance.yahoo.com answered 429".to_owned()),
        items: 20,
        ..new.clone()
    };
    store.write_news_source(&fetched).await.expect("written");
    assert_eq!(store.news_sources().await.expect("read"), [other.clone(), fetched]);
    store.write_news_source(&new).await.expect("written");
    assert_eq!(store.news_sources().await.expect("read"), [other, new]);
}

pub(crate) async fn a_digest_is_recorded_once(place: impl Place) {
    let store = place.open().await;
    let digest = |day: i64, reader: &str, stories: &[u32]| Digest {
        id: format!("digest:{reader}:{day}"),
        reader: reader.to_owned(),
        created_at: at(day * 86_400),
        stories: stories.iter().map(|n| story(*n, 0, &[]).id).collect(),
    };
    let first = digest(0, "a@example.com", &[2, 1]);
    assert_eq!(store.record_digest(&first).await.expect("recorded"), first);
    let again = digest(0, "a@example.com", &[3]);
    assert_eq!(store.record_digest(&again).await.expect("recorded before"), first);
    let others = [digest(1, "a@example.com", &[]), digest(1, "b@example.com", &[1])];
    for digest in &others {
        store.record_digest(digest).await.expect("recorded");
    }
    let of = async |since| store.digests_of("a@example.com", since).await.expect("read");
    assert_eq!(of(at(0)).await, [others[0].clone(), first]);
    assert_eq!(of(at(1)).await, others[..1]);
    assert_eq!(store.prune_digests(at(1)).await.expect("pruned"), 1);
    assert_eq!(of(DateTime::<Utc>::MIN_UTC).await, others[..1]);
}
