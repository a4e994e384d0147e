//! The dashboard: what the batch has computed in its last runs.

use std::collections::BTreeMap;

use analytics_store::{BatchRun, DailyAggregate, Performance, RowQuery, WeeklyAggregate};
use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use market::{AssetClass, Symbol, decimal_to_f64};

use super::{App, Layout, not_found_page, render};
use crate::{
    analytics::{Analytics, NotAvailable, everything},
    format::{self, TimeText},
    middleware::viewer::Viewer,
    params::Params,
    performance_table::{Column, Sort},
    problem::Problem,
};

/// Runs that the page lists, and of which the one that began last is shown.
const SHOWN_RUNS: u32 = 12;
/// Symbols that rose most, and as many that fell most.
const MOVERS: usize = 3;
/// Weeks of the bars of the weekly view.
const BAR_WEEKS: u64 = 8;
/// The bars of the weekly view: width and half the height of the drawing.
const BAR_PITCH: f64 = 10.0;
const BAR_HALF: f64 = 10.0;

/// What the page reads of the analytics store.
#[derive(Default)]
pub(crate) struct Nights {
    /// By their start.
    runs: Vec<BatchRun>,
    performance: Vec<Performance>,
    days: BTreeMap<Symbol, DailyAggregate>,
    weeks: Weeks,
}

/// The weeks up to the one that is shown.
#[derive(Default)]
pub(crate) struct Weeks {
    /// Monday of the week that is shown, and of the newest one; `None` where there are none.
    shown: Option<(NaiveDate, NaiveDate)>,
    rows: Vec<WeeklyAggregate>,
}

impl Nights {
    async fn read(analytics: &Analytics, week: Option<NaiveDate>) -> Result<Self, NotAvailable> {
        let mut runs: Vec<BatchRun> = analytics.rows(&RowQuery::newest(None, SHOWN_RUNS)).await?;
        runs.sort_by_key(|run| run.started_at);
        let performance = analytics.performance(None).await?;
        let days = analytics.newest_of_each(|row: &DailyAggregate| (row.date, row.symbol)).await?;
        let days = days.into_iter().map(|row| (row.symbol, row)).collect();
        Ok(Self { runs, performance, days, weeks: Weeks::read(analytics, week).await? })
    }

    fn newest_day(&self) -> Option<NaiveDate> {
        self.days.values().map(|row| row.date).max()
    }
}

impl Weeks {
    async fn read(analytics: &Analytics, week: Option<NaiveDate>) -> Result<Self, NotAvailable> {
        let newest: Vec<WeeklyAggregate> = analytics.rows(&RowQuery::newest(None, 1)).await?;
        let Some(newest) = newest.first().map(|row| row.week_start) else { return Ok(Self::default()) };
        let shown = week.map_or(newest, monday).min(newest);
        let from = shown.checked_sub_days(Days::new((BAR_WEEKS - 1) * 7)).unwrap_or(shown);
        let rows = analytics.rows(&RowQuery { from, to: shown, ..everything() }).await?;
        Ok(Self { shown: Some((shown, newest)), rows })
    }
}

fn monday(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday()))).unwrap_or(date)
}

/// A run, formatted.
struct RunText {
    date: NaiveDate,
    /// `done`, `failed`, `running` or `killed`.
    status: &'static str,
    /// For the colour: `up`, `down` or `starting`.
    state: &'static str,
    started_at: DateTime<Utc>,
    took: String,
    symbols: u64,
    ticks: String,
    rows: String,
    error: Option<String>,
}

impl RunText {
    fn new(run: &BatchRun, runs: &[BatchRun], now: DateTime<Utc>) -> Self {
        let was_killed = run.was_killed(runs, now);
        let status = if was_killed { "killed" } else { run.status.as_str() };
        let took = run.finished_at.or((!was_killed).then_some(now)).map(|end| end - run.started_at);
        Self {
            date: run.date,
            status,
            state: match status {
                "done" => "up",
                "running" => "starting",
                _ => "down",
            },
            started_at: run.started_at,
            took: took.map_or_else(|| format::UNKNOWN.to_owned(), format::span),
            symbols: run.symbols,
            ticks: format::grouped(run.ticks_read as f64, 0),
            rows: format::grouped(run.rows_written as f64, 0),
            error: run.error.clone(),
        }
    }
}

/// A heading of the performance table.
struct Heading {
    column: Column,
    /// The order after it was chosen.
    next: String,
    /// For `aria-sort`.
    sorted: &'static str,
}

/// A cell of the performance table.
struct Cell {
    text: String,
    /// To sort by; empty where it is unknown.
    value: String,
    direction: &'static str,
}

struct PerformanceRow {
    symbol: Symbol,
    cells: Vec<Cell>,
}

