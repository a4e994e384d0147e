//! Which feed serves each symbol, where several are listed in order of preference. Pure: the time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use market::Symbol;

/// A feed that has no prices for so long is replaced; shorter interruptions are its own to end.
const GRACE: Duration = Duration::from_secs(5);
/// A feed that has not reported yet is waited for: its first round may have many symbols.
const START_GRACE: Duration = Duration::from_secs(20);
/// A better feed takes over again after it was up for so long.
const HOLD: Duration = Duration::from_secs(60);
/// Two changes of one symbol's feed are at least so far apart.
const BETWEEN: Duration = Duration::from_secs(60);

/// The place of a feed in the list.
pub(crate) type FeedNumber = usize;

/// What a feed reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It is not needed, and does not run.
    StandsBy,
    /// It begins.
    Starts,
    /// It has prices, except of these symbols.
    Up {
        /// Those that its provider does not have.
        missing: BTreeSet<Symbol>,
    },
    /// It has none.
    Down,
}

/// The feed of a symbol has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) symbol: Symbol,
    pub(crate) from: FeedNumber,
    pub(crate) to: FeedNumber,
}

/// The feeds of all symbols.
#[derive(Debug)]
pub(crate) struct Routes {
    feeds: Vec<FeedState>,
    symbols: BTreeMap<Symbol, Route>,
}

/// How a feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    StandsBy,
    Starting,
    Up,
    Down,
}

#[derive(Debug)]
struct FeedState {
    condition: Condition,
    /// Since when.
    since: Instant,
    /// Symbols that its provider does not have, with the time of the first report.
    missing: BTreeMap<Symbol, Instant>,
}

#[derive(Debug)]
struct Route {
    /// The feeds that may serve it, the preferred one first. Never empty.
    feeds: Vec<FeedNumber>,
    active: FeedNumber,
    changed_at: Option<Instant>,
}

impl FeedState {
    /// Since when it serves a symbol (`Ok`), or does not (`Err`).
    fn serves(&self, symbol: Symbol) -> Result<Instant, Instant> {
        match (self.condition, self.missing.get(&symbol)) {
            (Condition::Up, None) => Ok(self.since),
            (Condition::Up, Some(since)) => Err(*since),
            (Condition::StandsBy | Condition::Starting | Condition::Down, _) => Err(self.since),
        }
    }

    /// Whether it has had no prices of a symbol for longer than is waited for. One that stands by has not been tried.
    fn has_failed(&self, symbol: Symbol, now: Instant) -> bool {
        let grace = match self.condition {
            Condition::StandsBy => return false,
            Condition::Starting => START_GRACE,
            Condition::Up | Condition::Down => GRACE,
        };
        self.serves(symbol).is_err_and(|since| now.duration_since(since) >= grace)
    }
}

impl Routes {
    /// Each feed with the symbols that it may serve, the preferred feed first. None of them has started yet.
    pub(crate) fn new(feeds: &[Vec<Symbol>], now: Instant) -> Self {
        let mut symbols: BTreeMap<Symbol, Route> = BTreeMap::new();
        for (number, of_feed) in feeds.iter().enumerate() {
            for symbol in of_feed {
                let first = || Route { feeds: Vec::new(), active: number, changed_at: None };
                symbols.entry(*symbol).or_insert_with(first).feeds.push(number);
            }
        }
        let standing_by =
            || FeedState { condition: Condition::StandsBy, since: now, missing: BTreeMap::new() };
        Self { feeds: feeds.iter().map(|_| standing_by()).collect(), symbols }
    }

    /// Takes in what a feed reports.
    pub(crate) fn report(&mut self, feed: FeedNumber, report: Report, now: Instant) {
        let Some(state) = self.feeds.get_mut(feed) else { return };
        let condition = match report {
            Report::StandsBy => Condition::StandsBy,
            Report::Starts => Condition::Starting,
            Report::Up { .. } => Condition::Up,
            Report::Down => Condition::Down,
        };
        if state.condition != condition {
            (state.condition, state.since) = (condition, now);
        }
        if let Report::Up { missing } = report {
            state.missing.retain(|symbol, _| missing.contains(symbol));
            for symbol in missing {
                state.missing.entry(symbol).or_insert(now);
            }
        }
    }

