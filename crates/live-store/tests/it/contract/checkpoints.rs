use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{Checkpoint, LiveStore, LiveStoreError, PartitionBehind, day_completeness};
use market::{AssetClass, DayBounds};

use crate::{place::Place, samples::at};

const NONE: [usize; 0] = [];

fn partitions(numbers: &[i32]) -> Vec<(Arc<str>, i32)> {
    numbers.iter().map(|number| ("stock-prices".into(), *number)).collect()
}

async fn claim(store: &dyn LiveStore, numbers: &[i32]) -> Vec<Checkpoint> {
    store.claim("consumer", &partitions(numbers)).await.expect("claimed")
}

async fn claim_one(store: &dyn LiveStore) -> Checkpoint {
    claim(store, &[0]).await.remove(0)
}

async fn save(store: &dyn LiveStore, checkpoints: &[Checkpoint]) -> Vec<usize> {
    store.save_checkpoints(checkpoints).await.expect("saved or refused")
}

async fn stored(store: &dyn LiveStore) -> Vec<Checkpoint> {
    store.checkpoints("consumer").await.expect("read")
}

fn moved(claimed: &Checkpoint, next_offset: u64, state: &str) -> Checkpoint {
    Checkpoint { next_offset, state: state.to_owned(), ..claimed.clone() }
}

pub(crate) async fn a_claim_creates_what_is_missing_and_raises_the_generation_of_the_rest(place: impl Place) {
    let store = place.open().await;
    assert_eq!(claim(&*store, &[]).await, []);
    assert_eq!(stored(&*store).await, []);
    let new = |partition: i32| Checkpoint {
        processor: "consumer".to_owned(),
        topic: "stock-prices".to_owned(),
        partition,
        generation: 1,
        next_offset: 0,
        log_identity: None,
        caught_up_at: None,
        state: String::new(),
    };
    assert_eq!(claim(&*store, &[2, 0]).await, [new(2), new(0)], "in the order asked");
    let other = store.claim("alerts", &partitions(&[0])).await.expect("claimed");
    assert_eq!(other, [Checkpoint { processor: "alerts".to_owned(), ..new(0) }]);
    let saved = moved(&new(0), 10, "a");
    assert_eq!(save(&*store, std::slice::from_ref(&saved)).await, NONE);

    let again = claim(&*store, &[0, 1]).await;
    assert_eq!(again, [Checkpoint { generation: 2, ..saved }, new(1)], "all else stays");
    assert_eq!(stored(&*store).await, [again[0].clone(), again[1].clone(), new(2)]);
    assert_eq!(store.checkpoints("alerts").await.expect("read"), other);
}

pub(crate) async fn a_checkpoint_is_read_as_it_was_saved(place: impl Place) {
    let store = place.open().await;
    let claimed = claim_one(&*store).await;
    assert_eq!(save(&*store, &[]).await, NONE);
    let full = Checkpoint {
        log_identity: Some("cluster \u{fc}:'id'".to_owned()),
        caught_up_at: Some(at(0) + TimeDelta::microseconds(214_007)),
        ..moved(&claimed, i64::MAX as u64, "{\"candles\":[\"\u{fc}\\n\"]}")
    };
    let first = Checkpoint { next_offset: 7, ..full.clone() };
    for checkpoint in [first, full.clone()] {
        assert_eq!(save(&*store, std::slice::from_ref(&checkpoint)).await, NONE);
        assert_eq!(stored(&*store).await, [checkpoint]);
    }
    // What is not known any more is not kept.
    let unknown = Checkpoint { log_identity: None, caught_up_at: None, ..full };
    assert_eq!(save(&*store, std::slice::from_ref(&unknown)).await, NONE);
    drop(store);
    assert_eq!(stored(&*place.open().await).await, [unknown]);
}

pub(crate) async fn a_smaller_offset_within_a_generation_changes_nothing(place: impl Place) {
    let store = place.open().await;
    let claimed = claim(&*store, &[0, 1]).await;
    let start = [moved(&claimed[0], 10, "a"), moved(&claimed[1], 5, "b")];
    assert_eq!(save(&*store, &start).await, NONE);
    let next = [moved(&claimed[0], 9, "delayed"), moved(&claimed[1], 6, "new")];
    assert_eq!(save(&*store, &next).await, NONE, "a delayed write is not refused");
    assert_eq!(stored(&*store).await, [start[0].clone(), next[1].clone()]);
    let same_offset = moved(&claimed[0], 10, "same offset");
    assert_eq!(save(&*store, std::slice::from_ref(&same_offset)).await, NONE);
    assert_eq!(stored(&*store).await[0], same_offset);

    for odd in [
        Checkpoint { next_offset: u64::MAX, ..claimed[0].clone() },
        Checkpoint { caught_up_at: Some(DateTime::<Utc>::MAX_UTC), ..same_offset.clone() },
    ] {
        let error = store.save_checkpoints(&[odd]).await.expect_err("cannot be stored");
        assert!(matches!(error, LiveStoreError::Refused { .. }), "{error}");
    }
    assert_eq!(stored(&*store).await[0], same_offset);
}

