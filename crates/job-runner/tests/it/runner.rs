//! Runners that share a store, on a clock that runs with the paused time of tokio: a wait of hours takes no time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::UTC;
use job_runner::{Clock, Job, JobRunner, JobStore, MissedRuns, Schedule, StoreError};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

fn time(text: &str) -> DateTime<Utc> {
    format!("2026-01-{text}:00Z").parse().unwrap()
}

#[derive(Default)]
struct Memory {
    leases: Mutex<BTreeMap<String, (String, DateTime<Utc>)>>,
    finished: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

#[async_trait]
impl JobStore for Memory {
    async fn acquire(
        &self,
        job: &str,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut leases = self.leases.lock().unwrap();
        if leases.get(job).is_some_and(|(other, lease)| other != owner && *lease > now) {
            return Ok(false);
        }
        leases.insert(job.to_owned(), (owner.to_owned(), until));
        Ok(true)
    }

    async fn renew(&self, job: &str, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let mut leases = self.leases.lock().unwrap();
        let Some(lease) = leases.get_mut(job).filter(|(of, _)| of == owner) else { return Ok(false) };
        lease.1 = until;
        Ok(true)
    }

    async fn release(
        &self,
        job: &str,
        owner: &str,
        finished: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError> {
        let mut leases = self.leases.lock().unwrap();
        if leases.get(job).is_none_or(|(of, _)| of != owner) {
            return Ok(false);
        }
        leases.remove(job);
        if let Some(finished) = finished {
            let mut all = self.finished.lock().unwrap();
            let newest = all.entry(job.to_owned()).or_insert(finished);
            *newest = finished.max(*newest);
        }
        Ok(true)
    }

    async fn finished(&self, job: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.finished.lock().unwrap().get(job).copied())
    }
}

/// Which process ran what, and whether it has finished.
type Runs = Arc<Mutex<Vec<(&'static str, DateTime<Utc>)>>>;

/// Runs at six.
struct Nightly {
    process: &'static str,
    runs: Runs,
    takes: Duration,
    failures: Mutex<u32>,
}

#[async_trait]
impl Job for Nightly {
    fn name(&self) -> &'static str {
        "nightly"
    }

    fn schedule(&self) -> Schedule {
        Schedule::parse("0 6 * * *", UTC).unwrap()
    }

    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpAll
    }

    fn limit(&self) -> Duration {
        Duration::from_hours(2)
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        tokio::time::sleep(self.takes).await;
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            anyhow::bail!("no space left");
        }
        self.runs.lock().unwrap().push((self.process, due));
        Ok(())
    }
}

struct World {
    store: Arc<Memory>,
    runs: Runs,
    clock: Clock,
    health: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn at(now: &str) -> Self {
        let (began, now) = (Instant::now(), time(now));
        Self {
            store: Arc::default(),
            runs: Arc::default(),
            clock: Arc::new(move || now + began.elapsed()),
            health: Arc::default(),
        }
    }

    fn runner(&self, process: &'static str, takes: Duration, failures: u32) -> JobRunner {
        let job = Nightly { process, runs: Arc::clone(&self.runs), takes, failures: Mutex::new(failures) };
        let health = Arc::clone(&self.health);
        JobRunner::new(job, self.store.clone(), process)
            .with_clock(self.clock.clone())
            .reporting(move |state| health.lock().unwrap().push(format!("{state:?}")))
    }

    fn start(&self, process: &'static str, takes: Duration) -> (CancellationToken, JoinHandle<()>) {
        let shutdown = CancellationToken::new();
        (shutdown.clone(), tokio::spawn(self.runner(process, takes, 0).run(shutdown)))
    }

    async fn until(&self, moment: &str) {
        let left = time(moment) - (self.clock)();
        tokio::time::sleep(left.to_std().unwrap()).await;
    }

    fn runs(&self) -> Vec<(&'static str, DateTime<Utc>)> {
        self.runs.lock().unwrap().clone()
    }
}

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn two_processes_never_run_one_job_at_the_same_time_and_each_run_is_done_once() {
    let world = World::at("10T05:00");
    let (stop_one, one) = world.start("one", 10 * MINUTE);
    let (stop_two, two) = world.start("two", 10 * MINUTE);
    world.until("13T12:00").await;
    let due: Vec<_> = world.runs().into_iter().map(|(_, due)| due).collect();
    assert_eq!(due, ["10T06:00", "11T06:00", "12T06:00", "13T06:00"].map(time));
    stop_one.cancel();
    stop_two.cancel();
    one.await.unwrap();
    two.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_process_that_died_expires_and_another_one_makes_its_run_up() {
    let world = World::at("10T05:59");
    let (_, dead) = world.start("dead", 30 * MINUTE);
    world.until("10T06:10").await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled(), "it never released its lease");
    let (shutdown, heir) = world.start("heir", MINUTE);
    world.until("10T06:10").await;
    world.until("10T06:15").await;
    assert_eq!(world.runs(), [("heir", time("10T06:00"))]);
    shutdown.cancel();
    heir.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_away_makes_up_its_runs_in_order() {
    let world = World::at("10T05:00");
    let (shutdown, first) = world.start("first", MINUTE);
    world.until("10T07:00").await;
    shutdown.cancel();
    first.await.unwrap();
    world.until("13T09:00").await;
    let (shutdown, second) = world.start("second", MINUTE);
    world.until("13T10:00").await;
    let of_second: Vec<_> = world.runs().into_iter().skip(1).map(|(_, due)| due).collect();
    assert_eq!(of_second, ["11T06:00", "12T06:00", "13T06:00"].map(time));
    shutdown.cancel();
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_is_reported_and_tried_again_and_a_shutdown_aborts_one_without_recording_it() {
    let world = World::at("10T05:00");
    let shutdown = CancellationToken::new();
    let failing = tokio::spawn(world.runner("one", MINUTE, 2).run(shutdown.clone()));
    world.until("10T07:00").await;
    assert_eq!(world.runs(), [("one", time("10T06:00"))]);
    let reported = world.health.lock().unwrap().join("\n");
    assert!(reported.contains("no space left; trying again in"), "{reported}");
    assert!(reported.lines().last().unwrap().contains("next run at 2026-01-11 06:00 UTC"), "{reported}");
    world.until("11T06:00").await;
    tokio::time::sleep(Duration::from_secs(40)).await; // into the next run, by virtual time
    shutdown.cancel();
    failing.await.unwrap();
    assert_eq!(world.store.finished("nightly").await.unwrap(), Some(time("10T06:00")));
    assert!(world.store.leases.lock().unwrap().is_empty(), "the lease was given back");
}

#[tokio::test(start_paused = true)]
async fn run_once_does_one_run_and_leaves_the_schedule_unless_another_process_runs_the_job() {
    let world = World::at("10T05:00");
    let once = world.runner("by hand", MINUTE, 0);
    once.run_once(time("02T06:00")).await.unwrap();
    assert_eq!(world.runs(), [("by hand", time("02T06:00"))]);
    assert_eq!(world.store.finished("nightly").await.unwrap(), None);

    let (shutdown, running) = world.start("scheduled", 30 * MINUTE);
    world.until("10T06:10").await;
    let error = once.run_once(time("02T06:00")).await.unwrap_err().to_string();
    assert!(error.contains("another process runs the job `nightly`"), "{error}");
    shutdown.cancel();
    running.await.unwrap();
}
