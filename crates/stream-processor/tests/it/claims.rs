//! Claims of checkpoints by more than one process, in virtual time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use live_store::CheckpointStore;
use tokio::time::sleep;

use crate::{
    scripted_log::ScriptedLog,
    scripted_store::ScriptedStore,
    scripted_world::{ALL, World},
    world::{numbers, partition, start, wait_until},
};

/// Another process claims partition 0.
async fn claim_elsewhere(world: &World) {
    world.store.claim("count", &[("numbers".into(), 0)]).await.unwrap();
}

fn generation(world: &World) -> u64 {
    world.store.of("numbers", 0).unwrap().generation
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_stood_still_cannot_overwrite_its_successor() {
    let world = World::new();
    world.append(0..50);
    let first = world.start();
    world.settled(50).await;
    // It stands still: its store does not answer. Meanwhile another process has the partitions.
    let second_log = ScriptedLog::default();
    {
        let (state, mut second) = (world.log.state(), second_log.state());
        state.identity.clone_into(&mut second.identity);
        second.partitions.clone_from(&state.partitions);
    }
    let store: Arc<ScriptedStore> = Arc::clone(&world.store);
    let second = start(Arc::new(second_log.clone()), store, &world.stored, ("group", "numbers"), ALL);
    second_log.assign(&[partition(0), partition(1)]);
    second_log.append(&partition(0), &numbers(50..80));
    let committed = || second_log.state().committed.get(&partition(0)).copied();
    wait_until("the successor is at work", async || committed() == Some(80)).await;
    wait_until("its state is saved", async || world.saved() == 80).await;
    let saved = world.store.of("numbers", 0).unwrap();
    // It continues with records of its own, and the group revokes its partitions.
    world.append(50..60);
    sleep(Duration::from_secs(2)).await; // past the interval of checkpoints, before it claims again
    assert_eq!(world.store.of("numbers", 0).unwrap().next_offset, 80);
    world.log.revoke(&[partition(0), partition(1)]);
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    let end = world.store.of("numbers", 0).unwrap();
    assert_eq!((end.generation, end.next_offset, end.state), (saved.generation, 80, saved.state));
    world.assert_counted(80);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_checkpoint_was_claimed_by_mistake_claims_it_again() {
    let world = World::new();
    let running = world.start();
    world.append(0..20);
    world.settled(20).await;
    wait_until("it is saved", async || world.saved() == 20).await;
    claim_elsewhere(&world).await;
    world.append(20..50);
    world.settled(50).await;
    wait_until("it is saved again", async || world.saved() == 50).await;
    running.stop().await.unwrap();
    world.assert_counted(50);
    assert_eq!(generation(&world), 3);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_revoked_before_its_claim_is_refused_stays_with_its_new_owner() {
    let world = World::new();
    let running = world.start();
    world.append(0..20);
    wait_until("it is saved", async || world.saved() == 20).await;
    world.append(20..30);
    world.settled(30).await; // applied, and not saved yet
    assert_eq!(world.saved(), 20);
    claim_elsewhere(&world).await;
    let claimed = generation(&world);
    world.log.revoke(&[partition(0)]);
    sleep(Duration::from_secs(10)).await; // past the time after which a fenced partition is claimed again
    assert_eq!(generation(&world), claimed);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_assigned_again_is_not_claimed_while_it_is_read() {
    let world = World::new();
    let running = world.start();
    world.append(0..20);
    wait_until("it is saved", async || world.saved() == 20).await;
    claim_elsewhere(&world).await;
    world.append(20..30);
    sleep(Duration::from_millis(1_500)).await; // past the interval of checkpoints: it is fenced
    world.log.revoke(&[partition(0)]);
    world.log.assign(&[partition(0)]);
    wait_until("it is claimed", async || generation(&world) == 3).await;
    // Records arrive throughout the time after which a fenced partition is claimed again.
    for step in 0..60 {
        world.append(30 + step * 10..40 + step * 10);
        sleep(Duration::from_millis(100)).await;
    }
    world.settled(630).await;
    running.stop().await.unwrap();
    assert_eq!(generation(&world), 3);
    world.assert_counted(630);
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_claim_is_refused_while_it_is_assigned_is_claimed_again() {
    let world = World::new();
    let running = world.start();
    world.append(0..20);
    wait_until("it is saved", async || world.saved() == 20).await;
    running.stop().await.unwrap();
    // An assignment on another log saves at once.
    world.log.replace("two");
    world.append(0..20);
    world.store.claim_after_next.store(true, Ordering::SeqCst);
    let running = world.start();
    world.settled(20).await;
    world.append(20..40);
    world.settled(40).await;
    running.stop().await.unwrap();
    world.assert_counted(40);
    assert_eq!(world.saved(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_for_good_ends_the_process_while_the_log_is_quiet() {
    let world = World::new();
    let running = world.start();
    world.append(0..20);
    world.store.refuses_saves.store(true, Ordering::SeqCst);
    let error = format!("{:#}", running.ended().await.expect_err("it cannot save"));
    assert!(error.contains("a disk that is full"), "{error}");
}
