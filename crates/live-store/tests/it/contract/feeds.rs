//! Gaps of feeds, and their circuits.

use chrono::TimeDelta;
use live_store::{FeedCircuit, Gap, GapCause, GapQuery, GapState};
use market::Source;

use crate::{
    place::Place,
    samples::{at, symbol},
};

fn gap(name: &str, from: i64, cause: GapCause) -> Gap {
    Gap {
        source: Source::parse("binance").expect("a source"),
        symbol: symbol(name),
        from: at(from),
        to: at(from + 30),
        cause,
        missing_trades: (cause == GapCause::SkippedIds).then_some(u64::from(u32::MAX) + 1),
        detected_at: at(from + 31),
        state: GapState::Open,
    }
}

pub(crate) async fn a_gap_is_recorded_once_and_stays_repaired(place: impl Place) {
    let store = place.open().await;
    let all = GapQuery::default();
    assert_eq!(store.gaps(&all).await.expect("none"), []);
    store.record_gaps(&[]).await.expect("nothing");
    let [bitcoin, ether] =
        [gap("BTC/USDT", 0, GapCause::Disconnect), gap("ETH/USDT", 100, GapCause::SkippedIds)];
    store.record_gaps(&[bitcoin.clone(), ether.clone()]).await.expect("recorded");
    assert_eq!(store.gaps(&all).await.expect("two"), [ether.clone(), bitcoin.clone()]);
    let repaired = Gap { state: GapState::Repaired { at: at(60) }, ..bitcoin.clone() };
    let longer = Gap { to: at(200), cause: GapCause::Dropped, ..ether.clone() };
    store.record_gaps(&[repaired.clone(), longer.clone()]).await.expect("replaced");
    // What is detected again after the repair does not open it.
    store.record_gaps(&[bitcoin]).await.expect("kept");
    assert_eq!(store.gaps(&all).await.expect("two"), [longer.clone(), repaired.clone()]);
    let reason = "older than what the venue has".to_owned();
    let given_up = Gap { state: GapState::Unrepaired { reason }, ..longer };
    store.record_gaps(std::slice::from_ref(&given_up)).await.expect("replaced");
    drop(store);
    let store = place.open().await;
    assert_eq!(store.gaps(&all).await.expect("two"), [given_up, repaired]);
}

pub(crate) async fn gaps_are_read_by_symbol_time_and_state_and_pruned(place: impl Place) {
    let store = place.open().await;
    let restart = gap("AAPL", 0, GapCause::Restart);
    let first = Gap { state: GapState::Repaired { at: at(40) }, ..gap("BTC/USDT", 0, GapCause::Disconnect) };
    let second = gap("BTC/USDT", 1_000, GapCause::Dropped);
    store.record_gaps(&[restart.clone(), first.clone(), second.clone()]).await.expect("recorded");
    let of = async |query: GapQuery| store.gaps(&query).await.expect("read");
    let bitcoin = Some(symbol("BTC/USDT"));
    assert_eq!(
        of(GapQuery { symbol: bitcoin, ..GapQuery::default() }).await,
        [second.clone(), first.clone()]
    );
    let recent = GapQuery { since: Some(at(31)), ..GapQuery::default() };
    assert_eq!(of(recent).await, std::slice::from_ref(&second));
    assert_eq!(of(GapQuery { since: Some(at(30)), ..GapQuery::default() }).await.len(), 3);
    let unrepaired = GapQuery { is_unrepaired: true, ..GapQuery::default() };
    assert_eq!(of(unrepaired).await, [second.clone(), restart]);
    let all_three = GapQuery { symbol: bitcoin, since: Some(at(31)), is_unrepaired: true };
    assert_eq!(of(all_three).await, std::slice::from_ref(&second));
    assert_eq!(store.prune_gaps(at(30)).await.expect("none"), 0);
    assert_eq!(store.prune_gaps(at(30) + TimeDelta::milliseconds(1)).await.expect("two"), 2);
    assert_eq!(of(GapQuery::default()).await, [second]);
}

pub(crate) async fn the_circuit_of_a_feed_is_kept_as_it_was_saved_last(place: impl Place) {
    let store = place.open().await;
    assert_eq!(store.circuits().await.expect("none"), []);
    let circuit = |feed: &str, failures| FeedCircuit {
        feed: feed.to_owned(),
        failures,
        open_until: at(60),
        reason: "no answer in time".to_owned(),
        changed_at: at(0),
    };
    for (feed, failures) in [("yahoo", 5), ("binance", 5), ("binance", 6)] {
        store.save_circuit(&circuit(feed, failures)).await.expect("saved");
    }
    assert_eq!(store.circuits().await.expect("two"), [circuit("binance", 6), circuit("yahoo", 5)]);
    store.close_circuit("binance").await.expect("closed");
    store.close_circuit("kraken").await.expect("nothing");
    drop(store);
    assert_eq!(place.open().await.circuits().await.expect("one"), [circuit("yahoo", 5)]);
}
