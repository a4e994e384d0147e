//! The pages, rendered here and readable without JavaScript.

use std::{collections::HashMap, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use live_store::CandleQuery;
use market::{AssetClass, Interval, Symbol};
use tokio::time::timeout;

use super::{
    App,
    assets::Bundle,
    news::{Story, headlines},
    v1,
};
use crate::{
    candle_json::CandleJson,
    format::{self, TimeText},
    live_quotes::SymbolView,
    middleware::cookies::Theme,
    params::{Params, far_future, far_past},
    problem::Problem,
    quote::{Freshness, Quote, class_name},
    trading_hours,
};

/// Rows of the table of the latest candles.
const TABLE_ROWS: usize = 30;
/// A page is shown without candles when the store has not answered in this time.
pub(super) const STORE_TIMEOUT_MS: u64 = 5_000;

/// What every page has around its own content.
pub(super) struct Layout<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) theme: Theme,
    /// The name of the page, for styles and scripts.
    pub(super) page: &'static str,
    /// For the search box.
    pub(super) symbols: Vec<Symbol>,
    /// No new prices can be read from the event log.
    pub(super) log_is_down: bool,
}

impl<'a> Layout<'a> {
    pub(super) fn new(app: &'a App, theme: Theme, page: &'static str) -> Self {
        let log_is_down = app.live.pipeline().outage().is_some();
        Self { bundle: &app.bundle, theme, page, symbols: app.live.quotes().symbols(), log_is_down }
    }
}

/// A symbol on the board.
pub(crate) struct Tile {
    name: String,
    is_watched: bool,
    quote: Option<QuoteText>,
    path: Arc<str>,
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

impl Tile {
    fn new(view: &SymbolView, is_watched: bool) -> Self {
        Self {
            name: view.symbol.to_string(),
            is_watched,
            quote: view.quote.as_ref().map(QuoteText::from),
            path: Arc::clone(&view.spark_path),
        }
    }

    /// The template of scripts, for symbols that appear after the page was loaded.
    fn blank() -> Self {
        Self { name: String::new(), is_watched: false, quote: None, path: "".into() }
    }

    /// What closes the path to the area below it.
    fn area_end(&self) -> &'static str {
        if self.path.is_empty() { "" } else { "L100 32L0 32Z" }
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
    hours: String,
    tiles: Vec<Tile>,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage<'a> {
    layout: Layout<'a>,
    markets: Vec<Market>,
    blank: Tile,
    is_empty: bool,
    simulated: bool,
    /// Why prices are invented, where it is known.
    simulated_because: Option<String>,
}

/// GET /
pub(crate) async fn board(State(app): State<App>, theme: Theme) -> Result<Response, Problem> {
    let snapshot = app.live.snapshot().await;
    let make = || {
        let because = app.live.pipeline().simulated_because(snapshot.at).map(str::to_owned);
        let layout = Layout::new(&app, theme, "board");
        BoardPage::new(layout, snapshot.views(), &app.watched, because, snapshot.at).render()
    };
    let page = snapshot.board(theme, make).await?;
    Ok(([(header::VARY, "Cookie")], Html(page)).into_response())
}

impl<'a> BoardPage<'a> {
    /// The watched symbols come in the order of the watch list, the others after them in alphabetical order, which `views` has.
    fn new(
        layout: Layout<'a>,
        views: &[SymbolView],
        watched: &HashMap<Symbol, usize>,
        simulated_because: Option<String>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut views: Vec<&SymbolView> = views.iter().collect();
        views.sort_by_key(|view| watched.get(&view.symbol).copied().unwrap_or(usize::MAX));
        let market = |class: AssetClass, title, name| {
            let views = || views.iter().copied().filter(|view| view.symbol.asset_class() == class);
            Market {
                title,
                class: name,
                hours: hours(class, views().filter_map(|view| view.quote.as_ref()), now),
                tiles: views().map(|view| Tile::new(view, watched.contains_key(&view.symbol))).collect(),
            }
        };
        let markets = vec![
            market(AssetClass::Stock, "Stocks", "stock"),
            market(AssetClass::Crypto, "Crypto", "crypto"),
        ];
        let simulated = views.iter().filter_map(|view| view.quote.as_ref()).any(|quote| quote.simulated);
        let is_empty = views.is_empty();
        Self { layout, markets, blank: Tile::blank(), is_empty, simulated, simulated_because }
    }
}

/// When the market of these quotes trades.
fn hours<'a>(class: AssetClass, mut quotes: impl Iterator<Item = &'a Quote>, now: DateTime<Utc>) -> String {
    let is_ticking = |quote: &Quote| quote.simulated && quote.state == Freshness::Live;
    if !market::is_open(class, now) && quotes.any(is_ticking) {
        return trading_hours::SIMULATED.to_owned();
    }
    trading_hours::description(class, now)
}