    /// The feed that serves a symbol; `None` for one that is not watched.
    pub(crate) fn active(&self, symbol: Symbol) -> Option<FeedNumber> {
        self.symbols.get(&symbol).map(|route| route.active)
    }

    /// Whether a feed is the one that serves a symbol as long as it has prices.
    pub(crate) fn is_preferred(&self, feed: FeedNumber, symbol: Symbol) -> bool {
        self.symbols.get(&symbol).is_some_and(|route| route.feeds.first() == Some(&feed))
    }

    /// Changes what has to change by now.
    pub(crate) fn advance(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        for (symbol, route) in &mut self.symbols {
            let is_early = route.changed_at.is_some_and(|at| now.duration_since(at) < BETWEEN);
            if is_early {
                continue;
            }
            if let Some(to) = next(&self.feeds, *symbol, route, now) {
                changes.push(Change { symbol: *symbol, from: route.active, to });
                (route.active, route.changed_at) = (to, Some(now));
            }
        }
        changes
    }

    /// The symbols that a feed is to follow: those that it serves or is preferred for, and those whose better feeds all fail, for
    /// which it has to be ready.
    pub(crate) fn followed(&self, feed: FeedNumber, now: Instant) -> BTreeSet<Symbol> {
        let follows = |(symbol, route): (&Symbol, &Route)| {
            let place = route.feeds.iter().position(|number| *number == feed)?;
            let better = route.feeds.iter().take(place);
            let is_needed = route.active == feed
                || better.into_iter().all(|better| has_failed(&self.feeds, *better, *symbol, now));
            is_needed.then_some(*symbol)
        };
        self.symbols.iter().filter_map(follows).collect()
    }
}

fn has_failed(feeds: &[FeedState], feed: FeedNumber, symbol: Symbol, now: Instant) -> bool {
    feeds.get(feed).is_some_and(|state| state.has_failed(symbol, now))
}

