//! `tapedeck feeds`: what each feed can do, and what it answers.

use std::net::TcpListener;

use crate::process::{output, stderr};

#[test]
fn every_feed_is_listed_with_what_it_can_do() {
    let listed = output(&["feeds"]);
    let text = String::from_utf8(listed.stdout.clone()).unwrap();
    assert!(listed.status.success(), "{}", stderr(&listed));
    let feeds = [
        ("binance", "every trade"),
        ("coinbase", "without counts of trades"),
        ("kraken", "12 hours back"),
        ("yahoo", "running total"),
        ("alpha_vantage", "calls of the key"),
        ("finnhub", "none"),
        ("replay", "files"),
    ];
    for (feed, ability) in feeds {
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

#[test]
fn a_feed_without_its_key_names_the_setting_and_one_with_a_key_never_shows_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().display().to_string(), folder.path().join("store.db"));
    let args = ["feeds", "test", "AAPL", "--data", &data, "--yahoo-url", &url, "--alpha-vantage-url", &url];
    let args = [&args[..], &["--finnhub-url", &url]].concat();
    let text = |args: &[&str]| String::from_utf8(output(args).stdout).unwrap();
    let without = text(&args);
    for setting in ["--alpha-vantage-key (ALPHA_VANTAGE_KEY)", "--finnhub-key (FINNHUB_KEY)"] {
        assert!(without.contains(setting), "{without}");
    }
    let keys = ["--alpha-vantage-key", "SECRETKEY12345", "--finnhub-key", "SECRETKEY12345"];
    let args = [&args[..], &keys].concat();
    let uncounted = text(&args);
    assert!(uncounted.starts_with("calls of keys are not counted: "), "{uncounted}");
    let migrated = output(&["migrate", "--store", &format!("sqlite:{}", store.display())]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    let one_call = [&args[..], &["--alpha-vantage-price-calls", "1"]].concat();
    let counted = text(&one_call);
    assert!(counted.contains("alpha_vantage: no price: 127.0.0.1/query: "), "{counted}");
    let refused = text(&one_call);
    assert!(refused.contains("no call of the key is left; the next at "), "{refused}");
    assert!(![uncounted, counted, refused].iter().any(|text| text.contains("SECRET")));
}
