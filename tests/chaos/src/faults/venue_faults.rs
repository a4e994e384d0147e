//! Fault 21: a venue that fails at random. Every trade is stored once, or lies in a gap.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use live_store::{Gap, GapQuery, GapState, LiveStore};
use market::Symbol;

use crate::{
    Outcome,
    checker::pages,
    faulty_venue::{FaultyVenue, SYMBOLS, Trade, symbols},
    process::{get, wait_until},
    scene::{Scene, StoreKind, World, end, ready},
};

/// Times of faults: of the short form and of the long one.
const SHORT: Duration = Duration::from_secs(40);
const LONG: Duration = Duration::from_mins(10);
/// The feed takes a connection without data for dead after so long, in milliseconds.
const SILENCE_MS: &str = "1500";
/// The last trades are stored within this time.
const STORED: Duration = Duration::from_secs(30);
/// The minutes of the last gaps are over, and requested, within this time.
const REPAIRED: Duration = Duration::from_secs(100);

/// Fault 21.
pub(super) async fn at_random(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, 21, 0, StoreKind::Mongodb).await?;
    let venue = FaultyVenue::open(world.seed).await?;
    let names: Vec<&str> = SYMBOLS.iter().map(|(symbol, _)| *symbol).collect();
    let watchlist = names.join(",");
    let settings = [
        ("PROVIDER", "binance"),
        ("WATCHLIST", watchlist.as_str()),
        ("BINANCE_REST_URL", &venue.rest_url),
        ("BINANCE_WS_URL", &venue.socket_url),
        ("FEED_SILENCE_MS", SILENCE_MS),
    ];
    let (mut producer, address) = scene.service("producer", &settings)?;
    let (mut consumer, consumer_address) = scene.service("consumer", &[])?;
    ready(&mut consumer, &consumer_address).await?;
    // Not ready while the venue refuses; but it runs.
    wait_until("the producer responds", STORED, async || {
        producer.check_running()?;
        Ok(get(&address, "/healthz").await.is_some())
    })
    .await?;
    let is_long = world.numbers.long_outage_seconds > 0;
    tokio::time::sleep(if is_long { LONG } else { SHORT }).await; // the faults themselves
    producer.check_running()?;
    venue.recover();
    wait_until("the feed is up again", STORED * 2, async || {
        producer.check_running()?;
        Ok(get(&address, "/readyz").await.is_some_and(|(code, _)| code == 200))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // trades on the connection that works
    venue.close();
    let store = scene.store().await?;
    wait_until("the last trades are stored", STORED, async || {
        for symbol in symbols()? {
            let last = venue.trades(symbol.as_str()).last().map(|trade| trade.id);
            let stored = ids(&*store, symbol).await?;
            if stored.keys().next_back().copied() != last {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await?;
    let gaps = wait_for_repair(&*store).await?;
    end([producer, consumer]).await?;
    outcome.note(venue.summary());
    for symbol in symbols()? {
        let stored = ids(&*store, symbol).await?;
        judge(&mut outcome, symbol, &venue.trades(symbol.as_str()), &stored, &gaps);
    }
    let repaired = gaps.iter().filter(|gap| matches!(gap.state, GapState::Repaired { .. })).count();
    outcome.note(format!("{} gaps, {repaired} repaired", gaps.len()));
    outcome.check(!gaps.is_empty(), "there was no gap, so nothing was tested");
    outcome.check(repaired == gaps.len(), format!("not repaired: {:?}", unrepaired(&gaps)));
    Ok(outcome)
}

/// The gaps, once none of them is open.
async fn wait_for_repair(store: &dyn LiveStore) -> anyhow::Result<Vec<Gap>> {
    // What the wait ends with is judged by the caller.
    let _ = wait_until("all gaps are repaired", REPAIRED, async || {
        let open = store.gaps(&GapQuery { is_unrepaired: true, ..GapQuery::default() }).await?;
        Ok(open.is_empty())
    })
    .await;
    store.gaps(&GapQuery::default()).await.context("cannot read the gaps")
}

fn unrepaired(gaps: &[Gap]) -> Vec<&Gap> {
    gaps.iter().filter(|gap| !matches!(gap.state, GapState::Repaired { .. })).collect()
}

/// How often each trade is stored.
async fn ids(store: &dyn LiveStore, symbol: Symbol) -> anyhow::Result<BTreeMap<u64, u32>> {
    let mut ids: BTreeMap<u64, u32> = BTreeMap::new();
    pages(store, symbol, |page| {
        for stored in page {
            *ids.entry(stored.tick.seq).or_default() += 1;
        }
    })
    .await?;
    Ok(ids)
}

/// Every trade since the first one that is stored is stored once, or lies in a gap; and gaps are no larger than what is missing.
fn judge(outcome: &mut Outcome, symbol: Symbol, trades: &[Trade], stored: &BTreeMap<u64, u32>, gaps: &[Gap]) {
    let first = stored.keys().next().copied().unwrap_or(u64::MAX);
    let gaps: Vec<&Gap> = gaps.iter().filter(|gap| gap.symbol == symbol).collect();
    let missing: Vec<&Trade> =
        trades.iter().filter(|trade| trade.id > first && !stored.contains_key(&trade.id)).collect();
    // Gaps are kept in whole milliseconds.
    let millis = |trade: &Trade| trade.time.timestamp_millis();
    let is_in_gap = |trade: &&&Trade| {
        gaps.iter()
            .any(|gap| (gap.from.timestamp_millis()..=gap.to.timestamp_millis()).contains(&millis(trade)))
    };
    let lost = missing.iter().filter(|trade| !is_in_gap(trade)).count();
    let doubled = stored.values().filter(|count| **count > 1).count();
    let counted: u64 = gaps.iter().filter_map(|gap| gap.missing_trades).sum();
    outcome.note(format!(
        "{symbol}: {} trades, {} stored, {} in {} gaps",
        trades.len(),
        stored.len(),
        missing.len(),
        gaps.len()
    ));
    outcome.check(!stored.is_empty(), format!("{symbol}: nothing is stored"));
    outcome.check(lost == 0, format!("{symbol}: {lost} trades are neither stored nor in a gap"));
    outcome.check(doubled == 0, format!("{symbol}: {doubled} trades are stored twice"));
    outcome.check(
        counted >= missing.len() as u64,
        format!("{symbol}: the gaps count {counted} missing trades of {}", missing.len()),
    );
}
