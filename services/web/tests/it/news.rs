//! News as pages and as JSON.

use chrono::{SubsecRound, TimeDelta, Utc};
use live_store::{ArticleId, NewsArticle, OtherOutlet, Relevance};
use reqwest::StatusCode;
use tempfile::TempDir;
use url::Url;

use crate::support::{Suite, empty_runtime, symbol};

fn story(n: i64, name: &str) -> NewsArticle {
    let url = Url::parse(&format!("https://example.com/{n}")).expect("a URL");
    let published_at = Utc::now().trunc_subsecs(3) - TimeDelta::minutes(n);
    NewsArticle {
        id: ArticleId::of(&url),
        title: format!("Story <{n}>"),
        summary: String::new(),
        source: "yahoo".to_owned(),
        publisher: "Reuters".to_owned(),
        published_at,
        fetched_at: published_at,
        relevance: vec![Relevance { symbol: symbol(name), score: 0.8, reasons: vec!["named".to_owned()] }],
        sentiment: None,
        duplicates: vec![OtherOutlet {
            publisher: "AP".to_owned(),
            title: "The same".to_owned(),
            url: Url::parse("https://ap.example/1").expect("a URL"),
            source: "rss".to_owned(),
        }],
        url,
    }
}

#[tokio::test]
async fn news_are_listed_newest_first_by_symbol_and_page_by_page() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    let stories: Vec<NewsArticle> =
        (0..5).map(|n| story(n, if n % 2 == 0 { "AAPL" } else { "BTC/USDT" })).collect();
    store.write_articles(&stories).await.expect("stored");
    let suite = Suite::over((runtime, store), dir, Some("AAPL,BTC/USDT")).await;

    let first = suite.json("/v1/news?limit=3").await;
    let titles = |page: &serde_json::Value| -> Vec<String> {
        let news = page["news"].as_array().expect("a list");
        news.iter().map(|story| story["title"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(titles(&first), ["Story <0>", "Story <1>", "Story <2>"]);
    assert_eq!(first["news"][0]["duplicates"][0]["publisher"], "AP");
    assert_eq!(first["news"][0]["symbols"][0], "AAPL");
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = suite.json(&format!("/v1/news?limit=3&cursor={cursor}")).await;
    assert_eq!(
        (titles(&second), second["next_cursor"].is_null()),
        (vec!["Story <3>".into(), "Story <4>".into()], true)
    );
    assert_eq!(titles(&suite.json("/v1/news?symbol=btcusdt").await), ["Story <1>", "Story <3>"]);
    for bad in
        ["/v1/news?cursor=x", "/v1/news?symbol=$", "/v1/news?limit=0", "/v1/news?page=2", "/news?cursor=x"]
    {
        assert_eq!(suite.get(bad).await.status(), StatusCode::BAD_REQUEST, "{bad}");
    }

    let page = suite.text("/news?symbol=AAPL").await;
    assert!(page.contains("Story &#60;0&#62;") && !page.contains("Story &#60;1&#62;"), "{page}");
    assert!(
        page.contains("rel=\"noopener noreferrer nofollow\"") && page.contains("1 other outlet<"),
        "{page}"
    );
    let page = suite.text("/news?limit=2").await;
    assert!(page.contains("/news?cursor=") && page.contains("rel=\"next\""), "{page}");
    assert!(suite.text("/symbols/AAPL").await.contains("Story &#60;0&#62;"));
    suite.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_page_without_news_has_a_reason() {
    let suite = Suite::start().await;
    let page = suite.text("/news").await;
    assert!(page.contains("No news yet") && page.contains("/system"), "{page}");
    suite.stop().await.expect("a clean end");
}
