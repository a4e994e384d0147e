//! The end of a consumer whose store is away.

use std::time::Duration;

use crate::{
    pipeline::{Pipeline, wait_until},
    streams::ticks,
};

/// Waits until the consumer has taken everything from the log.
async fn with_ticks_on_their_way(pipeline: &Pipeline) {
    pipeline.publish_ticks(&ticks(0..20)).await;
    wait_until("the store is missed", async || !pipeline.store_is_up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_back_during_the_end_gets_everything() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    wait_until("the store answers", async || pipeline.store_is_up()).await;
    let lock = pipeline.lock_store().await;
    with_ticks_on_their_way(&pipeline).await;
    let back = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await; // the absence itself
        drop(lock);
    });
    pipeline.stopped().await.unwrap();
    back.await.unwrap();
    assert_eq!(pipeline.stored("AAPL").await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_away_is_named_with_its_setting_and_nothing_is_lost() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    wait_until("the store answers", async || pipeline.store_is_up()).await;
    let lock = pipeline.lock_store().await;
    with_ticks_on_their_way(&pipeline).await;
    let error = pipeline.stopped().await.expect_err("the store is away");
    let said = format!("{error:#}");
    assert!(said.contains("STORE_URL") && said.contains("read again at the next start"), "{said}");
    drop(lock);
    pipeline.start();
    wait_until("everything is stored", async || pipeline.stored("AAPL").await.len() == 20).await;
    pipeline.stop().await;
}
