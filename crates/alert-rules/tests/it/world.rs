//! Ticks, rules, and an engine that applies them.

use std::sync::Arc;

use alert_rules::{
    Alert, AlertChange, AlertRule, Baseline, Engine, Owner, PriceEvent, RuleFields, RuleId, RuleKind,
    RuleSet, UserId, WatchedSymbols,
};
use chrono::{DateTime, TimeDelta, Utc};
use market::{Source, Symbol, Tick, TickFields, decimal_from_f64};

pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).unwrap()
}

/// So many seconds behind 10:30 in New York, on a Tuesday.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    "2026-01-13T15:30:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn house(kind: RuleKind) -> AlertRule {
    rule("house", Owner::House, kind)
}

pub(crate) fn of_ann(kind: RuleKind) -> AlertRule {
    rule("ann-1", Owner::User(UserId::parse("ann").unwrap()), kind)
}

pub(crate) fn rule(id: &str, owner: Owner, kind: RuleKind) -> AlertRule {
    AlertRule::new(RuleFields {
        id: RuleId::parse(id).unwrap(),
        owner,
        revision: 1,
        symbols: WatchedSymbols::All,
        kind,
        cooldown_minutes: 60,
        is_active: true,
        recipients: vec!["ann@example.com".to_owned()],
    })
    .unwrap()
}

pub(crate) fn next_revision(rule: &AlertRule, change: impl FnOnce(&mut RuleFields)) -> AlertRule {
    let mut fields = rule.clone().into_fields();
    fields.revision += 1;
    change(&mut fields);
    AlertRule::new(fields).unwrap()
}

pub(crate) const FIVE_PERCENT: RuleKind = RuleKind::ChangeFromOpen { percent: 5.0 };

/// A tick of AAPL by yahoo; the session's open is 100.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    pub(crate) seconds: i64,
    pub(crate) price: f64,
    pub(crate) volume: f64,
    pub(crate) seq: u64,
    pub(crate) source: &'static str,
    pub(crate) received_after: i64,
}

pub(crate) fn quote(seconds: i64, price: f64) -> Quote {
    let seq = u64::try_from(seconds + 1_000_000).unwrap();
    Quote { seconds, price, volume: 1_000.0, seq, source: "yahoo", received_after: 0 }
}

impl Quote {
    pub(crate) fn tick(self) -> Tick {
        let decimal = |number: f64| decimal_from_f64(number).unwrap();
        Tick::new(TickFields {
            symbol: symbol("AAPL"),
            timestamp: at(self.seconds),
            price: decimal(self.price),
            volume: decimal(self.volume),
            open: decimal(100.0),
            high: decimal(self.price.max(100.0)),
            low: decimal(self.price.min(100.0)),
            size: None,
            change_percent: 0.0,
            source: Source::parse(self.source).unwrap(),
            received_at: at(self.seconds + self.received_after),
            seq: self.seq,
        })
        .unwrap()
    }
}

/// An engine with one rule set.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) rules: RuleSet,
    pub(crate) baseline: Option<Arc<Baseline>>,
}

impl World {
    pub(crate) fn new(rules: impl IntoIterator<Item = AlertRule>) -> Self {
        Self { engine: Engine::default(), rules: RuleSet::new(rules).unwrap(), baseline: None }
    }

    pub(crate) fn apply(&mut self, quote: Quote) -> Vec<AlertChange> {
        self.apply_tick(quote.tick())
    }

    pub(crate) fn apply_tick(&mut self, tick: Tick) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        let event = PriceEvent { tick, is_recorded: false };
        self.engine.apply(&self.rules, &event, self.baseline.as_deref(), &mut changes);
        changes
    }

    /// The alerts that these ticks open.
    pub(crate) fn opened(&mut self, quotes: impl IntoIterator<Item = Quote>) -> Vec<Alert> {
        quotes.into_iter().flat_map(|quote| opened(self.apply(quote))).collect()
    }

    /// As after a restart from a checkpoint.
    pub(crate) fn restart(&mut self) {
        let saved = serde_json::to_string(&self.engine).unwrap();
        self.engine = serde_json::from_str(&saved).unwrap();
    }
}

pub(crate) fn opened(changes: Vec<AlertChange>) -> Vec<Alert> {
    let opened = |change| match change {
        AlertChange::Opened(alert) => Some(*alert),
        AlertChange::Closed { .. } => None,
    };
    changes.into_iter().filter_map(opened).collect()
}
