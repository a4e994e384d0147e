//! The rows of the analytics store as JSON, under the names of its columns, and the performance as CSV.

use analytics_store::{BatchRun, DailyAggregate, Performance, Row, RowQuery, WeeklyAggregate};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use market::Symbol;
use serde::Serialize;

use super::{
    App,
    v1::{DEFAULT_LIMIT, MAX_LIMIT},
};
use crate::{
    params::Params,
    performance_table::{Sort, csv},
    problem::Problem,
};

/// Between the date and the symbol of a cursor; in no symbol.
const CURSOR_SEPARATOR: char = '_';

#[derive(Serialize)]
pub(crate) struct Aggregates {
    aggregates: Vec<DailyAggregate>,
    next_cursor: Option<String>,
}

/// GET /v1/aggregates?symbol=&from=&to=&limit=&cursor=
pub(crate) async fn aggregates(State(app): State<App>, params: Params) -> Result<Json<Aggregates>, Problem> {
    let (aggregates, next_cursor) = page(&app, params, |row: &DailyAggregate| (row.date, row.symbol)).await?;
    Ok(Json(Aggregates { aggregates, next_cursor }))
}

#[derive(Serialize)]
pub(crate) struct Weekly {
    weekly: Vec<WeeklyAggregate>,
    next_cursor: Option<String>,
}

/// GET /v1/weekly?symbol=&from=&to=&limit=&cursor=
pub(crate) async fn weekly(State(app): State<App>, params: Params) -> Result<Json<Weekly>, Problem> {
    let (weekly, next_cursor) =
        page(&app, params, |row: &WeeklyAggregate| (row.week_start, row.symbol)).await?;
    Ok(Json(Weekly { weekly, next_cursor }))
}

/// The newest rows, in the order of date and symbol, and the cursor of those before them; `key` is the date and symbol of a row.
async fn page<R: Row>(
    app: &App,
    params: Params,
    key: impl Fn(&R) -> (NaiveDate, Symbol),
) -> Result<(Vec<R>, Option<String>), Problem> {
    let params = params.allow(&["symbol", "from", "to", "limit", "cursor"])?;
    let symbol = params.get("symbol").map(|_| params.symbol()).transpose()?;
    let (from, to) = params.dates()?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let before = params.get("cursor").map(parse_cursor).transpose()?;
    // One more: whether there are older rows.
    let query = RowQuery { symbol, from, to, before, limit: limit as u32 + 1 };
    let mut rows: Vec<R> = app.analytics.rows(&query).await?;
    if rows.len() <= limit {
        return Ok((rows, None));
    }
    rows.remove(0);
    let cursor = rows.first().map(key).map(|(date, symbol)| format!("{date}{CURSOR_SEPARATOR}{symbol}"));
    Ok((rows, cursor))
}

fn parse_cursor(text: &str) -> Result<(NaiveDate, Symbol), Problem> {
    let parts = text.split_once(CURSOR_SEPARATOR);
    let row = parts.and_then(|(date, symbol)| Some((date.parse().ok()?, Symbol::parse(symbol).ok()?)));
    row.ok_or_else(|| Problem::parameter("cursor", "is none of a page before; pass on `next_cursor`"))
}

#[derive(Serialize)]
pub(crate) struct PerformanceRows {
    performance: Vec<Performance>,
}

/// GET /v1/performance?date=
pub(crate) async fn performance(
    State(app): State<App>,
    params: Params,
) -> Result<Json<PerformanceRows>, Problem> {
    let date = params.allow(&["date"])?.date("date")?;
    Ok(Json(PerformanceRows { performance: app.analytics.performance(date).await? }))
}

#[derive(Serialize)]
pub(crate) struct BatchRuns {
    batch_runs: Vec<BatchRun>,
}

/// GET /v1/batch-runs?limit=
pub(crate) async fn batch_runs(State(app): State<App>, params: Params) -> Result<Json<BatchRuns>, Problem> {
    let limit = params.allow(&["limit"])?.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    Ok(Json(BatchRuns { batch_runs: app.analytics.rows(&RowQuery::newest(None, limit as u32)).await? }))
}

/// GET /dashboard/performance.csv?date=&sort=
pub(crate) async fn performance_csv(State(app): State<App>, params: Params) -> Result<Response, Problem> {
    let params = params.allow(&["date", "sort"])?;
    let sort: Sort = params.parsed("sort")?.unwrap_or_default();
    let mut rows = app.analytics.performance(params.date("date")?).await?;
    sort.apply(&mut rows);
    let newest = rows.iter().map(|row| row.date).max();
    let name = newest.map_or_else(String::new, |date| format!("-{date}"));
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"performance{name}.csv\"")),
    ];
    Ok((headers, csv(&rows)).into_response())
}
