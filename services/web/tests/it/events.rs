use std::collections::BTreeSet;

use alert_rules::{AlertId, Owner, RuleId, RuleKind, UserId};
use chrono::{TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use topics::alert::AlertRecord;

use crate::support::{DEADLINE, Events, Settings, Suite, minute_candle, symbol, tick};

#[tokio::test]
async fn a_client_receives_prices_and_candles_of_its_symbols_only() {
    let suite = Suite::start().await;
    let mut events = Events::open(&suite, "/events?symbols=AAPL", None).await;
    let hello = events.next().await.expect("a greeting");
    assert_eq!((hello.name.as_str(), &hello.data["resumed"]), ("hello", &json!(false)));

    suite.publish(&[tick("MSFT", "400", Utc::now(), 1)]).await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1)]).await;
    let quote = events.next_of("quote").await;
    assert_eq!((&quote.data["symbol"], &quote.data["price"]), (&json!("AAPL"), &json!(101.0)));
    let candle = events.next_of("candle").await;
    assert_eq!(
        (&candle.data["symbol"], &candle.data["interval"], &candle.data["final"]),
        (&json!("AAPL"), &json!("1m"), &json!(false))
    );

    let closed = minute_candle("AAPL", 1, "99");
    suite.publish_candle(&closed).await;
    let candle = events.next_of("candle").await;
    assert_eq!((&candle.data["close"], &candle.data["final"]), (&json!(99.0), &json!(true)));
}

#[tokio::test]
async fn a_client_that_lost_its_connection_receives_only_what_it_missed() {
    let suite = Suite::start().await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1), tick("BTC/USDT", "60000", Utc::now(), 1)]).await;
    suite.publish(&[tick("AAPL", "102", Utc::now(), 2)]).await;
    let mut events = Events::open(&suite, "/events?kinds=quote", None).await;
    let mut last_id = None;
    let mut seen = BTreeSet::new();
    while !["102.0", "60000.0"].iter().all(|price| seen.contains(*price)) {
        let quote = events.next_of("quote").await;
        seen.insert(quote.data["price"].to_string());
        last_id = quote.id;
    }
    drop(events);
    suite.publish(&[tick("BTC/USDT", "60001", Utc::now(), 2)]).await;

    let mut events = Events::open(&suite, "/events?kinds=quote", last_id.as_deref()).await;
    assert_eq!(events.next_of("hello").await.data["resumed"], true);
    let first = events.next_of("quote").await;
    assert_eq!((&first.data["symbol"], &first.data["price"]), (&json!("BTC/USDT"), &json!(60001.0)));
    suite.publish(&[tick("BTC/USDT", "60002", Utc::now(), 3)]).await;
    let second = events.next_of("quote").await;
    assert_eq!(second.data["price"], 60002.0, "and nothing of AAPL, which did not change");
}

#[tokio::test]
async fn ids_of_another_process_and_nonsense_bring_everything() {
    let suite = Suite::start().await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1)]).await;
    let boot = Events::open(&suite, "/events", None).await.next_of("hello").await.data["boot"].clone();
    let from_the_future = format!("{}-99999999", boot.as_str().expect("a boot"));
    for id in ["otherboot-1", "", "-", "nonsense", "1-18446744073709551616", &from_the_future] {
        let mut events = Events::open(&suite, "/events", Some(id)).await;
        assert_eq!(events.next_of("hello").await.data["resumed"], false, "{id}");
        assert_eq!(events.next_of("quote").await.data["price"], 101.0, "{id}");
    }
}

