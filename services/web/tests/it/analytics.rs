//! What the pages and the JSON interface show of the analytics store.

use analytics_store::{
    AnalyticsStore, BatchRun, Changes, DailyAggregate, Performance, RunStatus, WeeklyAggregate,
};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use reqwest::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Settings, Suite, symbol};

/// A Tuesday.
fn newest() -> NaiveDate {
    date("2026-01-13")
}

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn daily(name: &str, date: NaiveDate) -> DailyAggregate {
    DailyAggregate {
        date,
        symbol: symbol(name),
        open_price: Decimal::new(26_022, 2),
        close_price: Decimal::new(26_105, 2),
        high_price: Decimal::new(26_135, 2),
        low_price: Decimal::new(26_019, 2),
        avg_price: "260.77123456".parse().expect("a decimal"),
        vwap: None,
        total_volume: Some("123456789.1234".parse().expect("a decimal")),
        avg_volume: None,
        volatility: Some(1.0 / 3.0),
        intraday_volatility: None,
        daily_change_pct: 0.25,
        sma_20: None,
        rsi_14: Some(71.5),
        ticks: 12,
        source: "yahoo".to_owned(),
        computed_at: time("2026-01-14T00:10:01.123456Z"),
    }
}

fn weekly(name: &str, week_start: NaiveDate, weekly_change_pct: f64) -> WeeklyAggregate {
    WeeklyAggregate {
        week_start,
        week_end: week_start + Days::new(6),
        symbol: symbol(name),
        open_price: Decimal::new(100, 0),
        close_price: Decimal::new(1_234, 0),
        high_price: Decimal::new(1_300, 0),
        low_price: Decimal::new(90, 0),
        avg_price: Decimal::ONE,
        total_volume: None,
        volatility: None,
        weekly_change_pct,
        best_day: week_start,
        worst_day: week_start + Days::new(1),
        days: 5,
    }
}

fn performance(name: &str, date: NaiveDate, return_1d: Option<f64>) -> Performance {
    Performance {
        date,
        symbol: symbol(name),
        return_1d,
        return_7d: Some(-2.5),
        return_30d: None,
        return_90d: None,
        ytd_return: None,
        volatility_30d: Some(18.25),
        max_drawdown_90d: None,
        sharpe_30d: None,
        beta_90d: None,
        rank_30d: Some(2),
    }
}

fn run(started_at: &str, status: RunStatus) -> BatchRun {
    let started_at = time(started_at);
    BatchRun {
        date: newest(),
        started_at,
        finished_at: (status != RunStatus::Running).then_some(started_at + TimeDelta::seconds(90)),
        status,
        symbols: 3,
        ticks_read: 12_345,
        rows_written: 42,
        error: (status == RunStatus::Failed).then(|| "NVDA: no ticks".to_owned()),
    }
}

/// A service on an analytics store, which the caller can write.
async fn suite_with_store() -> (Suite, AnalyticsStore, TempDir) {
    let dir = TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", dir.path().join("analytics.db").display());
    let store = analytics_store::open(&url).await.expect("a store");
    let suite = Suite::with(Settings { analytics: Some(url), ..Settings::default() }).await;
    suite.until(async || suite.get("/v1/batch-runs").await.status() == StatusCode::OK).await;
    (suite, store, dir)
}

async fn fill(store: &AnalyticsStore) {
    let days: Vec<_> = (0..3)
        .flat_map(|ago| ["AAPL", "BTC/USDT", "NVDA"].map(|name| daily(name, newest() - Days::new(ago))))
        .collect();
    let monday = date("2026-01-12");
    let weeks: Vec<_> = (0..10)
        .map(|ago| weekly("AAPL", monday - Days::new(7 * ago), ago as f64 - 1.5))
        .chain([weekly("NVDA", monday - Days::new(7), 3.0)])
        .collect();
    let standings = [
        performance("AAPL", newest() - Days::new(1), Some(9.0)),
        performance("AAPL", newest(), Some(1.25)),
        performance("BTC/USDT", newest(), Some(-0.5)),
        performance("MSFT", newest() - Days::new(4), None),
        performance("OLD", newest() - Days::new(40), Some(50.0)),
    ];
    let runs = [run("2026-01-13T00:10:00Z", RunStatus::Failed), run("2026-01-14T00:10:00Z", RunStatus::Done)];
    let changes = Changes::default().with(&days).with(&weeks).with(&standings).with(&runs);
    store.store(changes).await.expect("stored");
}

