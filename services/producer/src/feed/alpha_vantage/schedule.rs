//! When which stock is requested next, so that a few calls a day last. Pure.
//!
//! - A stock without any price is requested at once.
//! - During a session the calls that are left are spread over the rest of it, in turn over all stocks. Some are kept for after the
//!   close.
//! - While the exchange is closed, a stock is requested until its newest price is of the last close: the quotes of free keys are, by
//!   the documentation, those of the end of a day. Before a session of the same UTC day at most half of the calls are used.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use market::{AssetClass, Symbol, current_session, next_session, previous_session};

const CLASS: AssetClass = AssetClass::Stock;
/// After a close quotes may still be of the time before.
const SETTLED: TimeDelta = TimeDelta::minutes(15);
/// A stock whose close was not there yet is requested again after so long.
const AGAIN: TimeDelta = TimeDelta::hours(1);
/// A stock that the provider does not have, or whose answer cannot be used, is requested again after so long.
const REFUSED: TimeDelta = TimeDelta::hours(24);

/// What is known of a stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// When its newest price was made.
    pub(super) priced_at: Option<DateTime<Utc>>,
    /// When it was requested last.
    pub(super) asked_at: Option<DateTime<Utc>>,
    /// The last answer had no price.
    pub(super) is_refused: bool,
}

/// The calls of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) used: u32,
    pub(super) limit: u32,
    /// When the last one was made, also before today.
    pub(super) last_at: Option<DateTime<Utc>>,
}

/// The next request: not before a time, which may be one that is past. Without a symbol the plan is made again then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) at: DateTime<Utc>,
    pub(super) symbol: Option<Symbol>,
}

/// Plans the next request. `symbols` are in the order of the watch list.
pub(super) fn next(
    symbols: &[Symbol],
    known: &BTreeMap<Symbol, Known>,
    calls: Calls,
    now: DateTime<Utc>,
) -> Next {
    let of = |symbol: &Symbol| known.get(symbol).copied().unwrap_or_default();
    let waits = |symbol: &&Symbol| {
        let known = of(symbol);
        !known.is_refused || known.asked_at.is_none_or(|asked| asked + REFUSED <= now)
    };
    let usable: Vec<Symbol> = symbols.iter().filter(waits).copied().collect();
    let left = calls.limit.saturating_sub(calls.used);
    let tomorrow = midnight_after(now);
    if left == 0 || usable.is_empty() {
        return Next { at: tomorrow, symbol: None };
    }
    if let Some(unpriced) = usable.iter().find(|symbol| of(symbol).priced_at.is_none()) {
        return Next { at: now, symbol: Some(*unpriced) };
    }
    let oldest = || usable.iter().min_by_key(|symbol| of(symbol).asked_at).copied();
    if let Some(session) = current_session(CLASS, now) {
        let kept = (usable.len() as u32).min(calls.limit / 2);
        let live = left.saturating_sub(kept);
        if live == 0 {
            return Next { at: session.close + SETTLED, symbol: None };
        }
        let at = match calls.last_at.filter(|last| *last >= session.open) {
            None => now,
            // One more part than calls, so that none is at the close itself.
            Some(last) => {
                last + (session.close - last) / i32::try_from(live).unwrap_or(i32::MAX - 1).saturating_add(1)
            }
        };
        return Next { at, symbol: oldest() };
    }
    let opens = next_session(CLASS, now).map_or(tomorrow, |session| session.open);
    let is_before_a_session = opens < tomorrow;
    let may_call = !is_before_a_session || left > calls.limit / 2;
    let Some(close) = previous_session(CLASS, now).map(|session| session.close) else {
        return Next { at: opens, symbol: None };
    };
    let due_at = |symbol: &Symbol| {
        let again =
            of(symbol).asked_at.map(|asked| if asked < close + SETTLED { asked } else { asked + AGAIN });
        again.map_or(close + SETTLED, |again| again.max(close + SETTLED))
    };
    let lacks_close = usable.iter().filter(|symbol| of(symbol).priced_at.is_none_or(|at| at < close));
    // A part of the hour for each stock: a process that is started again and again does not use up the calls.
    let apart = AGAIN / i32::try_from(usable.len()).unwrap_or(i32::MAX);
    let spaced = calls.last_at.map_or(DateTime::<Utc>::MIN_UTC, |last| last + apart);
    let next = lacks_close.map(|symbol| (due_at(symbol).max(spaced), *symbol)).min_by_key(|(at, _)| *at);
    match next.filter(|(at, _)| may_call && *at < opens) {
        Some((at, symbol)) => Next { at, symbol: Some(symbol) },
        None => Next { at: opens, symbol: None },
    }
}

fn midnight_after(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive()
        .checked_add_days(Days::new(1))
        .unwrap_or(now.date_naive())
        .and_time(NaiveTime::MIN)
        .and_utc()
}
