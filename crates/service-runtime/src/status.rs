//! How this process is doing: the health of its parts, and its figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use topics::status::{ComponentState, ComponentStatus, ServiceStatus};

use crate::figures::{Figures, Reading};

/// The registry of one process.
pub struct Status {
    service: String,
    instance: String,
    started_at: DateTime<Utc>,
    components: Mutex<BTreeMap<String, ComponentStatus>>,
    figures: Mutex<Vec<Arc<dyn Figures>>>,
}

/// The pen with which one part writes its own health.
#[derive(Clone)]
pub struct Component {
    name: String,
    status: Arc<Status>,
}

impl Status {
    /// A registry for `service`; `instance` tells replicas apart.
    pub fn new(service: &str, instance: &str, started_at: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self {
            service: service.to_owned(),
            instance: instance.to_owned(),
            started_at,
            components: Mutex::default(),
            figures: Mutex::default(),
        })
    }

    /// Tells replicas apart.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Adds a part, which is starting.
    pub fn component(self: &Arc<Self>, name: &str) -> Component {
        let component = Component { name: name.to_owned(), status: Arc::clone(self) };
        component.set(ComponentState::Starting, "starting");
        component
    }

    /// Adds figures to what this process reports.
    pub fn report<F: Figures + 'static>(&self, figures: Arc<F>) -> Arc<F> {
        let added: Arc<dyn Figures> = figures.clone();
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).push(added);
        figures
    }

    /// Everything, as of `now`.
    pub fn snapshot(&self, now: DateTime<Utc>) -> ServiceStatus {
        let mut reading = Reading::new();
        for figures in self.figures.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            figures.read(&mut reading);
        }
        ServiceStatus {
            service: self.service.clone(),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            at: now,
            components: self
                .components
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .values()
                .cloned()
                .collect(),
            figures: reading,
        }
    }

    /// Every part does its work. A process whose parts are yet to be added does none.
    pub fn is_ready(&self) -> bool {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        !components.is_empty() && components.values().all(|component| component.state == ComponentState::Up)
    }
}

impl Component {
    /// It does its work.
    pub fn up(&self, detail: &str) {
        self.set(ComponentState::Up, detail);
    }

    /// It does not, and why.
    pub fn down(&self, reason: &str) {
        self.set(ComponentState::Down, reason);
    }

    /// It reads these partitions, by topic, and no others any more.
    pub fn reads(&self, partitions: BTreeMap<String, BTreeSet<i32>>) {
        let mut components = self.status.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = components.get_mut(&self.name) {
            component.partitions = partitions;
        }
    }

    fn set(&self, state: ComponentState, detail: &str) {
        let mut components = self.status.components.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Utc::now();
        let before = components.get(&self.name);
        let since = before.filter(|known| known.state == state).map_or(now, |known| known.since);
        if before.is_none_or(|known| known.state != state) {
            tracing::info!(component = self.name, ?state, detail, "health");
        }
        let (name, detail) = (self.name.clone(), detail.to_owned());
        let partitions = before.map(|known| known.partitions.clone()).unwrap_or_default();
        components.insert(name.clone(), ComponentStatus { name, state, detail, since, partitions });
    }
}
