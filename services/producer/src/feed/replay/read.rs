//! Reads a recording; its format follows from its first line.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, Utc};
use market::{Candle, Source};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tokio::sync::mpsc::Sender;

use super::{Chunk, Item, daily};
use crate::feed::{binance, coinbase};

/// Longer lines are bad lines.
const MAX_LINE_BYTES: u64 = 256 * 1024;
/// Lines of a chunk.
const CHUNK_LINES: u64 = 500;
/// The wire fields of a tick that are texts; the others are numbers.
const TEXT_FIELDS: [&str; 4] = ["symbol", "timestamp", "source", "received_at"];

/// A frame and when it was received, in seconds since the epoch.
#[derive(Deserialize)]
struct Recorded<'a> {
    received_at: f64,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// What a recording is made of.
enum Format {
    Binance(binance::parse::FrameReader),
    Coinbase(coinbase::FrameReader),
    TickLines,
    TickTable(Vec<String>),
    DailyCandles(daily::DailyCandles),
}

/// Reads the file to its end, chunk by chunk, until the receiver is gone.
pub(super) fn read(path: &Path, chunks: &Sender<Chunk>) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = BufReader::new(file);
    let mut format = None;
    let (mut chunk, mut number) = (Chunk::default(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes =
            next_line(&mut reader, &mut line).with_context(|| format!("cannot read {}", path.display()))?;
        if bytes == 0 {
            break;
        }
        number += 1;
        chunk.lines += 1;
        chunk.bytes += bytes;
        match read_line(path, &mut format, &line) {
            Ok(Line { items, remark }) => {
                chunk.empty_lines += u64::from(items.is_empty());
                chunk.items.extend(items);
                chunk.remarks.extend(remark.map(|remark| (number, remark)));
            }
            Err(Refusal::NoRecording(reason)) => bail!("{}: {reason}", path.display()),
            Err(Refusal::BadLine(reason)) => chunk.bad.push((number, reason)),
        }
        if chunk.lines >= CHUNK_LINES && chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
            return Ok(());
        }
    }
    // The receiver is gone only while the process shuts down.
    let _ = chunks.blocking_send(chunk);
    Ok(())
}

/// The candles of a table of daily candles, without ticks. `name` is that of its file, which is named for the symbol.
///
/// # Errors
/// A name that is no symbol, or a row that cannot be read, with its line.
pub fn daily_candles(name: &str, text: &str) -> anyhow::Result<Vec<Candle>> {
    let mut lines = text.lines().zip(1_u64..);
    let (header, _) = lines.next().with_context(|| format!("{name} is empty"))?;
    let header = cells(header).with_context(|| format!("the header of {name}"))?;
    let mut days =
        daily::DailyCandles::new(Path::new(name), &header).map_err(|reason| anyhow!("{name}: {reason}"))?;
    let mut candles = Vec::new();
    for (line, number) in lines {
        let row = cells(line).map_err(|error| error.to_string()).and_then(|cells| days.row(&cells));
        let row = row.map_err(|reason| anyhow!("{name}, line {number}: {reason}"))?;
        candles.extend(row.items.iter().filter_map(Item::candle).copied());
    }
    Ok(candles)
}

/// How many bytes the line took in the file; at most the limit and one is kept of it.
fn next_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut bytes = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', line)? as u64;
    if bytes > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
        bytes += reader.skip_until(b'\n')? as u64;
    }
    Ok(bytes)
}

/// What one line holds.
#[derive(Default)]
struct Line {
    items: Vec<Item>,
    /// What is unusual about a line that is used all the same.
    remark: Option<String>,
}

impl<const N: usize> From<[Item; N]> for Line {
    fn from(items: [Item; N]) -> Self {
        items.into_iter().collect()
    }
}

impl FromIterator<Item> for Line {
    fn from_iter<T: IntoIterator<Item = Item>>(items: T) -> Self {
        Self { items: items.into_iter().collect(), remark: None }
    }
}

enum Refusal {
    NoRecording(String),
    BadLine(String),
}

fn bad(reason: impl ToString) -> Refusal {
    Refusal::BadLine(reason.to_string())
}

fn read_line(path: &Path, format: &mut Option<Format>, line: &[u8]) -> Result<Line, Refusal> {
    if line.len() as u64 > MAX_LINE_BYTES {
        return Err(bad(format!("longer than {MAX_LINE_BYTES} bytes")));
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| bad(format!("not UTF-8 (byte {})", error.valid_up_to())))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(Line::default());
    }
    if let Some(known) = format {
        return known.line(text);
    }
    let known = format.insert(Format::of(path, text).map_err(Refusal::NoRecording)?);
    if known.has_header() { Ok(Line::default()) } else { known.line(text) }
}

