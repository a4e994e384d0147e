//! Feeds as they should not be.

use std::{fs, path::Path, process::Command};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rstest::rstest;
use url::Url;

use super::*;

const NOW: &str = "2026-01-13T18:00:00Z";

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

fn address() -> Url {
    Url::parse("https://example.com/feed.xml").unwrap()
}

fn read(body: &str) -> Result<Parsed, ParseError> {
    feed(body.as_bytes(), None, &address(), TitleStyle::Plain, now())
}

fn rss(items: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>The Feed</title>{items}</channel></rss>"
    )
}

fn item_of(title: &str, rest: &str) -> String {
    format!("<item><title>{title}</title><link>https://example.com/1</link>{rest}</item>")
}

fn only(body: &str) -> Item {
    let mut parsed = read(body).unwrap();
    assert_eq!(parsed.items.len(), 1, "{parsed:?}");
    parsed.items.remove(0)
}

#[test]
fn an_item_of_rss_is_read() {
    let item = only(&rss(&item_of(
        "Apple &amp; Co",
        "<description>&lt;p&gt;It &lt;b&gt;rose&lt;/b&gt;.&lt;/p&gt;</description><pubDate>Tue, 13 Jan 2026 15:30:00 GMT</pubDate>",
    )));
    assert_eq!(
        (item.title.as_str(), item.summary.as_str(), item.publisher.as_str()),
        ("Apple & Co", "It rose.", "The Feed")
    );
    assert_eq!(item.published_at, "2026-01-13T15:30:00Z".parse::<DateTime<Utc>>().unwrap());
}

#[test]
fn an_item_of_atom_and_one_of_json_are_read() {
    let atom = "<feed xmlns=\"http://www.w3.org/2005/Atom\"><title>T</title><entry><title type=\"html\">A &lt;i&gt;title&lt;/i&gt;</title>\
         <link rel=\"enclosure\" href=\"https://example.com/a.mp3\"/><link href=\"/story\"/><updated>2026-01-13T10:00:00+01:00</updated>\
         </entry></feed>";
    let item = only(atom);
    assert_eq!((item.title.as_str(), item.url.as_str()), ("A title", "https://example.com/story"));
    assert_eq!(item.published_at, "2026-01-13T09:00:00Z".parse::<DateTime<Utc>>().unwrap());
    let json = r#"{"version":"https://jsonfeed.org/version/1.1","title":"J","items":[{"id":"1","url":"https://example.com/j",
        "title":"A title","content_text":"Text","date_published":"2026-01-13T09:00:00Z"}]}"#;
    assert_eq!(only(json).url.as_str(), "https://example.com/j");
}

#[test]
fn google_has_the_publisher_behind_the_title() {
    let body =
        rss(&item_of("Apple - a history - Reuters", "<description>&lt;a&gt;Apple&lt;/a&gt;</description>"));
    let parsed = feed(body.as_bytes(), None, &address(), TitleStyle::PublisherAtEnd, now()).unwrap();
    let item = &parsed.items[0];
    assert_eq!(
        (item.title.as_str(), item.publisher.as_str(), item.summary.as_str()),
        ("Apple - a history", "Reuters", "")
    );
}

#[rstest]
#[case::missing("", NOW)]
#[case::no_date("<pubDate>soon</pubDate>", NOW)]
#[case::future("<pubDate>Wed, 14 Jan 2026 15:30:00 GMT</pubDate>", NOW)]
#[case::slow_clock("<pubDate>Tue, 13 Jan 2026 18:05:00 GMT</pubDate>", NOW)]
#[case::past("<pubDate>Tue, 13 Jan 2026 17:00:00 GMT</pubDate>", "2026-01-13T17:00:00Z")]
fn a_date_that_cannot_be_is_the_time_of_the_fetch(#[case] date: &str, #[case] expected: &str) {
    let item = only(&rss(&item_of("A title", date)));
    assert_eq!(item.published_at, expected.parse::<DateTime<Utc>>().unwrap());
}

#[test]
fn a_headline_is_short_text_whatever_it_was() {
    let long = only(&rss(&item_of(&"word ".repeat(2_000), "")));
    assert!(long.title.chars().count() <= MAX_TITLE_CHARS && long.title.ends_with('…'));
    let markup = only(&rss(&item_of(
        "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b onclick=x&gt;Apple&lt;/b&gt; rises",
        "",
    )));
    assert_eq!(markup.title, "Apple rises");
    let cdata = only(&rss(&item_of("<![CDATA[Apple <img src=x onerror=alert(1)> rises]]>", "")));
    assert_eq!(cdata.title, "Apple rises");
}

