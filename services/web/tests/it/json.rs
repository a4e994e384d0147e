use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use live_store::StoredTick;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_runtime::Status;
use tempfile::TempDir;

use crate::support::{Suite, empty_runtime, minute_candle, tick};

fn noon() -> DateTime<Utc> {
    "2026-01-13T12:00:00Z".parse().expect("a time")
}

#[tokio::test]
async fn a_quote_has_all_that_is_known_of_a_price() {
    let suite = Suite::start().await;
    let now = Utc::now().trunc_subsecs(3);
    suite.publish(&[tick("BTC/USDT", "101.5", now, 7)]).await;

    let mut answer = suite.json("/v1/quotes?symbols=btcusdt,AAPL").await;
    let quote = answer["quotes"][0].as_object_mut().expect("a quote");
    let age = quote.remove("age_ms").expect("an age");
    assert!(age.as_i64().is_some_and(|age| age >= 0), "{age}");
    assert_eq!(
        answer,
        json!({
            "quotes": [{
                "symbol": "BTC/USDT",
                "asset_class": "crypto",
                "price": 101.5,
                "change_percent": 1.5,
                "price_change_pct": 1.5,
                "open": 100.0,
                "high": 101.5,
                "low": 100.0,
                "volume": 1000.0,
                "relative_volume": null,
                "source": "binance",
                "simulated": false,
                "timestamp": now,
                "received_at": now,
                "state": "live",
                "stale": false,
            }],
            "unknown": ["AAPL"],
        })
    );
    let all = suite.json("/v1/quotes").await;
    assert_eq!(all["quotes"].as_array().map(Vec::len), Some(1));
    suite.stop().await.expect("a clean end");
}

#[tokio::test]
async fn symbols_are_listed_from_the_watch_list_and_from_the_store() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    let stored = StoredTick {
        tick: tick("ETH/USDT", "3000.5", noon(), 1),
        processed_at: noon(),
        partition: 0,
        offset: 0,
    };
    store.write_ticks(&[stored]).await.expect("stored");
    let suite = Suite::over((runtime, store), dir, Some("AAPL,ETH/USDT")).await;

    let answer = suite.json("/v1/symbols").await;
    let names: Vec<&Value> =
        answer["symbols"].as_array().expect("a list").iter().map(|known| &known["symbol"]).collect();
    assert_eq!(names, ["AAPL", "ETH/USDT"]);
    assert_eq!(answer["symbols"][0]["source"], Value::Null);
    assert_eq!(answer["symbols"][1]["source"], "binance");
    assert_eq!(answer["symbols"][1]["simulated"], false);

    let quotes = suite.json("/v1/quotes").await;
    assert_eq!(quotes["quotes"][0]["price"], 3000.5, "the last price is there before the first tick");
    assert_eq!(quotes["quotes"][0]["state"], "stale");
    assert_eq!(quotes["quotes"][0]["stale"], true);
}

#[tokio::test]
async fn walking_the_pages_of_ticks_meets_every_tick_once_and_in_order() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    let stored: Vec<StoredTick> = (0..250)
        .map(|n| StoredTick {
            tick: tick("AAPL", "101", noon() + TimeDelta::milliseconds(n / 3), n as u64),
            processed_at: noon(),
            partition: 1,
            offset: n as u64,
        })
        .collect();
    store.write_ticks(&stored).await.expect("stored");
    let suite = Suite::over((runtime, store), dir, None).await;

    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = suite.json(&format!("/v1/ticks?symbol=AAPL&limit=40{cursor}")).await;
        walked.extend(page["ticks"].as_array().expect("a list").iter().map(|tick| tick["seq"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => {
                let escaped: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                cursor = format!("&cursor={escaped}");
            }
            None => break,
        }
    }
    assert_eq!(walked, (0..250).map(Value::from).collect::<Vec<_>>());

    let first = suite.json("/v1/ticks?symbol=AAPL&limit=1").await;
    assert_eq!(
        first["ticks"][0],
        json!({
            "symbol": "AAPL", "timestamp": "2026-01-13T12:00:00Z", "price": 101.0, "volume": 1000.0, "open": 100.0,
            "high": 101.0, "low": 100.0, "change_percent": 1.5, "source": "binance",
            "received_at": "2026-01-13T12:00:00Z", "seq": 0, "price_change_pct": 1.0,
            "processed_at": "2026-01-13T12:00:00Z", "partition": 1, "offset": 0
        })
    );
    let none = suite.json("/v1/ticks?symbol=AAPL&from=2026-01-14T00:00:00%2B00:00").await;
    assert_eq!(none, json!({ "ticks": [], "next_cursor": null }));
}

