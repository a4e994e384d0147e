use chrono::{DateTime, TimeDelta, Utc};
use event_log::{Message, TopicPartition};
use live_store::{CandleQuery, LiveStore};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, Tick, parse_decimal,
};

use crate::pipeline::{Pipeline, tick, wait_until};

pub(crate) async fn minutes(store: &dyn LiveStore) -> Vec<Candle> {
    let query = CandleQuery {
        symbol: Symbol::parse("AAPL").unwrap(),
        interval: Interval::Minute,
        from: DateTime::UNIX_EPOCH,
        to: Utc::now(),
        limit: 1_000,
    };
    store.candles(&query).await.unwrap()
}

pub(crate) fn ticks(numbers: std::ops::Range<u64>) -> Vec<Tick> {
    numbers.map(tick).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_stored_with_its_delivery_and_its_bar_is_closed_and_published() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    pipeline.publish_ticks(&ticks(0..70)).await;
    pipeline.drained().await;

    let stored = pipeline.stored("AAPL").await;
    assert_eq!(stored.iter().map(|stored| stored.tick).collect::<Vec<_>>(), ticks(0..70));
    assert_eq!(stored.iter().map(|stored| stored.offset).collect::<Vec<_>>(), (0..70).collect::<Vec<_>>());

    wait_until("the first minute is closed", async || !minutes(&*pipeline.store).await.is_empty()).await;
    let bar = minutes(&*pipeline.store).await[0];
    assert_eq!(bar.time, "2026-01-13T15:30:00Z".parse::<DateTime<Utc>>().unwrap());
    let text = |decimal: rust_decimal::Decimal| decimal.normalize().to_string();
    assert_eq!([bar.open, bar.high, bar.low, bar.close].map(text), ["100", "100.59", "100", "100.59"]);
    assert_eq!((bar.ticks, bar.is_final, bar.source.to_string().as_str()), (60, true, "yahoo/ticks"));

    let mut published = Vec::new();
    for partition in 0..3 {
        let place = TopicPartition { topic: topics::candle::TOPIC.into(), partition };
        published.extend(pipeline.log.read(&place, 0, 100).await.unwrap());
    }
    assert_eq!(published.len(), 1);
    assert_eq!(topics::candle::decode(&published[0].payload).unwrap(), bar);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_published_twice_is_stored_once_and_counted_once_in_its_bar() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    let once = ticks(0..30);
    pipeline.publish_ticks(&once).await;
    pipeline.publish_ticks(&once).await;
    pipeline.publish_ticks(&ticks(30..70)).await;
    pipeline.drained().await;
    assert_eq!(pipeline.stored("AAPL").await.len(), 70);
    wait_until("the first minute is closed", async || !minutes(&*pipeline.store).await.is_empty()).await;
    assert_eq!(minutes(&*pipeline.store).await[0].ticks, 60);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_it_ends_with_the_same_ticks_and_bars() {
    let mut pipeline = Pipeline::new().await;
    for part in 0..12 {
        pipeline.start();
        let seen = pipeline.stored("AAPL").await.len();
        pipeline.publish_ticks(&ticks(part * 20..part * 20 + 20)).await;
        // Some parts are cut at once, some in the middle, some after a while.
        if part % 3 != 0 {
            wait_until("something new is stored", async || pipeline.stored("AAPL").await.len() > seen).await;
        }
        pipeline.kill().await;
    }
    pipeline.start();
    pipeline.drained().await;
    wait_until("three minutes are closed", async || minutes(&*pipeline.store).await.len() >= 3).await;
    pipeline.stop().await;

    let stored: Vec<Tick> = pipeline.stored("AAPL").await.iter().map(|stored| stored.tick).collect();
    assert_eq!(stored, ticks(0..240));
    let killed = minutes(&*pipeline.store).await;

    // The same log read once, without a kill, into an empty store.
    pipeline.store = pipeline.empty_store().await;
    pipeline.start();
    wait_until("everything is stored again", async || pipeline.stored("AAPL").await.len() == 240).await;
    wait_until("the candles are closed again", async || minutes(&*pipeline.store).await.len() >= 3).await;
    pipeline.stop().await;
    assert_eq!(killed[..3], minutes(&*pipeline.store).await[..3]);
    assert_eq!(killed[..3].iter().map(|bar| bar.ticks).sum::<u64>(), 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_goes_to_the_dead_letters_with_its_reason_and_the_rest_goes_on() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    let poison: Vec<Vec<u8>> =
        vec![b"not json".to_vec(), vec![0xff, 0xfe], b"{\"symbol\":\"AAPL\"}".to_vec()];
    pipeline.publish(topics::tick::STOCK_PRICES, "AAPL", poison.clone()).await;
    pipeline.publish_ticks(&ticks(0..3)).await;
    pipeline.drained().await;
    assert_eq!(pipeline.stored("AAPL").await.len(), 3);

    let mut letters: Vec<Message> = Vec::new();
    for partition in 0..3 {
        let place = TopicPartition { topic: "stock-prices.dlq".into(), partition };
        if let Ok(read) = pipeline.log.read(&place, 0, 100).await {
            letters.extend(read);
        }
    }
    assert_eq!(letters.iter().map(|letter| letter.payload.to_vec()).collect::<Vec<_>>(), poison);
    for (offset, letter) in letters.iter().enumerate() {
        let header = |wanted: &str| {
            let found = letter.headers.iter().find(|(name, _)| name == wanted);
            String::from_utf8(found.unwrap_or_else(|| panic!("no header {wanted}")).1.to_vec()).unwrap()
        };
        assert_eq!(header("topic"), "stock-prices");
        assert_eq!(header("offset"), offset.to_string());
        assert!(!header("reason").is_empty());
        header("when").parse::<DateTime<Utc>>().unwrap();
    }
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_as_large_as_a_record_can_be_go_to_the_dead_letters_and_the_rest_goes_on() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    // More than one batch has room for, and each without any for the headers of a dead letter.
    let junk = vec![b'{'; event_log::MAX_RECORD_BYTES - "AAPL".len()];
    for _ in 0..10 {
        pipeline.publish(topics::tick::STOCK_PRICES, "AAPL", vec![junk.clone(); 2]).await;
    }
    pipeline.publish_ticks(&ticks(0..3)).await;
    pipeline.drained().await;
    assert_eq!(pipeline.stored("AAPL").await.len(), 3);
    let topics = pipeline.log.topics().await.unwrap();
    let letters = topics.iter().find(|topic| topic.name == "stock-prices.dlq").unwrap();
    assert_eq!(letters.partitions.iter().map(|(first, end)| end - first).sum::<u64>(), 20);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_bar_is_stored_beside_the_one_built_here_and_wins() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    pipeline.publish_ticks(&ticks(0..70)).await;
    let decimal = |text: &str| parse_decimal(text).unwrap();
    let quoted = Candle::new(CandleFields {
        symbol: Symbol::parse("AAPL").unwrap(),
        interval: Interval::Minute,
        time: "2026-01-13T15:30:00Z".parse().unwrap(),
        open: decimal("99.5"),
        high: decimal("101"),
        low: decimal("99"),
        close: decimal("100.7"),
        volume: Some(decimal("12345")),
        ticks: 0,
        source: CandleSource { feed: Source::parse("yahoo").unwrap(), origin: CandleOrigin::Provider },
        is_final: true,
    })
    .unwrap();
    pipeline
        .publish(topics::quoted_candle::TOPIC, "AAPL", vec![topics::quoted_candle::encode(&quoted)])
        .await;
    pipeline.drained().await;
    wait_until("both bars are there", async || minutes(&*pipeline.store).await.len() == 2).await;
    let (from, to) = (quoted.time, quoted.time + TimeDelta::minutes(1));
    let query = CandleQuery { symbol: quoted.symbol, interval: Interval::Minute, from, to, limit: 10 };
    let best = live_store::best_candles(&*pipeline.store, &query, &[], Utc::now()).await.unwrap();
    assert_eq!(best, [quoted]);
    pipeline.stop().await;
}

#[tokio::test]
async fn a_tick_of_a_day_that_is_complete_marks_the_day_after_it_is_stored() {
    let mut pipeline = Pipeline::new().await;
    pipeline.start();
    pipeline.publish_ticks(&[tick(0), tick(1)]).await;
    pipeline.drained().await;
    let marked = pipeline.store.stale_days(tick(0).symbol).await.unwrap();
    let days: Vec<String> = marked.iter().map(|mark| mark.date.to_string()).collect();
    assert_eq!(days, ["2026-01-13"]);
    pipeline.store.unmark_stale(&marked).await.unwrap();
    // A tick that was published twice is stored already, and marks nothing.
    pipeline.publish_ticks(&[tick(1)]).await;
    pipeline.drained().await;
    assert_eq!(pipeline.store.stale_days(tick(0).symbol).await.unwrap(), []);
    pipeline.stop().await;
}