impl PerformanceRow {
    fn new(row: &Performance) -> Self {
        let cell = |column: Column| {
            let value = column.value(row);
            Cell {
                text: column.text(row),
                value: value.map_or_else(String::new, |value| value.to_string()),
                direction: value.filter(|_| column.is_change()).map_or("", format::direction),
            }
        };
        let cells = Column::ALL.into_iter().filter(|column| *column != Column::Symbol).map(cell).collect();
        Self { symbol: row.symbol, cells }
    }
}

/// A symbol among those that moved most.
struct Mover {
    symbol: Symbol,
    close: String,
    percent: String,
    arrow: &'static str,
    direction: &'static str,
}

struct MoverList {
    title: &'static str,
    /// In the place of the symbols where there are none.
    none: &'static str,
    movers: Vec<Mover>,
}

/// Relative strength and volatility of a symbol.
struct Level {
    symbol: Symbol,
    close: String,
    rsi: Option<f64>,
    rsi_text: String,
    /// `above 70`, `below 30` or empty.
    zone: &'static str,
    volatility: String,
    /// In percent of the greatest of all symbols.
    bar: f64,
}

/// A symbol's week.
struct WeekRow {
    symbol: Symbol,
    change: String,
    direction: &'static str,
    prices: [String; 4],
    volume: String,
    best_day: NaiveDate,
    worst_day: NaiveDate,
    days: u64,
    bars: Vec<Bar>,
    /// The weeks of the bars in words.
    spoken: String,
}

/// A bar of the change of a week.
struct Bar {
    x: f64,
    y: f64,
    height: f64,
    direction: &'static str,
}

/// The weekly view.
struct WeekView {
    start: NaiveDate,
    end: NaiveDate,
    number: u32,
    before: Option<NaiveDate>,
    after: Option<NaiveDate>,
    rows: Vec<WeekRow>,
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage<'a> {
    layout: Layout<'a>,
    is_historical: bool,
    /// Why nothing can be read.
    outage: Option<String>,
    /// State of the schedule, as the batch reports it.
    schedule: Option<String>,
    newest_day: Option<NaiveDate>,
    last_run: Option<RunText>,
    /// The newest first.
    runs: Vec<RunText>,
    sort: Sort,
    headings: Vec<Heading>,
    rows: Vec<PerformanceRow>,
    movers: [MoverList; 2],
    levels: Vec<Level>,
    week: Option<WeekView>,
}

/// GET /dashboard?sort=&week=
pub(crate) async fn dashboard(
    State(app): State<App>,
    viewer: Viewer,
    params: Params,
) -> Result<Response, Problem> {
    let parsed = || Ok((params.parsed("sort")?.unwrap_or_default(), params.date("week")?));
    let (sort, week) = match parsed() {
        Ok(parsed) => parsed,
        Err::<_, Problem>(problem) => {
            return not_found_page(&app, viewer, "There is no such table", problem.detail());
        }
    };
    let read = Nights::read(&app.analytics, week).await;
    let outage = read.as_ref().err().map(|NotAvailable(reason)| reason.clone());
    let is_down = outage.is_some();
    let now = Utc::now();
    let mut page =
        DashboardPage::new(Layout::new(&app, viewer, "dashboard"), read.unwrap_or_default(), sort, now);
    page.is_historical = app.is_historical;
    page.outage = outage;
    page.schedule = app.live.pipeline().batch_schedule(now);
    let response = render(&page)?;
    Ok(if is_down { (StatusCode::SERVICE_UNAVAILABLE, response).into_response() } else { response })
}

impl<'a> DashboardPage<'a> {
    fn new(layout: Layout<'a>, mut nights: Nights, sort: Sort, now: DateTime<Utc>) -> Self {
        sort.apply(&mut nights.performance);
        let heading = |column| Heading {
            column,
            next: sort.choose(column).to_string(),
            sorted: match sort {
                Sort { column: sorted, .. } if sorted != column => "none",
                Sort { is_descending: true, .. } => "descending",
                Sort { .. } => "ascending",
            },
        };
        let run = |run: &BatchRun| RunText::new(run, &nights.runs, now);
        Self {
            layout,
            is_historical: false,
            outage: None,
            schedule: None,
            newest_day: nights.newest_day(),
            last_run: nights.runs.last().map(run),
            runs: nights.runs.iter().rev().map(run).collect(),
            sort,
            headings: Column::ALL.map(heading).into(),
            rows: nights.performance.iter().map(PerformanceRow::new).collect(),
            movers: movers(&nights),
            levels: levels(&nights),
            week: week_view(&nights.weeks),
        }
    }
}

fn is_stock(symbol: Symbol) -> bool {
    symbol.asset_class() == AssetClass::Stock
}

