//! Recordings played into the log.

use std::{collections::BTreeSet, path::PathBuf};

use chrono::{DateTime, Utc};
use market::{Tick, parse_decimal};
use producer::{ReplayArgs, Speed, replay_files};
use rstest::rstest;
use topics::status::ComponentState;

use crate::world::{World, config, wait_until};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
}

fn identities(ticks: &[Tick]) -> BTreeSet<String> {
    ticks.iter().map(Tick::id).collect()
}

fn recordings(files: &[PathBuf], speed: Speed) -> ReplayArgs {
    ReplayArgs { files: files.to_vec(), symbol: None, speed }
}

async fn play(world: &World, files: &[PathBuf]) -> producer::Report {
    replay_files(&recordings(files, Speed::Max), &world.runtime(), None).await.unwrap()
}

#[tokio::test]
async fn a_replay_that_is_stopped_before_its_end_reports_it() {
    let world = World::new().await;
    let runtime = world.runtime();
    let recordings = recordings(&[world.file("ticks.csv", TABLE.as_bytes())], Speed::Times(1.0));
    let shutdown = runtime.shutdown.clone();
    // At its own pace the recording takes two seconds.
    let playing = tokio::spawn(async move { replay_files(&recordings, &runtime, None).await });
    wait_until("the first tick is published", async || !world.ticks().await.is_empty()).await;
    shutdown.cancel();
    let error = playing.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("stopped before the end"), "{error}");
}

const DAILY: &str = "Date,Open,High,Low,Close,Adj Close,Volume\n\
    2021-01-04,133.520004,133.610001,126.760002,129.410004,127.503639,143301900\n\
    2021-01-05,128.889999,131.740005,128.429993,131.009995,129.080078,97664900\n";

const TABLE: &str = "symbol,timestamp,price,volume,open,high,low,change_percent,source,received_at,seq\n\
    AAPL,2026-01-13T15:30:00Z,261.05,1000,260,262,259.5,0.42,yahoo,2026-01-13T15:30:01.5Z,1\n\
    AAPL,2026-01-13T15:30:01Z,oops,1010,260,262,259.5,0.42,yahoo,2026-01-13T15:30:02.5Z,2\n\
    BTC/USDT,2026-01-13T15:30:02Z,91250.5,12.25,91000,92000,90500,0.2753,binance,2026-01-13T15:30:03Z,77\n";

#[tokio::test]
async fn recorded_frames_of_two_venues_become_their_trades_and_playing_them_again_adds_no_identity() {
    let world = World::new().await;
    let files = [fixture("coinbase_ws.jsonl"), fixture("binance_stream.jsonl")];
    let report = play(&world, &files).await;
    assert_eq!(report.to_string(), "109 ticks and 0 candles from 305 lines of 2 file(s), 0 bad line(s)");

    let ticks = world.ticks().await;
    let of = |source: &str| ticks.iter().filter(|tick| tick.source.as_str() == source).count();
    assert_eq!((of("coinbase"), of("binance"), ticks.len()), (107, 2, 109));
    let played = identities(&ticks);
    assert_eq!(played.len(), 109);
    assert!(
        played.contains("coinbase:BAND/GBP:881613") && played.contains("binance:NKN/USDT:19862790"),
        "{played:?}"
    );
    let first = ticks.iter().find(|tick| tick.seq == 881_613).unwrap();
    assert_eq!(first.price, parse_decimal("14.7775").unwrap());
    assert_eq!(first.received_at, "2021-04-17T16:43:37.079694Z".parse::<DateTime<Utc>>().unwrap());

    assert_eq!(play(&world, &files).await, report);
    let again = world.ticks().await;
    assert_eq!(again.len(), 218);
    assert_eq!(identities(&again), played);
}