#[tokio::test]
async fn candles_end_with_the_one_in_progress() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    let candles: Vec<_> = (1..=10).rev().map(|ago| minute_candle("BTC/USDT", ago, "100")).collect();
    store.write_candles(&candles).await.expect("stored");
    let suite = Suite::over((runtime, store), dir, None).await;
    let now = Utc::now();
    suite
        .publish(&[
            tick("BTC/USDT", "110", now, 1),
            tick("BTC/USDT", "90", now, 2),
            tick("BTC/USDT", "105", now, 3),
        ])
        .await;

    let minutes = suite.json("/v1/candles?symbol=BTC-USDT").await;
    assert_eq!((&minutes["symbol"], &minutes["interval"]), (&json!("BTC/USDT"), &json!("1m")));
    let candles = minutes["candles"].as_array().expect("a list");
    let (open, closed) = candles.split_last().expect("candles");
    assert!(closed.iter().all(|candle| candle["final"] == true), "{closed:?}");
    let figures = ["open", "high", "low", "close", "ticks", "source", "final"].map(|name| open[name].clone());
    assert_eq!(
        figures,
        [
            json!(110.0),
            json!(110.0),
            json!(90.0),
            json!(105.0),
            json!(3),
            json!("binance/ticks"),
            json!(false)
        ]
    );

    let days = suite.json("/v1/candles?symbol=BTC/USDT&interval=1d").await;
    let today = days["candles"].as_array().and_then(|days| days.last()).expect("today");
    assert_eq!(
        (&today["close"], &today["high"], &today["final"]),
        (&json!(105.0), &json!(110.0), &json!(false))
    );

    let last = suite.json("/v1/candles?symbol=BTC/USDT&limit=1").await;
    assert_eq!(last["candles"].as_array().map(Vec::len), Some(1));
    assert_eq!(last["candles"][0]["final"], false);
    let past = suite.json("/v1/candles?symbol=BTC/USDT&to=2020-01-01").await;
    assert_eq!(past["candles"], json!([]));
}

#[tokio::test]
async fn every_wrong_parameter_is_named_with_the_reason() {
    let suite = Suite::start().await;
    let wrong = [
        ("/v1/quotes?symbols=AAPL,no%20symbol", "symbols", "neither a stock"),
        ("/v1/quotes?symbol=AAPL", "symbol", "use symbols"),
        ("/v1/symbols?x=1", "x", "takes none"),
        ("/v1/ticks", "symbol", "is missing"),
        ("/v1/ticks?symbol=", "symbol", "is missing"),
        ("/v1/ticks?symbol=%3Cscript%3E", "symbol", "neither a stock"),
        ("/v1/ticks?symbol=AAPL&limit=0", "limit", "from 1 to 5000"),
        ("/v1/ticks?symbol=AAPL&limit=5001", "limit", "from 1 to 5000"),
        ("/v1/ticks?symbol=AAPL&limit=-1", "limit", "from 1 to 5000"),
        ("/v1/ticks?symbol=AAPL&limit=many", "limit", "from 1 to 5000"),
        ("/v1/ticks?symbol=AAPL&from=yesterday", "from", "RFC 3339"),
        ("/v1/ticks?symbol=AAPL&to=99999-01-01T00:00:00Z", "to", "RFC 3339"),
        ("/v1/ticks?symbol=AAPL&from=2026-01-02&to=2026-01-01", "from", "is after"),
        ("/v1/ticks?symbol=AAPL&cursor=nonsense", "cursor", ""),
        ("/v1/ticks?symbol=AAPL&symbol=MSFT", "symbol", "more than once"),
        ("/v1/candles?symbol=AAPL&interval=2m", "interval", "1m, 5m, 15m, 1h, 4h, 1d"),
        ("/v1/candles?symbol=AAPL&limit=0", "limit", "from 1 to 5000"),
        ("/v1/candles?interval=1m", "symbol", "is missing"),
        ("/events?symbols=%FF%FE", "symbols", ""),
        ("/events?kinds=quote,gossip", "kinds", "quote, candle"),
    ];
    for (path, parameter, reason) in wrong {
        let response = suite.get(path).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let problem: Value = response.json().await.expect("JSON");
        assert_eq!(
            (&problem["status"], &problem["parameter"]),
            (&json!(400), &json!(parameter)),
            "{path}: {problem}"
        );
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(reason)),
            "{path}: {problem}"
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let suite = Suite::start().await;
    for path in ["/v1", "/v1/nothing", "/v1/quotes/AAPL"] {
        let response = suite.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let problem: Value = response.json().await.expect("JSON");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(path)), "{problem}");
    }
    let request = suite.http.delete(suite.url("/v1/quotes")).header("origin", suite.url(""));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn the_system_figures_show_topics_lag_and_dead_letters() {
    let suite = Suite::start().await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1), tick("AAPL", "102", Utc::now(), 2)]).await;
    suite.until(async || suite.json("/v1/system").await["lag"] == 2).await;
    let system = suite.json("/v1/system").await;
    let stocks =
        system["topics"].as_array().expect("a list").iter().find(|topic| topic["name"] == "stock-prices");
    assert_eq!(stocks.map(|topic| topic["records"].clone()), Some(json!(2)));
    assert_eq!(system["dead_letters"], 0);
    assert_eq!(system["feed_stored"], Value::Null, "no consumer has sent a heartbeat");
    assert_eq!(system["processes"][0]["service"], "web");
    assert_eq!(system["symbols"], 1);
}

