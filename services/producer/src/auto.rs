//! Which provider serves which symbols.

use std::time::Duration;

use anyhow::{Context, bail};
use event_log::EventLog;
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
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

/// Of a list of providers that ends with the simulated market.
const LAST_OF_SEVERAL: &str = "those before it in --providers (PROVIDERS) have none";

/// A provider and the symbols that it may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlan {
    /// The provider.
    pub provider: Provider,
    /// The symbols; empty for a replay, whose symbols are in its files.
    pub symbols: Vec<Symbol>,
}

impl Choice {
    /// All its prices are invented.
    pub fn is_simulated(&self) -> bool {
        self.feeds.iter().all(|feed| feed.provider.prices() == Prices::Simulated)
    }

    /// Why prices are invented, as the rest of a sentence; `None` where they never are.
    pub fn simulated_because(&self) -> Option<&str> {
        let is_listed = self.feeds.iter().any(|feed| feed.provider.prices() == Prices::Simulated);
        self.simulated_because.as_deref().filter(|_| is_listed)
    }

    /// The provider was chosen here, not named.
    pub fn was_automatic(&self) -> bool {
        self.automatic
    }

    /// A feed counts the calls of its key in the live store.
    pub fn needs_ledger(&self) -> bool {
        self.feeds.iter().any(|feed| feed.provider.feed().has_ledger)
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
            self.feeds = venues(symbols);
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
/// A provider that serves none of the symbols or lacks its key, or a recording that cannot be read.
pub async fn choose(config: &ProducerConfig) -> anyhow::Result<Choice> {
    let symbols = config.watchlist.symbols();
    if !config.providers.is_empty() {
        return in_order(config, symbols);
    }
    let ProviderChoice::Named(provider) = config.provider else { return Ok(automatic(config).await) };
    if let Some(check) = provider.feed().check {
        check(config)?;
    }
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

/// The listed providers, each with the symbols of its asset class.
fn in_order(config: &ProducerConfig, symbols: &[Symbol]) -> anyhow::Result<Choice> {
    let (mut feeds, mut notes) = (Vec::new(), Vec::new());
    for provider in config.providers.providers().iter().copied() {
        if let Some(check) = provider.feed().check {
            check(config)?;
        }
        let mine = match provider.prices() {
            Prices::Live(class) => of_class(symbols, class),
            Prices::Simulated | Prices::Recorded => symbols.to_vec(),
        };
        if mine.is_empty() {
            notes.push(format!("{provider} serves none of the watched symbols"));
        } else {
            feeds.push(FeedPlan { provider, symbols: mine });
        }
    }
    let is_served = |symbol: &Symbol| feeds.iter().any(|feed: &FeedPlan| feed.symbols.contains(symbol));
    let others: Vec<Symbol> = symbols.iter().copied().filter(|symbol| !is_served(symbol)).collect();
    if feeds.is_empty() {
        bail!(
            "no listed provider serves the watched symbols ({}); change --watchlist or --providers",
            listed(symbols)
        );
    }
    if !others.is_empty() {
        notes.push(format!("no listed provider serves {}", listed(&others)));
    }
    let simulated_because = Some(LAST_OF_SEVERAL.to_owned());
    Ok(Choice { feeds, notes, automatic: false, simulated_because })
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
    let of_one_class = |one: &FeedPlan, next: &FeedPlan| one.provider.prices() == next.provider.prices();
    let answers = join_all(plans.chunk_by(of_one_class).map(|plans| answers(plans, config))).await.concat();
    let (mut answering, mut notes, mut reasons) = (Vec::<FeedPlan>::new(), Vec::new(), Vec::new());
    for (plan, answer) in answers {
        // Of one asset class the first that answers is preferred; the answers of the others are not used.
        if answering.iter().any(|first| first.provider.prices() == plan.provider.prices()) {
            continue;
        }
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
    // The others take over where it fails, also those that do not answer now.
    let mut feeds = answering;
    for plan in venues(symbols) {
        let is_served = feeds.iter().any(|feed| feed.provider.prices() == plan.provider.prices());
        if is_served && !feeds.contains(&plan) {
            feeds.push(plan);
        }
    }
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
type Answer = Result<Vec<(Symbol, String)>, String>;

/// The answers of the providers of one asset class, in their order, up to the first that serves. The others are not waited for.
async fn answers(plans: &[FeedPlan], config: &ProducerConfig) -> Vec<(FeedPlan, Answer)> {
    let requests = plans.iter().enumerate();
    let mut waiting: FuturesUnordered<_> =
        requests.map(async |(number, plan)| (number, answer(plan.provider, config).await)).collect();
    let mut answers: Vec<Option<Answer>> = vec![None; plans.len()];
    while let Some((number, answer)) = waiting.next().await {
        if let Some(slot) = answers.get_mut(number) {
            *slot = Some(answer);
        }
        if answers.iter().map_while(Option::as_ref).any(Result::is_ok) {
            break;
        }
    }
    plans.iter().cloned().zip(answers.into_iter().map_while(|answer| answer)).collect()
}

async fn answer(provider: Provider, config: &ProducerConfig) -> Answer {
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
