//! The pages, rendered here and readable without JavaScript. What several of them show is here.

mod board;
mod dashboard;
mod symbol;

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use market::{AssetClass, Symbol};

use super::{App, assets::Bundle};
use crate::{
    format,
    middleware::viewer::Viewer,
    problem::Problem,
    quote::{Freshness, Quote},
    trading_hours,
};

pub(super) use self::{board::board, dashboard::dashboard, symbol::symbol};

/// A page is shown without what is in the store when that has not answered in this time.
pub(super) const STORE_TIMEOUT_MS: u64 = 5_000;

/// What every page has around its own content.
pub(super) struct Layout<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) viewer: Viewer,
    /// The name of the page, for styles and scripts.
    pub(super) page: &'static str,
    /// For the search box.
    pub(super) symbols: Vec<Symbol>,
    /// No new prices can be read from the event log.
    pub(super) log_is_down: bool,
}

impl<'a> Layout<'a> {
    pub(super) fn new(app: &'a App, viewer: Viewer, page: &'static str) -> Self {
        let log_is_down = app.live.pipeline().outage().is_some();
        Self { bundle: &app.bundle, viewer, page, symbols: app.live.quotes().symbols(), log_is_down }
    }
}

/// A quote, formatted.
pub(crate) struct QuoteText {
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

impl From<&Quote> for QuoteText {
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
            volume: format::volume(Some(quote.volume)),
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

/// `BTC` and `/USDT`; a stock has no second half.
fn halves(symbol: &str) -> (&str, &str) {
    symbol.split_at(symbol.find('/').unwrap_or(symbol.len()))
}

/// When the market of these quotes trades.
fn hours<'a>(class: AssetClass, mut quotes: impl Iterator<Item = &'a Quote>, now: DateTime<Utc>) -> String {
    let is_ticking = |quote: &Quote| quote.simulated && quote.state == Freshness::Live;
    if !market::is_open(class, now) && quotes.any(is_ticking) {
        return trading_hours::SIMULATED.to_owned();
    }
    trading_hours::description(class, now)
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFoundPage<'a> {
    layout: Layout<'a>,
    title: &'a str,
    advice: &'a str,
}

/// For paths without a route.
pub(crate) async fn not_found(State(app): State<App>, uri: Uri, viewer: Viewer) -> Result<Response, Problem> {
    if uri.path() == "/v1" || uri.path().starts_with("/v1/") {
        return Err(Problem::not_found(format!("there is nothing at {}", uri.path())));
    }
    not_found_page(
        &app,
        viewer,
        "There is no such page",
        "The address may be mistyped. The board shows every symbol.",
    )
}

fn not_found_page(app: &App, viewer: Viewer, title: &str, advice: &str) -> Result<Response, Problem> {
    let page = render(&NotFoundPage { layout: Layout::new(app, viewer, "not-found"), title, advice })?;
    Ok((StatusCode::NOT_FOUND, page).into_response())
}

pub(super) fn render(page: &impl Template) -> Result<Response, Problem> {
    Ok(([(header::VARY, "Cookie")], Html(page.render()?)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::cookies::Theme;
    use crate::{live_quotes::SymbolView, quote::LatestTick, sparkline::Sparkline};
    use market::{Source, Tick, TickFields, parse_decimal};

    pub(super) fn now() -> DateTime<Utc> {
        "2026-01-13T15:30:00Z".parse().expect("a time")
    }

    pub(super) fn view(name: &str, price: &str, source: &str, age_seconds: i64) -> SymbolView {
        let decimal = |text| parse_decimal(text).expect("a decimal");
        let symbol = Symbol::parse(name).expect("a symbol");
        let received_at = now() - chrono::TimeDelta::seconds(age_seconds);
        let tick = Tick::new(TickFields {
            symbol,
            timestamp: received_at,
            price: decimal(price),
            volume: decimal("1234567"),
            open: decimal("100"),
            high: decimal("120"),
            low: decimal("90"),
            size: None,
            change_percent: -0.3,
            source: Source::parse(source).expect("a source"),
            received_at,
            seq: 1,
        })
        .expect("a tick");
        let sparkline = Sparkline { point_seconds: 60, last_point: 3, closes: vec![100.0, 110.0, 105.0] };
        let spark_path = sparkline.path().into();
        let quote = Quote::new(&LatestTick::arriving(tick, now()), Some(1.25), now());
        SymbolView { symbol, quote: Some(quote), spark_path }
    }

    pub(super) fn layout<'a>(bundle: &'a Bundle, theme: Theme, page: &'static str) -> Layout<'a> {
        let symbols = ["AAPL", "BTC/USDT"].map(|name| Symbol::parse(name).expect("a symbol"));
        Layout {
            bundle,
            viewer: Viewer { theme, has_session: false },
            page,
            symbols: symbols.to_vec(),
            log_is_down: false,
        }
    }

    /// What is between the notes on the connection and the footer.
    pub(super) fn content(page: &impl Template) -> String {
        let html = page.render().expect("it renders");
        let (_, rest) = html.split_once("lost-note\" hidden></p>").expect("a beginning");
        rest.split_once("</main>").expect("an end").0.trim().to_owned()
    }

    #[test]
    fn invented_stocks_that_trade_at_night_do_not_stand_below_a_closed_market() {
        let night = now() - chrono::TimeDelta::hours(12);
        let mut simulated = view("AAPL", "105.5", "simulated", 3).quote.expect("a quote");
        let hours = |quote: &Quote| hours(AssetClass::Stock, std::iter::once(quote), night);
        assert_eq!(hours(&simulated), trading_hours::SIMULATED);
        simulated.state = Freshness::Closed;
        assert!(hours(&simulated).starts_with("US market closed"));
        let real = view("AAPL", "105.5", "yahoo", 3).quote.expect("a quote");
        assert!(hours(&real).starts_with("US market closed"));
    }

    #[test]
    fn no_such_page() {
        let bundle = Bundle::default();
        let layout = layout(&bundle, Theme::System, "not-found");
        let page = NotFoundPage { layout, title: "There is no such page", advice: "<b>&" };
        insta::assert_snapshot!(content(&page), @r#"
        <section class="empty">
          <h1>There is no such page</h1>
          <p>&#60;b&#62;&#38;</p>
          <p><a href="/">To the board</a></p>
        </section>
        "#);
    }
}
