//! The loop on a scripted log and store, in virtual time.

use std::{sync::Arc, time::Duration};

use stream_processor::DeadLetterPolicy;
use tokio::time::{Instant, sleep};

use crate::{
    count::Stored,
    scripted_store::{Fault, ScriptedStore},
    scripted_world::World,
    world::{partition, start, wait_until},
};

#[tokio::test(start_paused = true)]
async fn records_are_stored_applied_emitted_saved_and_committed() {
    let world = World::new();
    world.append(0..120);
    let running = world.start();
    world.settled(120).await;
    running.stop().await.unwrap();
    world.assert_counted(120);
    assert_eq!(world.saved(), 120);
    let checkpoint = world.store.of("numbers", 0).unwrap();
    assert_eq!((checkpoint.generation, checkpoint.log_identity.as_deref()), (1, Some("one")));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_read_to_its_end_is_caught_up() {
    let world = World::new();
    world.append(0..10);
    let before = chrono::Utc::now();
    let running = world.start();
    let caught_up = || world.store.of("numbers", 0).and_then(|checkpoint| checkpoint.caught_up_at);
    wait_until("the checkpoint is saved", async || caught_up().is_some()).await;
    assert!(caught_up().unwrap() >= before);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn killed_anywhere_it_counts_every_record_once() {
    let world = World::new();
    let mut end = 0;
    for part in 1..=12 {
        let running = world.start();
        world.append(end..end + 70);
        end += 70;
        let stored = || world.stored.numbers.lock().unwrap().len() as u64;
        let before = stored();
        // Some parts are cut at once, some after the first batch, some after the checkpoint.
        match part % 3 {
            0 => {}
            1 => wait_until("something is stored", async || stored() > before).await,
            _ => wait_until("everything is saved", async || world.saved() == end).await,
        }
        running.kill().await;
    }
    let running = world.start();
    world.settled(end).await;
    running.stop().await.unwrap();
    world.assert_counted(end);
}

#[tokio::test(start_paused = true)]
async fn a_revoke_during_a_write_waits_for_it_and_saves() {
    let world = World::with(Stored { fault: Fault::gated(), ..Stored::default() });
    world.append(0..20);
    let running = world.start();
    wait_until("the log was polled", async || world.log.state().polls > 3).await;
    world.log.revoke(&[partition(0)]);
    sleep(Duration::from_secs(1)).await; // less than the deadline
    assert_eq!(world.saved(), 0);
    world.stored.fault.gate.close();
    wait_until("the state is saved", async || world.saved() == 20).await;
    world.settled(20).await;
    // Its next owner goes on from there.
    world.append(20..30);
    world.log.assign(&[partition(0)]);
    world.settled(30).await;
    running.stop().await.unwrap();
    world.assert_counted(30);
    assert_eq!(world.store.of("numbers", 0).unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_revoke_past_the_deadline_leaves_the_rest_to_the_next_owner() {
    let world = World::with(Stored { fault: Fault::gated(), ..Stored::default() });
    world.append(0..20);
    let running = world.start();
    wait_until("the log was polled", async || world.log.state().polls > 3).await;
    world.append(20..40);
    let polls = world.log.state().polls;
    world.log.revoke(&[partition(0)]);
    let begun = Instant::now();
    wait_until("polling goes on", async || world.log.state().polls > polls + 1).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "the group waits for {:?}", begun.elapsed());
    world.stored.fault.gate.close();
    world.log.assign(&[partition(0)]);
    world.settled(40).await;
    running.stop().await.unwrap();
    world.assert_counted(40);
}

#[tokio::test(start_paused = true)]
async fn a_failing_commit_is_repeated() {
    let world = World::new();
    world.log.state().failing_commits = 3;
    world.append(0..10);
    let running = world.start();
    wait_until("commits have failed", async || world.log.state().failing_commits == 0).await;
    world.append(10..20);
    world.settled(20).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_longer_than_a_session_stops_no_polling_and_loses_nothing() {
    let world = World::new();
    let running = world.start();
    world.append(0..10);
    world.settled(10).await;
    for fault in [&world.stored.fault, &world.store.fault] {
        fault.set_down(true);
        let records = world.log.state().partitions[&partition(0)].len() as u64;
        world.append(records..records + 500);
        let before = world.log.state().polls;
        sleep(Duration::from_mins(1)).await; // the outage itself
        let polls = world.log.state().polls - before;
        assert!(polls > 100, "only {polls} polls in a minute");
        assert!(!running.status.is_ready(), "the store is down");
        fault.set_down(false);
        let back = Instant::now();
        world.settled(records + 500).await;
        assert!(back.elapsed() < Duration::from_secs(3), "it took {:?}", back.elapsed());
    }
    running.stop().await.unwrap();
    world.assert_counted(1_010);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_down_is_named_at_the_end_and_nothing_is_committed() {
    let world = World::new();
    world.append(0..10);
    let running = world.start();
    world.settled(10).await;
    world.stored.fault.set_down(true);
    world.append(10..20);
    wait_until("the store is missed", async || !running.status.is_ready()).await;
    let error = format!("{:#}", running.stop().await.expect_err("the store is down"));
    assert!(error.contains("STORE_URL") && error.contains("read again at the next start"), "{error}");
    assert_eq!(world.committed(), Some(10));
    world.stored.fault.set_down(false);
    let running = world.start();
    world.settled(20).await;
    running.stop().await.unwrap();
    world.assert_counted(20);
}

#[tokio::test(start_paused = true)]
async fn a_log_replaced_while_it_is_read_is_read_from_its_beginning_with_the_state_kept() {
    let world = World::new();
    let running = world.start();
    world.append(0..100);
    world.settled(100).await;
    world.log.replace("two");
    // Some of them once more, at other offsets; then new ones.
    world.append(90..150);
    world.settled(60).await;
    running.stop().await.unwrap();
    world.assert_counted(150);
    assert_eq!(
        (world.saved(), world.store.of("numbers", 0).unwrap().log_identity.as_deref()),
        (60, Some("two"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_longer_log_is_not_taken_for_the_same_one() {
    let world = World::new();
    let running = world.start();
    world.append(0..100);
    world.settled(100).await;
    running.stop().await.unwrap();
    world.log.replace("two");
    world.append(100..250);
    let running = world.start();
    world.settled(150).await;
    running.stop().await.unwrap();
    world.assert_counted(250);
}

#[tokio::test(start_paused = true)]
async fn the_same_records_in_a_replaced_log_are_not_counted_again() {
    let world = World::new();
    for identity in ["one", "two", "three"] {
        world.log.replace(identity);
        world.append(0..100);
        let running = world.start();
        let stored = || world.stored.numbers.lock().unwrap().len();
        wait_until("something is stored", async || stored() > 0).await;
        running.kill().await;
        let running = world.start();
        world.settled(100).await;
        running.stop().await.unwrap();
        world.assert_counted(100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_published_twice_is_counted_once() {
    let world = World::new();
    let running = world.start();
    world.append(0..60);
    world.append(0..60);
    world.settled(120).await;
    running.stop().await.unwrap();
    world.assert_counted(60);
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_decoded_are_dead_letters_by_one_of_two_groups() {
    let world = World::new();
    world.log.append(&partition(0), &[("even", "0".to_owned()), ("odd", "one".to_owned())]);
    for policy in [DeadLetterPolicy::Count, DeadLetterPolicy::Publish] {
        world.log.state().committed.clear();
        let stored = Arc::default();
        let (log, store) = (Arc::new(world.log.clone()), Arc::new(ScriptedStore::default()));
        let running = start(log, store, &stored, ("group", "numbers"), policy);
        world.log.assign(&[partition(0)]);
        world.settled(2).await;
        running.stop().await.unwrap();
        assert_eq!(stored.numbers.lock().unwrap().len(), 1);
        let published = std::mem::take(&mut world.log.state().published);
        match policy {
            DeadLetterPolicy::Count => assert!(published.is_empty()),
            DeadLetterPolicy::Publish => {
                let [(topic, letter)] = &published[..] else { panic!("{published:?}") };
                let reason = letter.headers.iter().find(|(name, _)| name == "reason").unwrap();
                assert_eq!((topic.as_str(), &*letter.payload), ("numbers.dlq", &b"one"[..]));
                assert_eq!(&*reason.1, b"number: not a whole number");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_the_middle_of_a_batch_stores_and_commits_it() {
    let world = World::with(Stored { fault: Fault::gated(), ..Stored::default() });
    let running = world.start();
    wait_until("the log was polled", async || world.log.state().polls > 3).await;
    world.append(0..30);
    sleep(Duration::from_millis(50)).await; // the batch waits at the gate
    running.shutdown.cancel();
    world.stored.fault.gate.close();
    running.stop().await.unwrap();
    world.assert_counted(30);
    assert_eq!((world.committed(), world.saved()), (Some(30), 30));
}
