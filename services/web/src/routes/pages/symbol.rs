//! The page of one symbol.

use std::{num::NonZeroUsize, time::Duration};

use askama::Template;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use indicators::{rsi, sma};
use live_store::CandleQuery;
use market::{AssetClass, Interval, Symbol};
use tokio::time::timeout;

use super::{App, Layout, QuoteText, STORE_TIMEOUT_MS, halves, hours, not_found_page, render};
use crate::{
    candle_json::CandleJson,
    format::{self, TimeText},
    middleware::viewer::Viewer,
    params::{Params, far_future, far_past},
    problem::Problem,
    quote::{Quote, class_name},
    routes::{
        alerts::{self, AlertText},
        news::{Story, headlines},
        v1,
    },
    trading_hours,
};

/// Rows of the table of the latest candles.
const TABLE_ROWS: usize = 30;
/// Candles before those of the table, of which its indicators are computed: Wilder's index is then within a millionth.
const HISTORY: usize = 250;
const SMA: NonZeroUsize = NonZeroUsize::new(20).expect("above 0");
const RSI: NonZeroUsize = NonZeroUsize::new(14).expect("above 0");

/// A candle, formatted.
pub(crate) struct CandleRow {
    time: DateTime<Utc>,
    open: String,
    high: String,
    low: String,
    close: String,
    volume: String,
    ticks: u64,
    sma: String,
    rsi: String,
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
    /// The newest alerts of it.
    alerts: Vec<AlertText>,
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
    viewer: Viewer,
    params: Params,
) -> Result<Response, Problem> {
    let Ok(Path(text)) = path else {
        return not_found_page(
            &app,
            viewer,
            "This address is not a symbol",
            "It contains characters that no symbol has.",
        );
    };
    let symbol = match Symbol::parse(&text) {
        Ok(symbol) => symbol,
        Err(error) => return not_found_page(&app, viewer, "This is not a symbol", &format!("{error}.")),
    };
    if symbol.as_str() != text {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Redirect::permanent(&format!("/symbols/{symbol}{query}")).into_response());
    }
    let interval = match params.parsed("interval") {
        Ok(interval) => interval.unwrap_or(Interval::Minute),
        Err(problem) => return not_found_page(&app, viewer, "This chart does not exist", problem.detail()),
    };
    let now = Utc::now();
    let (is_known, quote) = {
        let live = app.live.quotes();
        (live.contains(symbol), live.quote(symbol, now))
    };
    let limit = TABLE_ROWS + HISTORY;
    let query = CandleQuery { symbol, interval, from: far_past(), to: far_future(), limit };
    let read = timeout(Duration::from_millis(STORE_TIMEOUT_MS), v1::read_candles(&app, &query)).await;
    let store_is_down = !matches!(read, Ok(Ok(_)));
    let candles = read.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
    if !is_known && candles.is_empty() && !store_is_down {
        let advice = format!(
            "No feed delivers {symbol}. Add it to the watch list (--watchlist or WATCHLIST) and start again."
        );
        return not_found_page(&app, viewer, "There are no prices of this symbol", &advice);
    }
    let candles: Vec<CandleJson> = candles.iter().map(CandleJson::from).collect();
    let layout = Layout::new(&app, viewer, "symbol");
    let mut page = SymbolPage::new(layout, symbol, quote.as_ref(), interval, &candles, now);
    page.store_is_down = store_is_down;
    if !store_is_down {
        (page.alerts, page.headlines) = tokio::join!(alerts::newest(&app, symbol), headlines(&app, symbol));
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
            rows: candle_rows(candles, class == AssetClass::Stock),
            alerts: Vec::new(),
            headlines: Vec::new(),
            store_is_down: false,
        }
    }
}

/// The rows of the table, newest first.
fn candle_rows(candles: &[CandleJson], is_stock: bool) -> Vec<CandleRow> {
    let closes: Vec<f64> = candles.iter().map(|candle| candle.close).collect();
    let indicators = sma(&closes, SMA).into_iter().zip(rsi(&closes, RSI));
    let rows = candles.iter().zip(indicators).rev().take(TABLE_ROWS);
    rows.map(|(candle, (sma, rsi))| candle_row(candle, sma, rsi, is_stock)).collect()
}

fn candle_row(candle: &CandleJson, sma: Option<f64>, rsi: Option<f64>, is_stock: bool) -> CandleRow {
    let price = |value| format::price(value, is_stock);
    let optional = |value: Option<f64>, format: &dyn Fn(f64) -> String| {
        value.map_or_else(|| format::UNKNOWN.into(), format)
    };
    CandleRow {
        sma: optional(sma, &price),
        rsi: optional(rsi, &|value| format::grouped(value, 1)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::cookies::Theme;
    use crate::routes::{
        assets::Bundle,
        pages::tests::{content, layout, now, view},
    };

    fn candle(minute: u32, volume: Option<f64>, is_final: bool) -> CandleJson {
        let time = format!("2026-01-13T15:{minute}:00Z").parse().expect("a time");
        let source = "binance/ticks".parse().expect("a source");
        CandleJson { time, open: 1.0, high: 1234.5, low: 0.5, close: 2.0, volume, ticks: 3, source, is_final }
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
    fn a_symbol_before_its_first_price() {
        let bundle = Bundle::default();
        let symbol = Symbol::parse("AAPL").expect("a symbol");
        let layout = layout(&bundle, Theme::System, "symbol");
        let page = SymbolPage::new(layout, symbol, None, Interval::Day, &[], now());
        insta::assert_snapshot!(content(&page));
    }
}
