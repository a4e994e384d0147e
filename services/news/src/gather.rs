//! One gathering: every source that is due is fetched, and its items become stories of the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use live_store::{
    ArticleId, CallPurpose, KeyCall, LiveStore, LiveStoreError, MAX_PAGE_ARTICLES, NewsQuery, NewsSource,
};
use market::Symbol;
use service_runtime::{Component, Status};

use crate::{
    aliases::AliasTable,
    canonical::{SAME_TITLE_DAYS, canonical},
    config::NewsConfig,
    fetch::{Fetcher, Validators},
    item::{Parsed, Skipped},
    metrics::Metrics,
    parse::MAX_AGE_DAYS,
    relevance::Matcher,
    response::{Failure, Response, response},
    schedule,
    source::{self, Kind, Source},
    stories::{Placed, Stories},
};

/// Hosts that are fetched from at a time.
const HOSTS_IN_FLIGHT: usize = 8;
/// Most stories that new items are compared with.
const MAX_KNOWN_STORIES: usize = 20_000;
/// Stories are kept so long.
const RETENTION_DAYS: i64 = 180;

/// Gathers news.
pub(crate) struct Gatherer {
    config: NewsConfig,
    names: AliasTable,
    fetcher: Fetcher,
    store: Arc<dyn LiveStore>,
    metrics: Option<Metrics>,
}

/// What came of one gathering.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// By source, in the order of the settings.
    pub(crate) sources: Vec<SourceReport>,
}

/// What came of one source.
#[derive(Clone, Debug)]
pub(crate) struct SourceReport {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) outcome: SourceOutcome,
}

#[derive(Clone, Debug)]
pub(crate) enum SourceOutcome {
    /// Fetched.
    Items(Counts),
    /// Nothing new since the last fetch.
    Unchanged,
    /// Not fetched before this time; the reason of the last failure, if it failed.
    Waiting {
        until: DateTime<Utc>,
        error: Option<String>,
    },
    Failed {
        reason: String,
        next_try_at: DateTime<Utc>,
    },
}

/// What became of the items of a source.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) items: usize,
    pub(crate) new: usize,
    pub(crate) duplicates: usize,
    /// About no watched symbol.
    pub(crate) irrelevant: usize,
    pub(crate) skipped: Skipped,
}

/// The responses of the sources of one host.
type Fetches<'a> = Vec<(&'a Source, Result<Response, Failure>)>;

impl Gatherer {
    /// # Errors
    /// A file of names that cannot be read, with its line.
    pub(crate) fn new(
        config: NewsConfig,
        store: Arc<dyn LiveStore>,
        metrics: Option<Metrics>,
    ) -> anyhow::Result<Self> {
        let names = AliasTable::load(config.aliases.as_deref().filter(|path| !path.as_os_str().is_empty()))?;
        let fetcher = Fetcher::new(config.allow_private, Duration::from_millis(config.timeout_ms))?;
        Ok(Self { config, names, fetcher, store, metrics })
    }

