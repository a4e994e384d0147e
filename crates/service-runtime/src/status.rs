//! Health of the parts of this process, and its figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock},
};

use chrono::{DateTime, Utc};
use metrics::{Gauge, gauge};
use tokio::time::Instant;
use topics::status::{ComponentState, ComponentStatus, ServiceStatus, figure_key};

use crate::{
    figures::{Figures, Reading},
    locked::locked,
};

/// 1 while a component works, otherwise 0; by service and component.
pub(crate) const COMPONENT_UP: &str = "tapedeck_component_up";

/// Health and figures of one process, as one of its services adds to them. Several services of one process share them; each
/// has names of its own.
pub struct Status {
    process: Arc<Process>,
    /// What is added here belongs to it.
    service: Service,
}

/// The service that something belongs to; `None`: the process itself.
type Service = Option<String>;

struct Process {
    service: String,
    instance: String,
    started_at: DateTime<Utc>,
    /// By service and name.
    components: Mutex<BTreeMap<(Service, String), Arc<Cell>>>,
    figures: Mutex<Vec<(Service, Arc<dyn Figures>)>>,
    /// Services that the process consists of.
    services: Mutex<BTreeSet<String>>,
    shutdown_began: Arc<OnceLock<Instant>>,
}

/// The health of one component. Each has a lock of its own, because some report with every tick.
struct Cell {
    /// Without it the service is not ready.
    is_essential: bool,
    status: Mutex<ComponentStatus>,
    exported: Gauge,
}

/// Writes the health of one part.
#[derive(Clone)]
pub struct Component {
    cell: Arc<Cell>,
    service: Arc<str>,
    name: Arc<str>,
}

impl Status {
    /// The status of a process that `service` runs in; `instance` distinguishes replicas.
    pub fn new(service: &str, instance: &str, started_at: DateTime<Utc>) -> Arc<Self> {
        let process = Process {
            service: service.to_owned(),
            instance: instance.to_owned(),
            started_at,
            components: Mutex::default(),
            figures: Mutex::default(),
            services: Mutex::default(),
            shutdown_began: Arc::default(),
        };
        Arc::new(Self { process: Arc::new(process), service: None })
    }

    /// The same process, for one service of it. The process is not ready before the service has added a component.
    pub fn for_service(&self, service: &str) -> Arc<Self> {
        locked(&self.process.services).insert(service.to_owned());
        Arc::new(Self { process: Arc::clone(&self.process), service: Some(service.to_owned()) })
    }

    /// Distinguishes replicas.
    pub fn instance(&self) -> &str {
        &self.process.instance
    }

    /// When the process started.
    pub(crate) fn started_at(&self) -> DateTime<Utc> {
        self.process.started_at
    }

    /// The service that adds to this, or that the process is named after.
    pub fn service(&self) -> &str {
        self.service.as_deref().unwrap_or(&self.process.service)
    }

    pub(crate) fn shutdown_began(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.process.shutdown_began)
    }

    /// Adds a part, which is starting. Without it the service is not ready.
    pub fn component(&self, name: &str) -> Component {
        self.add_component(name, true)
    }

    /// Adds a part that the service works without: it is reported, and the service is ready while it is down.
    pub fn secondary_component(&self, name: &str) -> Component {
        self.add_component(name, false)
    }

    fn add_component(&self, name: &str, is_essential: bool) -> Component {
        let key = (self.service.clone(), name.to_owned());
        let cell = || {
            let (service, component) = (self.service().to_owned(), name.to_owned());
            Arc::new(Cell {
                is_essential,
                exported: gauge!(COMPONENT_UP, "service" => service, "component" => component),
                status: Mutex::new(ComponentStatus {
                    service: self.service.clone(),
                    name: name.to_owned(),
                    state: ComponentState::Down,
                    detail: "not started".to_owned(),
                    since: Utc::now(),
                    partitions: BTreeMap::new(),
                }),
            })
        };
        let cell = Arc::clone(locked(&self.process.components).entry(key).or_insert_with(cell));
        let component = Component { cell, service: self.service().into(), name: name.into() };
        component.set(ComponentState::Starting, "starting");
        component
    }

    /// Adds figures to what this process reports. They belong to the service from then on, also at `/metrics`.
    pub fn report<F: Figures + 'static>(&self, figures: Arc<F>) -> Arc<F> {
        figures.export(self.service());
        locked(&self.process.figures).push((self.service.clone(), figures.clone()));
        figures
    }

    /// Everything, as of `now`.
    pub fn snapshot(&self, now: DateTime<Utc>) -> ServiceStatus {
        let mut all = BTreeMap::new();
        for (service, figures) in locked(&self.process.figures).iter() {
            let mut reading = Reading::new();
            figures.read(&mut reading);
            let keyed =
                reading.into_iter().map(|(name, value)| (figure_key(service.as_deref(), &name), value));
            all.extend(keyed);
        }
        let components = locked(&self.process.components);
        ServiceStatus {
            service: self.process.service.clone(),
            instance: self.process.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.process.started_at,
            at: now,
            stopping: false,
            components: components.values().map(|cell| locked(&cell.status).clone()).collect(),
            figures: all,
        }
    }

    /// Whether every essential part of every service works. A service whose parts are yet to be added does not.
    pub fn is_ready(&self) -> bool {
        let components = locked(&self.process.components);
        let has_parts = |service: &String| components.keys().any(|(of, _)| of.as_ref() == Some(service));
        let works = |cell: &Arc<Cell>| !cell.is_essential || locked(&cell.status).state == ComponentState::Up;
        !components.is_empty()
            && components.values().all(works)
            && locked(&self.process.services).iter().all(has_parts)
    }
}

impl Component {
    /// The part works.
    pub fn up(&self, detail: &str) {
        self.set(ComponentState::Up, detail);
    }

    /// The part does not work, and why.
    pub fn down(&self, reason: &str) {
        self.set(ComponentState::Down, reason);
    }

    /// The part works, or does not: what it waits for, or why.
    pub fn set_state(&self, state: Result<&str, &str>) {
        match state {
            Ok(detail) => self.up(detail),
            Err(reason) => self.down(reason),
        }
    }

    /// The part reads these partitions, by topic, and no others any more.
    pub fn reads(&self, partitions: BTreeMap<String, BTreeSet<i32>>) {
        locked(&self.cell.status).partitions = partitions;
    }

    /// The service that the part belongs to.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn set(&self, state: ComponentState, detail: &str) {
        let mut status = locked(&self.cell.status);
        if status.state != state {
            (status.state, status.since) = (state, Utc::now());
            self.cell.exported.set(f64::from(u8::from(state == ComponentState::Up)));
            tracing::info!(service = &*self.service, component = &*self.name, ?state, detail, "health");
        }
        if status.detail != detail {
            detail.clone_into(&mut status.detail);
        }
    }
}
