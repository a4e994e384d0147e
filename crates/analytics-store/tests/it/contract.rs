//! What every adapter keeps. SQLite runs always; MySQL and MariaDB where `MYSQL_URL` and `MARIADB_URL` name a server.

use analytics_store::{
    AlertLogRow, AlertLogStatus, AnalyticsStore, BatchRun, Changes, DailyAggregate, Performance, RowQuery,
    RunStatus, WeeklyAggregate, check, open, open_for_reading,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use market::Symbol;
use rust_decimal::Decimal;

fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
}

fn symbol(name: &str) -> Symbol {
    Symbol::parse(name).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    "2026-01-13T00:10:00.123456Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn daily(name: &str, day: u32) -> DailyAggregate {
    DailyAggregate {
        date: date(day),
        symbol: symbol(name),
        open_price: Decimal::new(26_022, 2),
        close_price: Decimal::new(26_105, 2),
        high_price: Decimal::new(26_135, 2),
        low_price: Decimal::new(26_019, 2),
        avg_price: "260.77123456".parse().unwrap(),
        vwap: None,
        total_volume: Some("123456789.1234".parse().unwrap()),
        avg_volume: Some(Decimal::from(316_555)),
        volatility: Some(1.0 / 3.0),
        intraday_volatility: Some(f64::MIN_POSITIVE),
        daily_change_pct: 0.318_955_491_507_186_2,
        sma_20: None,
        rsi_14: Some(68.593_446_824_1),
        ticks: 28_705,
        source: "yahoo".to_owned(),
        computed_at: at(0),
    }
}

fn weekly(name: &str) -> WeeklyAggregate {
    WeeklyAggregate {
        week_start: date(12),
        week_end: date(18),
        symbol: symbol(name),
        open_price: Decimal::new(1, 8),
        close_price: "99999999999.1234".parse().unwrap(),
        high_price: "99999999999.1234".parse().unwrap(),
        low_price: Decimal::new(1, 8),
        avg_price: Decimal::ONE,
        total_volume: None,
        volatility: None,
        weekly_change_pct: -12.5,
        best_day: date(13),
        worst_day: date(14),
        days: 5,
    }
}

fn performance(name: &str) -> Performance {
    Performance {
        date: date(13),
        symbol: symbol(name),
        return_1d: Some(0.1),
        return_7d: None,
        return_30d: Some(-0.3),
        return_90d: None,
        ytd_return: Some(1e-12),
        volatility_30d: Some(18.2),
        max_drawdown_90d: Some(-33.3),
        sharpe_30d: Some(-1.5),
        beta_90d: None,
        rank_30d: Some(2),
    }
}

/// A store of its own for each test.
#[async_trait::async_trait]
trait Place: Send + Sync {
    fn url(&self) -> String;

    async fn open(&self) -> AnalyticsStore {
        open(&self.url()).await.unwrap()
    }
}

struct SqlitePlace(tempfile::TempDir);

impl Place for SqlitePlace {
    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("analytics.db").display())
    }
}

/// A database of its own on a server.
struct ServerPlace(String);

impl ServerPlace {
    async fn new(variable: &str) -> Self {
        let server = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server"));
        let (base, name) = server.rsplit_once('/').unwrap();
        let name = format!("{name}_{:x}", Utc::now().timestamp_nanos_opt().unwrap());
        let mut connection = <sqlx::MySqlConnection as sqlx::Connection>::connect(&server).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::Executor::execute(&mut connection, sqlx::raw_sql(create)).await.unwrap();
        Self(format!("{base}/{name}"))
    }
}

impl Place for ServerPlace {
    fn url(&self) -> String {
        self.0.clone()
    }
}

async fn rows_come_back_as_they_were_stored(place: &dyn Place) {
    let store = place.open().await;
    let days: Vec<_> =
        [("AAPL", 12), ("AAPL", 13), ("BTC/USDT", 13)].map(|(name, day)| daily(name, day)).into();
    let changes = Changes::default().with(&days).with(&[weekly("AAPL")]).with(&[performance("AAPL")]);
    assert_eq!(store.store(changes).await.unwrap(), 5);
    let store = place.open().await;
    let query = RowQuery { from: date(1), to: date(31), ..RowQuery::newest(None, 100) };
    assert_eq!(store.rows::<DailyAggregate>(&query).await.unwrap(), days);
    assert_eq!(store.rows::<WeeklyAggregate>(&query).await.unwrap(), [weekly("AAPL")]);
    assert_eq!(store.rows::<Performance>(&query).await.unwrap(), [performance("AAPL")]);
    let apple = RowQuery { symbol: Some(symbol("AAPL")), ..query };
    assert_eq!(store.rows::<DailyAggregate>(&apple).await.unwrap(), days[..2]);
    let newest = RowQuery { limit: 1, ..apple };
    assert_eq!(store.rows::<DailyAggregate>(&newest).await.unwrap(), days[1..2]);
    let one_day = RowQuery { from: date(13), to: date(13), ..query };
    assert_eq!(store.rows::<DailyAggregate>(&one_day).await.unwrap(), days[1..]);
    assert_eq!(store.rows::<DailyAggregate>(&RowQuery::newest(None, 2)).await.unwrap(), days[1..]);
}

