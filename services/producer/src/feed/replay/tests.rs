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
    read(path, None, &sender)?;
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

/// The candles of a chunk: symbol, time and interval, close, volume.
fn candles(chunk: &Chunk) -> Vec<String> {
    let shown = |candle: &market::Candle| {
        let volume = candle.volume.map_or_else(|| "none".to_owned(), |volume| volume.to_string());
        format!(
            "{} {} {} {} {volume}",
            candle.symbol,
            candle.time.to_rfc3339(),
            candle.interval,
            candle.close
        )
    };
    chunk.items.iter().filter_map(super::Item::candle).map(shown).collect()
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
    assert_eq!(chunk.remarks, [(5, super::Remark::NoSession("2021-01-03".parse().unwrap()))]);
    let bad: Vec<String> = chunk.bad.iter().map(|(line, reason)| format!("{line}: {reason}")).collect();
    assert_eq!(bad.len(), 4, "{bad:?}");
    assert_eq!(bad[0], "3: Open is not a number");
    let date = "4: Date: `05/01/2021` is neither a date (2026-01-13) nor a time (2026-01-13 09:30:00-05:00)";
    assert_eq!(bad[1], date);
    assert_eq!(bad[2], "6: low 126.4 and high 100 do not enclose open 127.7");
    assert_eq!(bad[3], "7: High is missing");
}

#[test]
fn a_day_of_boundless_volume_does_not_panic() {
    let table = "Date,Open,High,Low,Close,Volume\n2021-01-04,1,1,1,1,79228162514264337593543950335\n";
    assert_eq!(only_chunk("AAPL.csv", table).items.len(), 5);
}

#[test]
fn a_candle_before_all_time_is_a_bad_line() {
    let closed = r#"{"e":"kline","s":"BTCUSDT","k":{"t":-99999999999999,"o":"1","h":"1","l":"1","c":"1","v":"1","n":1,"x":true,"i":"1m"}}"#;
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

#[test]
fn rows_in_any_order_are_used_once_each() {
    let rows = [
        "Date,Open,High,Low,Close,Volume",
        "2024-09-12,116.8,120.8,115.4,119.14,367100500",
        "2024-09-12,116.8,119.0,115.4,118.9,214000000",
        "2024-09-11,109.4,117.2,107.4,116.91,441422400",
        "",
    ];
    let chunk = only_chunk("NVDA.csv", rows.join("\n"));
    let expected = [
        "NVDA 2024-09-11T00:00:00+00:00 1d 116.91 441422400",
        "NVDA 2024-09-12T00:00:00+00:00 1d 119.14 367100500",
    ];
    assert_eq!(candles(&chunk), expected);
    assert_eq!(chunk.remarks, [(3, super::Remark::Repeated)]);
    let changes: Vec<f64> = chunk
        .items
        .iter()
        .filter_map(|item| match item {
            super::Item::Tick(tick) => Some(tick.change_percent),
            super::Item::Candle(_) => None,
        })
        .collect();
    assert_eq!(changes.last(), Some(&1.9075), "against the close of the day before");
}

#[rstest]
#[case(
    "MSFT.csv",
    "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n2025-03-06 00:00:00-05:00,394.28,402.15,392.68,396.89,23304600,0.0,0.0\n",
    "MSFT 2025-03-06T00:00:00+00:00 1d 396.89 23304600"
)]
#[case(
    "download.csv",
    "Price,Close,High,Low,Open,Volume\nTicker,MSFT,MSFT,MSFT,MSFT,MSFT\nDate,,,,,\n2025-03-06,396.89,402.15,392.68,394.28,23304600\n",
    "MSFT 2025-03-06T00:00:00+00:00 1d 396.89 23304600"
)]
#[case(
    "sp500.csv",
    ",date,open,high,low,close,volume,Name\n0,2025-03-06,394.28,402.15,392.68,396.89,23304600,MSFT\n",
    "MSFT 2025-03-06T00:00:00+00:00 1d 396.89 23304600"
)]
#[case(
    "MSFT.csv",
    "Date,Close/Last,Volume,Open,High,Low\n2025-03-06,$396.89,23304600,$394.28,$402.15,$392.68\n",
    "MSFT 2025-03-06T00:00:00+00:00 1d 396.89 23304600"
)]
#[case(
    "hours.csv",
    "https://www.example.org\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT\n1735693200,2025-01-01 01:00:00,BTCUSDT,2,3,1,2.5,7,9\n1735689600000,2025-01-01 00:00:00,BTCUSDT,2,3,1,2,7,9\n",
    "BTC/USDT 2025-01-01T00:00:00+00:00 1h 2 7;BTC/USDT 2025-01-01T01:00:00+00:00 1h 2.5 7"
)]
#[case(
    "BTCUSDT-1m-2025-01.csv",
    "1735689600000000,2,3,1,2.5,9.1121,1735689659999999,852700.50,1808,4.4,410000.2,0\n",
    "BTC/USDT 2025-01-01T00:00:00+00:00 1m 2.5 9.1121"
)]
#[case(
    "ETH-USDT.csv",
    "Date,Open,High,Low,Close,Volume\n2025-01-01,2.0000001,2,1,1.5,7\n",
    "ETH/USDT 2025-01-01T00:00:00+00:00 1d 1.5 7"
)]
fn candle_files_of_others_are_read(#[case] name: &str, #[case] content: &str, #[case] expected: &str) {
    let chunk = only_chunk(name, content);
    assert_eq!(chunk.bad, []);
    assert_eq!(candles(&chunk).join(";"), expected);
}

