//! The table of feeds, and one request to each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use live_store::KeyCallStore;
use market::{AssetClass, Symbol};

use crate::feed::{Abilities, AskSettings, FEEDS, Prices};

/// A feed of the table.
#[derive(Clone, Copy, Debug)]
pub struct FeedInfo {
    /// Its name, as `--provider` takes it.
    pub name: &'static str,
    /// What it has prices of.
    pub assets: &'static str,
    /// What it can do.
    pub abilities: Abilities,
}

/// What a feed answered to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedAnswer {
    /// Its name.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// The answer, for people; why there is none.
    pub answer: Result<String, String>,
}

/// All feeds, in the order in which `auto` prefers them.
pub fn feeds() -> Vec<FeedInfo> {
    let info = |feed: &&'static crate::feed::Feed| FeedInfo {
        name: feed.name,
        assets: match feed.prices {
            Prices::Live(AssetClass::Stock) => "US stocks",
            Prices::Live(AssetClass::Crypto) => "crypto",
            Prices::Simulated => "invented, all symbols",
            Prices::Recorded => "those of the files",
        },
        abilities: feed.abilities,
    };
    FEEDS.iter().map(info).collect()
}

/// Requests a symbol once from each feed of its asset class. Calls of keys are taken from `ledger`, where there is one.
pub async fn ask_feeds(
    settings: &AskSettings,
    ledger: Option<Arc<dyn KeyCallStore>>,
    symbol: Symbol,
) -> Vec<FeedAnswer> {
    let mut answers = Vec::new();
    for feed in FEEDS.iter().filter(|feed| feed.prices == Prices::Live(symbol.asset_class())) {
        let Some(ask) = feed.ask else { continue };
        let begun = Instant::now();
        let answer = ask(settings, ledger.clone(), symbol).await.map_err(|error| error.to_string());
        answers.push(FeedAnswer { name: feed.name, took: begun.elapsed(), answer });
    }
    answers
}