    /// Fetches what is due; by hand also what was fetched a short time ago. A source that fails spoils nothing else.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn gather(&self, now: DateTime<Utc>, is_forced: bool) -> anyhow::Result<Gathering> {
        let symbols = self.symbols().await?;
        let sources = source::all(&self.config, &self.names, &symbols)?;
        let known = self.store.news_sources().await.context("cannot read the sources of news")?;
        let states: HashMap<String, NewsSource> =
            known.into_iter().map(|state| (state.id.clone(), state)).collect();
        let (due, waiting) = schedule::split(&sources, &states, now, is_forced);
        let mut reports: HashMap<String, SourceOutcome> = HashMap::new();
        for (source, until) in waiting {
            let error = states.get(&source.id).and_then(|state| state.last_error.clone());
            reports.insert(source.id.clone(), SourceOutcome::Waiting { until, error });
        }
        if !due.is_empty() {
            let matcher = Matcher::new(&self.names, &symbols)?;
            let mut stories = self.known_stories(now).await?;
            let hosts = by_host(due)?.into_iter().map(|of_host| self.fetch_in_turn(of_host, &states).boxed());
            let hosts: Vec<BoxFuture<'_, Fetches<'_>>> = hosts.collect();
            let mut hosts = stream::iter(hosts).buffer_unordered(HOSTS_IN_FLIGHT);
            while let Some(of_host) = hosts.next().await {
                for (source, response) in of_host {
                    let state = states.get(&source.id).cloned();
                    let state = state.unwrap_or_else(|| schedule::unknown(source, now));
                    let outcome = self.take(source, response, state, &matcher, &mut stories).await?;
                    self.count(&outcome);
                    reports.insert(source.id.clone(), outcome);
                }
            }
        }
        self.prune(now).await?;
        let reports = sources.into_iter().filter_map(|source| {
            let outcome = reports.remove(&source.id)?;
            Some(SourceReport { name: source.name, kind: source.kind, outcome })
        });
        Ok(Gathering { sources: reports.collect() })
    }

    /// The watched symbols, or those of the store.
    async fn symbols(&self) -> anyhow::Result<Vec<Symbol>> {
        match &self.config.watchlist {
            Some(watchlist) => Ok(watchlist.symbols().to_vec()),
            None => self.store.symbols().await.context("cannot read the symbols of the store"),
        }
    }

    /// The stories that new items may belong to.
    async fn known_stories(&self, now: DateTime<Utc>) -> anyhow::Result<Stories> {
        let from = now - TimeDelta::days(MAX_AGE_DAYS + SAME_TITLE_DAYS);
        let mut query = NewsQuery { symbol: None, from, limit: MAX_PAGE_ARTICLES, cursor: None };
        let mut stories = Stories::default();
        for _ in 0..MAX_KNOWN_STORIES / MAX_PAGE_ARTICLES {
            let page = self.store.articles(&query).await.context("cannot read the stored news")?;
            page.articles.into_iter().for_each(|story| stories.insert(story));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        Ok(stories)
    }

    /// Fetches the sources of one host, one after the other.
    async fn fetch_in_turn<'a>(
        &self,
        sources: Vec<&'a Source>,
        states: &HashMap<String, NewsSource>,
    ) -> Fetches<'a> {
        let mut fetched = Vec::with_capacity(sources.len());
        for source in sources {
            let validators = states.get(&source.id).map(|state| Validators {
                etag: state.etag.clone(),
                last_modified: state.last_modified.clone(),
            });
            let response = match self.refused_until(source).await {
                Ok(None) => response(&self.fetcher, source, &validators.unwrap_or_default()).await,
                Ok(Some(free_at)) => Ok(Response::NoCallLeft { free_at }),
                Err(failure) => Err(failure),
            };
            fetched.push((source, response));
        }
        fetched
    }

    /// Takes a call of the source's key; the time when one is free, if none is left. The ledger is that of the prices, too.
    async fn refused_until(&self, source: &Source) -> Result<Option<DateTime<Utc>>, Failure> {
        let Some((key, limits)) = &source.key else { return Ok(None) };
        let failure = |error: LiveStoreError| Failure {
            reason: format!("the calls of its key cannot be counted: {error}"),
            retry_after: None,
        };
        match self.store.take_call(key, CallPurpose::News, limits, Utc::now()).await.map_err(failure)? {
            KeyCall::Taken { .. } => Ok(None),
            KeyCall::Refused { free_at } => Ok(Some(free_at)),
        }
    }

    /// Stores what a source had: the stories first, then the validators that stand for them.
    async fn take(
        &self,
        source: &Source,
        response: Result<Response, Failure>,
        mut state: NewsSource,
        matcher: &Matcher,
        stories: &mut Stories,
    ) -> anyhow::Result<SourceOutcome> {
        let now = Utc::now();
        state.name.clone_from(&source.name);
        let outcome = match response {
            Ok(Response::NoCallLeft { free_at }) => {
                state.next_try_at = free_at;
                SourceOutcome::Waiting { until: free_at, error: None }
            }
            Ok(Response::Unchanged) => {
                schedule::succeeded(&mut state, source.interval, now);
                SourceOutcome::Unchanged
            }
            Ok(Response::Parsed { parsed, validators }) => {
                schedule::succeeded(&mut state, source.interval, now);
                state.items = parsed.items.len() as u32;
                (state.etag, state.last_modified) = (validators.etag, validators.last_modified);
                SourceOutcome::Items(self.place(source, parsed, matcher, stories, now).await?)
            }
            Err(Failure { reason, retry_after }) => {
                schedule::failed(&mut state, &reason, retry_after, now);
                tracing::warn!(source = source.name, reason, next_try_at = %state.next_try_at, "a source of news failed");
                SourceOutcome::Failed { reason, next_try_at: state.next_try_at }
            }
        };
        self.store.write_news_source(&state).await.context("cannot store a source of news")?;
        Ok(outcome)
    }

    async fn place(
        &self,
        source: &Source,
        parsed: Parsed,
        matcher: &Matcher,
        stories: &mut Stories,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts { items: parsed.items.len(), skipped: parsed.skipped, ..Counts::default() };
        // Stories that are older than those of `known_stories`, and that a feed has with a new date.
        let ids = parsed.items.iter().map(|item| ArticleId::of(&canonical(&item.url)));
        let unknown: Vec<ArticleId> = ids.filter(|id| !stories.has(id)).collect();
        for story in self.store.articles_by_id(&unknown).await.context("cannot read the stored news")? {
            stories.insert(story);
        }
        for item in parsed.items {
            let relevance = matcher.relevance(&item);
            if relevance.is_empty() && !source.kind.keeps_irrelevant() {
                counts.irrelevant += 1;
                continue;
            }
            match stories.add(item, relevance, source.kind.as_str(), now) {
                Placed::New => counts.new += 1,
                Placed::Duplicate => counts.duplicates += 1,
                Placed::Known => {}
            }
        }
        let changed = stories.take_changed();
        self.store.write_articles(&changed).await.context("cannot store news")?;
        Ok(counts)
    }

    async fn prune(&self, now: DateTime<Utc>) -> anyhow::Result<()> {
        let before = now - TimeDelta::days(RETENTION_DAYS);
        let stories = self.store.prune_articles(before).await.context("cannot prune the news")?;
        let digests = self.store.prune_digests(before).await.context("cannot prune the digests")?;
        if stories + digests > 0 {
            tracing::info!(stories, digests, "news pruned");
        }
        Ok(())
    }

    fn count(&self, outcome: &SourceOutcome) {
        let Some(metrics) = &self.metrics else { return };
        match outcome {
            SourceOutcome::Waiting { .. } => {}
            SourceOutcome::Failed { .. } => metrics.failed.add(1),
            SourceOutcome::Unchanged => metrics.fetched.add(1),
            SourceOutcome::Items(counts) => {
                metrics.fetched.add(1);
                metrics.stories.add(counts.new as u64);
                metrics.duplicates.add(counts.duplicates as u64);
                metrics.skipped.add((counts.irrelevant + counts.skipped.sum()) as u64);
            }
        }
    }
}

