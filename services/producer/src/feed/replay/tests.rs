//! What is read from a file, and which lines are refused, with number and reason.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rstest::rstest;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Chunk, read::read};

/// Everything in a file, or why it is no recording.
fn read_all(path: &Path) -> anyhow::Result<Vec<Chunk>> {
    // More chunks than any file here has.
    let (sender, mut chunks) = mpsc::channel(1_000);
    read(path, &sender)?;
    drop(sender);
    Ok(std::iter::from_fn(|| chunks.try_recv().ok()).collect())
}

fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn only_chunk(name: &str, content: impl AsRef<[u8]>) -> Chunk {
    let folder = tempfile::tempdir().unwrap();
    let mut chunks = read_all(&file(&folder, name, content)).unwrap();
    assert_eq!(chunks.len(), 1);
    chunks.remove(0)
}

const HEADER: &str = "symbol,timestamp,price,volume,open,high,low,change_percent,source,received_at,seq";

fn row(price: &str, seq: &str) -> String {
    format!("AAPL,2026-01-13T15:30:00Z,{price},1000,260,262,259.5,0.42,yahoo,2026-01-13T15:30:01Z,{seq}")
}

#[test]
fn bad_rows_of_a_table_are_told_with_line_and_field_and_the_good_ones_are_kept() {
    let table = [
        HEADER.to_owned(),
        row("261.05", "1"),
        row("none", "2"),
        row("261.06", "-3"),
        row("261.07", "4") + ",surplus",
        String::new(),
        row("-1", "5"),
        row("261.08", "6"),
    ];
    let chunk = only_chunk("ticks.csv", table.join("\n"));
    assert_eq!((chunk.lines, chunk.items.len()), (8, 2));
    let bad: Vec<String> = chunk.bad.iter().map(|(line, reason)| format!("{line}: {reason}")).collect();
    let expected = [
        "3: price must be a number, not a string",
        "4: seq must be a whole number from 0 to 9223372036854775807",
        "5: 12 cells where the header names 11",
        "7: price must be above zero, not -1",
    ];
    assert_eq!(bad, expected);
}

#[test]
fn bad_days_are_told_with_line_and_column_and_the_good_ones_are_kept() {
    let table = "Date,Open,High,Low,Close,Adj Close,Volume\n\
        2021-01-04,133.520004,133.610001,126.760002,129.410004,127.503639,143301900\n\
        2021-01-05,null,null,null,null,null,null\n\
        05/01/2021,128.9,131.7,128.4,131.0,129.1,97664900\n\
        2021-01-03,128.9,131.7,128.4,131.0,129.1,97664900\n\
        2021-01-06,127.7,100,126.4,126.6,124.7,155088000\n\
        2021-01-07,128.4\n\
        2021-01-08,132.429993,132.630005,130.229996,132.050003,130.104752,105158200\n";
    let chunk = only_chunk("AAPL.csv", table);
    assert_eq!(chunk.items.len(), 15, "four ticks and a candle of each day");
    let remarks = [(5, "the calendar has no session on 2021-01-03; the row is used".to_owned())];
    assert_eq!(chunk.remarks, remarks);
    let bad: Vec<String> = chunk.bad.iter().map(|(line, reason)| format!("{line}: {reason}")).collect();
    assert_eq!(bad.len(), 4, "{bad:?}");
    assert_eq!(bad[0], "3: Open is not a number");
    assert!(bad[1].starts_with("4: Date: "), "{}", bad[1]);
    assert_eq!(bad[2], "6: low 126.4 and high 100 do not enclose open 127.7");
    assert_eq!(bad[3], "7: High is missing");
}

#[test]
fn a_day_of_boundless_volume_does_not_panic() {
    let table = "Date,Open,High,Low,Close,Volume\n2021-01-04,1,1,1,1,79228162514264337593543950335\n";
    assert_eq!(only_chunk("AAPL.csv", table).items.len(), 5);
}

#[test]
fn a_candle_at_the_end_of_time_is_a_bad_line() {
    let closed = r#"{"e":"kline","s":"BTCUSDT","k":{"t":8210266876799999,"o":"1","h":"1","l":"1","c":"1","v":"1","n":1,"x":true,"i":"1m"}}"#;
    let chunk = only_chunk("frames.jsonl", format!("{{\"received_at\": 1.0, \"message\": {closed}}}\n"));
    assert_eq!(chunk.items, []);
    assert_eq!(chunk.bad, [(1, "time is not within the years 0 to 9999".to_owned())]);
}

#[test]
fn a_line_without_end_is_one_bad_line() {
    let mut content = format!("{HEADER}\n{}\n", row("261.05", "1")).into_bytes();
    content.extend(std::iter::repeat_n(b'x', 1_000_000));
    content.extend_from_slice(format!("\n{}\n", row("261.06", "2")).as_bytes());
    content.extend_from_slice(b"\xff\xfe\n");
    let bytes = content.len() as u64;
    let chunk = only_chunk("ticks.csv", content);
    assert_eq!((chunk.items.len(), chunk.lines, chunk.bytes), (2, 5, bytes));
    let expected = [(3, "longer than 262144 bytes".to_owned()), (5, "not UTF-8 (byte 0)".to_owned())];
    assert_eq!(chunk.bad, expected);
}

#[test]
fn a_long_file_comes_in_several_chunks_whose_line_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = vec![HEADER.to_owned()];
    lines.extend((1..=1_200).map(|seq| row("261.05", &seq.to_string())));
    lines.push("the last one".to_owned());
    let chunks = read_all(&file(&folder, "ticks.csv", lines.join("\n"))).unwrap();
    assert!(chunks.len() > 1);
    assert_eq!(chunks.iter().map(|chunk| chunk.items.len()).sum::<usize>(), 1_200);
    assert_eq!(chunks.iter().map(|chunk| chunk.lines).sum::<u64>(), 1_202);
    let bad: Vec<u64> = chunks.iter().flat_map(|chunk| &chunk.bad).map(|(line, _)| *line).collect();
    assert_eq!(bad, [1_202]);
}

#[rstest]
#[case("photo.jpg", "no recording at all\n", "this is no recording")]
#[case("list.json", "[1, 2]\n", "this is no recording")]
#[case("cut.jsonl", "{\"received_at\": 1", "line 1 is no JSON object")]
#[case(
    "other.jsonl",
    "{\"received_at\": 1.0, \"message\": {\"venue\": 1}}",
    "line 1 is a frame of a venue that is not known"
)]
#[case("no symbol.csv", "Date,Open,High,Low,Close,Volume\n", "the file must be named for its symbol")]
#[case("AAPL.csv", "Date,Open,High,Low,Close\n", "the header has no column Volume")]
fn a_file_that_is_no_recording_is_refused_with_its_name(
    #[case] name: &str,
    #[case] content: &str,
    #[case] reason: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let refused = format!("{:#}", read_all(&file(&folder, name, content)).unwrap_err());
    assert!(refused.contains(name) && refused.contains(reason), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_file_is_read_or_refused_without_panic(content in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..4_usize) {
        let folder = tempfile::tempdir().unwrap();
        let first = ["", "Date,Open,High,Low,Close,Volume\n", "symbol,price\n", "{\"received_at\":1,\"message\":{\"type\":\"x\"}}\n"];
        let mut bytes = first[kind].as_bytes().to_vec();
        bytes.extend(content);
        let _ = read_all(&file(&folder, "AAPL.csv", bytes));
    }
}
