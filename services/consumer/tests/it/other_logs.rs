//! The store stays, and the log is another one: wiped, or of another place under the same address.

use live_store::Checkpoint;
use market::Tick;

use crate::{
    pipeline::{Pipeline, tick, wait_until},
    streams::{minutes, ticks},
};

async fn all_stored(pipeline: &Pipeline, expected: std::ops::Range<u64>) {
    wait_until("everything is stored", async || {
        pipeline.stored("AAPL").await.len() as u64 == expected.end - expected.start
    })
    .await;
    let stored: Vec<Tick> = pipeline.stored("AAPL").await.iter().map(|stored| stored.tick).collect();
    assert_eq!(stored, ticks(expected));
}

async fn checkpoint(pipeline: &Pipeline) -> Checkpoint {
    let all = pipeline.store.checkpoints("consumer").await.unwrap();
    let is_of_aapl = |known: &Checkpoint| known.topic == topics::tick::STOCK_PRICES && known.next_offset > 0;
    all.into_iter().find(is_of_aapl).expect("a checkpoint")
}

/// Two minutes closed from ticks 0 to 140, sixty ticks each.
async fn whole_minutes(pipeline: &Pipeline) {
    wait_until("two minutes are closed", async || {
        minutes(&*pipeline.store).await.iter().filter(|bar| bar.is_final).count() >= 2
    })
    .await;
    let bars = minutes(&*pipeline.store).await;
    assert_eq!(bars[..2].iter().map(|bar| bar.ticks).collect::<Vec<_>>(), [60, 60]);
    let text = |decimal: rust_decimal::Decimal| decimal.normalize().to_string();
    assert_eq!([bars[0].open, bars[0].close, bars[1].close].map(text), ["100", "100.59", "101.19"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_log_is_read_from_its_beginning_and_bars_in_progress_go_on() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    pipeline.publish_ticks(&ticks(0..40)).await;
    pipeline.drained().await;
    pipeline.stop().await;
    assert_eq!(checkpoint(&pipeline).await.next_offset, 40);

    pipeline.another_log("second.db").await;
    // Some of them once more: the feed has repeated them.
    pipeline.publish_ticks(&ticks(35..50)).await;
    pipeline.start();
    all_stored(&pipeline, 0..50).await;
    pipeline.publish_ticks(&ticks(50..140)).await;
    all_stored(&pipeline, 0..140).await;
    whole_minutes(&pipeline).await;
    pipeline.drained().await;
    pipeline.stop().await;
    assert_eq!(checkpoint(&pipeline).await.next_offset, 105);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_holds_the_identity_of_its_topic_and_when_it_was_caught_up() {
    let mut pipeline = Pipeline::new().await;
    pipeline.publish_ticks(&ticks(0..40)).await;
    pipeline.start();
    wait_until("the partition is caught up", async || {
        pipeline.store.checkpoints("consumer").await.unwrap().iter().any(|known| known.caught_up_at.is_some())
    })
    .await;
    pipeline.drained().await;
    pipeline.stop().await;
    let known = checkpoint(&pipeline).await;
    let topic = topics::tick::STOCK_PRICES;
    assert_eq!(known.log_identity, pipeline.log.identities(&[topic]).await.unwrap().remove(topic));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_log_is_not_taken_for_the_same_one() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    pipeline.publish_ticks(&ticks(0..20)).await;
    pipeline.drained().await;
    pipeline.stop().await;

    pipeline.another_log("second.db").await;
    pipeline.publish_ticks(&ticks(20..140)).await;
    pipeline.start();
    all_stored(&pipeline, 0..140).await;
    whole_minutes(&pipeline).await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_another_consumer_has_read_is_not_taken_for_the_same_one() {
    let mut pipeline = Pipeline::new().await;
    let store = pipeline.empty_store().await;
    pipeline.another_log("second.db").await;
    pipeline.publish_ticks(&ticks(20..140)).await;
    let first = std::mem::replace(&mut pipeline.store, store);
    pipeline.start();
    pipeline.drained().await;
    pipeline.stop().await;

    pipeline.store = first;
    pipeline.another_log("third.db").await;
    pipeline.publish_ticks(&ticks(0..20)).await;
    pipeline.start();
    pipeline.drained().await;
    pipeline.stop().await;
    pipeline.another_log("second.db").await;
    pipeline.start();
    all_stored(&pipeline, 0..140).await;
    whole_minutes(&pipeline).await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_played_into_a_wiped_log_again_counts_nothing_twice() {
    let mut pipeline = Pipeline::new().await;
    for log in ["first.db", "second.db", "third.db"] {
        pipeline.another_log(log).await;
        pipeline.publish_ticks(&ticks(0..150)).await;
        // Cut at once the first time, so that some is delivered again out of the same log.
        pipeline.start();
        wait_until("something is stored", async || !pipeline.stored("AAPL").await.is_empty()).await;
        pipeline.kill().await;
        pipeline.start();
        pipeline.drained().await;
        all_stored(&pipeline, 0..150).await;
        pipeline.stop().await;
        whole_minutes(&pipeline).await;
        let open = minutes(&*pipeline.store).await[2];
        assert_eq!((open.ticks, open.is_final), (30, false), "{log}");
    }
    assert_eq!(pipeline.stored("AAPL").await[0].tick, tick(0));
}
