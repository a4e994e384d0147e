use chrono::Utc;
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::support::{Suite, empty_runtime, minute_candle, tick};

#[tokio::test]
async fn the_board_can_be_read_without_javascript() {
    let suite = Suite::start().await;
    let empty = suite.text("/").await;
    assert!(empty.contains("Waiting for the first price"));

    let mut simulated = tick("AAPL", "1261.05", Utc::now(), 1).into_fields();
    simulated.source = "simulated".parse().expect("a source");
    suite.publish(&[market::Tick::new(simulated).expect("a tick")]).await;
    suite.publish_candle(&minute_candle("AAPL", 2, "1260")).await;
    suite.publish_candle(&minute_candle("AAPL", 1, "1261")).await;
    suite.until(async || suite.text("/").await.contains("d=\"M0.0 ")).await;
    let page = suite.text("/").await;
    for part in ["AAPL", "1,261.05", "+1.50 %", "\u{25b2}", "SIMULATED", "Vol ", "href=\"/symbols/AAPL\""] {
        assert!(page.contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_board_gives_the_reason_why_prices_are_invented_and_is_in_the_order_of_the_watch_list() {
    let dir = TempDir::new().expect("a folder");
    let parts = empty_runtime(&dir).await;
    let suite = Suite::over(parts, dir, Some("MSFT,AAPL")).await;
    let mut simulated = tick("AAPL", "1261.05", Utc::now(), 1).into_fields();
    simulated.source = "simulated".parse().expect("a source");
    suite.publish(&[market::Tick::new(simulated).expect("a tick"), tick("AA", "10", Utc::now(), 1)]).await;
    let producer = service_runtime::Status::new("producer", "producer-1", Utc::now());
    let detail = "2 symbols, SIMULATED; prices are invented because no provider answered";
    producer.component("feed simulated").up(detail);
    suite.publish_status(&producer.snapshot(Utc::now())).await;
    suite.until(async || suite.text("/").await.contains("The reason: no provider answered.")).await;
    let page = suite.text("/").await;
    let place = |symbol: &str| page.find(&format!("<li class=\"tile\" data-symbol=\"{symbol}\""));
    assert!(
        place("MSFT") < place("AAPL") && place("AAPL") < place("AA"),
        "the symbol without watch is the last"
    );
}

#[tokio::test]
async fn the_page_of_a_symbol_has_its_figures_and_a_table_of_candles() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    store.write_candles(&[minute_candle("BTC/USDT", 1, "59999.5")]).await.expect("stored");
    let suite = Suite::over((runtime, store), dir, None).await;
    suite.publish(&[tick("BTC/USDT", "60000.25", Utc::now(), 1)]).await;
    let page = suite.text("/symbols/BTC/USDT?interval=1m").await;
    for part in ["<b>BTC</b>", "60,000.25", "59,999.50", "in progress", "Open around the clock", "<noscript>"]
    {
        assert!(page.contains(part), "{part}");
    }
    let system = suite.text("/system").await;
    for part in ["Event log", "Live store", "Feed to screen, p99", "crypto-prices"] {
        assert!(system.contains(part), "{part}");
    }
}

#[tokio::test]
async fn other_spellings_of_a_symbol_lead_to_its_page() {
    let suite = Suite::start().await;
    suite.publish(&[tick("BTC/USDT", "60000", Utc::now(), 1)]).await;
    for spelling in ["BTC-USDT", "BTCUSDT", "btc/usdt", "BTC%2FUSDT"] {
        let response = suite.get(&format!("/symbols/{spelling}?interval=5m")).await;
        if spelling.contains('%') {
            assert_eq!(response.status(), StatusCode::OK, "an escaped slash is the same symbol");
            continue;
        }
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT, "{spelling}");
        assert_eq!(response.headers()["location"], "/symbols/BTC/USDT?interval=5m");
    }
}

#[tokio::test]
async fn odd_addresses_are_not_found_and_nothing_of_them_is_executed() {
    let suite = Suite::start().await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1)]).await;
    let odd = [
        "/symbols/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/symbols/AAPL?interval=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/symbols/%FF%FE",
        "/symbols/%00",
        "/symbols/A/B/C",
        "/symbols/ZZZZ",
        "/symbols/..%2F..%2Fetc",
        "/nothing",
        "/assets/../Cargo.toml",
        "/assets/nothing.js",
    ];
    for path in odd {
        let response = suite.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let page = response.text().await.expect("a text");
        assert!(!page.contains("<script>alert"), "{path}");
    }
    let page = suite.text("/symbols/AAPL?interval=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"), "{page}");
}

#[tokio::test]
async fn every_answer_forbids_inline_scripts_and_framing() {
    let suite = Suite::start().await;
    for path in ["/", "/system", "/nothing", "/v1/quotes", "/v1/ticks", "/events", "/healthz"] {
        let response = suite.get(path).await;
        let policy = response.headers()["content-security-policy"].to_str().expect("a text").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    for path in ["/", "/system"] {
        let page = suite.text(path).await;
        assert!(!page.contains("<style") && !page.contains("style=\""), "{path} has no inline style");
        assert!(!page.contains(" onclick") && !page.contains("<script>"), "{path} has no inline script");
    }
}

#[tokio::test]
async fn the_chosen_scheme_is_rendered_from_the_start() {
    let suite = Suite::start().await;
    for (cookie, expected) in
        [("theme=light", Some("light")), ("a=b; theme=dark", Some("dark")), ("theme=x\"", None)]
    {
        let response =
            suite.http.get(suite.url("/")).header("cookie", cookie).send().await.expect("an answer");
        let page = response.text().await.expect("a text");
        match expected {
            Some(theme) => assert!(page.contains(&format!("data-theme=\"{theme}\"")), "{cookie}"),
            None => assert!(!page.contains("data-theme"), "{cookie}"),
        }
    }
}

#[tokio::test]
async fn a_service_that_the_pages_were_not_made_for_is_on_the_system_page_when_it_reports() {
    let suite = Suite::start().await;
    assert!(!suite.text("/system").await.contains("<h2>Alerts</h2>"));
    let alerts = service_runtime::Status::new("alerts", "alerts-1", Utc::now());
    alerts.component("mail server").down("no route to host");
    suite.publish_status(&alerts.snapshot(Utc::now())).await;
    suite.until(async || suite.text("/system").await.contains("<h2>Alerts</h2>")).await;
    let page = suite.text("/system").await;
    assert!(page.contains("mail server") && page.contains("no route to host"), "{page}");
}

#[tokio::test]
async fn a_process_that_ended_in_order_is_not_on_the_system_page_any_more() {
    let suite = Suite::start().await;
    let other = service_runtime::Status::new("consumer", "consumer-of-this-test", Utc::now());
    suite.publish_status(&other.snapshot(Utc::now())).await;
    suite.until(async || suite.text("/system").await.contains("consumer-of-this-test")).await;
    let mut last = other.snapshot(Utc::now());
    last.stopping = true;
    suite.publish_status(&last).await;
    suite.until(async || !suite.text("/system").await.contains("consumer-of-this-test")).await;
}