#[tokio::test]
async fn a_table_of_ticks_is_played_and_its_bad_line_counted() {
    let world = World::new().await;
    let report = play(&world, &[world.file("ticks.csv", TABLE)]).await;
    assert_eq!((report.ticks, report.bad_lines, report.lines), (2, 1, 4));
    let ticks = world.ticks().await;
    assert_eq!(
        identities(&ticks),
        BTreeSet::from(["yahoo:AAPL:1".to_owned(), "binance:BTC/USDT:77".to_owned()])
    );
    assert_eq!(ticks[0].price, parse_decimal("261.05").unwrap());
    assert_eq!(ticks[0].received_at, "2026-01-13T15:30:01.5Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(ticks[1].volume, parse_decimal("12.25").unwrap());
}

#[tokio::test]
async fn ticks_that_were_read_from_the_log_can_be_played_as_lines() {
    let world = World::new().await;
    play(&world, &[world.file("ticks.csv", TABLE)]).await;
    let ticks = world.ticks().await;
    let mut lines = Vec::new();
    for tick in &ticks {
        topics::tick::encode(tick, &mut lines);
        lines.push(b'\n');
    }
    let other = World::new().await;
    let report = play(&other, &[other.file("ticks.jsonl", lines)]).await;
    assert_eq!((report.ticks, report.bad_lines), (2, 0));
    assert_eq!(other.ticks().await, ticks);
}

#[tokio::test]
async fn a_daily_bar_is_four_ticks_of_its_session_high_first_on_a_day_that_fell() {
    let world = World::new().await;
    let report = play(&world, &[world.file("AAPL.csv", DAILY)]).await;
    assert_eq!((report.ticks, report.candles, report.bad_lines), (8, 2, 0));
    let ticks = world.ticks().await;
    let quoted = world.candles().await;
    let days: Vec<_> = quoted.iter().map(|day| (day.time.date_naive().to_string(), day.volume)).collect();
    let volume = |text| Some(parse_decimal(text).unwrap());
    let expected =
        [("2021-01-04".to_owned(), volume("143301900")), ("2021-01-05".to_owned(), volume("97664900"))];
    assert_eq!(days, expected, "the candle itself passes on as it is quoted");
    let said: Vec<String> =
        ticks.iter().map(|tick| format!("{} {}", tick.timestamp.format("%F %T"), tick.price)).collect();
    let expected = [
        "2021-01-04 14:30:00 133.520004",
        "2021-01-04 16:40:00 133.610001",
        "2021-01-04 18:50:00 126.760002",
        "2021-01-04 20:59:59 129.410004",
        "2021-01-05 14:30:00 128.889999",
        "2021-01-05 16:40:00 128.429993",
        "2021-01-05 18:50:00 131.740005",
        "2021-01-05 20:59:59 131.009995",
    ];
    assert_eq!(said, expected);
    let close = ticks[3];
    assert_eq!((close.symbol.as_str(), close.source.as_str()), ("AAPL", "replay"));
    let figures = [close.open, close.high, close.low, close.volume];
    assert_eq!(
        figures,
        ["133.520004", "133.610001", "126.760002", "143301900"].map(|text| parse_decimal(text).unwrap())
    );
    assert!(
        (ticks[7].change_percent - 1.2364).abs() < 1e-9,
        "131.01 after 129.41: {}",
        ticks[7].change_percent
    );
    assert!(ticks.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

#[tokio::test]
async fn a_file_that_is_no_recording_is_refused_with_its_name() {
    let world = World::new().await;
    let files = [world.file("holiday.txt", "dear diary,\n")];
    let refused = format!(
        "{:#}",
        replay_files(&recordings(&files, Speed::Max), &world.runtime(), None).await.unwrap_err()
    );
    assert!(
        refused.contains("holiday.txt: this is no recording: known are frames of Binance and Coinbase"),
        "{refused}"
    );
    let missing = [PathBuf::from("no-such-recording.jsonl")];
    let refused = format!(
        "{:#}",
        replay_files(&recordings(&missing, Speed::Max), &world.runtime(), None).await.unwrap_err()
    );
    assert!(refused.contains("cannot read no-such-recording.jsonl"), "{refused}");
    assert_eq!(world.tick_count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_at_a_pace_ends_with_the_recording_and_says_so() {
    let mut world = World::new().await;
    let file = world.file("ticks.csv", TABLE).display().to_string();
    world.start(&["--provider", "replay", "--replay-file", &file, "--replay-speed", "10"]).await;
    let detail = world.becomes("feed replay", ComponentState::Up, "played: ").await;
    assert_eq!(detail, "played: 2 ticks and 0 candles from 4 lines of 1 file(s), 1 bad line(s)");
    wait_until("both are durable", async || world.tick_count().await == 2).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_waits_for_a_distant_tick_can_be_stopped() {
    let mut world = World::new().await;
    let distant = TABLE.replace("2026-01-13T15:30:03Z", "2026-02-13T15:30:03Z");
    let file = world.file("ticks.csv", distant).display().to_string();
    world.start(&["--provider", "replay", "--replay-file", &file]).await;
    wait_until("the first is there", async || world.tick_count().await == 1).await;
    world.stop().await;
    assert_eq!(world.tick_count().await, 1);
}

#[rstest]
#[case("max", Speed::Max)]
#[case("1", Speed::Times(1.0))]
#[case("60x", Speed::Times(60.0))]
#[case("0.5", Speed::Times(0.5))]
fn a_speed_is_a_number_or_max(#[case] text: &str, #[case] speed: Speed) {
    assert_eq!(text.parse(), Ok(speed));
    assert_eq!(config(&["--replay-speed", text]).replay.speed, speed);
}

#[rstest]
#[case("0")]
#[case("-1")]
#[case("NaN")]
#[case("inf")]
#[case("fast")]
#[case("")]
#[case("1e9")]
fn what_is_no_speed_is_refused_with_examples(#[case] text: &str) {
    let refused = text.parse::<Speed>().unwrap_err();
    assert_eq!(refused, format!("`{text}` is no speed; a number above 0, such as 1 or 60, or max"));
}