#[tokio::test]
async fn a_client_that_reads_late_receives_the_latest_and_not_everything() {
    let suite = Suite::start().await;
    let mut client = TcpStream::connect(&suite.address).await.expect("a connection");
    let request = "GET /events?symbols=AAPL&kinds=quote HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request.as_bytes()).await.expect("sent");

    let (start, count) = (Utc::now() - TimeDelta::seconds(1), 3_000);
    let ticks: Vec<_> = (1..=count)
        .map(|n| tick("AAPL", &format!("{}", 100 + n), start + TimeDelta::microseconds(n), n as u64))
        .collect();
    suite.publish(&ticks).await;

    let mut read = Vec::new();
    let last = format!("\"price\":{}.0", 100 + count);
    let caught_up = async {
        while !String::from_utf8_lossy(&read).contains(&last) {
            assert_ne!(client.read_buf(&mut read).await.expect("bytes"), 0, "the stream goes on");
        }
    };
    timeout(DEADLINE, caught_up).await.expect("the latest price arrives before the deadline");
    let received = String::from_utf8_lossy(&read).matches("event: quote").count();
    assert!(received < ticks.len() / 4, "{received} events of {} ticks", ticks.len());
}

#[tokio::test]
async fn clients_learn_that_the_figures_of_the_pipeline_changed() {
    let suite = Suite::start().await;
    let mut events = Events::open(&suite, "/events?kinds=status", None).await;
    for _ in 0..2 {
        assert_eq!(events.next_of("status").await.data, json!({}), "the figures are read at /system");
    }
    assert_eq!(suite.json("/v1/system").await["sse_connections"], 1);
    drop(events);
    suite.until(async || suite.json("/v1/system").await["sse_connections"] == 0).await;
}

#[tokio::test]
async fn sparklines_come_from_the_candles_of_the_day() {
    let suite = Suite::start().await;
    let mut events = Events::open(&suite, "/events?kinds=spark", None).await;
    suite.publish_candle(&minute_candle("BTC/USDT", 2, "100")).await;
    suite.publish_candle(&minute_candle("BTC/USDT", 1, "110")).await;
    let mut spark = events.next_of("spark").await;
    while spark.data["closes"].as_array().is_some_and(|closes| closes.len() < 2) {
        spark = events.next_of("spark").await;
    }
    assert_eq!((&spark.data["closes"], &spark.data["point_seconds"]), (&json!([100.0, 110.0]), &json!(60)));
}

#[tokio::test]
async fn event_streams_are_not_compressed() {
    let suite = Suite::start().await;
    let request = suite.http.get(suite.url("/events")).header("accept-encoding", "gzip");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn candles_are_those_of_other_symbols_where_a_client_names_them() {
    let suite = Suite::start().await;
    let path = "/events?kinds=quote,candle&candle_symbols=MSFT";
    let mut events = Events::open(&suite, path, None).await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1)]).await;
    suite.publish(&[tick("MSFT", "400", Utc::now(), 1)]).await;
    let mut quotes = BTreeSet::new();
    while quotes.len() < 2 {
        let event = events.next().await.expect("the stream goes on");
        if event.name == "candle" {
            assert_eq!(event.data["symbol"], "MSFT", "no candle of AAPL");
        } else if event.name == "quote" {
            quotes.insert(event.data["symbol"].to_string());
        }
    }
    let refused = suite.get("/events?candle_symbols=$").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.expect("a text").contains("candle_symbols"));
}

#[tokio::test]
async fn of_many_clients_as_many_as_the_limit_are_live_and_the_others_are_counted_as_polls() {
    let suite = Suite::with(Settings { max_live_clients: 5, ..Settings::default() }).await;
    let (mut live, mut polls) = (Vec::new(), 0);
    for _ in 0..12 {
        let mut events = Events::open(&suite, "/events?kinds=quote", None).await;
        if events.next_of("hello").await.data["live"] == true {
            live.push(events);
        } else {
            while events.next().await.is_some() {}
            polls += 1;
        }
    }
    assert_eq!((live.len(), polls), (5, 7));
    assert_eq!(suite.json("/v1/system").await["sse_connections"], 5);
    let counted = suite.text("/metrics").await;
    assert!(counted.lines().any(|line| line.starts_with("tapedeck_sse_polls_total")), "{counted}");
}

