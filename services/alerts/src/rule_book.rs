//! The rules that are active at present, read from the store again and again.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use alert_rules::{AlertRule, RuleFields, RuleSet, RuleSetId};
use chrono::Utc;
use live_store::{LiveStore, LiveStoreError};
use service_runtime::{Component, Runtime, open_patiently};
use tokio_util::sync::CancellationToken;

/// Between two looks. A rule takes effect with the next tick of a partition after it was seen: within two seconds.
const POLL_INTERVAL_MS: u64 = 500;
/// Between two looks while the store is unavailable.
const RETRY_INTERVAL_MS: u64 = 1_000;
/// Another writer of a house rule was first so often; each time it is read again.
const MAX_PUT_ATTEMPTS: usize = 10;

/// The newest rule set.
pub(crate) struct RuleBook {
    store: Arc<dyn LiveStore>,
    current: RwLock<Arc<RuleSet>>,
    health: Component,
}

impl RuleBook {
    /// Stores the rules of the house, and reads all.
    pub(crate) async fn open(
        store: Arc<dyn LiveStore>,
        house: &[AlertRule],
        runtime: &Runtime,
    ) -> anyhow::Result<Self> {
        let health = runtime.status.component("alert rules");
        let load = || async {
            for rule in house {
                put_house_rule(&*store, rule).await?;
            }
            load(&*store).await
        };
        let setting = "--store, STORE_URL";
        let rules =
            open_patiently("store of alert rules", setting, LiveStoreError::is_transient, load).await?;
        health.up(&described(&rules));
        Ok(Self { store, current: RwLock::new(Arc::new(rules)), health })
    }

    /// The rules that are active at present. They are stored as a fact.
    pub(crate) fn current(&self) -> Arc<RuleSet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The rule set of a state. One that is no longer stored, after a year, is replaced by the current one.
    pub(crate) async fn load(&self, id: &RuleSetId) -> Result<Arc<RuleSet>, LiveStoreError> {
        let current = self.current();
        if current.id() == id {
            return Ok(current);
        }
        let stored = self.store.alert_fact(&fact_of(id)).await?;
        match stored.as_deref().map(RuleSet::parse) {
            Some(Ok(rules)) => Ok(Arc::new(rules)),
            Some(Err(error)) => {
                tracing::warn!(rules = %id, %error, "a stored rule set cannot be read; the current rules are used");
                Ok(current)
            }
            None => {
                tracing::warn!(rules = %id, "a rule set is no longer stored; the current rules are used");
                Ok(current)
            }
        }
    }

    /// Reads the rules until the shutdown.
    pub(crate) async fn poll(self: Arc<Self>, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut wait = Duration::from_millis(POLL_INTERVAL_MS);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            let loaded = tokio::select! {
                loaded = load(&*self.store) => loaded,
                () = shutdown.cancelled() => return Ok(()),
            };
            wait = match loaded {
                Ok(rules) => {
                    self.health.up(&described(&rules));
                    self.replace(rules);
                    Duration::from_millis(POLL_INTERVAL_MS)
                }
                // The rules so far stay in effect.
                Err(error) => {
                    self.health.down(&format!("the rules so far stay in effect: {error}"));
                    Duration::from_millis(RETRY_INTERVAL_MS)
                }
            };
        }
    }

    fn replace(&self, rules: RuleSet) {
        if self.current().id() == rules.id() {
            return;
        }
        tracing::info!(rules = rules.rules().len(), id = %rules.id(), "the alert rules have changed");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}

fn described(rules: &RuleSet) -> String {
    format!("{} active", rules.rules().len())
}

fn fact_of(id: &RuleSetId) -> String {
    format!("rules:{id}")
}

/// Reads the active rules, and stores them as a fact before they take effect anywhere.
async fn load(store: &dyn LiveStore) -> Result<RuleSet, LiveStoreError> {
    let refused = |error: &dyn std::fmt::Display| LiveStoreError::Refused {
        place: "alert_rules".to_owned(),
        reason: format!("the rules cannot be encoded: {error}"),
    };
    let rules = RuleSet::new(store.active_alert_rules().await?).map_err(|error| refused(&error))?;
    let id = fact_of(rules.id());
    if store.alert_fact(&id).await?.is_none() {
        store.keep_alert_fact(&id, rules.text(), Utc::now()).await?;
    }
    Ok(rules)
}

/// Stores a rule of the house, as the next revision if it differs from the stored one.
async fn put_house_rule(store: &dyn LiveStore, wanted: &AlertRule) -> Result<(), LiveStoreError> {
    for _ in 0..MAX_PUT_ATTEMPTS {
        let rule = match store.alert_rule(&wanted.id).await? {
            Some(stored) if stored.is_same_but_for_revision(wanted) => return Ok(()),
            Some(stored) => {
                let fields = RuleFields { revision: stored.revision + 1, ..wanted.clone().into_fields() };
                AlertRule::new(fields).map_err(|error| LiveStoreError::Refused {
                    place: "alert_rules".to_owned(),
                    reason: error.to_string(),
                })?
            }
            None => wanted.clone(),
        };
        if store.put_alert_rule(&rule).await? {
            return Ok(());
        }
    }
    Err(LiveStoreError::Unavailable {
        place: "alert_rules".to_owned(),
        reason: format!("other processes store {} all the time", wanted.id),
    })
}