#[tokio::test]
async fn the_system_figures_show_which_consumer_reads_a_partition() {
    let suite = Suite::start().await;
    let owners = async || {
        let system = suite.json("/v1/system").await;
        let partitions = system["partitions"].as_array().expect("a list").clone();
        partitions
            .iter()
            .filter(|known| known["topic"] == "stock-prices")
            .map(|known| known["owner"].as_str().unwrap_or("none").to_owned())
            .collect::<Vec<_>>()
    };
    suite.until(async || owners().await == ["none"; 3]).await;

    let now = Utc::now();
    let consumer = |instance| {
        let status = Status::new("consumer", instance, now);
        let part = status.component("consumer");
        (status, part)
    };
    let reads = |numbers: &[i32]| {
        BTreeMap::from([("stock-prices".to_owned(), numbers.iter().copied().collect::<BTreeSet<_>>())])
    };
    let ((one, first), (two, second)) = (consumer("consumer-1"), consumer("consumer-2"));
    first.reads(reads(&[0, 1]));
    suite.publish_status(&one.snapshot(now)).await;
    suite.until(async || owners().await == ["consumer-1", "consumer-1", "none"]).await;

    // The latest heartbeat counts, whichever consumer sent it.
    second.reads(reads(&[1, 2]));
    suite.publish_status(&two.snapshot(now + TimeDelta::milliseconds(1))).await;
    suite.until(async || owners().await == ["consumer-1", "consumer-2", "consumer-2"]).await;
    let page = suite.text("/system").await;
    assert!(page.contains("consumer-1") && page.contains("consumer-2"), "the page names the owners");
}

#[tokio::test]
async fn a_process_whose_clock_is_wrong_is_shown_with_what_it_reads_and_its_clock_is_reported() {
    let suite = Suite::start().await;
    let an_hour = TimeDelta::minutes(61);
    let reads = BTreeMap::from([("stock-prices".to_owned(), BTreeSet::from([0]))]);
    for (instance, off, direction) in [("behind-1", -an_hour, "behind"), ("ahead-1", an_hour, "ahead")] {
        let status = Status::new("consumer", instance, Utc::now() + off);
        status.component("consumer").reads(reads.clone());
        let mut shown = Value::Null;
        suite
            .until(async || {
                suite.publish_status(&status.snapshot(Utc::now() + off)).await;
                shown = suite.json("/v1/system").await;
                let owner = list(&shown, "partitions")
                    .into_iter()
                    .find(|known| known["topic"] == "stock-prices" && known["partition"] == 0)
                    .map(|known| known["owner"].clone());
                owner == Some(json!(instance)) && !process(&shown, instance)["clock_ahead_seconds"].is_null()
            })
            .await;
        let process = process(&shown, instance);
        assert_eq!(process["silent"], false, "{process}");
        let seconds = process["clock_ahead_seconds"].as_i64().expect("seconds");
        assert!((seconds - off.num_seconds()).abs() < 5, "{seconds}");
        let page = suite.text("/system").await;
        let named = ["1", "0"].map(|minutes| format!("clock 1 h {minutes} min {direction}"));
        assert!(named.iter().any(|named| page.contains(named)), "{page}");
    }
    let own = suite.json("/v1/system").await;
    assert_eq!(process(&own, "web-test")["clock_ahead_seconds"], Value::Null);
}

fn list(system: &Value, of: &str) -> Vec<Value> {
    system[of].as_array().expect("a list").clone()
}

/// Null where there is none of that name.
fn process(system: &Value, instance: &str) -> Value {
    let all = list(system, "processes");
    all.into_iter().find(|process| process["instance"] == instance).unwrap_or_default()
}