#[tokio::test]
async fn rows_are_served_under_the_names_of_their_columns() {
    let (suite, store, _dir) = suite_with_store().await;
    fill(&store).await;
    let answer = suite.json("/v1/aggregates?symbol=aapl&from=2026-01-13").await;
    assert_eq!(
        answer,
        json!({
            "aggregates": [{
                "date": "2026-01-13", "symbol": "AAPL", "open_price": 260.22, "close_price": 261.05,
                "high_price": 261.35, "low_price": 260.19, "avg_price": 260.771_234_56, "vwap": null,
                "total_volume": 123_456_789.123_4, "avg_volume": null, "volatility": 1.0 / 3.0,
                "intraday_volatility": null, "daily_change_pct": 0.25, "sma_20": null, "rsi_14": 71.5,
                "ticks": 12, "source": "yahoo", "computed_at": "2026-01-14T00:10:01.123456Z"
            }],
            "next_cursor": null,
        })
    );
    let answer = suite.json("/v1/weekly?symbol=NVDA").await;
    assert_eq!(
        answer["weekly"],
        json!([{
            "week_start": "2026-01-05", "week_end": "2026-01-11", "symbol": "NVDA", "open_price": 100.0,
            "close_price": 1234.0, "high_price": 1300.0, "low_price": 90.0, "avg_price": 1.0,
            "total_volume": null, "volatility": null, "weekly_change_pct": 3.0, "best_day": "2026-01-05",
            "worst_day": "2026-01-06", "days": 5
        }])
    );
    let answer = suite.json("/v1/batch-runs?limit=1").await;
    assert_eq!(
        answer,
        json!({ "batch_runs": [{
            "date": "2026-01-13", "started_at": "2026-01-14T00:10:00Z", "finished_at": "2026-01-14T00:11:30Z",
            "status": "done", "symbols": 3, "ticks_read": 12_345, "rows_written": 42, "error": null
        }] })
    );
    let newest = suite.json("/v1/performance").await;
    let rows = newest["performance"].as_array().expect("a list");
    let of = |row: &Value| (row["symbol"].clone(), row["date"].clone(), row["return_1d"].clone());
    assert_eq!(
        rows.iter().map(of).collect::<Vec<_>>(),
        [
            (json!("AAPL"), json!("2026-01-13"), json!(1.25)),
            (json!("BTC/USDT"), json!("2026-01-13"), json!(-0.5)),
            (json!("MSFT"), json!("2026-01-09"), Value::Null),
        ],
        "the newest of each symbol that is still traded"
    );
    let earlier = suite.json("/v1/performance?date=2026-01-12").await;
    assert_eq!(earlier["performance"].as_array().map(Vec::len), Some(1));
    assert_eq!(earlier["performance"][0]["return_1d"], 9.0);
    suite.stop().await.expect("a clean end");
}

