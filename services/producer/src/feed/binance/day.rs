//! The figures of the last 24 hours, from `/api/v3/ticker/24hr`.

use market::Symbol;

use super::parse::{Ticker24h, venue_name};
use crate::{feed::rest::Api, supervise::FeedError};

/// Symbols of one request: more have a higher weight.
const SYMBOLS: usize = 100;

/// What the venue knows of some symbols.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) tickers: Vec<Ticker24h>,
    /// Symbols that it does not have, with the reason.
    pub(super) refused: Vec<(Symbol, String)>,
}

/// Requests the figures of symbols. One that the venue does not have makes it refuse the whole request: the list is halved until the
/// symbol is alone.
pub(super) async fn figures(api: &Api, symbols: &[Symbol]) -> Result<Figures, FeedError> {
    let mut figures = Figures::default();
    let mut lists: Vec<&[Symbol]> = symbols.chunks(SYMBOLS).rev().collect();
    while let Some(list) = lists.pop() {
        let names: Vec<String> = list.iter().map(|symbol| venue_name(*symbol)).collect();
        let names = serde_json::Value::from(names).to_string();
        match (api.get::<Vec<Ticker24h>>("api/v3/ticker/24hr", &[("symbols", &names)]).await, list) {
            (Ok(tickers), _) => figures.tickers.extend(tickers),
            (Err(FeedError::Request { reason }), [symbol]) => figures.refused.push((*symbol, reason)),
            (Err(FeedError::Request { .. }), list) => {
                let (one, other) = list.split_at(list.len() / 2);
                lists.extend([other, one]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(figures)
}