/// A candle, formatted.
pub(crate) struct CandleRow {
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
    layout: Layout<'a>,
    symbol: Symbol,
    class: &'static str,
    quote: Option<QuoteText>,
    hours: String,
    zone: &'static str,
    interval: Interval,
    rows: Vec<CandleRow>,
    /// The newest stories about it.
    headlines: Vec<Story>,
    /// The candles could not be read.
    store_is_down: bool,
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
    theme: Theme,
    params: Params,
) -> Result<Response, Problem> {
    let Ok(Path(text)) = path else {
        return not_found_page(
            &app,
            theme,
            "This address is not a symbol",
            "It contains characters that no symbol has.",
        );
    };
    let symbol = match Symbol::parse(&text) {
        Ok(symbol) => symbol,
        Err(error) => return not_found_page(&app, theme, "This is not a symbol", &format!("{error}.")),
    };
    if symbol.as_str() != text {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Redirect::permanent(&format!("/symbols/{symbol}{query}")).into_response());
    }
    let interval = match params.parsed("interval") {
        Ok(interval) => interval.unwrap_or(Interval::Minute),
        Err(problem) => return not_found_page(&app, theme, "This chart does not exist", problem.detail()),
    };
    let now = Utc::now();
    let (is_known, quote) = {
        let live = app.live.quotes();
        (live.contains(symbol), live.quote(symbol, now))
    };
    let query = CandleQuery { symbol, interval, from: far_past(), to: far_future(), limit: TABLE_ROWS };
    let read = timeout(Duration::from_millis(STORE_TIMEOUT_MS), v1::read_candles(&app, &query)).await;
    let store_is_down = !matches!(read, Ok(Ok(_)));
    let candles = read.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
    if !is_known && candles.is_empty() && !store_is_down {
        let advice = format!(
            "No feed delivers {symbol}. Add it to the watch list (--watchlist or WATCHLIST) and start again."
        );
        return not_found_page(&app, theme, "There are no prices of this symbol", &advice);
    }
    let candles: Vec<CandleJson> = candles.iter().map(CandleJson::from).collect();
    let layout = Layout::new(&app, theme, "symbol");
    let mut page = SymbolPage::new(layout, symbol, quote.as_ref(), interval, &candles, now);
    page.store_is_down = store_is_down;
    if !store_is_down {
        page.headlines = headlines(&app, symbol).await;
    }
    let response = render(&page)?;
    // Its prices are live; for programs the page is incomplete.
    Ok(if store_is_down { (StatusCode::SERVICE_UNAVAILABLE, response).into_response() } else { response })
}

impl<'a> SymbolPage<'a> {
    /// `candles` in the order of time.
    fn new(
        layout: Layout<'a>,
        symbol: Symbol,
        quote: Option<&Quote>,
        interval: Interval,
        candles: &[CandleJson],
        now: DateTime<Utc>,
    ) -> Self {
        let class = symbol.asset_class();
        Self {
            layout,
            symbol,
            class: class_name(class),
            quote: quote.map(QuoteText::from),
            hours: hours(class, quote.into_iter(), now),
            zone: trading_hours::zone_name(class),
            interval,
            rows: candles.iter().rev().map(|candle| candle_row(candle, class == AssetClass::Stock)).collect(),
            headlines: Vec::new(),
            store_is_down: false,
        }
    }
}

fn candle_row(candle: &CandleJson, is_stock: bool) -> CandleRow {
    let price = |value| format::price(value, is_stock);
    CandleRow {
        time: candle.time,
        open: price(candle.open),
        high: price(candle.high),
        low: price(candle.low),
        close: price(candle.close),
        volume: format::volume(candle.volume),
        ticks: candle.ticks,
        source: candle.source.to_string(),
        is_final: candle.is_final,
    }
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFoundPage<'a> {
    layout: Layout<'a>,
    title: &'a str,
    advice: &'a str,
}

/// For paths without a route.
pub(crate) async fn not_found(State(app): State<App>, uri: Uri, theme: Theme) -> Result<Response, Problem> {
    if uri.path() == "/v1" || uri.path().starts_with("/v1/") {
        return Err(Problem::not_found(format!("there is nothing at {}", uri.path())));
    }
    not_found_page(
        &app,
        theme,
        "There is no such page",
        "The address may be mistyped. The board shows every symbol.",
    )
}

fn not_found_page(app: &App, theme: Theme, title: &str, advice: &str) -> Result<Response, Problem> {
    let page = render(&NotFoundPage { layout: Layout::new(app, theme, "not-found"), title, advice })?;
    Ok((StatusCode::NOT_FOUND, page).into_response())
}