#[tokio::test]
async fn walking_the_pages_of_aggregates_meets_every_row_once() {
    let (suite, store, _dir) = suite_with_store().await;
    fill(&store).await;
    let all = suite.json("/v1/aggregates").await["aggregates"].as_array().expect("a list").clone();
    assert_eq!(all.len(), 9);
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = suite.json(&format!("/v1/aggregates?limit=2{cursor}")).await;
        walked.splice(0..0, page["aggregates"].as_array().expect("a list").clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        let escaped: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        cursor = format!("&cursor={escaped}");
    }
    assert_eq!(walked, all);
    let range = suite.json("/v1/aggregates?from=2026-01-12&to=2026-01-12&symbol=BTC-USDT").await;
    assert_eq!(range["aggregates"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn wrong_parameters_are_named_also_while_the_store_is_away() {
    let suite = Suite::start().await;
    for (path, parameter, reason) in [
        ("/v1/aggregates?symbol=no%20symbol", "symbol", "neither a stock"),
        ("/v1/aggregates?from=yesterday", "from", "write it as 2026-01-13"),
        ("/v1/aggregates?to=99999-01-01", "to", "is not a date"),
        ("/v1/aggregates?from=2026-01-13&to=2026-01-12", "from", "is after `to`"),
        ("/v1/aggregates?limit=5001", "limit", "from 1 to 5000"),
        ("/v1/aggregates?cursor=2026-01-13", "cursor", "next_cursor"),
        ("/v1/weekly?week=1", "week", "use symbol, from, to, limit, cursor"),
        ("/v1/performance?date=2026-02-30", "date", "is not a date"),
        ("/v1/batch-runs?limit=0", "limit", "from 1 to 5000"),
        ("/dashboard/performance.csv?sort=close", "sort", "is no column; use symbol, date, return_1d"),
    ] {
        let response = suite.get(path).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem: Value = response.json().await.expect("JSON");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!(problem["parameter"], parameter, "{path}: {problem}");
        assert!(detail.contains(reason), "{path}: {detail}");
    }
    let page = suite.get("/dashboard?sort=close").await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_a_store_the_pages_start_and_name_the_reason() {
    let suite = Suite::start().await;
    for path in ["/v1/aggregates", "/v1/weekly", "/v1/performance", "/v1/batch-runs"] {
        let response = suite.get(path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let problem: Value = response.json().await.expect("JSON");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("not available: none is set; name it with --analytics"), "{detail}");
    }
    let page = suite.get("/dashboard").await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    let page = page.text().await.expect("a text");
    assert!(
        page.contains("The analytics store is not available.") && page.contains("ANALYTICS_URL"),
        "{page}"
    );
    assert!(!page.contains("Waiting for the first batch"), "{page}");
    assert_eq!(suite.get("/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_store_that_appears_later_is_opened_and_reported() {
    let dir = TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", dir.path().join("analytics.db").display());
    let suite = Suite::with(Settings { analytics: Some(url.clone()), ..Settings::default() }).await;
    suite.until(async || suite.text("/v1/performance").await.contains("do not exist yet")).await;
    assert!(!dir.path().join("analytics.db").exists(), "reading creates nothing");
    let state = async || {
        let system = suite.json("/v1/system").await;
        let components = system["components"].as_array().expect("a list").clone();
        let found = components.into_iter().find(|part| part["name"] == "analytics store");
        found.map(|part| part["state"].clone())
    };
    assert_eq!(state().await, Some(json!("down")));
    assert_eq!(suite.get("/readyz").await.status(), StatusCode::OK, "the other pages work");

    let store = analytics_store::open(&url).await.expect("a store");
    suite.until(async || suite.get("/v1/performance").await.status() == StatusCode::OK).await;
    suite.until(async || state().await == Some(json!("up"))).await;
    let page = suite.text("/dashboard").await;
    for part in [
        "Waiting for the first batch",
        "tapedeck batch run",
        "docker compose exec batch batch run",
        "00:00 UTC",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    fill(&store).await;
    assert!(suite.text("/dashboard").await.contains("Market movers"));
    suite.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_dashboard_can_be_read_without_javascript_and_is_sorted_by_a_parameter() {
    let (suite, store, _dir) = suite_with_store().await;
    fill(&store).await;
    let page = suite.text("/dashboard").await;
    for part in
        ["Last batch done", "12,345", "+1.25 %", "\u{2212}0.50 %", "18.25 %", "261.05", "above 70", "Week 3"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("HISTORICAL"));
    let order = |page: &str| -> Vec<String> {
        let rows = page.split("<tr data-symbol=\"").skip(1);
        rows.map(|row| row.split('"').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(order(&page), ["AAPL", "BTC/USDT", "MSFT"]);
    let rising = suite.text("/dashboard?sort=return_1d").await;
    assert_eq!(order(&rising), ["BTC/USDT", "AAPL", "MSFT"], "what is unknown comes last");
    assert!(rising.contains("performance.csv?sort=return_1d"), "{rising}");
    assert!(rising.contains("href=\"/dashboard?sort=-return_1d#performance\""), "{rising}");

    let week = suite.text("/dashboard?week=2026-01-08").await;
    for part in ["Week 2", "week=2025-12-29", "week=2026-01-12", "+3.00 %"] {
        assert!(week.contains(part), "{part}: {week}");
    }
    let first = suite.text("/dashboard?week=1990-01-01").await;
    assert!(first.contains("No symbol has a day in this week"), "{first}");
}

#[tokio::test]
async fn the_csv_file_has_the_rows_of_the_table_in_its_order() {
    let (suite, store, _dir) = suite_with_store().await;
    fill(&store).await;
    let response = suite.get("/dashboard/performance.csv?sort=-return_1d").await;
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(
        response.headers()["content-disposition"],
        "attachment; filename=\"performance-2026-01-13.csv\""
    );
    let text = response.text().await.expect("a text");
    assert_eq!(
        text.split("\r\n").collect::<Vec<_>>(),
        [
            "symbol,date,return_1d,return_7d,return_30d,return_90d,ytd_return,volatility_30d,max_drawdown_90d,sharpe_30d,\
             beta_90d,rank_30d",
            "AAPL,2026-01-13,1.25,-2.5,,,,18.25,,,,2",
            "BTC/USDT,2026-01-13,-0.5,-2.5,,,,18.25,,,,2",
            "MSFT,2026-01-09,,-2.5,,,,18.25,,,,2",
            "",
        ]
    );
}

#[tokio::test]
async fn a_run_that_was_killed_one_that_failed_and_one_that_is_running_are_named() {
    let (suite, store, _dir) = suite_with_store().await;
    let store_run = async |run: BatchRun| {
        store.store(Changes::default().with(&[run])).await.expect("stored");
        suite.text("/dashboard").await
    };
    let page = store_run(run("2026-01-12T00:10:00Z", RunStatus::Running)).await;
    assert!(page.contains("Last batch killed"), "no run takes so long: {page}");
    let page = store_run(run("2026-01-13T00:10:00Z", RunStatus::Failed)).await;
    assert!(page.contains("Last batch failed") && page.contains("NVDA: no ticks"), "{page}");
    assert!(page.contains("The last batch has found no day to aggregate"), "{page}");
    let running = BatchRun { started_at: Utc::now(), ..run("2026-01-13T00:10:00Z", RunStatus::Running) };
    assert!(store_run(running).await.contains("Last batch running"));
}

#[tokio::test]
async fn historical_prices_are_marked() {
    let dir = TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", dir.path().join("analytics.db").display());
    let store = analytics_store::open(&url).await.expect("a store");
    fill(&store).await;
    let suite =
        Suite::with(Settings { analytics: Some(url), is_historical: true, ..Settings::default() }).await;
    suite.until(async || suite.text("/dashboard").await.contains("Market movers")).await;
    let page = suite.text("/dashboard").await;
    assert!(page.contains("<b>HISTORICAL</b>") && page.contains("2026-01-13"), "{page}");
}