/// Sources by their hosts, in order.
fn by_host(sources: Vec<&Source>) -> anyhow::Result<Vec<Vec<&Source>>> {
    let mut hosts: BTreeMap<String, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        let host = source.url()?.host_str().unwrap_or_default().to_owned();
        hosts.entry(host).or_default().push(source);
    }
    Ok(hosts.into_values().collect())
}

impl Gathering {
    /// No source failed, now or before.
    pub(crate) fn is_complete(&self) -> bool {
        self.sources.iter().all(|source| source.outcome.error().is_none())
    }
}

/// The health of the sources, by their groups: each provider, and each feed of the operator.
pub(crate) struct SourceHealth {
    status: Arc<Status>,
    /// Kept, because a component that is made again begins as one that starts.
    components: Mutex<BTreeMap<String, Component>>,
}

impl SourceHealth {
    pub(crate) fn new(status: Arc<Status>) -> Self {
        Self { status, components: Mutex::default() }
    }

    pub(crate) fn report(&self, gathering: &Gathering) {
        let mut groups: BTreeMap<String, Vec<&SourceReport>> = BTreeMap::new();
        for source in &gathering.sources {
            groups.entry(source.group()).or_default().push(source);
        }
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, sources) in groups {
            let failed: Vec<String> = sources
                .iter()
                .filter_map(|source| Some(format!("{}: {}", source.name, source.outcome.error()?)))
                .collect();
            let health = components.entry(name);
            let health = health.or_insert_with_key(|name| self.status.secondary_component(name));
            match failed.first() {
                None => health.up(&format!("{} of {} sources work", sources.len(), sources.len())),
                Some(first) if sources.len() == 1 => health.down(first),
                Some(first) => {
                    health.down(&format!("{} of {} sources fail; {first}", failed.len(), sources.len()));
                }
            }
        }
    }
}

impl SourceReport {
    /// The part of the health that it belongs to.
    fn group(&self) -> String {
        match self.kind {
            Kind::Yahoo(_) => "news from Yahoo Finance".to_owned(),
            Kind::Google => "news from Google News".to_owned(),
            Kind::AlphaVantage(_) => "news from Alpha Vantage".to_owned(),
            Kind::Rss => format!("news from {}", self.name),
        }
    }
}

impl SourceOutcome {
    /// Why the source is of no use at the moment.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Failed { reason, .. } => Some(reason),
            Self::Waiting { error, .. } => error.as_deref(),
            Self::Items(_) | Self::Unchanged => None,
        }
    }
}
