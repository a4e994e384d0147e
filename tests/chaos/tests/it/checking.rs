use std::path::Path;

use chaos::{
    checker::Stored,
    ledger::{LedgerContent, Poison},
    letters::dead_letters,
    load::create_topics,
    plan::Plan,
};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, TopicPartition, dead_letter};
use live_store::{LiveStore, StoredTick};
use market::{CandleBuilder, CandleTiming, Interval};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

const LAST: u64 = 2_000;

fn plan() -> Plan {
    Plan::new("test", 6, 0).unwrap()
}

fn begin() -> DateTime<Utc> {
    "2026-01-05T15:00:00Z".parse().unwrap()
}

/// The tick of a number, as the consumer would store it.
fn stored(plan: &Plan, lane: usize, seq: u64) -> StoredTick {
    let at = begin() + TimeDelta::milliseconds(seq as i64 * 50);
    let record = plan.record(lane, seq, at).unwrap();
    let tick = topics::tick::decode(&record.payload, at).unwrap();
    StoredTick { tick, processed_at: at, partition: 0, offset: seq }
}

/// A ledger in which everything up to [`LAST`] is acknowledged.
fn ledger_content() -> LedgerContent {
    let all = || (1..=LAST).collect();
    LedgerContent { acknowledged: [all(), all()], poison: Vec::new(), reserved: [LAST + 1; 2] }
}

/// A store with the ticks of these numbers and their candles.
async fn fill(path: &Path, keep: impl Fn(usize, u64) -> bool) -> std::sync::Arc<dyn LiveStore> {
    let store = live_store::open(&format!("sqlite:{}", path.display())).await.unwrap();
    let plan = plan();
    for lane in 0..2 {
        let ticks: Vec<_> =
            (1..=LAST).filter(|seq| keep(lane, *seq)).map(|seq| stored(&plan, lane, seq)).collect();
        store.write_ticks(&ticks).await.unwrap();
        let (mut builder, mut candles) =
            (CandleBuilder::new(&[Interval::Minute], CandleTiming::default()), Vec::new());
        for stored in &ticks {
            builder.apply(&stored.tick, stored.processed_at, &mut candles);
        }
        candles.extend(builder.open_candles());
        store.write_candles(&candles).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_complete_store_has_no_problems() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(&folder.path().join("store.db"), |_, _| true).await;
    let found = Stored::read(&*store, &plan()).await.unwrap();
    let verdict = found.verdict(&ledger_content());
    assert_eq!(verdict.problems(), Vec::<String>::new());
    assert_eq!((verdict.acknowledged, verdict.stored), (2 * LAST, 2 * LAST));
    let candles = found.candles(&*store).await.unwrap();
    assert_eq!(candles.problems(), Vec::<String>::new());
    assert_eq!(candles.right, 12, "six symbols in two minutes");
}

#[tokio::test]
async fn a_missing_tick_is_found_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(&folder.path().join("store.db"), |lane, seq| (lane, seq) != (1, 777)).await;
    let found = Stored::read(&*store, &plan()).await.unwrap();
    let verdict = found.verdict(&ledger_content());
    assert_eq!((verdict.lost, verdict.doubled, verdict.strange), (1, 0, 0));
    assert_eq!(verdict.lost_listed, ["crypto-prices 777"]);
}

#[tokio::test]
async fn a_duplicate_tick_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(fill(&path, |_, _| true).await);
    // The table refuses duplicates, so it is replaced by one without that constraint.
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    for statement in [
        "CREATE TABLE copy AS SELECT * FROM realtime_prices",
        "DROP TABLE realtime_prices",
        "ALTER TABLE copy RENAME TO realtime_prices",
        "INSERT INTO realtime_prices SELECT * FROM realtime_prices WHERE seq = 777",
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut database).await.unwrap();
    }
    database.close().await.unwrap();
    let store = live_store::open(&format!("sqlite:{}", path.display())).await.unwrap();
    let verdict = Stored::read(&*store, &plan()).await.unwrap().verdict(&ledger_content());
    assert_eq!((verdict.lost, verdict.doubled, verdict.strange), (0, 2, 0), "one in each lane");
}

