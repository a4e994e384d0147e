use std::{collections::HashMap, future::Future, pin::pin, task::Poll};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{LiveStore, LiveStoreError, StoredTick, TickOutcome};
use market::{Tick, TickFields};
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestRunner},
};
use rust_decimal::Decimal;

use crate::{
    place::Place,
    samples::{all_ticks, at, fields, tick, tick_of, ticks},
};

use TickOutcome::{Duplicate, New, Redelivered};

pub(crate) async fn every_tick_is_stored_once_and_its_outcome_returned(place: impl Place) {
    let store = place.open().await;
    assert_eq!(store.write_ticks(&ticks(0..3)).await.expect("stored"), [New; 3]);

    let said_twice = StoredTick { offset: 900, ..tick(1) };
    let other_partition = StoredTick { partition: 2, ..tick(2) };
    let batch = [tick(0), said_twice, other_partition, tick(7), tick(7), tick(0)];
    assert_eq!(
        store.write_ticks(&batch).await.expect("stored"),
        [Redelivered(tick(0).processed_at), Duplicate, Duplicate, New, Duplicate, Duplicate]
    );
    let expected = [tick(0), tick(1), tick(2), tick(7)];
    assert_eq!(all_ticks(&*store, "AAPL", 10).await, expected, "the first of each stays as it was");
}

pub(crate) async fn a_batch_sent_again_changes_nothing(place: impl Place) {
    let store = place.open().await;
    let batch = ticks(0..700);
    store.write_ticks(&batch).await.expect("stored");
    let later: Vec<_> = batch.iter().map(|row| StoredTick { processed_at: at(5000), ..*row }).collect();
    let expected = again_of(&batch);
    assert_eq!(store.write_ticks(&later).await.expect("stored"), expected, "with the time that is stored");
    assert_eq!(all_ticks(&*store, "AAPL", 300).await, batch);
}

/// The outcomes of a batch that is stored already.
fn again_of(batch: &[StoredTick]) -> Vec<TickOutcome> {
    batch.iter().map(|row| Redelivered(row.processed_at)).collect()
}

/// Few identities and few deliveries, so that all kinds of repeats meet; a batch of many rows, so that they meet in
/// every place of an adapter's chunks.
fn batches() -> impl Strategy<Value = Vec<Vec<StoredTick>>> {
    let row = (0..2_usize, 0..400_u64, 0..2_i32, 0..3_u64).prop_map(|(name, seq, partition, offset)| {
        let name = ["AAPL", "BTC/USDT"][name];
        StoredTick { partition, offset, ..tick_of(name, seq, at((seq % 5) as i64)) }
    });
    let mixed = vec(row, 1..40);
    let run = (0..300_u64, 1..330_u64).prop_map(|(from, count)| ticks(from..from + count));
    vec(prop_oneof![mixed, run], 1..6)
}

/// Always the same cases: a failure here must come again.
fn runner() -> TestRunner {
    TestRunner::new(Config { rng_seed: RngSeed::Fixed(3), ..Config::default() })
}

pub(crate) async fn outcomes_agree_with_a_simple_model(place: impl Place) {
    let store = place.open().await;
    let mut runner = runner();
    let mut first = HashMap::new();
    for case in 0..40 {
        let batches = batches().new_tree(&mut runner).expect("batches").current();
        for batch in shifted(batches, case * 1000) {
            let outcomes = store.write_ticks(&batch).await.expect("stored");
            assert_eq!(outcomes, model(&mut first, &batch), "case {case}");
        }
    }
    for name in ["AAPL", "BTC/USDT"] {
        let stored = all_ticks(&*store, name, 1000).await;
        assert_eq!(stored.len(), first.values().filter(|row| row.tick.symbol.as_str() == name).count());
        assert!(stored.iter().all(|row| first.get(&row.tick.id()) == Some(row)));
    }
}

/// Each case has identities of its own, in one store.
fn shifted(batches: Vec<Vec<StoredTick>>, by: u64) -> Vec<Vec<StoredTick>> {
    let shift = |row: StoredTick| {
        let fields = row.tick.into_fields();
        let tick = Tick::new(TickFields { seq: fields.seq + by, ..fields }).expect("a tick");
        StoredTick { tick, ..row }
    };
    batches.into_iter().map(|batch| batch.into_iter().map(shift).collect()).collect()
}

/// The contract, word by word.
fn model(first: &mut HashMap<String, StoredTick>, batch: &[StoredTick]) -> Vec<TickOutcome> {
    let before = first.clone();
    let mut seen = Vec::new();
    batch
        .iter()
        .map(|row| {
            let id = row.tick.id();
            first.entry(id.clone()).or_insert(*row);
            if seen.contains(&id) {
                return Duplicate;
            }
            seen.push(id.clone());
            match before.get(&id) {
                None => New,
                Some(stored) if (stored.partition, stored.offset) == (row.partition, row.offset) => {
                    Redelivered(stored.processed_at)
                }
                Some(_) => Duplicate,
            }
        })
        .collect()
}

/// Up to 15 significant digits at any scale.
fn price() -> impl Strategy<Value = Decimal> {
    (1..1_000_000_000_000_000_i64, 0..22_u32).prop_map(|(digits, scale)| Decimal::new(digits, scale))
}

/// Any microsecond of the years 0 to 9999.
fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_167_219_200_000_000_i64..253_402_300_800_000_000)
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).expect("within chrono's range"))
}

