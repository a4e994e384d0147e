//! When a source is fetched. Pure.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::NewsSource;

use crate::source::{Kind, Source};

/// First wait after a failure; doubled up to the longest.
const RETRY_MIN: TimeDelta = TimeDelta::minutes(5);
/// Longest wait after failures.
const RETRY_MAX: TimeDelta = TimeDelta::hours(24);
/// Longest error that is kept.
const MAX_ERROR_CHARS: usize = 400;

/// Sources that are due, and those that are not, with the time when they are.
pub(crate) type Split<'a> = (Vec<&'a Source>, Vec<(&'a Source, DateTime<Utc>)>);

/// Which sources to fetch at `now`. One by hand (`is_forced`) also fetches those that succeeded a short time ago; those that failed
/// wait for their next try, and so do those with a budget.
pub(crate) fn split<'a>(
    sources: &'a [Source],
    states: &HashMap<String, NewsSource>,
    now: DateTime<Utc>,
    is_forced: bool,
) -> Split<'a> {
    let (mut due, mut waiting): Split<'a> = (Vec::new(), Vec::new());
    for source in sources {
        let state = states.get(&source.id);
        let next = state.map_or(now, |state| state.next_try_at);
        let succeeded = state.is_some_and(|state| state.failures == 0);
        let has_budget = source.kind_interval > Duration::ZERO;
        if next <= now || (is_forced && succeeded && !has_budget) {
            due.push(source);
        } else {
            waiting.push((source, next));
        }
    }
    limit_budget(&mut due, &mut waiting, states, now);
    (due, waiting)
}

/// Of sources with a budget the one that was fetched longest ago, if the last fetch of any of them is long enough ago.
fn limit_budget<'a>(
    due: &mut Vec<&'a Source>,
    waiting: &mut Vec<(&'a Source, DateTime<Utc>)>,
    states: &HashMap<String, NewsSource>,
    now: DateTime<Utc>,
) {
    let tried = |source: &Source| states.get(&source.id).and_then(|state| state.tried_at);
    let is_limited = |source: &Source| matches!(source.kind, Kind::AlphaVantage(_));
    let limited = || {
        due.iter()
            .copied()
            .chain(waiting.iter().map(|(source, _)| *source))
            .filter(|source| is_limited(source))
    };
    let Some(interval) = limited().map(|source| source.kind_interval).max() else { return };
    let interval = TimeDelta::from_std(interval).unwrap_or(RETRY_MAX);
    let next = limited().filter_map(tried).max().map_or(now, |last| last + interval);
    let chosen = due.iter().copied().filter(|source| is_limited(source)).min_by_key(|source| tried(source));
    let chosen = chosen.filter(|_| next <= now).map(|source| source.id.clone());
    due.retain(|source| {
        let stays = !is_limited(source) || chosen.as_ref() == Some(&source.id);
        if !stays {
            waiting.push((source, next.max(now + interval)));
        }
        stays
    });
}

/// A source that was never fetched.
pub(crate) fn unknown(source: &Source, now: DateTime<Utc>) -> NewsSource {
    NewsSource {
        id: source.id.clone(),
        name: source.name.clone(),
        etag: None,
        last_modified: None,
        tried_at: None,
        succeeded_at: None,
        next_try_at: now,
        failures: 0,
        last_error: None,
        items: 0,
    }
}

/// After a fetch that succeeded.
pub(crate) fn succeeded(state: &mut NewsSource, interval: Duration, now: DateTime<Utc>) {
    state.tried_at = Some(now);
    state.succeeded_at = Some(now);
    state.next_try_at = now + TimeDelta::from_std(interval).unwrap_or(RETRY_MAX);
    state.failures = 0;
    state.last_error = None;
}

/// After a fetch that failed; the wait is at least what the host asks for.
pub(crate) fn failed(
    state: &mut NewsSource,
    reason: &str,
    retry_after: Option<Duration>,
    now: DateTime<Utc>,
) {
    let doublings = state.failures.min(10);
    let wait = (RETRY_MIN * 2_i32.pow(doublings)).min(RETRY_MAX);
    let asked = retry_after.and_then(|asked| TimeDelta::from_std(asked).ok()).unwrap_or_default();
    state.tried_at = Some(now);
    state.next_try_at = now + wait.max(asked).min(RETRY_MAX);
    state.failures = state.failures.saturating_add(1);
    state.last_error = Some(reason.chars().take(MAX_ERROR_CHARS).collect());
    // What made the response unusable may be behind the same validators.
    state.etag = None;
    state.last_modified = None;
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use live_store::AlphaVantageAccount;
    use market::Symbol;

    use super::*;
    use crate::{aliases::AliasTable, config::NewsConfig, source};

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        news: NewsConfig,
        #[command(flatten)]
        alpha_vantage: AlphaVantageAccount,
    }

    fn sources() -> Vec<Source> {
        let args = ["news", "--news-sources", "yahoo", "--alpha-vantage-key", "KEY12345"];
        let args = args.iter().chain(&["--alpha-vantage-news-calls", "12"]);
        let Settings { news, alpha_vantage } = Settings::parse_from(args);
        let config = NewsConfig { alpha_vantage, ..news };
        let symbols = ["AAPL", "MSFT"].map(|text| Symbol::parse(text).unwrap());
        source::all(&config, &AliasTable::load(None).unwrap(), &symbols).unwrap()
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn due(states: &HashMap<String, NewsSource>, minutes: i64, is_forced: bool) -> Vec<String> {
        split(&sources(), states, at(minutes), is_forced).0.iter().map(|source| source.id.clone()).collect()
    }

    #[test]
    fn a_source_that_fails_is_tried_after_waits_that_grow_up_to_a_day() {
        let source = &sources()[0];
        let mut state = unknown(source, at(0));
        let mut waits = Vec::new();
        for _ in 0..11 {
            failed(&mut state, "answered 500", None, at(0));
            waits.push((state.next_try_at - at(0)).num_minutes());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
        succeeded(&mut state, source.interval, at(0));
        assert_eq!((state.failures, state.last_error.as_deref(), state.next_try_at), (0, None, at(25)));
        failed(&mut state, "answered 429", Some(Duration::from_secs(3_600)), at(0));
        assert_eq!(state.next_try_at, at(60));
    }

    #[test]
    fn one_gathering_fetches_what_is_due_and_one_source_of_a_budget() {
        let mut states = HashMap::new();
        assert_eq!(due(&states, 0, false), ["yahoo:AAPL", "yahoo:MSFT", "alpha_vantage:AAPL"]);
        for source in sources() {
            let mut state = unknown(&source, at(0));
            if source.id == "yahoo:MSFT" {
                failed(&mut state, "answered 500", None, at(0));
            } else if source.id != "alpha_vantage:MSFT" {
                succeeded(&mut state, source.interval, at(0));
            }
            states.insert(source.id, state);
        }
        assert!(due(&states, 1, false).is_empty());
        assert_eq!(due(&states, 1, true), ["yahoo:AAPL"], "by hand");
        assert_eq!(due(&states, 5, false), ["yahoo:MSFT"]);
        assert_eq!(due(&states, 120, false), ["yahoo:AAPL", "yahoo:MSFT", "alpha_vantage:MSFT"]);
    }
}
