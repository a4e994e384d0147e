//! The end of an embedded store, and what a store of one process has in memory.

use std::sync::Arc;

use live_store::{Checkpoint, LiveStore, TickOutcome};

use crate::{
    place::SqlitePlace,
    samples::{all_ticks, ticks},
};

async fn claim(store: &dyn LiveStore) -> Checkpoint {
    store.claim("consumer", &[("stock-prices".into(), 1)]).await.expect("claimed").remove(0)
}

async fn opened_alone(place: &SqlitePlace) -> Arc<dyn LiveStore> {
    live_store::open_alone(&place.url()).await.expect("opens")
}

#[tokio::test]
async fn a_copy_of_the_file_of_a_closed_store_is_whole() {
    for is_alone in [false, true] {
        let place = SqlitePlace::new();
        let store = if is_alone {
            opened_alone(&place).await
        } else {
            live_store::open(&place.url()).await.expect("opens")
        };
        store.write_ticks(&ticks(0..100)).await.expect("stored");
        let checkpoint = Checkpoint { next_offset: 100, state: "{}".to_owned(), ..claim(&*store).await };
        assert_eq!(store.save_checkpoints(std::slice::from_ref(&checkpoint)).await.expect("saved"), [0; 0]);
        store.close().await.expect("closed");
        assert!(store.write_ticks(&ticks(100..101)).await.is_err(), "a closed store accepted ticks");
        let copy = SqlitePlace::new();
        std::fs::create_dir_all(copy.path().parent().expect("a folder")).expect("the folder");
        std::fs::copy(place.path(), copy.path()).expect("copied");
        let copied = live_store::open(&copy.url()).await.expect("opens");
        assert_eq!(all_ticks(&*copied, "AAPL", 1_000).await, ticks(0..100));
        assert_eq!(copied.checkpoints("consumer").await.expect("read"), [checkpoint]);
    }
}

/// What ends with the process, ticks and the checkpoint behind them alike, is read again from the log.
#[tokio::test]
async fn a_checkpoint_in_the_file_has_all_ticks_before_it_in_the_file() {
    let place = SqlitePlace::new();
    let store = opened_alone(&place).await;
    let claimed = claim(&*store).await;
    let mut next = 0;
    for round in 0..60 {
        let batch = ticks(next..next + 60);
        next += 60;
        let outcomes = store.write_ticks(&batch).await.expect("stored");
        assert_eq!(outcomes, vec![TickOutcome::New; 60]);
        let checkpoint = Checkpoint { next_offset: next, state: round.to_string(), ..claimed.clone() };
        assert_eq!(store.save_checkpoints(&[checkpoint]).await.expect("saved"), [0; 0]);
        // Another process, or the next one after a `kill -9` now.
        let other = live_store::open(&place.url()).await.expect("opens");
        let in_file = all_ticks(&*other, "AAPL", 10_000).await.len() as u64;
        let checkpoint = other.checkpoints("consumer").await.expect("read").remove(0);
        assert_eq!(checkpoint.next_offset, in_file, "round {round}");
        other.close().await.expect("closed");
    }
    let store_has = all_ticks(&*store, "AAPL", 10_000).await;
    assert_eq!(store_has, ticks(0..next), "readers of the store itself have all of them");
}

#[tokio::test]
async fn a_file_that_is_removed_while_it_is_in_use_takes_nothing_more() {
    let place = SqlitePlace::new();
    let store = live_store::open(&place.url()).await.expect("opens");
    store.write_ticks(&ticks(0..3)).await.expect("stored");
    std::fs::remove_file(place.path()).expect("removed");
    let error = store.write_ticks(&ticks(3..6)).await.expect_err("refused");
    assert!(error.to_string().contains("was removed or replaced while it was in use"), "{error}");
    assert!(!error.is_transient(), "it does not pass by itself");
}
