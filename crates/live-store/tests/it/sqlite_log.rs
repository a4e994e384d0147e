//! The write-ahead log stays bounded.

use std::time::Duration;

use crate::{
    place::{Place, SqlitePlace},
    samples::{all_ticks, ticks},
};

/// What the adapter lets it grow to, once more where a reader on a busy machine has thwarted the first attempt to start it
/// over, and one batch more.
const BOUND_BYTES: u64 = 2 * (64 << 20) + (4 << 20);
const BATCH: u64 = 10_000;

fn log_bytes(place: &SqlitePlace) -> u64 {
    let mut path = place.path().into_os_string();
    path.push("-wal");
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// One of two readers is always active. Checkpoints that do not wait for readers then never restart the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_overlap_do_not_make_the_log_grow_without_end() {
    let place = SqlitePlace::new();
    let store = place.open().await;
    store.write_ticks(&ticks(0..1)).await.expect("stored");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = |mut raw: sqlx::SqliteConnection, stopped: tokio::sync::watch::Receiver<bool>| async move {
        while !*stopped.borrow() {
            sqlx::raw_sql("BEGIN; SELECT max(timestamp) FROM realtime_prices WHERE symbol = 'AAPL'")
                .execute(&mut raw)
                .await
                .expect("begun");
            // The length of a reader's work, not a wait for anything.
            tokio::time::sleep(Duration::from_millis(20)).await;
            sqlx::query("COMMIT").execute(&mut raw).await.expect("ended");
        }
    };
    let readers = [
        tokio::spawn(reader(place.raw().await, stopped.clone())),
        tokio::spawn(reader(place.raw().await, stopped)),
    ];
    let mut most = 0;
    for step in 0..50 {
        store.write_ticks(&ticks(step * BATCH..(step + 1) * BATCH)).await.expect("stored");
        most = most.max(log_bytes(&place));
    }
    stop.send(true).expect("heard");
    for reader in readers {
        reader.await.expect("a reader ends");
    }
    assert!(most <= BOUND_BYTES, "{} MB of log", most >> 20);
    assert_eq!(all_ticks(&*store, "AAPL", 10_000).await.len() as u64, 50 * BATCH);
}
