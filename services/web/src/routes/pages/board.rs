//! The board: a tile for every symbol.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::header,
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use market::{AssetClass, Symbol};

use super::{App, Layout, QuoteText, halves, hours};
use crate::{format::TimeText, live_quotes::SymbolView, middleware::viewer::Viewer, problem::Problem};

/// A symbol on the board.
pub(crate) struct Tile {
    name: String,
    is_watched: bool,
    quote: Option<QuoteText>,
    path: Arc<str>,
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
pub(crate) async fn board(State(app): State<App>, viewer: Viewer) -> Result<Response, Problem> {
    let snapshot = app.live.snapshot().await;
    let make = || {
        let because = app.live.pipeline().simulated_because(snapshot.at).map(str::to_owned);
        let layout = Layout::new(&app, viewer, "board");
        BoardPage::new(layout, snapshot.views(), &app.watched, because, snapshot.at).render()
    };
    let page = snapshot.board(viewer, make).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::cookies::Theme;
    use crate::routes::{
        assets::Bundle,
        pages::tests::{content, layout, now, view},
    };

    fn watched(names: &[&str]) -> HashMap<Symbol, usize> {
        names.iter().map(|name| Symbol::parse(name).expect("a symbol")).zip(0..).collect()
    }

    fn waiting(name: &str) -> SymbolView {
        let symbol = Symbol::parse(name).expect("a symbol");
        SymbolView { symbol, quote: None, spark_path: "".into() }
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
    fn the_board_without_symbols() {
        let bundle = Bundle::default();
        let layout = layout(&bundle, Theme::System, "board");
        let page = BoardPage::new(layout, &[], &HashMap::new(), None, now());
        let html = content(&page);
        let (before_template, _) = html.split_once("<template").expect("a template of tiles");
        insta::assert_snapshot!(before_template.trim());
    }
}