pub(super) fn render(page: &impl Template) -> Result<Response, Problem> {
    Ok(([(header::VARY, "Cookie")], Html(page.render()?)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote::LatestTick;
    use crate::sparkline::Sparkline;
    use market::{Source, Tick, TickFields, parse_decimal};

    fn now() -> DateTime<Utc> {
        "2026-01-13T15:30:00Z".parse().expect("a time")
    }

    fn view(name: &str, price: &str, source: &str, age_seconds: i64) -> SymbolView {
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

    fn watched(names: &[&str]) -> HashMap<Symbol, usize> {
        names.iter().map(|name| Symbol::parse(name).expect("a symbol")).zip(0..).collect()
    }

    fn waiting(name: &str) -> SymbolView {
        let symbol = Symbol::parse(name).expect("a symbol");
        SymbolView { symbol, quote: None, spark_path: "".into() }
    }

    fn candle(minute: u32, volume: Option<f64>, is_final: bool) -> CandleJson {
        let time = format!("2026-01-13T15:{minute}:00Z").parse().expect("a time");
        let source = "binance/ticks".parse().expect("a source");
        CandleJson { time, open: 1.0, high: 1234.5, low: 0.5, close: 2.0, volume, ticks: 3, source, is_final }
    }

    fn layout<'a>(bundle: &'a Bundle, theme: Theme, page: &'static str) -> Layout<'a> {
        let symbols = ["AAPL", "BTC/USDT"].map(|name| Symbol::parse(name).expect("a symbol"));
        Layout { bundle, theme, page, symbols: symbols.to_vec(), log_is_down: false }
    }

    /// What is between the notes on the connection and the footer.
    fn content(page: &impl Template) -> String {
        let html = page.render().expect("it renders");
        let (_, rest) = html.split_once("lost-note\" hidden></p>").expect("a beginning");
        rest.split_once("</main>").expect("an end").0.trim().to_owned()
    }

    #[test]
    fn the_board() {
        let bundle = Bundle::default();
        let views = vec![
            view("AAPL", "105.5", "simulated", 3),
            waiting("MSFT"),
            view("NVDA", "120", "simulated", 3),
            view("BTC/USDT", "117.25", "binance", 120),
        ];
        let because = Some("no provider answered at the start: yahoo (nothing within 3 s)".to_owned());
        let layout = layout(&bundle, Theme::Dark, "board");
        let watched = watched(&["NVDA", "BTC/USDT", "MSFT"]);
        let page = BoardPage::new(layout, &views, &watched, because, now());
        insta::assert_snapshot!(page.render().expect("it renders"));
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
    fn the_board_without_symbols() {
        let bundle = Bundle::default();
        let layout = layout(&bundle, Theme::System, "board");
        let page = BoardPage::new(layout, &[], &HashMap::new(), None, now());
        let html = content(&page);
        let (before_template, _) = html.split_once("<template").expect("a template of tiles");
        insta::assert_snapshot!(before_template.trim());
    }

    #[test]
    fn a_symbol_with_a_candle_in_progress_and_one_of_unknown_volume() {
        let bundle = Bundle::default();
        let view = view("BTC/USDT", "117.25", "binance", 3);
        let candles = [
            candle(27, Some(0.0), true),
            candle(28, None, true),
            candle(29, Some(12_345.0), true),
            candle(30, Some(0.125), false),
        ];
        let layout = layout(&bundle, Theme::Light, "symbol");
        let page =
            SymbolPage::new(layout, view.symbol, view.quote.as_ref(), Interval::Minute, &candles, now());
        let html = content(&page);
        assert!(html.contains("<td>\u{2013}</td><td>3</td>"), "an unknown volume is no number: {html}");
        assert!(html.contains("<td>0</td><td>3</td>"), "a volume of zero is one: {html}");
        insta::assert_snapshot!(html);
    }

    #[test]
    fn a_symbol_while_the_store_is_down_has_its_price_and_the_reason_for_the_empty_chart() {
        let bundle = Bundle::default();
        let view = view("BTC/USDT", "117.25", "binance", 3);
        let mut layout = layout(&bundle, Theme::Light, "symbol");
        layout.log_is_down = true;
        let mut page =
            SymbolPage::new(layout, view.symbol, view.quote.as_ref(), Interval::Minute, &[], now());
        page.store_is_down = true;
        let html = page.render().expect("it renders");
        for part in ["117.25", "The live store does not respond", "The event log does not respond"] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn a_headline_is_text_and_its_link_passes_nothing_on() {
        let bundle = Bundle::default();
        let symbol = Symbol::parse("BTC/USDT").expect("a symbol");
        let layout = layout(&bundle, Theme::System, "symbol");
        let mut page = SymbolPage::new(layout, symbol, None, Interval::Day, &[], now());
        page.headlines = vec![crate::routes::news::sample()];
        let html = content(&page);
        assert!(html.contains("Bitcoin &#60;b&#62;slides"), "{html}");
        let link = "<a href=\"https://example.com/1?a=1&#38;b=2\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">";
        assert!(html.contains(link), "{html}");
    }

    #[test]
    fn a_symbol_before_its_first_price() {
        let bundle = Bundle::default();
        let symbol = Symbol::parse("AAPL").expect("a symbol");
        let layout = layout(&bundle, Theme::System, "symbol");
        let page = SymbolPage::new(layout, symbol, None, Interval::Day, &[], now());
        insta::assert_snapshot!(content(&page));
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