#[test]
fn items_that_cannot_be_used_are_counted_and_the_others_taken() {
    let items = [
        item_of("Fine", ""),
        item_of("&lt;b&gt; &lt;/b&gt;", ""),
        "<item><title>No link</title></item>".to_owned(),
        "<item><title>Script</title><link>javascript:alert(1)</link></item>".to_owned(),
        format!("<item><title>Long</title><link>https://example.com/{}</link></item>", "a".repeat(3_000)),
        item_of("Old", "<pubDate>Mon, 05 Jan 2026 15:30:00 GMT</pubDate>"),
    ];
    let parsed = read(&rss(&items.concat())).unwrap();
    assert_eq!(parsed.items.len(), 1);
    assert_eq!(parsed.skipped, Skipped { without_title: 1, without_link: 3, too_old: 1, too_many: 0 });
    let many = read(&rss(&item_of("A title", "").repeat(MAX_ITEMS + 7))).unwrap();
    assert_eq!((many.items.len(), many.skipped.too_many), (MAX_ITEMS, 7));
}

#[rstest]
#[case::page("<!DOCTYPE html><html><body>Sign in</body></html>", "web page (HTML)")]
#[case::page_with_head("\n<html lang=en><head>", "web page (HTML)")]
#[case::empty("", "is empty")]
#[case::blank(" \n ", "is empty")]
#[case::text("Too many requests", "begins with `Too many requests`")]
#[case::json("{\"error\":\"no\"}", "neither RSS, Atom nor JSON Feed")]
#[case::other_xml("<?xml version=\"1.0\"?><error>no</error>", "neither RSS")]
#[case::no_items("<rss version=\"2.0\"><channel><title>T</title></channel></rss>", "has no items")]
#[case::no_usable(
    "<rss version=\"2.0\"><channel><item><title>T</title></item></channel></rss>",
    "none of the 1 items"
)]
fn what_is_no_feed_has_a_reason(#[case] body: &str, #[case] expected: &str) {
    let error = read(body).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn old_items_only_are_no_failure() {
    let parsed = read(&rss(&item_of("Old", "<pubDate>Mon, 05 Jan 2026 15:30:00 GMT</pubDate>"))).unwrap();
    assert_eq!((parsed.items.len(), parsed.skipped.too_old), (0, 1));
}

#[test]
fn entities_are_not_expanded_without_end() {
    let entities: String =
        (1..10).map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))).collect();
    let bomb = format!("<!DOCTYPE rss [<!ENTITY e0 \"lol\">{entities}]>{}", rss(&item_of("&e9;", "")));
    if let Ok(parsed) = read(&bomb) {
        assert!(parsed.items.iter().all(|item| item.title.chars().count() <= MAX_TITLE_CHARS));
    }
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Ill-formed, oddly encoded and valid feeds of other parsers' tests.
#[test]
fn no_file_of_the_corpus_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds.tar.gz");
    let unpacked = Command::new("tar").args(["-xzf", corpus, "-C"]).arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let mut paths = Vec::new();
    files(folder.path(), &mut paths);
    assert!(paths.len() > 1_000, "{} files", paths.len());
    let mut readable = 0;
    for path in &paths {
        let body = fs::read(path).unwrap();
        for content_type in
            [None, Some("text/xml; charset=us-ascii"), Some("application/xml; charset=utf-16")]
        {
            for style in [TitleStyle::Plain, TitleStyle::PublisherAtEnd] {
                // Most items are of years ago.
                let now = "2004-01-13T18:00:00Z".parse().unwrap();
                match feed(&body, content_type, &address(), style, now) {
                    Ok(parsed) => {
                        readable += usize::from(content_type.is_none());
                        for item in parsed.items {
                            assert!(item.title.chars().count() <= MAX_TITLE_CHARS, "{}", path.display());
                            assert!(item.summary.chars().count() <= MAX_SUMMARY_CHARS, "{}", path.display());
                            assert!(!item.title.is_empty() && item.published_at <= now + TimeDelta::zero());
                        }
                    }
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
    assert!(readable > 200, "only {readable} are read");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = feed(&bytes, None, &address(), TitleStyle::Plain, now());
    }

    #[test]
    fn no_content_of_an_item_makes_it_panic(text in "(\\PC|<|>|&|]]>|<item>|</title>){0,60}") {
        let _ = read(&rss(&item_of(&text, &text)));
    }
}
