//! Which provider serves which symbols.

use std::time::Duration;

use anyhow::{Context, bail};
use event_log::EventLog;
use market::{AssetClass, Symbol};

use crate::{
    config::{ProducerConfig, Provider, ProviderChoice},
    tails,
};

/// A provider that has not answered by then is taken as absent.
const ANSWER_TIMEOUT_MS: u64 = 3_000;

/// What will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Each provider with its symbols.
    pub feeds: Vec<FeedPlan>,
    /// For people: what was tried, and which symbols nobody serves.
    pub notes: Vec<String>,
    automatic: bool,
}

/// A provider and the symbols it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlan {
    /// The provider.
    pub provider: Provider,
    /// The symbols; empty for a replay, whose files tell.
    pub symbols: Vec<Symbol>,
}

impl Choice {
    /// Its prices are invented.
    pub fn is_simulated(&self) -> bool {
        self.feeds.iter().any(|feed| feed.provider == Provider::Simulated)
    }

    /// Nobody named the provider.
    pub fn was_automatic(&self) -> bool {
        self.automatic
    }

    /// For a log that others may have filled: nothing is invented beside real prices, not even on a morning when no venue answers,
    /// and a simulated market goes on being one. What was named stays as it was named.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub async fn kept_apart(mut self, config: &ProducerConfig, log: &dyn EventLog) -> anyhow::Result<Self> {
        if !self.automatic {
            return Ok(self);
        }
        let kinds = tails::kinds(log).await.context("cannot see which prices the log holds")?;
        let symbols = config.watchlist.symbols();
        if self.is_simulated() && kinds.real {
            self.feeds = venues(symbols).into_iter().filter(|feed| !feed.symbols.is_empty()).collect();
            self.notes.push(
                "the log holds real prices, so none are invented: providers are asked until they answer"
                    .to_owned(),
            );
        } else if !self.is_simulated() && kinds.simulated && !kinds.real {
            self.feeds = vec![FeedPlan { provider: Provider::Simulated, symbols: symbols.to_vec() }];
            self.notes.push(
                "providers answer, but the log holds simulated prices, which real ones are kept apart from: it goes on being \
                 simulated. For real ones begin with an empty log and store, or name a provider (--provider, PROVIDER)"
                    .to_owned(),
            );
        }
        Ok(self)
    }
}

/// Decides which provider serves which symbols; `auto` asks those without a key whether they answer.
///
/// # Errors
/// A provider that serves none of the symbols, or a replay without files.
pub async fn choose(config: &ProducerConfig) -> anyhow::Result<Choice> {
    let symbols = config.watchlist.symbols();
    match config.provider {
        ProviderChoice::Simulated => Ok(only(Provider::Simulated, symbols.to_vec(), Vec::new())),
        ProviderChoice::Replay if config.files.is_empty() => {
            bail!("--provider replay needs a recording: --replay-file PATH")
        }
        ProviderChoice::Replay => Ok(only(Provider::Replay, Vec::new(), Vec::new())),
        ProviderChoice::Binance => served(Provider::Binance, AssetClass::Crypto, symbols),
        ProviderChoice::Yahoo => served(Provider::Yahoo, AssetClass::Stock, symbols),
        ProviderChoice::Auto => Ok(automatic(config).await),
    }
}

fn only(provider: Provider, symbols: Vec<Symbol>, notes: Vec<String>) -> Choice {
    Choice { feeds: vec![FeedPlan { provider, symbols }], notes, automatic: false }
}

fn of_class(symbols: &[Symbol], class: AssetClass) -> Vec<Symbol> {
    symbols.iter().copied().filter(|symbol| symbol.asset_class() == class).collect()
}

/// The providers that need no key, each with what it has of these.
fn venues(symbols: &[Symbol]) -> [FeedPlan; 2] {
    [(Provider::Binance, AssetClass::Crypto), (Provider::Yahoo, AssetClass::Stock)]
        .map(|(provider, class)| FeedPlan { provider, symbols: of_class(symbols, class) })
}

fn listed(symbols: &[Symbol]) -> String {
    symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(", ")
}

fn served(provider: Provider, class: AssetClass, symbols: &[Symbol]) -> anyhow::Result<Choice> {
    let (mine, others): (Vec<Symbol>, Vec<Symbol>) =
        symbols.iter().partition(|symbol| symbol.asset_class() == class);
    if mine.is_empty() {
        bail!(
            "{provider} serves none of the watched symbols ({}); change --watchlist or --provider",
            listed(symbols)
        );
    }
    let note = (!others.is_empty()).then(|| format!("{provider} does not serve {}", listed(&others)));
    Ok(only(provider, mine, note.into_iter().collect()))
}

async fn automatic(config: &ProducerConfig) -> Choice {
    let symbols = config.watchlist.symbols();
    let [crypto, stocks] = venues(symbols);
    let (binance, yahoo) = tokio::join!(
        asked(Provider::Binance, !crypto.symbols.is_empty(), crate::feed::binance::answers(config)),
        asked(Provider::Yahoo, !stocks.symbols.is_empty(), crate::feed::yahoo::answers(config)),
    );
    let (mut feeds, mut notes) = (Vec::new(), Vec::new());
    for (feed, answer) in [(crypto, binance), (stocks, yahoo)] {
        match answer {
            Some(Ok(())) => feeds.push(feed),
            Some(Err(reason)) => {
                notes.push(format!(
                    "{} does not answer ({reason}): {}",
                    feed.provider,
                    listed(&feed.symbols)
                ));
            }
            None => {}
        }
    }
    if feeds.is_empty() {
        feeds.push(FeedPlan { provider: Provider::Simulated, symbols: symbols.to_vec() });
    }
    Choice { feeds, notes, automatic: true }
}

/// `None` where nobody needs to be asked.
async fn asked(
    provider: Provider,
    is_needed: bool,
    question: impl Future<Output = anyhow::Result<()>>,
) -> Option<Result<(), String>> {
    if !is_needed {
        return None;
    }
    Some(match tokio::time::timeout(Duration::from_millis(ANSWER_TIMEOUT_MS), question).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::debug!(%provider, "{error:#}");
            Err(format!("{error:#}"))
        }
        Err(_) => Err(format!("nothing within {} s", ANSWER_TIMEOUT_MS / 1_000)),
    })
}