pub(crate) async fn prices_times_and_numbers_come_back_exactly(place: impl Place) {
    let store = place.open().await;
    let mut runner = runner();
    let numbers =
        (price(), price(), price(), price(), any_time(), any_time(), any_time(), -1e6..1e6, any::<i32>());
    let seqs = prop_oneof![0..1000_u64, Just(u64::MAX), Just(1 << 63), any::<u64>()];
    let strategy = vec((numbers, seqs, any::<u64>()), 1000);
    let values = strategy.new_tree(&mut runner).expect("values").current();
    let mut expected: Vec<StoredTick> = Vec::new();
    for (
        (price, open, one, other, timestamp, received_at, processed_at, change_percent, partition),
        seq,
        offset,
    ) in values
    {
        let (low, high) = (one.min(other), one.max(other));
        let start = fields("BTC/USDT", seq, timestamp);
        let fields = TickFields { price, open, low, high, volume: one, change_percent, received_at, ..start };
        let tick = Tick::new(fields).expect("a tick");
        if expected.iter().all(|row| row.tick.seq != seq) {
            expected.push(StoredTick { tick, processed_at, partition, offset });
        }
    }
    store.write_ticks(&expected).await.expect("stored");
    let mut stored = all_ticks(&*store, "BTC/USDT", 1000).await;
    assert!(stored.is_sorted_by_key(|row| row.tick.timestamp));
    stored.sort_by_key(|row| row.tick.seq);
    expected.sort_by_key(|row| row.tick.seq);
    assert_eq!(stored, expected);
}

pub(crate) async fn a_large_batch_is_stored_whole(place: impl Place) {
    let store = place.open().await;
    let batch = ticks(0..20_000);
    assert_eq!(store.write_ticks(&batch).await.expect("stored"), vec![New; batch.len()]);
    let mut again = batch.clone();
    again.push(tick(20_000));
    let outcomes = store.write_ticks(&again).await.expect("stored");
    assert_eq!(outcomes[..20_000], again_of(&batch));
    assert_eq!(outcomes[20_000], New);
    assert_eq!(all_ticks(&*store, "AAPL", 7000).await, again);
}

pub(crate) async fn an_empty_batch_changes_nothing(place: impl Place) {
    let store = place.open().await;
    assert_eq!(store.write_ticks(&[]).await.expect("nothing to do"), []);
    store.write_candles(&[]).await.expect("nothing to do");
    assert_eq!(store.latest_ticks().await.expect("read"), []);
}

pub(crate) async fn a_time_that_cannot_be_stored_is_refused_and_nothing_of_its_batch_is_stored(
    place: impl Place,
) {
    let store = place.open().await;
    for odd in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let mut batch = ticks(0..600);
        batch.push(StoredTick { processed_at: odd, ..tick(600) });
        let error = store.write_ticks(&batch).await.expect_err("refused");
        assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("binance:AAPL:600"), "{error}");
        assert!(!error.is_transient());
        assert_eq!(store.latest_ticks().await.expect("read"), []);
    }
    assert_eq!(store.write_ticks(&ticks(0..2)).await.expect("goes on"), [New; 2]);
}

pub(crate) async fn a_cancelled_write_can_be_sent_again(place: impl Place) {
    let store = place.open().await;
    let batch = ticks(0..3000);
    for polls in 1..12 {
        let mut writing = pin!(store.write_ticks(&batch));
        let mut polled = 0;
        // Given up in the middle, a little later each time.
        std::future::poll_fn(|context| {
            polled += 1;
            match writing.as_mut().poll(context) {
                Poll::Pending if polled < polls => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
    let outcomes = store.write_ticks(&batch).await.expect("stored");
    assert!(
        !outcomes.contains(&Duplicate),
        "all or nothing of a cancelled write is stored, under its delivery"
    );
    assert_eq!(all_ticks(&*store, "AAPL", 1000).await, batch);
}

pub(crate) async fn several_writers_and_readers_at_once_agree_in_the_end(place: impl Place) {
    let store = place.open().await;
    let writer = |number: u64| {
        let store = store.clone();
        async move {
            for step in 0..20 {
                let from = number * 10_000 + step * 100;
                // Every step overlaps the one before.
                let batch = ticks(from..from + 150);
                store.write_ticks(&batch).await.expect("stored");
            }
        }
    };
    let reader = || {
        let store = store.clone();
        async move {
            let mut seen = 0;
            while seen < 2 * 2050 {
                let found = all_ticks(&*store, "AAPL", 500).await;
                assert!(
                    found.iter().all(|row| *row == tick(row.tick.seq)),
                    "a tick is there whole or not at all"
                );
                assert!(found.len() >= seen, "what was there has gone");
                seen = found.len();
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), async {
        tokio::join!(writer(0), writer(1), reader(), reader());
    })
    .await
    .expect("writers and readers end");
    assert_eq!(all_ticks(&*store, "AAPL", 1000).await.len(), 2 * 2050);
}

pub(crate) async fn reopening_finds_everything(place: impl Place) {
    let batch: Vec<_> = ticks(0..100)
        .into_iter()
        .map(|row| StoredTick { processed_at: row.processed_at + TimeDelta::seconds(1), ..row })
        .collect();
    for round in 0..3 {
        let store: std::sync::Arc<dyn LiveStore> = place.open().await;
        let expected = if round == 0 { vec![New; 100] } else { again_of(&batch) };
        assert_eq!(store.write_ticks(&batch).await.expect("stored"), expected);
        assert_eq!(all_ticks(&*store, "AAPL", 1000).await, batch);
    }
}