#[tokio::test]
async fn browsers_report_how_long_prices_take_to_the_screen() {
    let suite = Suite::start().await;
    let origin = suite.url("");
    let report = async |origin: &str, body: String| {
        let request = suite.http.post(suite.url("/v1/screen-latency")).header("origin", origin).body(body);
        request.send().await.expect("an answer").status()
    };
    assert_eq!(report(&origin, "[12.5, 14, -0.2]".to_owned()).await, StatusCode::NO_CONTENT);
    let system = suite.json("/v1/system").await;
    assert_eq!(system["feed_screen"]["count"], 3.0);
    assert!(suite.text("/metrics").await.contains("tapedeck_feed_screen_seconds"));

    assert_eq!(report("http://elsewhere.example", "[1]".to_owned()).await, StatusCode::FORBIDDEN);
    for wrong in ["", "{}", "[\"a\"]", "[1e99]", "[null]"] {
        assert_eq!(report(&origin, wrong.to_owned()).await, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let many = format!("[{}1]", "1,".repeat(500));
    assert_eq!(report(&origin, many).await, StatusCode::BAD_REQUEST);
    assert_eq!(report(&origin, " ".repeat(20_000)).await, StatusCode::PAYLOAD_TOO_LARGE);

    // What one client can add is bounded.
    let some = format!("[{}60000]", "60000,".repeat(199));
    let mut refused = false;
    for _ in 0..5 {
        refused |= report(&origin, some.clone()).await == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(refused);
    let count = suite.json("/v1/system").await["feed_screen"]["count"].as_f64();
    assert!(count.is_some_and(|count| count <= 803.0), "in two spans at most: {count:?}");
}

#[tokio::test]
async fn every_write_needs_the_origin_of_this_host() {
    let suite = Suite::start().await;
    for path in ["/v1/screen-latency", "/v1/quotes", "/", "/healthz", "/nothing"] {
        for method in [reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::DELETE] {
            for origin in [None, Some("http://elsewhere.example"), Some("null")] {
                let mut request = suite.http.request(method.clone(), suite.url(path)).body("[1]");
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                let response = request.send().await.expect("a response");
                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path} from {origin:?}");
            }
        }
        let read = suite.http.get(suite.url(path)).header("origin", "http://elsewhere.example");
        let status = read.send().await.expect("a response").status();
        assert_ne!(status, StatusCode::FORBIDDEN, "GET {path}");
    }
}

#[tokio::test]
async fn problems_name_the_reason_and_what_to_change() {
    let suite = Suite::start().await;
    let mut problems = String::new();
    for path in
        ["/v1/nothing", "/v1/ticks?limit=0&symbol=AAPL", "/v1/candles?symbol=%3C", "/events?kinds=gossip"]
    {
        writeln!(problems, "GET {path}\n{}", suite.text(path).await).expect("a string takes everything");
    }
    let posts = [("/v1/quotes", suite.url("")), ("/v1/screen-latency", "http://elsewhere".to_owned())];
    for (path, origin) in posts {
        let request = suite.http.post(suite.url(path)).header("origin", origin);
        let text = request.send().await.expect("a response").text().await.expect("a text");
        writeln!(problems, "POST {path}\n{text}").expect("a string takes everything");
    }
    insta::assert_snapshot!(problems);
}

#[tokio::test]
async fn the_shape_of_the_json_interface() {
    let dir = TempDir::new().expect("a folder");
    let (runtime, store) = empty_runtime(&dir).await;
    let tick = tick("ETH/USDT", "3000.5", noon(), 1);
    let stored = StoredTick { tick, processed_at: noon(), partition: 0, offset: 7 };
    store.write_ticks(&[stored]).await.expect("stored");
    let mut closed = minute_candle("ETH/USDT", 1, "2999").into_fields();
    closed.time = noon() - TimeDelta::minutes(1);
    let closed = market::Candle::new(closed).expect("a candle");
    store.write_candles(&[closed]).await.expect("stored");
    let suite = Suite::over((runtime, store), dir, None).await;

    let mut quotes = suite.json("/v1/quotes").await;
    // The one figure that depends on the time of the test.
    quotes["quotes"][0]["age_ms"] = json!(0);
    let mut answers = format!("/v1/quotes\n{quotes:#}\n");
    for path in ["/v1/symbols", "/v1/ticks?symbol=ETH/USDT", "/v1/candles?symbol=ETH/USDT"] {
        writeln!(answers, "{path}\n{:#}", suite.json(path).await).expect("a string takes everything");
    }
    insta::assert_snapshot!(answers);
}