impl Format {
    /// The format that the first line has.
    fn of(path: &Path, first: &str) -> Result<Self, String> {
        if first.starts_with('{') {
            return Self::of_json(first);
        }
        let header: Vec<String> = cells(first).map_err(|error| error.to_string())?;
        if header.first().is_some_and(|name| name == "Date") {
            return daily::DailyCandles::new(path, &header).map(Self::DailyCandles);
        }
        if header.iter().any(|name| name == "symbol") {
            return Ok(Self::TickTable(header));
        }
        Err("this is no recording: known are frames of Binance and Coinbase and ticks as JSON Lines, and ticks and daily \
             candles as CSV with a header"
            .to_owned())
    }

    fn of_json(first: &str) -> Result<Self, String> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(first).map_err(|error| format!("line 1 is no JSON object: {error}"))?;
        let Some(message) = fields.get("message") else {
            return Ok(Self::TickLines);
        };
        let source = |name| Source::parse(name).map_err(|error| error.to_string());
        let frame: BTreeMap<String, &RawValue> = serde_json::from_str(message.get()).unwrap_or_default();
        if frame.contains_key("stream") || frame.contains_key("e") {
            return Ok(Self::Binance(binance::parse::FrameReader::new(source("binance")?)));
        }
        if frame.contains_key("type") || frame.contains_key("channel") {
            return Ok(Self::Coinbase(coinbase::FrameReader::new(source("coinbase")?)));
        }
        Err("line 1 is a frame of a venue that is not known here".to_owned())
    }

    fn has_header(&self) -> bool {
        matches!(self, Self::TickTable(_) | Self::DailyCandles(_))
    }

    fn line(&mut self, line: &str) -> Result<Line, Refusal> {
        match self {
            Self::Binance(reader) => {
                let (frame, received_at) = recorded(line)?;
                Ok(match reader.parse(frame.get().as_bytes(), received_at).map_err(bad)? {
                    binance::parse::Frame::Tick(tick) => [Item::Tick(tick)].into(),
                    binance::parse::Frame::Candle(candle) => [Item::Candle(candle)].into(),
                    binance::parse::Frame::Nothing => Line::default(),
                })
            }
            Self::Coinbase(reader) => {
                let (frame, received_at) = recorded(line)?;
                let ticks = reader.parse(frame.get().as_bytes(), received_at).map_err(bad)?;
                Ok(ticks.into_iter().map(Item::Tick).collect())
            }
            Self::TickLines => {
                Ok([Item::Tick(topics::tick::decode(line.as_bytes(), Utc::now()).map_err(bad)?)].into())
            }
            Self::TickTable(header) => Ok([Item::Tick(table_row(header, line)?)].into()),
            Self::DailyCandles(candles) => {
                let row = candles.row(&cells(line).map_err(bad)?).map_err(bad)?;
                let remark = |date| format!("the calendar has no session on {date}; the row is used");
                Ok(Line { items: row.items, remark: row.date_without_session.map(remark) })
            }
        }
    }
}

fn recorded(line: &str) -> Result<(&RawValue, DateTime<Utc>), Refusal> {
    let Recorded { received_at, message } = serde_json::from_str(line).map_err(bad)?;
    let micros = (received_at * 1e6).round();
    let time = DateTime::from_timestamp_micros(micros as i64).filter(|_| micros.is_finite());
    Ok((message, time.ok_or_else(|| bad("received_at is out of range"))?))
}

/// One line of CSV.
fn cells(line: &str) -> Result<Vec<String>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    let first = reader.records().next().transpose()?;
    Ok(first.map(|record| record.iter().map(|cell| cell.trim().to_owned()).collect()).unwrap_or_default())
}

/// A row becomes the JSON it stands for, so that it is checked as every tick is, field by field.
fn table_row(header: &[String], line: &str) -> Result<market::Tick, Refusal> {
    let cells = cells(line).map_err(bad)?;
    if cells.len() != header.len() {
        return Err(bad(format!("{} cells where the header names {}", cells.len(), header.len())));
    }
    let mut fields = Map::new();
    // An empty cell is a field that is absent.
    for (name, cell) in header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let is_text = TEXT_FIELDS.contains(&name.as_str());
        let value = if is_text {
            Value::String(cell)
        } else {
            serde_json::from_str(&cell).unwrap_or(Value::String(cell))
        };
        fields.insert(name.clone(), value);
    }
    let json = serde_json::to_vec(&fields).map_err(bad)?;
    topics::tick::decode(&json, Utc::now()).map_err(bad)
}
