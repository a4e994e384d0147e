//! `tapedeck feeds`: what each feed can do, and what it answers.

use std::net::TcpListener;

use crate::process::{output, stderr};

#[test]
fn every_feed_is_listed_with_what_it_can_do() {
    let listed = output(&["feeds"]);
    let text = String::from_utf8(listed.stdout.clone()).unwrap();
    assert!(listed.status.success(), "{}", stderr(&listed));
    let expected = [
        ("binance", "every trade"),
        ("coinbase", "without counts of trades"),
        ("kraken", "12 hours back"),
        ("yahoo", "running total"),
        ("replay", "files"),
    ];
    for (feed, ability) in expected {
        let line = text
            .lines()
            .map(str::trim_start)
            .find(|line| line.starts_with(feed))
            .unwrap_or_else(|| panic!("{feed}: {text}"));
        assert!(line.contains(ability), "{line}");
    }
}

#[test]
fn a_feed_that_does_not_answer_is_named_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let urls = ["--binance-rest-url", "--coinbase-rest-url", "--kraken-rest-url"];
    let mut args = vec!["feeds", "test", "BTC/USDT"];
    args.extend(urls.iter().flat_map(|name| [*name, url.as_str()]));
    let ended = output(&args);
    let text = String::from_utf8(ended.stdout.clone()).unwrap();
    assert!(!ended.status.success());
    let starts = [
        "binance: no price: 127.0.0.1/api/v3/ticker/24hr: ",
        "coinbase: no price: 127.0.0.1/products/BTC-USDT/stats: ",
        "kraken: no price: 127.0.0.1/AssetPairs: ",
    ];
    assert_eq!(text.lines().count(), starts.len(), "{text}");
    for (line, start) in text.lines().zip(starts) {
        assert!(line.starts_with(start) && line.contains("refused"), "{text}");
    }
    let ended = output(&["feeds", "test", "VOD.L"]);
    assert!(!ended.status.success() && stderr(&ended).contains("is listed in London"), "{}", stderr(&ended));
}
