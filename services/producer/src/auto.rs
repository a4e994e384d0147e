//! Which provider serves which symbols.

use std::time::Duration;

use anyhow::{Context, bail};
use event_log::EventLog;
use futures_util::future::join_all;
use market::{AssetClass, Symbol};

use crate::{
    config::ProducerConfig,
    feed::{Prices, replay::check_files, without},
    provider::{Provider, ProviderChoice},
    tails,
};

/// A provider that has not answered by then is taken as absent.
const ANSWER_TIMEOUT_MS: u64 = 3_000;

/// What will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Each provider with its symbols.
    pub feeds: Vec<FeedPlan>,
    /// For people: what was tried, and which symbols no provider serves.
    pub notes: Vec<String>,
    automatic: bool,
    /// Why prices are invented, where they are.
    simulated_because: Option<String>,
}

/// Of a provider that was named.
const NAMED: &str = "--provider (PROVIDER) is simulated; auto has real ones where a provider answers";
/// Of a log that was filled by a simulation.
const LOG_IS_SIMULATED: &str = "the log holds simulated prices, which real ones are kept apart from. For real ones begin \
    with an empty log and store, or name a provider (--provider, PROVIDER)";

/// A provider and the symbols it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlan {
    /// The provider.
    pub provider: Provider,
    /// The symbols; empty for a replay, whose symbols are in its files.
    pub symbols: Vec<Symbol>,
}

impl Choice {
    /// Its prices are invented.
    pub fn is_simulated(&self) -> bool {
        self.feeds.iter().any(|feed| feed.provider.prices() == Prices::Simulated)
    }

    /// Why prices are invented, as the rest of a sentence; `None` where they are not.
    pub fn simulated_because(&self) -> Option<&str> {
        self.simulated_because.as_deref().filter(|_| self.is_simulated())
    }

    /// The provider was chosen here, not named.
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
            self.feeds = one_for_each_class(venues(symbols));
            self.notes.push(
                "the log holds real prices, so none are invented: providers are queried until they answer"
                    .to_owned(),
            );
        } else if !self.is_simulated() && kinds.simulated && !kinds.real {
            self.feeds = vec![FeedPlan { provider: Provider::simulated(), symbols: symbols.to_vec() }];
            self.notes.push(format!("providers answer, but prices are invented: {LOG_IS_SIMULATED}"));
            self.simulated_because = Some(LOG_IS_SIMULATED.to_owned());
        }
        Ok(self)
    }
}

/// Decides which provider serves which symbols; `auto` probes those that need no key.
///
/// # Errors
/// A provider that serves none of the symbols, or a recording that cannot be read.
pub async fn choose(config: &ProducerConfig) -> anyhow::Result<Choice> {
    let symbols = config.watchlist.symbols();
    let ProviderChoice::Named(provider) = config.provider else { return Ok(automatic(config).await) };
    match provider.prices() {
        Prices::Simulated => Ok(only(provider, symbols.to_vec(), Vec::new())),
        Prices::Recorded if config.replay.files.is_empty() => {
            let note = "no recording is played (--replay-file): what is stored is shown";
            Ok(only(provider, Vec::new(), vec![note.to_owned()]))
        }
        Prices::Recorded => {
            check_files(&config.replay)?;
            Ok(only(provider, Vec::new(), Vec::new()))
        }
        Prices::Live(class) => served(provider, class, symbols),
    }
}

fn only(provider: Provider, symbols: Vec<Symbol>, notes: Vec<String>) -> Choice {
    let simulated_because = (provider == Provider::simulated()).then(|| NAMED.to_owned());
    Choice { feeds: vec![FeedPlan { provider, symbols }], notes, automatic: false, simulated_because }
}

fn of_class(symbols: &[Symbol], class: AssetClass) -> Vec<Symbol> {
    symbols.iter().copied().filter(|symbol| symbol.asset_class() == class).collect()
}

/// The providers that need no key, each with its part of these symbols; those without any are left out.
fn venues(symbols: &[Symbol]) -> Vec<FeedPlan> {
    let of_provider = |provider: Provider| match provider.prices() {
        Prices::Live(class) if provider.feed().probe.is_some() => {
            Some(FeedPlan { provider, symbols: of_class(symbols, class) })
        }
        _ => None,
    };
    Provider::all().filter_map(of_provider).filter(|plan| !plan.symbols.is_empty()).collect()
}

/// The first of each asset class.
fn one_for_each_class(plans: Vec<FeedPlan>) -> Vec<FeedPlan> {
    let mut first: Vec<FeedPlan> = Vec::new();
    for plan in plans {
        if first.iter().all(|known| known.provider.prices() != plan.provider.prices()) {
            first.push(plan);
        }
    }
    first
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
    let plans = venues(symbols);
    let answers = join_all(plans.iter().map(|plan| answer(plan.provider, config))).await;
    let (mut answering, mut notes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (plan, answer) in plans.into_iter().zip(answers) {
        match answer {
            Ok(refused) => {
                notes.extend(refused_note(plan.provider, &refused));
                answering.push(plan);
            }
            Err(reason) => {
                reasons.push(format!("{} ({reason})", plan.provider));
                notes.push(format!(
                    "{} does not answer ({reason}): {}",
                    plan.provider,
                    listed(&plan.symbols)
                ));
            }
        }
    }
    let mut feeds = one_for_each_class(answering);
    if feeds.is_empty() {
        feeds.push(FeedPlan { provider: Provider::simulated(), symbols: symbols.to_vec() });
    }
    let simulated_because = Some(format!(
        "no provider answered at the start: {}. The next start queries them again",
        reasons.join(", ")
    ));
    Choice { feeds, notes, automatic: true, simulated_because }
}

fn refused_note(provider: Provider, refused: &[(Symbol, String)]) -> Option<String> {
    let refused = refused.iter().map(|(symbol, reason)| (*symbol, reason.as_str()));
    (refused.len() > 0).then(|| format!("{provider}{}", without(refused)))
}

/// The symbols that a provider refuses, or why it does not answer.
async fn answer(provider: Provider, config: &ProducerConfig) -> Result<Vec<(Symbol, String)>, String> {
    let Some(probe) = provider.feed().probe else { return Ok(Vec::new()) };
    match tokio::time::timeout(Duration::from_millis(ANSWER_TIMEOUT_MS), probe(config)).await {
        Ok(Ok(refused)) => Ok(refused),
        Ok(Err(error)) => {
            tracing::debug!(%provider, "{error:#}");
            Err(format!("{error:#}"))
        }
        Err(_) => Err(format!("nothing within {} s", ANSWER_TIMEOUT_MS / 1_000)),
    }
}