#[test]
fn a_compressed_file_is_read_as_the_plain_one() {
    let table = "Date,Open,High,Low,Close,Volume\n2025-03-06,394.28,402.15,392.68,396.89,23304600\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, table.as_bytes()).unwrap();
    let chunk = only_chunk("BRK.B.csv.gz", packed.finish().unwrap());
    assert_eq!(candles(&chunk), ["BRK.B 2025-03-06T00:00:00+00:00 1d 396.89 23304600"]);
}

#[rstest]
#[case::stocks_need_a_zone("AAPL.csv", "Date,Open,High,Low,Close,Volume\n2025-03-06 09:30,1,1,1,1,1\n2025-03-06 09:31,1,1,1,1,1\n",
    &["2: Date: the time of a stock needs a zone, such as -05:00", "3: Date: the time of a stock needs a zone, such as -05:00"])]
#[case::hours_at_the_half("AAPL.csv", "Datetime,Open,High,Low,Close,Volume\n2025-03-06 10:30:00-05:00,1,1,1,1,1\n2025-03-06 11:30:00-05:00,1,1,1,1,1\n",
    &["2: Date: 2025-03-06 15:30:00 UTC is not the beginning of a candle of 1h", "3: Date: 2025-03-06 16:30:00 UTC is not the beginning of a candle of 1h"])]
fn rows_that_cannot_be_placed_are_bad(#[case] name: &str, #[case] content: &str, #[case] expected: &[&str]) {
    let chunk = only_chunk(name, content);
    assert_eq!(chunk.items, []);
    let bad: Vec<String> = chunk.bad.iter().map(|(line, reason)| format!("{line}: {reason}")).collect();
    assert_eq!(bad, expected);
}

#[test]
fn ticks_that_run_from_the_newest_to_the_oldest_are_turned_around() {
    let at = |second: u32| {
        format!(
            "AAPL,2026-01-13T15:30:0{second}Z,261,1000,260,262,259.5,0.42,yahoo,2026-01-13T15:30:0{second}Z,{second}"
        )
    };
    let chunk = only_chunk("ticks.csv", [HEADER.to_owned(), at(3), at(2), "x".to_owned(), at(1)].join("\n"));
    let seqs: Vec<u64> = chunk
        .items
        .iter()
        .filter_map(|item| match item {
            super::Item::Tick(tick) => Some(tick.seq),
            super::Item::Candle(_) => None,
        })
        .collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(chunk.bad, [(4, "1 cells where the header names 11".to_owned())]);
}

#[rstest]
#[case::an_answer(r#"{"received_at": 1735689599.9, "message": {"result":null,"id":1}}"#, 0)]
#[case::an_order_book(r#"{"received_at": 1735689599.9, "message": {"u":400900217,"s":"ETHUSDT","b":"1","B":"1","a":"2","A":"3"}}"#, 0)]
#[case::a_cut_line(r#"eceived_at": 1735689599.9, "message": {"e":"trade"}}"#, 1)]
fn a_recording_may_begin_with_another_line(#[case] first: &str, #[case] bad: usize) {
    let trade = r#"{"stream":"ethusdt@trade","data":{"e":"trade","E":1735689600150,"s":"ETHUSDT","t":19,"p":"3340.1","q":"0.5","T":1735689600150}}"#;
    let recorded = format!("{{\"received_at\": 1735689600.2, \"message\": {trade}}}");
    for line in [recorded.as_str(), trade] {
        let chunk = only_chunk("frames.jsonl", format!("{first}\n{line}\n"));
        assert_eq!((chunk.items.len(), chunk.bad.len()), (1, bad), "{:?}", chunk.bad);
    }
}