async fn a_row_that_does_not_differ_keeps_the_time_of_its_computation(place: &dyn Place) {
    let store = place.open().await;
    let first: Vec<_> = (1..=28).map(|day| daily("AAPL", day)).collect();
    assert_eq!(store.store(Changes::default().with(&first)).await.unwrap(), 28);
    let mut again = first.clone();
    for row in &mut again {
        row.computed_at = at(60);
    }
    assert_eq!(store.store(Changes::default().with(&again)).await.unwrap(), 0);
    again[6].rsi_14 = None;
    again[7].close_price = Decimal::new(26_106, 2);
    assert_eq!(store.store(Changes::default().with(&again)).await.unwrap(), 2);
    let stored = store.rows::<DailyAggregate>(&RowQuery::newest(None, 100)).await.unwrap();
    let expected: Vec<_> = (0..28)
        .map(|place| if [6, 7].contains(&place) { again[place].clone() } else { first[place].clone() })
        .collect();
    assert_eq!(stored, expected);
}

async fn a_transaction_is_stored_whole_or_not_at_all(place: &dyn Place) {
    let store = place.open().await;
    let many: Vec<_> = (1..=28).map(|day| daily("AAPL", day)).collect();
    // Above what DECIMAL(20,8) holds; SQLite takes it, and has nothing to refuse here.
    let mut too_large = weekly("AAPL");
    too_large.high_price = "123456789012345000".parse().unwrap();
    let refused = store.store(Changes::default().with(&many).with(&[too_large])).await;
    let stored = store.rows::<DailyAggregate>(&RowQuery::newest(None, 100)).await.unwrap();
    assert_eq!(stored.len(), if refused.is_err() { 0 } else { 28 });
}

async fn runs_are_recorded_and_replaced(place: &dyn Place) {
    let store = place.open().await;
    let running = BatchRun {
        date: date(13),
        started_at: at(0),
        finished_at: None,
        status: RunStatus::Running,
        symbols: 0,
        ticks_read: 0,
        rows_written: 0,
        error: None,
    };
    store.store(Changes::default().with(std::slice::from_ref(&running))).await.unwrap();
    let failed = BatchRun {
        finished_at: Some(at(5)),
        status: RunStatus::Failed,
        symbols: 2,
        error: Some("ÄÖ: \u{1f4c8} no ticks".to_owned()),
        ..running.clone()
    };
    let later = BatchRun { started_at: at(60), ..running };
    store.store(Changes::default().with(&[later.clone(), failed.clone()])).await.unwrap();
    assert_eq!(store.rows::<BatchRun>(&RowQuery::newest(None, 10)).await.unwrap(), [failed, later]);
    store.ping().await.unwrap();
}

#[test]
fn a_run_without_an_end_was_killed_where_another_one_began_later_or_its_time_is_over() {
    let run = |seconds, status| BatchRun {
        date: date(13),
        started_at: at(seconds),
        finished_at: None,
        status,
        symbols: 0,
        ticks_read: 0,
        rows_written: 0,
        error: None,
    };
    let [first, last] = [run(0, RunStatus::Running), run(60, RunStatus::Running)];
    let runs = [last.clone(), first.clone(), run(30, RunStatus::Done)];
    assert!(first.was_killed(&runs, at(90)));
    assert!(!last.was_killed(&runs, at(90)));
    assert!(!run(30, RunStatus::Done).was_killed(&runs, at(90)));
    assert!(last.was_killed(&runs, at(61) + BatchRun::LONGEST));
}

