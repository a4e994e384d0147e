//! The pages, rendered here and readable without JavaScript.

use askama::Template;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use live_store::CandleQuery;
use market::{AssetClass, Interval, Symbol};

use super::{App, assets::Bundle, v1};
use crate::{
    bar::Bar,
    format::{self, Moment},
    params::{Params, far_future},
    picture::View,
    problem::Problem,
    quote::Quote,
    session,
};

/// Rows of the table of last bars.
const TABLE_BARS: usize = 30;

/// What every page has around its own content.
pub(super) struct Frame<'a> {
    pub(super) bundle: &'a Bundle,
    /// `dark` or `light` when the reader chose one; empty: as the system says.
    pub(super) theme: &'static str,
    pub(super) page: &'static str,
    pub(super) symbols: Vec<Symbol>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(app: &'a App, headers: &HeaderMap, page: &'static str) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let chosen = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(name, _)| *name == "theme");
        let theme = match chosen {
            Some((_, "dark")) => "dark",
            Some((_, "light")) => "light",
            _ => "",
        };
        Self { bundle: &app.bundle, theme, page, symbols: app.live.picture().symbols() }
    }
}

/// A quote in words.
pub(crate) struct Tile {
    name: String,
    quote: Option<Words>,
    path: String,
    area: String,
}

/// The numbers of a quote as people read them.
pub(crate) struct Words {
    price: String,
    percent: String,
    direction: &'static str,
    arrow: &'static str,
    open: String,
    high: String,
    low: String,
    volume: String,
    relative_volume: Option<String>,
    age: String,
    state: &'static str,
    source: String,
    simulated: bool,
    timestamp: DateTime<Utc>,
    received_at: DateTime<Utc>,
}

impl From<&Quote> for Words {
    fn from(quote: &Quote) -> Self {
        let is_stock = quote.symbol.asset_class() == AssetClass::Stock;
        let price = |value| format::price(value, is_stock);
        Self {
            price: price(quote.price),
            percent: format::percent(quote.change_percent),
            direction: format::direction(quote.change_percent),
            arrow: format::arrow(quote.change_percent),
            open: price(quote.open),
            high: price(quote.high),
            low: price(quote.low),
            volume: format::compact(quote.volume),
            relative_volume: quote.relative_volume.map(format::ratio),
            age: format::age(quote.age_ms),
            state: quote.state.as_str(),
            source: quote.source.to_string(),
            simulated: quote.simulated,
            timestamp: quote.timestamp,
            received_at: quote.received_at,
        }
    }
}

impl Tile {
    fn new(view: &View) -> Self {
        let path = view.spark.path();
        let area = if path.is_empty() { String::new() } else { format!("{path}L100 32L0 32Z") };
        Self { name: view.symbol.to_string(), quote: view.quote.as_ref().map(Words::from), path, area }
    }

    /// What scripts make tiles of, for symbols that come after the page.
    fn blank() -> Self {
        Self { name: String::new(), quote: None, path: String::new(), area: String::new() }
    }

    fn halves(&self) -> (&str, &str) {
        halves(&self.name)
    }
}

/// `BTC` and `/USDT`; a stock has no second half.
fn halves(symbol: &str) -> (&str, &str) {
    symbol.split_at(symbol.find('/').unwrap_or(symbol.len()))
}

/// The tiles of one market.
pub(crate) struct Market {
    title: &'static str,
    class: &'static str,
    session: String,
    tiles: Vec<Tile>,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage<'a> {
    frame: Frame<'a>,
    markets: Vec<Market>,
    blank: Tile,
    is_empty: bool,
    simulated: bool,
}

/// GET /
pub(crate) async fn board(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let now = Utc::now();
    let views = app.live.picture().views(now);
    let market = |class: AssetClass, title, name| Market {
        title,
        class: name,
        session: session::words(class, now),
        tiles: views.iter().filter(|view| view.symbol.asset_class() == class).map(Tile::new).collect(),
    };
    let markets =
        vec![market(AssetClass::Stock, "Stocks", "stock"), market(AssetClass::Crypto, "Crypto", "crypto")];
    let simulated = views.iter().filter_map(|view| view.quote.as_ref()).any(|quote| quote.simulated);
    let frame = Frame::new(&app, &headers, "board");
    render(&BoardPage { frame, markets, blank: Tile::blank(), is_empty: views.is_empty(), simulated })
}