/// The feed that a symbol is to have instead of its active one.
fn next(feeds: &[FeedState], symbol: Symbol, route: &Route, now: Instant) -> Option<FeedNumber> {
    let up_for = |feed: FeedNumber| Some(now.duration_since(feeds.get(feed)?.serves(symbol).ok()?));
    let mut better = route.feeds.iter().copied().take_while(|feed| *feed != route.active);
    if let Some(recovered) = better.find(|feed| up_for(*feed).is_some_and(|up| up >= HOLD)) {
        return Some(recovered);
    }
    if !has_failed(feeds, route.active, symbol, now) {
        return None;
    }
    route.feeds.iter().copied().find(|feed| *feed != route.active && up_for(*feed).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: FeedNumber = 0;
    const SECOND: FeedNumber = 1;
    const THIRD: FeedNumber = 2;

    fn symbol(name: &str) -> Symbol {
        Symbol::parse(name).expect("a symbol")
    }

    fn bitcoin() -> Symbol {
        symbol("BTC/USDT")
    }

    /// Three feeds of one symbol, of which the first one also has another symbol.
    struct World {
        routes: Routes,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            let feeds = [vec![bitcoin(), symbol("AAPL")], vec![bitcoin()], vec![bitcoin()]];
            let mut world = Self { routes: Routes::new(&feeds, now), now };
            world.start(FIRST);
            world
        }

        fn start(&mut self, feed: FeedNumber) {
            self.routes.report(feed, Report::Starts, self.now);
        }

        fn up(&mut self, feed: FeedNumber) {
            self.up_without(feed, &[]);
        }

        fn up_without(&mut self, feed: FeedNumber, missing: &[Symbol]) {
            let missing = missing.iter().copied().collect();
            self.routes.report(feed, Report::Up { missing }, self.now);
        }

        fn down(&mut self, feed: FeedNumber) {
            self.routes.report(feed, Report::Down, self.now);
        }

        /// The changes of so many seconds, each second looked at.
        fn pass(&mut self, seconds: u64) -> Vec<(FeedNumber, FeedNumber)> {
            let mut changes = Vec::new();
            for _ in 0..seconds {
                self.now += Duration::from_secs(1);
                changes.extend(self.routes.advance(self.now).iter().map(|change| (change.from, change.to)));
            }
            changes
        }

        fn follows(&self, feed: FeedNumber) -> bool {
            self.routes.followed(feed, self.now).contains(&bitcoin())
        }
    }

    #[test]
    fn the_preferred_feed_serves_and_the_others_are_not_started() {
        let mut world = World::new();
        world.up(FIRST);
        assert_eq!(world.pass(600), []);
        assert!(world.follows(FIRST) && !world.follows(SECOND) && !world.follows(THIRD));
        assert_eq!(world.routes.active(bitcoin()), Some(FIRST));
        assert_eq!(world.routes.active(symbol("MSFT")), None);
        assert!(world.routes.is_preferred(FIRST, bitcoin()) && !world.routes.is_preferred(SECOND, bitcoin()));
    }

    #[test]
    fn a_short_interruption_changes_nothing() {
        let mut world = World::new();
        world.up(FIRST);
        world.pass(10);
        world.down(FIRST);
        assert_eq!(world.pass(4), []);
        assert!(!world.follows(SECOND));
        world.up(FIRST);
        assert_eq!(world.pass(60), []);
    }

    #[test]
    fn a_feed_that_fails_is_replaced_and_takes_over_again_after_a_minute() {
        let mut world = World::new();
        world.up(FIRST);
        world.pass(10);
        world.down(FIRST);
        assert_eq!(world.pass(5), []);
        assert!(world.follows(SECOND), "it is started when the first one has failed for some seconds");
        assert!(!world.follows(THIRD), "the second one has not been tried yet");
        world.start(SECOND);
        assert_eq!(world.pass(19), []);
        assert!(!world.follows(THIRD));
        assert_eq!(world.pass(1), []);
        assert!(world.follows(THIRD), "the second one does not come up");
        world.up(SECOND);
        assert_eq!(world.pass(1), [(FIRST, SECOND)]);
        assert!(world.follows(FIRST) && world.follows(SECOND) && !world.follows(THIRD));
        world.pass(100);
        world.up(FIRST);
        assert_eq!(world.pass(59), []);
        assert!(world.follows(SECOND));
        assert_eq!(world.pass(2), [(SECOND, FIRST)]);
        assert!(!world.follows(SECOND));
        // The other symbol has no other feed, and stays.
        assert_eq!(world.routes.active(symbol("AAPL")), Some(FIRST));
    }

    #[test]
    fn a_feed_that_comes_and_goes_does_not_take_over_and_changes_are_a_minute_apart() {
        let mut world = World::new();
        world.up(FIRST);
        world.up(SECOND);
        world.up(THIRD);
        world.down(FIRST);
        assert_eq!(world.pass(6), [(FIRST, SECOND)]);
        for _ in 0..10 {
            world.up(FIRST);
            assert_eq!(world.pass(20), []);
            world.down(FIRST);
            assert_eq!(world.pass(10), []);
        }
        world.down(SECOND);
        assert_eq!(world.pass(6), [(SECOND, THIRD)]);
        world.up(SECOND);
        world.pass(1);
        world.down(THIRD);
        let until_minute = world.pass(50);
        assert_eq!(until_minute, [], "the last change was less than a minute ago");
        assert_eq!(world.pass(10), [(THIRD, SECOND)]);
    }

    #[test]
    fn without_another_feed_that_is_up_nothing_changes() {
        let mut world = World::new();
        assert_eq!(world.pass(19), []);
        assert!(!world.follows(SECOND), "a feed that starts is waited for");
        assert_eq!(world.pass(300), []);
        assert!(world.follows(SECOND));
        world.start(SECOND);
        world.start(THIRD);
        world.up(THIRD);
        assert_eq!(world.pass(1), [(FIRST, THIRD)]);
        world.down(THIRD);
        assert_eq!(world.pass(300), []);
        assert_eq!(world.routes.active(bitcoin()), Some(THIRD));
    }

    #[test]
    fn a_symbol_that_the_provider_does_not_have_goes_to_the_next_feed_alone() {
        let mut world = World::new();
        world.up_without(FIRST, &[bitcoin()]);
        world.pass(5);
        assert!(world.follows(SECOND));
        world.up(SECOND);
        assert_eq!(world.pass(1), [(FIRST, SECOND)]);
        // Listed again.
        world.up(FIRST);
        assert_eq!(world.pass(58), []);
        assert_eq!(world.pass(5), [(SECOND, FIRST)]);
    }
}