async fn rows_can_be_read_in_pages(place: &dyn Place) {
    let store = place.open().await;
    let mut days: Vec<_> =
        (10..=12).flat_map(|day| ["AAPL", "BTC/USDT", "MSFT"].map(|name| daily(name, day))).collect();
    store.store(Changes::default().with(&days)).await.unwrap();
    let mut query = RowQuery::newest(None, 2);
    while !days.is_empty() {
        let page: Vec<DailyAggregate> = store.rows(&query).await.unwrap();
        assert_eq!(page, days.split_off(days.len().saturating_sub(2)));
        query.before = page.first().map(|row| (row.date, row.symbol));
    }
    assert_eq!(store.rows::<DailyAggregate>(&query).await.unwrap(), []);
    // Runs have no symbol.
    assert_eq!(store.rows::<BatchRun>(&query).await.unwrap(), []);
}

async fn reading_creates_nothing(place: &dyn Place) {
    let error = open_for_reading(&place.url()).await.err().expect("there is nothing to read");
    assert!(error.is_transient() && error.to_string().contains("do not exist yet"), "{error}");
    assert_eq!(check(&place.url()).await.unwrap().format, 0);
    let error = open_for_reading(&place.url()).await.err().expect("nothing was created");
    assert!(error.is_transient(), "{error}");
    place.open().await.store(Changes::default().with(&[daily("AAPL", 12)])).await.unwrap();
    let found = check(&place.url()).await.unwrap();
    assert_eq!(found.format, found.newest);
    let reader = open_for_reading(&place.url()).await.unwrap();
    let rows: Vec<DailyAggregate> = reader.rows(&RowQuery::newest(None, 10)).await.unwrap();
    assert_eq!(rows, [daily("AAPL", 12)]);
}

async fn a_delivery_of_an_alert_is_one_row_that_is_replaced(place: &dyn Place) {
    let store = place.open().await;
    let row = |alert: &str, recipient: &str, triggered_at: DateTime<Utc>| AlertLogRow {
        alert_id: alert.to_owned(),
        symbol: symbol("AAPL"),
        kind: "price_change".to_owned(),
        price: Decimal::new(26_105, 2),
        change_pct: Some(-5.25),
        volume: None,
        threshold: 5.0,
        recipient: recipient.to_owned(),
        status: AlertLogStatus::Expired,
        message: "AAPL fell by 5.25 %".to_owned(),
        triggered_at,
        sent_at: None,
    };
    let last = "2026-01-13T23:59:59.999999Z".parse().unwrap();
    let first = [row("1", "a@example.com", at(0)), row("1", "b@example.com", at(0))];
    assert_eq!(store.store(Changes::default().with(&first)).await.unwrap(), 2);
    let sent = AlertLogRow { status: AlertLogStatus::Sent, sent_at: Some(at(3)), ..first[1].clone() };
    let later = row("2", "A@example.com", last);
    let changes = Changes::default().with(&[first[0].clone(), sent.clone(), later.clone()]);
    assert_eq!(store.store(changes).await.unwrap(), 2, "one was there already");
    let query = RowQuery { from: date(13), to: date(13), ..RowQuery::newest(None, 10) };
    let [one, _] = first;
    assert_eq!(store.rows::<AlertLogRow>(&query).await.unwrap(), [one, sent, later]);
    let other_day = RowQuery { from: date(14), to: date(31), ..query };
    assert_eq!(store.rows::<AlertLogRow>(&other_day).await.unwrap(), []);
}

macro_rules! suite {
    ($module:ident, $place:expr $(, $ignored:meta)?) => {
        mod $module {
            use super::*;

            suite!(@tests $place, ($($ignored)?),
                rows_come_back_as_they_were_stored,
                a_row_that_does_not_differ_keeps_the_time_of_its_computation,
                a_transaction_is_stored_whole_or_not_at_all,
                runs_are_recorded_and_replaced,
                rows_can_be_read_in_pages,
                reading_creates_nothing,
                a_delivery_of_an_alert_is_one_row_that_is_replaced);
        }
    };
    (@tests $place:expr, $ignored:tt, $($test:ident),*) => {
        $(suite!(@test $place, $ignored, $test);)*
    };
    (@test $place:expr, ($($ignored:meta)?), $test:ident) => {
        #[tokio::test]
        $(#[$ignored])?
        async fn $test() {
            super::$test(&$place).await;
        }
    };
}

suite!(sqlite, SqlitePlace(tempfile::tempdir().unwrap()));
suite!(
    mysql_server,
    ServerPlace::new("MYSQL_URL").await,
    ignore = "needs a MySQL server, which MYSQL_URL names: `make test-servers`"
);
suite!(
    mariadb_server,
    ServerPlace::new("MARIADB_URL").await,
    ignore = "needs a MariaDB server, which MARIADB_URL names: `make test-servers`"
);