#[test]
fn a_date_and_a_time_in_columns_of_their_own_belong_together() {
    let table = "<TICKER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n\
        BTC/USDT,20250306,09:30:00,2,3,1,2.5,7\nBTC/USDT,20250306,09:31:00,2,3,1,2.6,8\n";
    let expected =
        ["BTC/USDT 2025-03-06T09:30:00+00:00 1m 2.5 7", "BTC/USDT 2025-03-06T09:31:00+00:00 1m 2.6 8"];
    assert_eq!(candles(&only_chunk("bars.txt", table)), expected);
}

#[test]
fn the_row_of_the_price_of_now_does_not_decide_how_long_candles_are() {
    let row = |time: &str| format!("2025-03-06 {time}-05:00,1,1,1,1,1\n");
    let rows = ["09:30:00", "09:35:00", "09:40:00", "09:42:13"].map(row).concat();
    let chunk = only_chunk("AAPL.csv", format!("Datetime,Open,High,Low,Close,Volume\n{rows}"));
    assert_eq!(candles(&chunk).len(), 3);
    assert_eq!(chunk.bad.len(), 1, "{:?}", chunk.bad);
}

#[test]
fn a_thousands_comma_without_quotes_is_no_volume_of_45() {
    let table = "Date,Open,High,Low,Close,Volume\n2025-03-06,234.4,237.8,233.1,235.3,45,170,400\n\
        2025-03-07,234.4,237.8,233.1,235.3,45170400,\n";
    let chunk = only_chunk("AAPL.csv", table);
    assert_eq!(candles(&chunk), ["AAPL 2025-03-07T00:00:00+00:00 1d 235.3 45170400"]);
    assert_eq!(chunk.bad, [(2, "8 cells where the header names 6".to_owned())]);
}

#[test]
fn the_volume_is_that_of_the_base_and_a_country_is_no_share_class() {
    let table = "date,open,high,low,close,Volatility,Volume USD,Volume BTC\n2025-03-06,2,3,1,2,0.03,1789000000,19874\n";
    assert_eq!(candles(&only_chunk("BTC-USD.csv", table)), ["BTC/USD 2025-03-06T00:00:00+00:00 1d 2 19874"]);
    let table = "Date,Open,High,Low,Close,Volume,OpenInt\n2005-02-25,2,3,1,2,7,0\n";
    assert_eq!(candles(&only_chunk("aapl.us.txt", table)), ["AAPL 2005-02-25T00:00:00+00:00 1d 2 7"]);
}

#[rstest]
#[case("photo.jpg", "no recording at all\n", "this is no recording")]
#[case("list.json", "[1, 2]\n", "this is no recording")]
#[case("cut.jsonl", "{\"received_at\": 1", "is no JSON object")]
#[case(
    "other.jsonl",
    "{\"received_at\": 1.0, \"message\": {\"venue\": 1}}",
    "none of its first 50 lines is a frame of Binance or Coinbase"
)]
#[case("no symbol.csv", "Date,Open,High,Low,Close,Volume\n", "the file must be named for its symbol")]
#[case("AAPL.csv", "Date,Open,High,Low,Close\n", "the header has no column Volume")]
#[case("AAPL.xlsx", "PK\u{3}\u{4}...", "unpack it, or save it as CSV")]
#[case("BTCUSDT-3m-2025-01.csv", "1,2,3,4,5,6,7,8,9,10,11,12\n", "a width that is not kept")]
#[case(
    "AAPL.csv",
    "Date,Open,High,Low,Close,Volume\n2025-01-05,1,1,1,1,1\n2025-01-12,1,1,1,1,1\n2025-01-19,1,1,1,1,1\n",
    "weeks and months are not kept"
)]
#[case(
    "download.csv",
    "Price,Close,Close,High,Low,Open,Volume\nTicker,A,B,A,A,A,A\nDate,,,,,,\n",
    "several tickers"
)]
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
    fn any_file_is_read_or_refused_without_panic(content in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..5_usize) {
        let folder = tempfile::tempdir().unwrap();
        let first: [&[u8]; 5] = [b"", b"Date,Open,High,Low,Close,Volume\n", b"symbol,price,seq\n",
            b"{\"received_at\":1,\"message\":{\"type\":\"x\"}}\n", b"\x1f\x8b"];
        let mut bytes = first[kind].to_vec();
        bytes.extend(content);
        let _ = read_all(&file(&folder, "AAPL.csv", bytes));
    }
}
