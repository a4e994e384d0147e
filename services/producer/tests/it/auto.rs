//! Which provider serves which symbols.

use producer::choose;
use serde_json::json;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::world::{World, closed_port, config};

fn names(choice: &producer::Choice) -> Vec<&'static str> {
    choice.feeds.iter().map(|plan| plan.provider.name()).collect()
}

fn symbols(plan: &producer::FeedPlan) -> Vec<&str> {
    plan.symbols.iter().map(market::Symbol::as_str).collect()
}

/// Lists BTC/USDT and ETH/USDT; a list with another pair is refused as a whole.
async fn crypto_venue(server: &MockServer) {
    let ping = ResponseTemplate::new(200).set_body_json(json!({}));
    Mock::given(path("/api/v3/ping")).respond_with(ping).mount(server).await;
    let figures = |request: &Request| {
        let (_, list) = request.url.query_pairs().find(|(name, _)| name == "symbols").unwrap();
        let names: Vec<String> = serde_json::from_str(&list).unwrap();
        if names.iter().any(|name| name != "BTCUSDT" && name != "ETHUSDT") {
            return ResponseTemplate::new(400)
                .set_body_json(json!({"code": -1121, "msg": "Invalid symbol."}));
        }
        let ticker = |name: &String| json!({"symbol": name, "openPrice": "1", "highPrice": "2", "lowPrice": "1", "volume": "5"});
        ResponseTemplate::new(200).set_body_json(names.iter().map(ticker).collect::<Vec<_>>())
    };
    Mock::given(path("/api/v3/ticker/24hr")).respond_with(figures).mount(server).await;
}

#[tokio::test]
async fn a_pair_that_the_venue_does_not_have_is_named_at_the_start() {
    let server = MockServer::start().await;
    crypto_venue(&server).await;
    let list = ["--watchlist", "BTC/USDT,FTM/USDT,ETH/USDT", "--binance-rest-url", &server.uri()];
    let away = away().await;
    let choice = choose(&config(&with(&list, &away))).await.unwrap();
    let reason = "127.0.0.1/api/v3/ticker/24hr answered 400 Bad Request: Invalid symbol.";
    assert_eq!(choice.notes, [format!("binance; not FTM/USDT ({reason})")]);
    assert!(!choice.is_simulated());
    let others = ["--watchlist", "FTM/USDT", "--binance-rest-url", &server.uri()];
    let choice = choose(&config(&with(&others, &away))).await.unwrap();
    assert!(choice.is_simulated() && choice.notes[0].contains("Invalid symbol."), "{:?}", choice.notes);
}

/// The addresses of venues that do not answer, beside those of a test.
async fn away() -> [String; 4] {
    let url = format!("http://{}", closed_port().await);
    ["--coinbase-rest-url", &url, "--kraken-rest-url", &url].map(str::to_owned)
}

fn with<'a>(args: &[&'a str], others: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(others.iter().map(String::as_str)).collect()
}

#[tokio::test]
async fn where_nobody_answers_the_whole_market_is_simulated_and_the_notes_say_why() {
    let (binance, yahoo) = (closed_port().await, closed_port().await);
    let (binance, yahoo) = (format!("http://{binance}"), format!("http://{yahoo}"));
    let args = ["--watchlist", "AAPL,BTC/USDT", "--binance-rest-url", &binance, "--yahoo-url", &yahoo];
    let away = away().await;
    let choice = choose(&config(&with(&args, &away))).await.unwrap();
    assert!(choice.is_simulated() && choice.was_automatic());
    let [plan] = choice.feeds.as_slice() else { panic!("{choice:?}") };
    assert_eq!((plan.provider.name(), symbols(plan)), ("simulated", vec!["AAPL", "BTC/USDT"]));
    let because = choice.simulated_because().unwrap();
    assert!(because.starts_with("no provider answered at the start: binance ("), "{because}");
    assert!(because.contains(", yahoo (") && !because.contains("--provider"), "{because}");
    let [crypto, coinbase, kraken, stocks] = choice.notes.as_slice() else { panic!("{:?}", choice.notes) };
    assert!(coinbase.starts_with("coinbase does not answer (127.0.0.1/products: "), "{coinbase}");
    assert!(kraken.starts_with("kraken does not answer (127.0.0.1/AssetPairs: "), "{kraken}");
    assert!(
        crypto.starts_with("binance does not answer (127.0.0.1/api/v3/ping: ")
            && crypto.ends_with("): BTC/USDT"),
        "{crypto}"
    );
    assert!(crypto.contains("refused"), "{crypto}");
    assert!(
        stocks.starts_with("yahoo does not answer (127.0.0.1/v8/finance/chart/AAPL: ")
            && stocks.ends_with("): AAPL"),
        "{stocks}"
    );
}

