//! Applies the active rules to ticks, stores what opens and closes, and publishes it.

use std::sync::{Arc, OnceLock};

use alert_rules::{Alert, AlertChange, AlertId, Baseline, Engine, PriceEvent, RuleSet};
use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_log::{EventLog, Message, NewRecord, Publisher};
use live_store::LiveStore;
use market::Symbol;
use serde::{Deserialize, Serialize};
use stream_processor::{OtherPartitions, Processor, ProcessorError, StateUpdate, Verdict};
use topics::alert::AlertRecord;

use crate::{baselines::BaselineCache, history::change_alert, metrics::Metrics, rule_book::RuleBook};

/// The processor.
pub(crate) struct AlertProcessor {
    store: Arc<dyn LiveStore>,
    rules: Arc<RuleBook>,
    baselines: BaselineCache,
    publisher: Arc<dyn Publisher>,
    metrics: Arc<Metrics>,
}

/// A tick, and the baseline of its day once it is loaded.
pub(crate) struct AlertEvent {
    price: PriceEvent,
    baseline: OnceLock<Arc<Baseline>>,
}

/// The state of one partition.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AlertState {
    engine: Engine,
    /// Those that the engine names, loaded.
    #[serde(skip)]
    rules: Option<Arc<RuleSet>>,
}

impl AlertProcessor {
    pub(crate) fn new(
        store: Arc<dyn LiveStore>,
        rules: Arc<RuleBook>,
        log: &dyn EventLog,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let publisher = log.publisher().context("cannot publish alerts")?;
        Ok(Self { baselines: BaselineCache::new(Arc::clone(&store)), store, rules, publisher, metrics })
    }

    /// Stores the alerts that opened, unless they are there.
    async fn add(&self, opened: &[Alert]) -> Result<(), ProcessorError> {
        if opened.is_empty() {
            return Ok(());
        }
        let are_new = self.store.add_alerts(opened, Utc::now()).await?;
        for alert in opened.iter().zip(are_new).filter_map(|(alert, is_new)| is_new.then_some(alert)) {
            self.metrics.opened.add(1);
            tracing::info!(alert = %alert.id, symbol = %alert.symbol, "{}", alert.message);
        }
        Ok(())
    }

    /// Closes a stored alert. `None` if it is not stored any more.
    async fn close(
        &self,
        id: &AlertId,
        closed_at: DateTime<Utc>,
        peak: f64,
    ) -> Result<Option<Alert>, ProcessorError> {
        let closed = change_alert(&*self.store, id, |alert| alert.close(closed_at, peak)).await?;
        let Some((alert, is_changed)) = closed else { return Ok(None) };
        if is_changed {
            self.metrics.closed.add(1);
            tracing::info!(alert = %alert.id, symbol = %alert.symbol, "the alert is over");
        }
        Ok(Some(alert))
    }
}

/// Replaces the rules of a state.
fn with_rules(rules: Arc<RuleSet>) -> StateUpdate<AlertState> {
    Box::new(move |state| {
        state.engine.take_effect(rules.id());
        state.rules = Some(rules);
    })
}

#[async_trait]
impl Processor for AlertProcessor {
    const NAME: &'static str = "alerts";
    type Event = AlertEvent;
    type State = AlertState;
    type Effect = AlertChange;

    /// By the time at which the record was published, so that a tick is refused always or never.
    fn decode(&self, message: &Message, _now: DateTime<Utc>) -> Result<Option<AlertEvent>, String> {
        let decoded = topics::tick::decode(&message.payload, message.timestamp);
        let tick = decoded.map_err(|error| error.to_string())?;
        let is_recorded = message.headers.iter().any(|(name, _)| name == topics::tick::RECORDED_HEADER);
        Ok(Some(AlertEvent { price: PriceEvent { tick, is_recorded }, baseline: OnceLock::new() }))
    }

    /// Loads what the events are judged by.
    async fn store(&self, events: &[AlertEvent]) -> Result<Vec<Verdict>, ProcessorError> {
        for event in events.iter().filter(|event| event.baseline.get().is_none()) {
            let baseline = self.baselines.of(&event.price.tick).await?;
            // It was empty, and nothing else fills it.
            let _ = event.baseline.set(baseline);
        }
        Ok(vec![Verdict::New; events.len()])
    }

    async fn restored(&self, state: &AlertState) -> Result<Option<StateUpdate<AlertState>>, ProcessorError> {
        let rules = match state.engine.rule_set() {
            Some(id) => self.rules.load(id).await?,
            None => self.rules.current(),
        };
        Ok(Some(with_rules(rules)))
    }

    async fn refresh(&self, state: &AlertState) -> Result<Option<StateUpdate<AlertState>>, ProcessorError> {
        let current = self.rules.current();
        Ok((state.engine.rule_set() != Some(current.id())).then(|| with_rules(current)))
    }

    fn apply(
        &self,
        state: &mut AlertState,
        event: &AlertEvent,
        _now: DateTime<Utc>,
        changes: &mut Vec<AlertChange>,
    ) {
        // A restored state has rules.
        let Some(rules) = &state.rules else { return };
        state.engine.apply(rules, &event.price, event.baseline.get().map(|baseline| &**baseline), changes);
    }

    fn adopt(&self, state: &mut AlertState, others: &OtherPartitions<AlertState>) -> bool {
        let engines =
            |states: &[AlertState]| states.iter().map(|state| state.engine.clone()).collect::<Vec<_>>();
        let is_here = |symbol: Symbol| others.is_here(symbol.as_str().as_bytes());
        state.engine.adopt(&engines(&others.gone), &engines(&others.existing), is_here)
    }

    async fn emit(&self, changes: &[AlertChange]) -> Result<(), ProcessorError> {
        let opened: Vec<Alert> = changes
            .iter()
            .filter_map(|change| match change {
                AlertChange::Opened(alert) => Some(Alert::clone(alert)),
                AlertChange::Closed { .. } => None,
            })
            .collect();
        self.add(&opened).await?;
        let mut records = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                AlertChange::Opened(alert) => records.push(AlertRecord::of(alert)),
                AlertChange::Closed { alert, closed_at, peak } => {
                    records.extend(self.close(alert, *closed_at, *peak).await?.as_ref().map(AlertRecord::of));
                }
            }
        }
        let record = |record: &AlertRecord| NewRecord {
            key: Some(Bytes::copy_from_slice(record.symbol.as_str().as_bytes())),
            payload: Bytes::from(topics::alert::encode(record)),
            headers: Vec::new(),
            timestamp: Utc::now(),
        };
        let records: Vec<NewRecord> = records.iter().map(record).collect();
        if !records.is_empty() {
            self.publisher.send(topics::alert::TOPIC, records).await?.durable().await?;
        }
        Ok(())
    }
}