#[tokio::test]
async fn a_client_past_the_limit_polls_until_a_stream_is_free() {
    let suite = Suite::with(Settings { max_live_clients: 1, ..Settings::default() }).await;
    suite.publish(&[tick("AAPL", "101", Utc::now(), 1), tick("MSFT", "400", Utc::now(), 1)]).await;
    let mut live = Events::open(&suite, "/events?kinds=quote", None).await;
    assert_eq!(live.next_of("hello").await.data["live"], true);
    // Published to all clients by then.
    live.next_of("quote").await;
    live.next_of("quote").await;

    let mut poll = Events::open(&suite, "/events?kinds=quote", None).await;
    let hello = poll.next_of("hello").await;
    assert_eq!((&hello.data["live"], &hello.data["resumed"]), (&json!(false), &json!(false)));
    let mut last_id = None;
    let mut prices = BTreeSet::new();
    while let Some(quote) = poll.next().await {
        prices.insert(quote.data["price"].to_string());
        last_id = quote.id;
    }
    assert_eq!(prices, BTreeSet::from(["101.0".to_owned(), "400.0".to_owned()]), "then the response ends");

    suite.publish(&[tick("AAPL", "102", Utc::now(), 2)]).await;
    live.next_of("quote").await;
    let mut poll = Events::open(&suite, "/events?kinds=quote", last_id.as_deref()).await;
    assert_eq!(poll.next_of("hello").await.data["resumed"], true);
    assert_eq!(poll.next_of("quote").await.data["price"], 102.0);
    assert_eq!(poll.next().await, None, "only what changed since");

    drop(live);
    suite.until(async || suite.json("/v1/system").await["sse_connections"] == 0).await;
    let mut live = Events::open(&suite, "/events?kinds=quote", last_id.as_deref()).await;
    assert_eq!(live.next_of("hello").await.data["live"], true);
}

#[tokio::test]
async fn a_house_alert_reaches_every_client_when_it_opens_and_that_of_a_person_none() {
    let suite = Suite::start().await;
    let mut events = Events::open(&suite, "/events?symbols=MSFT&kinds=alert", None).await;
    let mut others = Events::open(&suite, "/events?symbols=AAPL", None).await;
    events.next_of("hello").await;

    let opened = alert("first", Owner::House);
    let person = Owner::User(UserId::parse("01J").expect("a user"));
    suite.publish_alert(&alert("person", person)).await;
    suite.publish_alert(&opened).await;
    let event = events.next_of("alert").await;
    assert_eq!((&event.data["id"], &event.data["symbol"]), (&json!("first"), &json!("AAPL")));
    assert!(event.data["received_at"].is_string() && event.data.get("owner").is_none(), "{}", event.data);

    let closed = AlertRecord { closed_at: Some(Utc::now()), ..opened };
    suite.publish_alert(&closed).await;
    suite.publish_alert(&alert("second", Owner::House)).await;
    assert_eq!(events.next_of("alert").await.data["id"], "second", "nothing of the one that closed");

    suite.publish(&[tick("AAPL", "101", Utc::now(), 1)]).await;
    let names = [others.next().await, others.next().await].map(|event| event.map(|event| event.name));
    let expected = ["hello", "quote"].map(|name| Some(name.to_owned()));
    assert_eq!(names, expected, "a client that does not ask for alerts receives none");
}

fn alert(id: &str, owner: Owner) -> AlertRecord {
    AlertRecord {
        id: AlertId::of_text(id),
        symbol: symbol("AAPL"),
        rule: RuleId::parse("house-change").expect("a rule"),
        revision: 1,
        owner,
        kind: RuleKind::ChangeFromOpen { percent: 5.0 },
        measure: 5.25,
        peak: 5.25,
        price: 105.25,
        opened_at: Utc::now(),
        closed_at: None,
        message: "AAPL is 5.25 % above its open".to_owned(),
        simulated: false,
        recorded: false,
    }
}
