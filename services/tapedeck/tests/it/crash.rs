use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{Pages, TopicPartition};
use live_store::TickQuery;
use serde_json::Value;

use crate::process::{Running, wait_until};

pub(crate) type Identity = (String, String, u64);

/// All ticks in the log: every acknowledged one, and possibly some that were stored without an acknowledgement.
pub(crate) async fn logged(url: &str) -> Vec<Identity> {
    let log = event_log::open(url).await.unwrap();
    let mut all = Vec::new();
    for info in log.topics().await.unwrap() {
        if ![topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES].contains(&info.name.as_str()) {
            continue;
        }
        for (partition, (first, next)) in (0..).zip(&info.partitions) {
            let place = TopicPartition { topic: info.name.as_str().into(), partition };
            let mut pages = Pages::new(&*log, place, *first..*next, 5_000);
            while let Some(messages) = pages.next().await.unwrap() {
                for message in messages {
                    let tick: Value = serde_json::from_slice(&message.payload).unwrap();
                    all.push((
                        tick["source"].as_str().unwrap().to_owned(),
                        tick["symbol"].as_str().unwrap().to_owned(),
                        tick["seq"].as_u64().unwrap(),
                    ));
                }
            }
        }
    }
    all
}

pub(crate) async fn stored(url: &str) -> Vec<Identity> {
    let store = live_store::open(url).await.unwrap();
    let mut all = Vec::new();
    for newest in store.latest_ticks().await.unwrap() {
        let mut query = TickQuery {
            symbol: newest.tick.symbol,
            from: DateTime::UNIX_EPOCH,
            to: Utc::now() + TimeDelta::days(1),
            limit: 5_000,
            cursor: None,
        };
        loop {
            let page = store.ticks(&query).await.unwrap();
            let identity = |tick: &market::Tick| (tick.source.to_string(), tick.symbol.to_string(), tick.seq);
            all.extend(page.ticks.iter().map(|stored| identity(&stored.tick)));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
    }
    all
}

pub(crate) fn url(data: &Path, file: &str) -> String {
    format!("sqlite:{}", data.join(file).display())
}

pub(crate) fn total(running: &Running, figure: &str) -> f64 {
    let system = running.get("/v1/system");
    let processes = system["processes"].as_array().cloned().unwrap_or_default();
    let of_consumer = format!("consumer/{figure}");
    processes.iter().filter_map(|process| process["figures"][&of_consumer].as_f64()).sum()
}

#[test]
fn an_instance_that_is_killed_repeatedly_stores_every_tick_once() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--provider",
        "simulated",
        "--simulated-rate",
        "5000",
        "--simulated-seed",
        "3",
        "--watchlist",
        "AAPL,MSFT,BTC/USDT,ETH/USDT",
    ];
    for round in 0..5_u64 {
        let running = Running::start(folder.path(), &args);
        wait_until("ticks are stored", || total(&running, "tapedeck_ticks_stored_total") > 0.0);
        // At a different time within the batch in each round.
        let moment = Instant::now() + Duration::from_millis(137 * (round + 1) % 400);
        wait_until("the time has come", || Instant::now() >= moment);
        running.kill_9();
    }
    // The next start stores the rest of the log, and ends in good order.
    let running = Running::start(folder.path(), &args);
    wait_until("ticks are stored", || total(&running, "tapedeck_ticks_stored_total") > 0.0);
    assert!(running.interrupt().success());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (logged, stored) = runtime.block_on(async {
        (logged(&url(folder.path(), "log.db")).await, stored(&url(folder.path(), "store.db")).await)
    });
    assert!(logged.len() > 1_000, "only {} ticks", logged.len());
    let (in_log, in_store): (BTreeSet<_>, BTreeSet<_>) = (logged.iter().collect(), stored.iter().collect());
    assert_eq!(in_log.len(), logged.len(), "the producer published an identity twice");
    assert_eq!(in_store.len(), stored.len(), "no tick is stored twice");
    let lost: Vec<_> = in_log.difference(&in_store).take(3).collect();
    assert!(lost.is_empty(), "{} in the log, {} stored; lost: {lost:?}", in_log.len(), in_store.len());
    assert_eq!(in_log, in_store);
}
