//! Daily candles of missing days, from providers that answer with recorded payloads.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Parser;
use market::{Candle, CandleOrigin, Interval, Symbol};
use producer::{Backfilled, HistorySettings, MissingDays, backfill_daily};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, path, query_param},
};

use crate::world::World;

/// Daily candles of NVDA from 2024-01-16 to 2024-01-22.
const CHART: &str = include_str!("../fixtures/yahoo_chart_NVDA.json");
/// A candle that begins on 2017-07-03.
const KLINES: &str = include_str!("../fixtures/binance_klines_response.json");

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    settings: HistorySettings,
}

fn missing(symbol: &str, days: &[&str]) -> MissingDays {
    let days: BTreeSet<NaiveDate> = days.iter().map(|day| day.parse().unwrap()).collect();
    MissingDays { symbol: Symbol::parse(symbol).unwrap(), days }
}

fn midnight(day: &str) -> DateTime<Utc> {
    format!("{day}T00:00:00Z").parse().unwrap()
}

fn answer(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "application/json")
}

async fn backfill(world: &World, server: &MockServer, wanted: &[MissingDays]) -> Vec<Backfilled> {
    let uri = server.uri();
    let urls = ["--yahoo-url", "--binance-rest-url", "--coinbase-rest-url", "--kraken-rest-url"];
    let args = urls.iter().flat_map(|name| [*name, &uri]);
    let settings = Args::try_parse_from(["backfill"].into_iter().chain(args)).unwrap().settings;
    let mut seen = Vec::new();
    let results = backfill_daily(&settings, wanted, &world.runtime(), |result| seen.push(result.clone()))
        .await
        .unwrap();
    assert_eq!(seen, results, "each is reported");
    results
}

fn closes(candles: &[Candle], symbol: &str) -> Vec<String> {
    let of_symbol = candles.iter().filter(|candle| candle.symbol.as_str() == symbol);
    of_symbol.map(|candle| candle.close.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_days_are_requested_in_one_span_and_no_other_candle_is_published() {
    let (world, server) = (World::new().await, MockServer::start().await);
    Mock::given(path("/v8/finance/chart/NVDA"))
        .and(query_param("interval", "1d"))
        .and(query_param("period1", midnight("2024-01-17").timestamp().to_string()))
        .and(query_param("period2", midnight("2024-01-20").timestamp().to_string()))
        .respond_with(answer(CHART))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/api/v3/klines"))
        .and(query_param("symbol", "BNBBTC"))
        .and(query_param("interval", "1d"))
        .respond_with(answer(KLINES))
        .expect(1)
        .mount(&server)
        .await;
    let wanted = [missing("NVDA", &["2024-01-17", "2024-01-19"]), missing("BNB/BTC", &["2017-07-03"])];
    let results = backfill(&world, &server, &wanted).await;
    assert_eq!(results.iter().map(|result| result.candles).collect::<Vec<_>>(), [2, 1]);
    assert!(results.iter().all(|result| result.failure.is_none()), "{results:?}");

    let candles = world.candles().await;
    assert_eq!(closes(&candles, "NVDA"), ["560.53", "594.91"]);
    assert_eq!(closes(&candles, "BNB/BTC"), ["0.015771"]);
    assert!(candles.iter().all(|candle| candle.is_final
        && candle.interval == Interval::Day
        && candle.source.origin == CandleOrigin::Provider));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbol_that_the_provider_refuses_does_not_stop_the_others() {
    let (world, server) = (World::new().await, MockServer::start().await);
    let refusal = r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#;
    Mock::given(path("/v8/finance/chart/BRK-B")).respond_with(answer(refusal)).mount(&server).await;
    Mock::given(path("/v8/finance/chart/NVDA")).respond_with(answer(CHART)).mount(&server).await;
    let wanted = [missing("BRK.B", &["2024-01-17"]), missing("NVDA", &["2024-01-17"]), missing("AAPL", &[])];
    let results = backfill(&world, &server, &wanted).await;
    let [refused, fetched, complete] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(refused.failure.as_deref(), Some("yahoo: the provider reports: No data found"));
    assert_eq!((fetched.candles, &fetched.failure), (1, &None));
    assert_eq!((complete.candles, &complete.failure), (0, &None), "nothing is requested");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_the_first_venue_refuses_come_from_the_next_one() {
    let (world, server) = (World::new().await, MockServer::start().await);
    let refusal = ResponseTemplate::new(400)
        .set_body_raw(r#"{"code":-1121,"msg":"Invalid symbol."}"#, "application/json");
    Mock::given(path("/api/v3/klines")).respond_with(refusal).expect(2).mount(&server).await;
    let time = midnight("2024-01-17").timestamp();
    let candles = format!("[[{time}, 98.5, 101.25, 99, 100.5, 12.75]]");
    Mock::given(path("/products/BTC-GBP/candles"))
        .and(query_param("granularity", "86400"))
        .and(query_param("start", "2024-01-17T00:00:00Z"))
        .and(query_param("end", "2024-01-18T00:00:00Z"))
        .respond_with(answer(&candles))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/products/XYZ-GBP/candles"))
        .respond_with(
            ResponseTemplate::new(404).set_body_raw(r#"{"message":"NotFound"}"#, "application/json"),
        )
        .mount(&server)
        .await;
    let pairs = answer(r#"{"error":[],"result":{"XXBTZGBP":{"wsname":"XBT/GBP"}}}"#);
    Mock::given(path("/AssetPairs")).respond_with(pairs).mount(&server).await;
    let wanted = [missing("BTC/GBP", &["2024-01-17"]), missing("XYZ/GBP", &["2024-01-17"])];
    let results = backfill(&world, &server, &wanted).await;
    assert_eq!((results[0].candles, &results[0].failure), (1, &None));
    let failure = results[1].failure.as_deref().unwrap();
    for reason in
        ["binance: ", "Invalid symbol.; coinbase: ", "NotFound; kraken: kraken lists no pair XYZ/GBP"]
    {
        assert!(failure.contains(reason), "{failure}");
    }
    let stored = world.candles().await;
    assert_eq!(closes(&stored, "BTC/GBP"), ["100.5"]);
    assert_eq!((stored[0].source.feed.as_str(), stored[0].ticks), ("coinbase", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_for_a_moment_is_asked_again_and_one_that_wants_a_long_pause_is_not() {
    let (world, server) = (World::new().await, MockServer::start().await);
    Mock::given(path("/v8/finance/chart/NVDA"))
        .respond_with(ResponseTemplate::new(502))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(path("/v8/finance/chart/NVDA")).respond_with(answer(CHART)).mount(&server).await;
    let results = backfill(&world, &server, &[missing("NVDA", &["2024-01-17"])]).await;
    assert_eq!((results[0].candles, &results[0].failure), (1, &None));

    server.reset().await;
    let later = ResponseTemplate::new(429).insert_header("retry-after", "3600");
    Mock::given(any()).respond_with(later).expect(1).mount(&server).await;
    let results = backfill(&world, &server, &[missing("NVDA", &["2024-01-18"])]).await;
    assert!(results[0].failure.as_deref().is_some_and(|reason| reason.contains("less often")), "{results:?}");
}