#[tokio::test]
async fn where_only_binance_answers_crypto_is_live_and_nothing_is_invented() {
    let server = MockServer::start().await;
    crypto_venue(&server).await;
    let yahoo = format!("http://{}", closed_port().await);
    let args = [
        "--watchlist",
        "AAPL,BTC/USDT,BRK.B,ETH/USDT",
        "--binance-rest-url",
        &server.uri(),
        "--yahoo-url",
        &yahoo,
    ];
    let away = away().await;
    let choice = choose(&config(&with(&args, &away))).await.unwrap();
    assert!(!choice.is_simulated() && choice.was_automatic());
    assert_eq!(names(&choice), ["binance", "coinbase", "kraken"], "the others take over where it fails");
    assert!(choice.feeds.iter().all(|plan| symbols(plan) == ["BTC/USDT", "ETH/USDT"]));
    let [note] = choice.notes.as_slice() else { panic!("{:?}", choice.notes) };
    assert!(note.starts_with("yahoo does not answer (") && note.ends_with("): AAPL, BRK.B"), "{note}");
}

#[tokio::test]
async fn where_both_answer_each_serves_its_class() {
    let server = MockServer::start().await;
    crypto_venue(&server).await;
    let answer = include_str!("../fixtures/yahoo_chart_NVDA.json");
    let answer = ResponseTemplate::new(200).set_body_raw(answer, "application/json");
    Mock::given(path("/v8/finance/chart/NVDA")).respond_with(answer).mount(&server).await;
    let args =
        ["--watchlist", "NVDA,BTC/USDT", "--binance-rest-url", &server.uri(), "--yahoo-url", &server.uri()];
    let away = away().await;
    let choice = choose(&config(&with(&args, &away))).await.unwrap();
    let plans: Vec<_> = choice.feeds.iter().map(|plan| (plan.provider.name(), symbols(plan))).collect();
    let expected =
        [("binance", "BTC/USDT"), ("yahoo", "NVDA"), ("coinbase", "BTC/USDT"), ("kraken", "BTC/USDT")];
    assert_eq!(plans, expected.map(|(name, symbol)| (name, vec![symbol])));
    assert!(choice.notes.is_empty() && !choice.is_simulated());
}

#[tokio::test]
async fn of_the_venues_for_pairs_the_first_that_answers_serves() {
    let (coinbase, kraken) = (MockServer::start().await, MockServer::start().await);
    let closed = format!("http://{}", closed_port().await);
    let products = json!([{"id": "BTC-USD", "status": "online"}, {"id": "ETH-USD", "status": "online"}]);
    let products = ResponseTemplate::new(200).set_body_json(products);
    Mock::given(path("/products")).respond_with(products).mount(&coinbase).await;
    let pairs = json!({"error": [], "result": {"XXBTZUSD": {"wsname": "XBT/USD"}}});
    let pairs = ResponseTemplate::new(200).set_body_json(pairs);
    Mock::given(path("/0/public/AssetPairs")).respond_with(pairs).mount(&kraken).await;
    let kraken = format!("{}/0/public", kraken.uri());
    let args = |coinbase: &str| {
        let urls = [("binance-rest", closed.as_str()), ("coinbase-rest", coinbase), ("kraken-rest", &kraken)];
        let urls = urls.iter().flat_map(|(name, url)| [format!("--{name}-url"), (*url).to_owned()]);
        urls.chain(["--watchlist".to_owned(), "BTC/USD,XYZ/USD".to_owned()]).collect::<Vec<_>>()
    };
    for (url, expected) in [(coinbase.uri(), "coinbase"), (closed.clone(), "kraken")] {
        let args = args(&url);
        let choice = choose(&config(&with(&[], &args))).await.unwrap();
        assert_eq!(names(&choice)[0], expected);
        assert_eq!((choice.feeds.len(), symbols(&choice.feeds[0])), (3, vec!["BTC/USD", "XYZ/USD"]));
        let notes = &choice.notes;
        assert!(notes[0].starts_with("binance does not answer ("), "{notes:?}");
        assert_eq!(notes.last().unwrap(), &format!("{expected}; not XYZ/USD (not listed)"));
    }
}

#[tokio::test]
async fn a_page_for_people_is_no_answer() {
    let server = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_raw("<html>blocked here</html>", "text/html");
    Mock::given(path("/api/v3/ping")).respond_with(page).mount(&server).await;
    let away = away().await;
    let args = ["--watchlist", "BTC/USDT", "--binance-rest-url", &server.uri()];
    let choice = choose(&config(&with(&args, &away))).await.unwrap();
    assert!(choice.is_simulated());
    assert_eq!(choice.notes.len(), 3);
    assert!(choice.notes[0].contains("answered with HTML instead of JSON"), "{}", choice.notes[0]);
}

#[tokio::test]
async fn a_named_provider_says_which_symbols_it_does_not_serve() {
    let choice =
        choose(&config(&["--provider", "binance", "--watchlist", "AAPL,BTC/USDT,BRK.B"])).await.unwrap();
    assert_eq!(symbols(&choice.feeds[0]), ["BTC/USDT"]);
    assert_eq!(choice.notes, ["binance does not serve AAPL, BRK.B"]);
    assert!(!choice.was_automatic());
}