fn close_text(nights: &Nights, symbol: Symbol) -> String {
    let close = nights.days.get(&symbol).map(|row| decimal_to_f64(row.close_price));
    close.map_or_else(|| format::UNKNOWN.to_owned(), |close| format::price(close, is_stock(symbol)))
}

/// The symbols that rose most from close to close, and those that fell most.
fn movers(nights: &Nights) -> [MoverList; 2] {
    let mut moves: Vec<(f64, Symbol)> =
        nights.performance.iter().filter_map(|row| Some((row.return_1d?, row.symbol))).collect();
    moves.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mover = |(percent, symbol): &(f64, Symbol)| Mover {
        symbol: *symbol,
        close: close_text(nights, *symbol),
        percent: format::percent(*percent),
        arrow: format::arrow(*percent),
        direction: format::direction(*percent),
    };
    let rose = moves.iter().filter(|(percent, _)| *percent > 0.0).take(MOVERS).map(mover);
    let fell = moves.iter().rev().filter(|(percent, _)| *percent < 0.0).take(MOVERS).map(mover);
    [
        MoverList { title: "Rose most from close to close", none: "None rose", movers: rose.collect() },
        MoverList { title: "Fell most from close to close", none: "None fell", movers: fell.collect() },
    ]
}

fn levels(nights: &Nights) -> Vec<Level> {
    let volatility: BTreeMap<Symbol, f64> =
        nights.performance.iter().filter_map(|row| Some((row.symbol, row.volatility_30d?))).collect();
    let greatest = volatility.values().copied().fold(f64::MIN_POSITIVE, f64::max);
    let level = |(symbol, row): (&Symbol, &DailyAggregate)| {
        let volatility = volatility.get(symbol).copied();
        let unknown = || format::UNKNOWN.to_owned();
        Level {
            symbol: *symbol,
            close: close_text(nights, *symbol),
            rsi: row.rsi_14,
            rsi_text: row.rsi_14.map_or_else(unknown, |rsi| format::grouped(rsi, 1)),
            zone: match row.rsi_14 {
                Some(rsi) if rsi > 70.0 => "above 70",
                Some(rsi) if rsi < 30.0 => "below 30",
                _ => "",
            },
            volatility: volatility.map_or_else(unknown, |value| format!("{} %", format::grouped(value, 1))),
            bar: volatility.map_or(0.0, |value| value / greatest * 100.0),
        }
    };
    nights.days.iter().map(level).collect()
}

fn week_view(weeks: &Weeks) -> Option<WeekView> {
    let (start, newest) = weeks.shown?;
    let mut by_symbol: BTreeMap<Symbol, Vec<&WeeklyAggregate>> = BTreeMap::new();
    for row in &weeks.rows {
        by_symbol.entry(row.symbol).or_default().push(row);
    }
    let greatest = weeks.rows.iter().map(|row| row.weekly_change_pct.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let shown = by_symbol.values().filter_map(|rows| {
        let row = rows.iter().find(|row| row.week_start == start)?;
        Some(week_row(row, rows, start, greatest))
    });
    Some(WeekView {
        start,
        end: start.checked_add_days(Days::new(6)).unwrap_or(start),
        number: start.iso_week().week(),
        before: weeks.rows.iter().map(|row| row.week_start).filter(|week| *week < start).max(),
        after: start.checked_add_days(Days::new(7)).filter(|week| *week <= newest),
        rows: shown.collect(),
    })
}

/// `rows`: the weeks of the symbol up to this one; `greatest`: the change of the longest bar.
fn week_row(row: &WeeklyAggregate, rows: &[&WeeklyAggregate], start: NaiveDate, greatest: f64) -> WeekRow {
    let bar = |week: &&WeeklyAggregate| {
        let change = week.weekly_change_pct;
        let place = BAR_WEEKS as i64 - 1 - (start - week.week_start).num_weeks();
        let height = (change.abs() / greatest * BAR_HALF).max(0.5);
        Bar {
            x: place as f64 * BAR_PITCH + 1.5,
            y: if change >= 0.0 { BAR_HALF - height } else { BAR_HALF },
            height,
            direction: format::direction(change),
        }
    };
    let changes: Vec<String> = rows.iter().map(|week| format::percent(week.weekly_change_pct)).collect();
    let price = |value| format::price(decimal_to_f64(value), is_stock(row.symbol));
    WeekRow {
        symbol: row.symbol,
        change: format::percent(row.weekly_change_pct),
        direction: format::direction(row.weekly_change_pct),
        prices: [row.open_price, row.high_price, row.low_price, row.close_price].map(price),
        volume: format::volume(row.total_volume.map(decimal_to_f64)),
        best_day: row.best_day,
        worst_day: row.worst_day,
        days: row.days,
        bars: rows.iter().map(bar).collect(),
        spoken: changes.join(", "),
    }
}
