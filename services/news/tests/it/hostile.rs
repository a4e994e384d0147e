//! Feeds that are broken, or mean harm: each has a reason, and spoils nothing else.

use std::io::Write;

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::IntoResponse,
};
use flate2::{Compression, write::GzEncoder};

use crate::feeds::{Feeds, World, endless, item, redirect, rss};

/// Gathers from one feed beside a good one; the line of the table about it.
async fn line_of(feeds: &Feeds, path: &str) -> String {
    let world = World::new().await;
    feeds.has_feed("/good", &item("A good story", "https://good.example/1"));
    let done = world.gather_feeds(&format!("{},{}", feeds.at(path), feeds.at("/good"))).await;
    assert!(!done.is_complete, "{}", done.text);
    assert_eq!(world.stories().await.len(), 1, "the good one");
    let source = world.source(path).await;
    assert_eq!(source.failures, 1);
    assert!(source.next_try_at > source.tried_at.unwrap());
    let error = source.last_error.unwrap();
    assert!(done.text.contains(&error[..20]), "{}", done.text);
    error
}

#[tokio::test]
async fn a_page_instead_of_a_feed_is_named() {
    let feeds = Feeds::start().await;
    feeds.answers("/page", |_| {
        ([(header::CONTENT_TYPE, "text/html")], "<!doctype html><html>Sign in</html>").into_response()
    });
    assert!(line_of(&feeds, "/page").await.contains("web page (HTML) instead of a feed"));
}

#[tokio::test]
async fn a_feed_without_items_is_a_failure() {
    let feeds = Feeds::start().await;
    feeds.has_feed("/empty", "");
    assert!(line_of(&feeds, "/empty").await.contains("the feed has no items"));
}

#[tokio::test]
async fn a_response_of_50_mb_ends_at_the_limit() {
    let feeds = Feeds::start().await;
    feeds.answers("/announced", |_| rss(&" ".repeat(50 << 20)).into_response());
    assert!(line_of(&feeds, "/announced").await.contains("more than 5 MiB"));
    feeds.answers("/endless", |_| endless().into_response());
    assert!(line_of(&feeds, "/endless").await.contains("more than 5 MiB"));
}

#[tokio::test]
async fn a_gzip_bomb_ends_at_the_limit() {
    let feeds = Feeds::start().await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![b' '; 200 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    feeds.answers("/bomb", move |_| ([(header::CONTENT_ENCODING, "gzip")], packed.clone()).into_response());
    assert!(line_of(&feeds, "/bomb").await.contains("more than 5 MiB"));
}

#[tokio::test]
async fn a_response_that_stops_in_the_middle_ends_in_time() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    feeds.answers("/slow", |_| {
        let begin = futures_util::stream::iter([Ok::<_, std::io::Error>("<rss")]);
        Body::from_stream(futures_util::StreamExt::chain(begin, futures_util::stream::pending()))
            .into_response()
    });
    let slow = feeds.at("/slow");
    let args =
        ["--news-sources", "none", "--news-allow-private", "--news-timeout-ms", "200", "--news-feeds", &slow];
    let done = world.gather(&args).await;
    assert!(done.text.contains("no complete response in time"), "{}", done.text);
}

#[tokio::test]
async fn redirects_are_followed_five_times_and_each_is_checked() {
    let feeds = Feeds::start().await;
    for n in 0..6 {
        let next = feeds.at(&format!("/r{}", n + 1));
        feeds.answers(&format!("/r{n}"), move |_| redirect(next.clone()));
    }
    feeds.has_feed("/r6", &item("Far away", "https://far.example/1"));
    assert!(line_of(&feeds, "/r0").await.contains("redirects more than 5 times"));
    let world = World::new().await;
    let done = world.gather_feeds(&feeds.at("/r1")).await;
    assert!(done.is_complete && world.stories().await.len() == 1, "{}", done.text);
    feeds.answers("/file", |_| redirect("file:///etc/passwd".to_owned()));
    assert!(line_of(&feeds, "/file").await.contains("reached by file:"));
    feeds.answers("/nowhere", |_| StatusCode::FOUND.into_response());
    assert!(line_of(&feeds, "/nowhere").await.contains("without a place"));
}

#[tokio::test]
async fn private_networks_are_not_reached_under_any_name() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    feeds.has_feed("/feed", &item("Inside", "https://inside.example/1"));
    let port = feeds.url.rsplit_once(':').unwrap().1.to_owned();
    for host in
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"]
    {
        let feed = format!("http://{host}:{port}/feed");
        let done = world.gather(&["--news-sources", "none", "--news-feeds", &feed]).await;
        assert!(done.text.contains("address of a private network"), "{host}: {}", done.text);
    }
    assert!(feeds.take_requests().is_empty() && world.stories().await.is_empty());
}

#[tokio::test]
async fn a_host_that_asks_to_wait_is_not_asked_again_before() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    feeds.answers("/busy", |_| {
        (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7200")]).into_response()
    });
    let busy = feeds.at("/busy?key=SECRETKEY1");
    let done = world.gather_feeds(&busy).await;
    assert!(done.text.contains("asks us to come less often"), "{}", done.text);
    let source = world.source("/busy").await;
    assert_eq!((source.next_try_at - source.tried_at.unwrap()).num_seconds(), 7_200);
    assert!(!done.text.contains("SECRETKEY1") && !format!("{source:?}").contains("SECRETKEY1"));
    assert_eq!(feeds.take_requests().len(), 1);
    let done = world.gather_feeds(&busy).await;
    assert!(!done.is_complete && done.text.contains("failed before"), "{}", done.text);
    assert!(feeds.take_requests().is_empty());
}

#[tokio::test]
async fn headlines_are_text_whatever_they_contain() {
    let (feeds, world) = (Feeds::start().await, World::new().await);
    let items = [
        item("&lt;script&gt;alert(1)&lt;/script&gt;Apple &lt;b&gt;shares&lt;/b&gt; rise", "https://a.example/1"),
        item(&"long ".repeat(2_000), "https://a.example/2"),
        "<item><title>Without a date</title><link>https://a.example/3</link></item>".to_owned(),
        "<item><title>Of the future</title><link>https://a.example/4</link><pubDate>Fri, 01 Jan 2100 00:00:00 GMT</pubDate></item>"
            .to_owned(),
    ];
    let body: Vec<u8> = rss(&items.concat()).encode_utf16().flat_map(u16::to_be_bytes).collect();
    feeds.answers("/feed", move |_| body.clone().into_response());
    let done = world.gather_feeds(&feeds.at("/feed")).await;
    assert!(done.is_complete, "{}", done.text);
    let stories = world.stories().await;
    assert_eq!(stories.len(), 4);
    assert!(stories.iter().all(|story| story.title.chars().count() <= 300 && !story.title.contains('<')));
    assert!(stories.iter().any(|story| story.title == "Apple shares rise"));
    assert!(stories.iter().all(|story| story.published_at <= story.fetched_at));
}
