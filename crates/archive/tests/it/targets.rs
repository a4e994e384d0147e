use archive::{ArchiveError, Importing, Kind, Prices, Selection};
use live_store::{Checkpoint, LiveStore, LiveStoreError, StoredTick};
use market::{Candle, CandleFields, Interval};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::stores::{
    at, candle, contents, export, export_selected, import, import_as, place, place_with, tick,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_has_stays() {
    let minute = |is_final, ticks| {
        let fields = candle("AAPL", Interval::Minute, at(0), "yahoo/ticks").into_fields();
        Candle::new(CandleFields { is_final, ticks, ..fields }).expect("a candle")
    };
    let row = tick("AAPL", "yahoo", 7, at(0));
    // (there, coming, what is there in the end)
    let cases = [
        (minute(true, 9), minute(false, 20), minute(true, 9)),
        (minute(true, 9), minute(true, 20), minute(true, 9)),
        (minute(false, 9), minute(true, 5), minute(true, 5)),
        (minute(false, 9), minute(false, 20), minute(false, 20)),
        (minute(false, 9), minute(false, 5), minute(false, 9)),
    ];
    for (there, coming, in_the_end) in cases {
        let other = StoredTick { offset: 99, ..tick("AAPL", "yahoo", 7, at(3)) };
        let (from, to) = (place_with(&[row], &[coming]).await, place_with(&[other], &[there]).await);
        let folder = from.folder.path().join("archive");
        export(&*from.store, &folder).await.expect("exported");
        let counts = import(&folder, &*to.store).await.expect("imported").counts;
        assert_eq!((counts.of(Kind::TICKS).kept, counts.of(Kind::TICKS).new), (1, 0));
        assert_eq!(counts.of(Kind::CANDLES).kept, u64::from(in_the_end == there), "{coming:?}");
        assert_eq!(contents(&*to.store).await, (vec![other], vec![in_the_end]));
    }
}

#[rstest]
#[case::real_among_ticks("yahoo", true, "simulated")]
#[case::real_among_bars("yahoo", false, "simulated")]
#[case::invented_among_ticks("simulated", true, "real")]
#[case::invented_among_bars("simulated", false, "real")]
#[tokio::test(flavor = "multi_thread")]
async fn invented_and_real_prices_never_share_a_store(
    #[case] source: &str,
    #[case] ticks: bool,
    #[case] held: &str,
) {
    let other = if source == "yahoo" { "simulated" } else { "yahoo" };
    let from = place_with(&[tick("AAPL", source, 1, at(0))], &[]).await;
    let to = if ticks {
        place_with(&[tick("MSFT", other, 1, at(0))], &[]).await
    } else {
        place_with(&[], &[candle("MSFT", Interval::Day, at(0), other)]).await
    };
    let before = contents(&*to.store).await;
    let folder = from.folder.path().join("archive");
    export(&*from.store, &folder).await.expect("exported");
    let error = import(&folder, &*to.store).await.expect_err("refused");
    assert!(matches!(&error, ArchiveError::OtherPrices { held: found, .. } if *found == held), "{error}");
    let stop = CancellationToken::new();
    let error = archive::copy(&*from.store, &*to.store, &Selection::default(), false, &stop, &|_| {}).await;
    assert!(matches!(error, Err(ArchiveError::OtherPrices { .. })), "{error:?}");
    assert_eq!(contents(&*to.store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_store_with_both_kinds_of_prices_one_must_be_chosen() {
    let rows = [
        tick("AAPL", "simulated", 1, at(0)),
        tick("AAPL", "yahoo", 2, at(1)),
        tick("AAPL", "simulated", 3, at(2)),
    ];
    let from = place_with(&rows, &[]).await;
    let folder = |name: &str| from.folder.path().join(name);
    let error = export(&*from.store, &folder("both")).await.expect_err("refused");
    assert!(error.to_string().contains("--prices"), "{error}");
    for (prices, ticks) in [(Prices::Real, 1), (Prices::Simulated, 2)] {
        let selection = Selection { prices: Some(prices), ..Selection::default() };
        let folder = folder(prices.as_str());
        let manifest = export_selected(&*from.store, &folder, &selection).await.expect("exported").manifest;
        assert_eq!((manifest.prices, manifest.totals.of_kind(Kind::TICKS)), (Some(prices), ticks));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_full_says_so_and_with_room_the_rest_comes_in() {
    let rows: Vec<_> = (0..20_000).map(|n| tick("AAPL", "yahoo", n, at(n as i64))).collect();
    let from = place_with(&rows, &[]).await;
    let folder = from.folder.path().join("archive");
    export(&*from.store, &folder).await.expect("exported");
    let path = from.folder.path().join("small.db");
    let small = live_store::open(&format!("sqlite:{}?max_mb=2", path.display())).await.expect("opens");
    let error = import(&folder, &*small).await.expect_err("full");
    assert!(matches!(&error, ArchiveError::Store(LiveStoreError::DiskFull { .. })), "{error}");
    drop(small);
    let roomy = live_store::open(&format!("sqlite:{}", path.display())).await.expect("opens");
    let counts = import(&folder, &*roomy).await.expect("imported").counts;
    assert!(counts.of(Kind::TICKS).there > 0 && counts.of(Kind::TICKS).new > 0, "{counts:?}");
    assert!(contents(&*from.store).await == contents(&*roomy).await);
}

fn checkpoint(partition: i32, next_offset: u64) -> Checkpoint {
    Checkpoint {
        processor: "consumer".to_owned(),
        topic: "stock-prices".to_owned(),
        partition,
        generation: 0,
        next_offset,
        log_identity: Some("a topic".to_owned()),
        caught_up_at: Some(at(7)),
        state: "{\"bars\":[\"\u{fc}\\n\"]}".to_owned(),
    }
}

async fn claim_and_save(store: &dyn LiveStore, checkpoints: &[Checkpoint]) {
    for checkpoint in checkpoints {
        let partition = (checkpoint.topic.as_str().into(), checkpoint.partition);
        let claimed = store.claim(&checkpoint.processor, &[partition]).await.expect("claimed");
        let owned = Checkpoint { generation: claimed[0].generation, ..checkpoint.clone() };
        assert!(store.save_checkpoints(&[owned]).await.expect("saved").is_empty());
    }
}

/// All of all processors, whoever owns them.
async fn checkpoints(store: &dyn LiveStore) -> Vec<Checkpoint> {
    let all = store.all_checkpoints().await.expect("read");
    all.into_iter().map(|checkpoint| Checkpoint { generation: 0, ..checkpoint }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_go_over_only_when_asked_and_never_move_those_of_the_target() {
    let from = place_with(&[tick("AAPL", "yahoo", 1, at(0))], &[]).await;
    let of_alerts = Checkpoint { processor: "alerts".to_owned(), ..checkpoint(0, 9) };
    let known = [of_alerts, checkpoint(0, 40), checkpoint(2, 7)];
    claim_and_save(&*from.store, &known).await;
    let folder = from.folder.path().join("archive");
    let totals = export(&*from.store, &folder).await.expect("exported").manifest.totals;
    assert_eq!(totals.of_kind(Kind::CHECKPOINTS), 3, "of all processors");

    let to = place().await;
    import(&folder, &*to.store).await.expect("imported");
    assert_eq!(checkpoints(&*to.store).await, []);
    let with = Importing { checkpoints: true, ..Importing::default() };
    for _ in 0..2 {
        let counts = import_as(&folder, &*to.store, &with).await.expect("imported").counts;
        assert_eq!(counts.of(Kind::CHECKPOINTS).all(), 3);
        assert_eq!(checkpoints(&*to.store).await, known);
    }

    let copied = place().await;
    let stop = CancellationToken::new();
    let all = Selection::default();
    archive::copy(&*from.store, &*copied.store, &all, true, &stop, &|_| {}).await.expect("copied");
    assert_eq!(checkpoints(&*copied.store).await, known);
    assert_eq!(contents(&*copied.store).await, contents(&*from.store).await);

    // Further than the archive: it stays where it is. Claimed and never saved: it is taken for missing.
    let further = place().await;
    claim_and_save(&*further.store, &[checkpoint(0, 41)]).await;
    further.store.claim("consumer", &[("stock-prices".into(), 2)]).await.expect("claimed");
    import_as(&folder, &*further.store, &with).await.expect("imported");
    let expected = [known[0].clone(), checkpoint(0, 41), known[2].clone()];
    assert_eq!(checkpoints(&*further.store).await, expected);

    let in_use = place().await;
    claim_and_save(&*in_use.store, &[checkpoint(0, 39)]).await;
    let error = import_as(&folder, &*in_use.store, &with).await.expect_err("refused");
    assert!(error.to_string().contains("offset 39 of stock-prices[0]"), "{error}");
    assert_eq!(contents(&*in_use.store).await, (vec![], vec![]));

    // They stand for all rows.
    let selection = Selection { from: Some(at(0)), ..Selection::default() };
    let some = Importing { selection: selection.clone(), ..with.clone() };
    let error = import_as(&folder, &*copied.store, &some).await.expect_err("refused");
    assert!(matches!(error, ArchiveError::Checkpoints(_)), "{error}");
    let part = from.folder.path().join("part");
    export_selected(&*from.store, &part, &selection).await.expect("exported");
    let error = import_as(&part, &*copied.store, &with).await.expect_err("refused");
    assert!(error.to_string().contains("holds none"), "{error}");
}