/// A bar in words.
pub(crate) struct Row {
    time: DateTime<Utc>,
    open: String,
    high: String,
    low: String,
    close: String,
    volume: String,
    ticks: u64,
    source: String,
    is_final: bool,
}

#[derive(Template)]
#[template(path = "symbol.html")]
struct SymbolPage<'a> {
    frame: Frame<'a>,
    symbol: Symbol,
    class: &'static str,
    quote: Option<Words>,
    session: String,
    zone: &'static str,
    interval: Interval,
    rows: Vec<Row>,
}

impl SymbolPage<'_> {
    fn halves(&self) -> (&str, &str) {
        halves(self.symbol.as_str())
    }
}

/// GET /symbols/{symbol}
pub(crate) async fn symbol(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let Ok(Path(text)) = path else {
        return nothing(
            &app,
            &headers,
            "This address is not a symbol",
            "It holds characters that no symbol has.",
        );
    };
    let symbol = match Symbol::parse(&text) {
        Ok(symbol) => symbol,
        Err(error) => return nothing(&app, &headers, "This is not a symbol", &format!("{error}.")),
    };
    if symbol.as_str() != text {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Redirect::permanent(&format!("/symbols/{symbol}{query}")).into_response());
    }
    let interval = match params.parsed("interval") {
        Ok(interval) => interval.unwrap_or(Interval::Minute),
        Err(problem) => return nothing(&app, &headers, "This chart does not exist", problem.detail()),
    };
    let now = Utc::now();
    let view = app.live.picture().view(symbol, now);
    let query =
        CandleQuery { symbol, interval, from: DateTime::UNIX_EPOCH, to: far_future(), limit: TABLE_BARS };
    let bars = v1::bars(&app, &query).await?;
    if view.is_none() && bars.is_empty() {
        let advice = format!(
            "Nothing feeds {symbol}. Add it to the watch list (--watchlist or WATCHLIST) and start again."
        );
        return nothing(&app, &headers, "No prices of this symbol", &advice);
    }
    let class = symbol.asset_class();
    render(&SymbolPage {
        frame: Frame::new(&app, &headers, "symbol"),
        symbol,
        class: crate::quote::class_name(class),
        quote: view.and_then(|view| view.quote).as_ref().map(Words::from),
        session: session::words(class, now),
        zone: session::zone_name(class),
        interval,
        rows: bars.iter().rev().map(|bar| row(&Bar::from(bar), class == AssetClass::Stock)).collect(),
    })
}

fn row(bar: &Bar, is_stock: bool) -> Row {
    let price = |value| format::price(value, is_stock);
    Row {
        time: bar.time,
        open: price(bar.open),
        high: price(bar.high),
        low: price(bar.low),
        close: price(bar.close),
        volume: bar.volume.map_or_else(|| "–".to_owned(), format::compact),
        ticks: bar.ticks,
        source: bar.source.to_string(),
        is_final: bar.is_final,
    }
}

#[derive(Template)]
#[template(path = "nothing.html")]
struct NothingPage<'a> {
    frame: Frame<'a>,
    title: &'a str,
    advice: &'a str,
}

/// For paths that nothing answers.
pub(crate) async fn not_found(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if uri.path() == "/v1" || uri.path().starts_with("/v1/") {
        return Err(Problem::not_found(format!("there is nothing at {}", uri.path())));
    }
    nothing(
        &app,
        &headers,
        "There is no such page",
        "The address may be mistyped. The board shows every symbol.",
    )
}

fn nothing(app: &App, headers: &HeaderMap, title: &str, advice: &str) -> Result<Response, Problem> {
    let page = render(&NothingPage { frame: Frame::new(app, headers, "nothing"), title, advice })?;
    Ok((StatusCode::NOT_FOUND, page).into_response())
}

pub(super) fn render(page: &impl Template) -> Result<Response, Problem> {
    Ok(([(header::VARY, "Cookie")], Html(page.render()?)).into_response())
}