pub(crate) async fn an_owner_that_was_replaced_changes_nothing(place: impl Place) {
    let store = place.open().await;
    let first = claim(&*store, &[0, 1]).await;
    assert_eq!(save(&*store, &[moved(&first[0], 10, "first")]).await, NONE);
    let second = claim_one(&*store).await;
    for offset in [9, 10, 11] {
        let late = [moved(&first[0], offset, "late"), moved(&first[1], offset, "still mine")];
        assert_eq!(save(&*store, &late).await, [0], "at the offset {offset}");
        assert_eq!(stored(&*store).await, [second.clone(), late[1].clone()]);
    }
    let saved = moved(&second, 12, "second");
    assert_eq!(save(&*store, std::slice::from_ref(&saved)).await, NONE);
    for offset in [11, 12, 13] {
        assert_eq!(save(&*store, &[moved(&first[0], offset, "late")]).await, [0], "at the offset {offset}");
        assert_eq!(stored(&*store).await[0], saved);
    }
    let of_nobody = Checkpoint { generation: second.generation + 1, ..moved(&second, 20, "never claimed") };
    assert_eq!(save(&*store, &[of_nobody]).await, [0]);
    assert_eq!(stored(&*store).await[0], saved);
}

pub(crate) async fn the_first_save_after_a_claim_may_go_back(place: impl Place) {
    let store = place.open().await;
    let first = claim_one(&*store).await;
    assert_eq!(save(&*store, &[moved(&first, 1000, "of the log before")]).await, NONE);
    let second = claim_one(&*store).await;
    assert_eq!((second.next_offset, &*second.state), (1000, "of the log before"));
    let replaced = Checkpoint { log_identity: Some("new".to_owned()), ..moved(&second, 3, "of the new log") };
    assert_eq!(save(&*store, std::slice::from_ref(&replaced)).await, NONE);
    assert_eq!(stored(&*store).await, std::slice::from_ref(&replaced));
    assert_eq!(save(&*store, &[moved(&second, 2, "delayed")]).await, NONE);
    assert_eq!(save(&*store, &[moved(&first, 1001, "replaced")]).await, [0]);
    assert_eq!(stored(&*store).await, [replaced]);
}

pub(crate) async fn a_partition_that_was_never_claimed_is_refused(place: impl Place) {
    let store = place.open().await;
    let claimed = claim(&*store, &[0, 1]).await;
    let batch = [
        Checkpoint { partition: 7, ..moved(&claimed[0], 1, "of no owner") },
        moved(&claimed[1], 2, "owned"),
        Checkpoint { generation: 0, ..moved(&claimed[0], 3, "of no generation") },
    ];
    assert_eq!(save(&*store, &batch).await, [0, 2]);
    assert_eq!(stored(&*store).await, [claimed[0].clone(), batch[1].clone()]);
}

pub(crate) async fn claims_at_the_same_time_get_different_generations(place: impl Place) {
    const CLAIMS: u64 = 24;
    let store = place.open().await;
    let other = place.open().await;
    let claims = (0..CLAIMS).map(|number| {
        let store = if number % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move { claim_one(&*store).await.generation })
    });
    let generations = futures_util::future::try_join_all(claims).await.expect("all claimed");
    let distinct: BTreeSet<u64> = generations.into_iter().collect();
    assert_eq!(distinct, (1..=CLAIMS).collect());
    let newest = stored(&*store).await.remove(0);
    assert_eq!(newest.generation, CLAIMS);
    assert_eq!(save(&*store, &[Checkpoint { generation: CLAIMS - 1, ..newest.clone() }]).await, [0]);
    assert_eq!(save(&*store, &[newest]).await, NONE);
}

pub(crate) async fn a_day_is_complete_when_every_partition_was_read_past_its_end(place: impl Place) {
    let store = place.open().await;
    let day = DayBounds::of(AssetClass::Stock, at(0).date_naive());
    let margin = TimeDelta::minutes(5);
    let complete = |asked: Vec<(Arc<str>, i32)>| {
        let store = store.clone();
        async move { day_completeness(&*store, "consumer", &asked, &day, margin).await.expect("read") }
    };
    let behind =
        |partition, caught_up_at| PartitionBehind { topic: "stock-prices".into(), partition, caught_up_at };
    assert!(!complete(partitions(&[])).await.is_complete(), "no partition, no answer");
    let claimed = claim(&*store, &[0, 1]).await;
    let found = complete(partitions(&[0, 1, 2])).await;
    assert_eq!(found.behind, [behind(0, None), behind(1, None), behind(2, None)]);

    let early = day.end + margin - TimeDelta::microseconds(1);
    let read = |index: usize, time| Checkpoint { caught_up_at: Some(time), ..claimed[index].clone() };
    save(&*store, &[read(0, day.end + margin), read(1, early)]).await;
    let found = complete(partitions(&[0, 1])).await;
    assert_eq!(found.behind, [behind(1, Some(early))]);
    assert!(!found.is_complete());
    assert!(complete(partitions(&[0])).await.is_complete());
    save(&*store, &[read(1, day.end + margin)]).await;
    assert!(complete(partitions(&[0, 1])).await.is_complete());
    assert_eq!(complete(partitions(&[0, 1, 2])).await.behind, [behind(2, None)], "a new partition");
}