#[tokio::test]
async fn unacknowledged_ticks_are_distinguished_from_ticks_that_were_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(&folder.path().join("store.db"), |_, _| true).await;
    let mut content = ledger_content();
    content.acknowledged[0] = (1..=LAST - 3).collect();
    content.reserved[1] = LAST - 1;
    let verdict = Stored::read(&*store, &plan()).await.unwrap().verdict(&content);
    assert_eq!((verdict.unacknowledged, verdict.strange, verdict.lost), (3, 2, 0));
}

#[tokio::test]
async fn a_candle_that_counts_a_tick_twice_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(&folder.path().join("store.db"), |_, _| true).await;
    let plan = plan();
    let mut candles = Vec::new();
    let mut builder = CandleBuilder::new(&[Interval::Minute], CandleTiming::default());
    let symbol = plan.symbol(0, 3);
    for seq in (1..=900).filter(|seq| plan.symbol(0, *seq) == symbol) {
        let stored = stored(&plan, 0, seq);
        builder.apply(&stored.tick, stored.processed_at, &mut candles);
        if seq == 3 {
            builder.apply(&stored.tick, stored.processed_at, &mut candles);
        }
    }
    store.write_candles(&builder.open_candles()).await.unwrap();
    let found = Stored::read(&*store, &plan).await.unwrap();
    let problems = found.candles(&*store).await.unwrap().problems();
    assert!(problems[0].starts_with("1 candles differ"), "{problems:?}");
}

#[tokio::test]
async fn dead_letters_are_compared_with_the_poison_records() {
    let folder = tempfile::tempdir().unwrap();
    let log = event_log::open(&format!("sqlite:{}", folder.path().join("log.db").display())).await.unwrap();
    create_topics(&*log).await.unwrap();
    let plan = Plan::new("test", 6, 100).unwrap();
    let poison: Vec<Poison> = send(&*log, &plan).await;
    let content = LedgerContent { poison, ..LedgerContent::default() };
    let partition =
        TopicPartition { topic: plan.lanes[0].topic.into(), partition: content.poison[0].partition };
    let messages = log.read(&partition, content.poison[0].offset, 1).await.unwrap();
    let letter = dead_letter(&messages[0], "no tick", begin());

    let none = dead_letters(&*log, &plan, &content).await.unwrap();
    assert!(none.problems[0].starts_with("3 poison records have no dead letter"), "{:?}", none.problems);

    let publisher = log.publisher().unwrap();
    let topic = format!("{}.dlq", plan.lanes[0].topic);
    for letter in [letter.clone(), letter.clone()] {
        publisher.send(&topic, vec![letter]).await.unwrap().durable().await.unwrap();
    }
    let mut bare = letter.clone();
    bare.headers.retain(|(name, _)| name != "reason");
    publisher.send(&topic, vec![bare]).await.unwrap().durable().await.unwrap();
    let found = dead_letters(&*log, &plan, &content).await.unwrap();
    assert_eq!((found.distinct, found.repeated), (1, 1));
    assert!(found.problems[0].starts_with("2 poison records"), "{:?}", found.problems);
    assert!(found.problems[1].contains("no header reason"), "{:?}", found.problems);
}

/// Publishes the first 300 records of a lane. Returns the poison records.
async fn send(log: &dyn EventLog, plan: &Plan) -> Vec<Poison> {
    let records = (1..=300).map(|seq| plan.record(0, seq, begin()).unwrap()).collect();
    let receipt = log.publisher().unwrap().send(plan.lanes[0].topic, records).await.unwrap();
    let positions = receipt.durable().await.unwrap();
    let at = (1..=300).zip(positions).filter(|(seq, _)| plan.is_poison(*seq));
    at.map(|(seq, at)| Poison { lane: 0, seq, partition: at.topic_partition.partition, offset: at.offset })
        .collect()
}