#[tokio::test]
async fn a_named_provider_that_serves_none_of_the_symbols_is_an_error_with_the_way_out() {
    let refused =
        choose(&config(&["--provider", "yahoo", "--watchlist", "BTC/USDT,ETH/USDT"])).await.unwrap_err();
    let expected =
        "yahoo serves none of the watched symbols (BTC/USDT, ETH/USDT); change --watchlist or --provider";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn a_simulated_market_that_was_asked_for_is_not_automatic() {
    let choice = choose(&config(&["--provider", "simulated", "--watchlist", "AAPL"])).await.unwrap();
    assert!(choice.is_simulated() && !choice.was_automatic() && choice.notes.is_empty());
    let because = choice.simulated_because().unwrap();
    assert!(because.starts_with("--provider (PROVIDER) is simulated"), "{because}");
}

#[tokio::test]
async fn without_a_recording_a_replay_shows_what_is_stored_and_a_missing_one_is_refused() {
    let choice = choose(&config(&["--provider", "replay"])).await.unwrap();
    assert!(choice.notes[0].contains("what is stored is shown"), "{:?}", choice.notes);
    let refused =
        choose(&config(&["--provider", "replay", "--replay-file", "/no/such.csv"])).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot read /no/such.csv");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("holiday.txt");
    std::fs::write(&file, "dear diary,\n").unwrap();
    let refused = choose(&config(&["--provider", "replay", "--replay-file", file.to_str().unwrap()])).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("holiday.txt: this is no recording"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_invented_beside_real_prices_nor_the_other_way_round() {
    let (binance, yahoo) = (closed_port().await, closed_port().await);
    let (binance, yahoo) = (format!("http://{binance}"), format!("http://{yahoo}"));
    let closed = ["--watchlist", "AAPL,BTC/USDT", "--binance-rest-url", &binance, "--yahoo-url", &yahoo];
    let away = away().await;
    let closed = with(&closed, &away);
    let silent = choose(&config(&closed)).await.unwrap();
    let server = MockServer::start().await;
    crypto_venue(&server).await;
    let venue = ["--watchlist", "BTC/USDT,AAPL", "--binance-rest-url", &server.uri(), "--yahoo-url", &yahoo];
    let venue = with(&venue, &away);
    let live = choose(&config(&venue)).await.unwrap();

    let mut world = World::new().await;
    let empty = silent.clone().kept_apart(&config(&closed), &*world.log).await.unwrap();
    assert_eq!(empty, silent, "a log without prices takes any");
    world.start(&["--provider", "simulated", "--watchlist", "AAPL", "--simulated-rate", "100"]).await;
    world.becomes("feed simulated", topics::status::ComponentState::Up, "SIMULATED").await;
    crate::world::wait_until("simulated ticks are in the log", async || world.tick_count().await > 0).await;
    world.stop().await;
    let kept = live.clone().kept_apart(&config(&venue), &*world.log).await.unwrap();
    assert!(kept.simulated_because().unwrap().starts_with("the log holds simulated prices"), "{kept:?}");
    assert!(kept.is_simulated() && kept.notes.last().unwrap().contains("(--provider, PROVIDER)"), "{kept:?}");
    assert_eq!(symbols(&kept.feeds[0]), ["BTC/USDT", "AAPL"]);
    let named = choose(&config(&["--provider", "binance", "--watchlist", "BTC/USDT"])).await.unwrap();
    assert_eq!(named.clone().kept_apart(&config(&venue), &*world.log).await.unwrap(), named);

    // A recording of a venue: real prices.
    let world = World::new().await;
    let line = r#"{"symbol":"AAPL","timestamp":"2024-01-02T15:04:05Z","price":1,"volume":1,"open":1,"high":1,"low":1,"change_percent":0,"source":"yahoo","received_at":"2024-01-02T15:04:05Z","seq":1}"#;
    let publisher = world.log.publisher().unwrap();
    let record = event_log::NewRecord {
        key: None,
        payload: line.into(),
        headers: Vec::new(),
        timestamp: chrono::Utc::now(),
    };
    publisher.send(topics::tick::STOCK_PRICES, vec![record]).await.unwrap().durable().await.unwrap();
    let kept = silent.kept_apart(&config(&closed), &*world.log).await.unwrap();
    assert_eq!(kept.simulated_because(), None);
    assert!(!kept.is_simulated() && kept.notes.last().unwrap().contains("none are invented"), "{kept:?}");
    assert_eq!(names(&kept), ["binance", "coinbase", "kraken", "yahoo"]);
    let same = live.clone().kept_apart(&config(&venue), &*world.log).await.unwrap();
    assert_eq!(same, live);
}
