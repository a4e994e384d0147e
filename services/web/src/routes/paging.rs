//! Lists that are read a page at a time, the newest first, each page behind the cursor of the one before: what alerts and news do
//! alike.

use std::time::Duration;

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use live_store::LiveStoreError;
use market::Symbol;
use tokio::time::timeout;

use super::pages::{STORE_TIMEOUT_MS, render};
use crate::{params::Params, problem::Problem};

/// Rows of a page where no limit is given, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// Which page of which list: the parameters `symbol`, `limit` and `cursor`.
pub(super) struct PageRequest {
    pub(super) symbol: Option<Symbol>,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
}

impl PageRequest {
    /// The caller has refused parameters that are not known.
    pub(super) fn of(params: &Params) -> Result<Self, Problem> {
        Ok(Self {
            symbol: params.parsed("symbol")?,
            limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
            cursor: params.get("cursor").map(str::to_owned),
        })
    }

    /// The newest rows of a symbol.
    pub(super) fn newest(symbol: Symbol, limit: usize) -> Self {
        Self { symbol: Some(symbol), limit, cursor: None }
    }
}

/// Rows of the store, and the cursor behind them; `None` at the end.
pub(super) type StoredPage<Row> = (Vec<Row>, Option<String>);

/// A page of a list, to be rendered.
pub(super) struct ListPage<Row> {
    pub(super) rows: Vec<Row>,
    /// The address of the next page.
    pub(super) older: Option<String>,
    /// It begins behind the newest rows.
    pub(super) is_older: bool,
    /// The rows could not be read now.
    pub(super) store_is_down: bool,
}

/// Reads a page of the list at `path`, formatted; a store that does not respond in time is shown on the page.
///
/// # Errors
/// An error of the store that does not pass by itself, such as a cursor that is none.
pub(super) async fn read_page<Stored, Row: From<Stored>>(
    path: &str,
    symbol: Option<Symbol>,
    is_older: bool,
    read: impl Future<Output = Result<StoredPage<Stored>, LiveStoreError>>,
) -> Result<ListPage<Row>, Problem> {
    let (read, store_is_down) = match timeout(Duration::from_millis(STORE_TIMEOUT_MS), read).await {
        Ok(Ok(page)) => (page, false),
        Ok(Err(error)) if !error.is_transient() => return Err(error.into()),
        Ok(Err(_)) | Err(_) => ((Vec::new(), None), true),
    };
    let (stored, next_cursor) = read;
    Ok(ListPage {
        rows: stored.into_iter().map(Row::from).collect(),
        older: next_cursor.map(|cursor| address(path, symbol, &cursor)),
        is_older,
        store_is_down,
    })
}

/// Reads rows that a page can do without, formatted: none while the store does not respond.
pub(super) async fn read_or_none<Stored, Row: From<Stored>>(
    read: impl Future<Output = Result<StoredPage<Stored>, LiveStoreError>>,
) -> Vec<Row> {
    match timeout(Duration::from_millis(STORE_TIMEOUT_MS), read).await {
        Ok(Ok((stored, _))) => stored.into_iter().map(Row::from).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Renders a page whose rows may be missing: for programs it is then incomplete.
pub(super) fn render_list(page: &impl Template, store_is_down: bool) -> Result<Response, Problem> {
    let response = render(page)?;
    Ok(if store_is_down { (StatusCode::SERVICE_UNAVAILABLE, response).into_response() } else { response })
}

fn address(path: &str, symbol: Option<Symbol>, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(symbol) = symbol {
        query.append_pair("symbol", symbol.as_str());
    }
    format!("{path}?{}", query.append_pair("cursor", cursor).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_next_page_keeps_the_symbol() {
        let symbol = Symbol::parse("BTC/USDT").expect("a symbol");
        assert_eq!(address("/news", Some(symbol), "a b"), "/news?symbol=BTC%2FUSDT&cursor=a+b");
        assert_eq!(address("/alerts", None, "x"), "/alerts?cursor=x");
    }
}
