//! Leases of jobs, and their finished runs.

use chrono::{DateTime, TimeDelta, Utc};
use live_store::LiveStore;

use crate::{place::Place, samples::at};

const LEASE: TimeDelta = TimeDelta::seconds(60);

async fn acquire(store: &dyn LiveStore, owner: &str, now: DateTime<Utc>) -> bool {
    store.acquire("prune", owner, now, now + LEASE).await.expect("leased or not")
}

async fn release(store: &dyn LiveStore, owner: &str, finished: Option<DateTime<Utc>>) -> bool {
    store.release("prune", owner, finished).await.expect("released or not")
}

async fn finished(store: &dyn LiveStore) -> Option<DateTime<Utc>> {
    store.finished("prune").await.expect("read")
}

pub(crate) async fn one_owner_at_a_time_has_a_job(place: impl Place) {
    let store = place.open().await;
    let now = at(0);
    assert!(acquire(&*store, "one", now).await);
    assert!(!acquire(&*store, "two", now + TimeDelta::seconds(59)).await);
    assert!(acquire(&*store, "one", now + TimeDelta::seconds(1)).await, "its own, once more");
    assert!(store.acquire("digest", "two", now, now + LEASE).await.expect("leased"), "another job");
    assert!(!release(&*store, "two", Some(now)).await, "not the owner");
    assert_eq!(finished(&*store).await, None);
    assert!(release(&*store, "one", None).await);
    assert!(acquire(&*store, "two", now + TimeDelta::seconds(2)).await, "it is free");
    assert!(!release(&*store, "one", None).await, "no longer the owner");
}

pub(crate) async fn the_lease_of_an_owner_that_died_expires(place: impl Place) {
    let store = place.open().await;
    let now = at(0);
    assert!(acquire(&*store, "dead", now).await);
    let renewed = now + TimeDelta::seconds(15) + LEASE;
    assert!(store.renew("prune", "dead", renewed).await.expect("renewed"));
    assert!(!acquire(&*store, "heir", renewed - TimeDelta::milliseconds(1)).await);
    assert!(acquire(&*store, "heir", renewed).await);
    assert!(!store.renew("prune", "dead", renewed + LEASE).await.expect("refused"), "it was only asleep");
    assert!(!release(&*store, "dead", Some(now)).await);
    assert_eq!(finished(&*store).await, None);
    assert!(!store.renew("unknown", "dead", renewed).await.expect("refused"));
}

pub(crate) async fn the_newest_finished_run_is_kept(place: impl Place) {
    let store = place.open().await;
    assert_eq!(finished(&*store).await, None);
    let now = at(0);
    for (run, newest) in [(Some(60), 60), (None, 60), (Some(30), 60), (Some(90), 90)] {
        assert!(acquire(&*store, "one", now).await);
        let run = run.map(|seconds| now + TimeDelta::seconds(seconds));
        assert!(release(&*store, "one", run).await);
        assert_eq!(finished(&*store).await, Some(now + TimeDelta::seconds(newest)));
    }
    drop(store);
    assert_eq!(finished(&*place.open().await).await, Some(now + TimeDelta::seconds(90)));
}
