//! The format of a recording, from its first lines: a recording may begin with a header, an answer of the venue, or a line that was cut.

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};
use market::{Source, Symbol};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Item,
    candle_table::{CandleTable, stem, symbol_of_name},
    cell::{cells, shown},
    columns::{Columns, Header},
};
use crate::feed::{
    binance::{
        files::{CANDLE_HEADER, Contents, TradeRows, of_name},
        parse::{Frame, FrameReader, Names},
    },
    coinbase::recording,
    epoch::{from_epoch, from_epoch_f64},
};

/// So many lines at the beginning are looked at.
pub(super) const FIRST_LINES: usize = 50;
/// A header is in one of so many lines.
const HEADER_LINES: usize = 5;
const SEVERAL_TICKERS: &str = "it has the columns of several tickers side by side: save one file for each";
/// The wire fields of a tick that are texts; the others are numbers.
const TEXT_FIELDS: [&str; 4] = ["symbol", "timestamp", "source", "received_at"];

/// What a recording is made of.
pub(super) enum Format {
    /// Read line by line.
    Lines(Box<Lines>),
    /// Read whole.
    Candles(Box<CandleTable>),
}

/// A format whose lines stand for themselves.
pub(super) enum Lines {
    Binance(FrameReader),
    Coinbase(recording::FrameReader),
    Trades(Box<TradeRows>),
    Ticks,
    TickTable(Vec<Option<String>>),
}

/// A format, and where it begins.
pub(super) struct Detected {
    pub(super) format: Format,
    /// Lines without data in front: remarks, a header.
    pub(super) header_lines: u64,
    /// The rows of a table of ticks run from the newest to the oldest.
    pub(super) is_newest_first: bool,
}

impl Detected {
    fn lines(lines: Lines, header_lines: usize) -> Self {
        Self {
            format: Format::Lines(Box::new(lines)),
            header_lines: header_lines as u64,
            is_newest_first: false,
        }
    }

    fn candles(table: CandleTable, header_lines: usize) -> Self {
        Self {
            format: Format::Candles(Box::new(table)),
            header_lines: header_lines as u64,
            is_newest_first: false,
        }
    }

    /// Looks at the first lines. `symbol` is that of files which name none.
    ///
    /// # Errors
    /// Why the file is no recording, with what is expected.
    pub(super) fn of(path: &Path, first: &[String], symbol: Option<Symbol>) -> Result<Self, String> {
        let filled = || first.iter().enumerate().filter(|(_, line)| !line.is_empty());
        if filled().any(|(_, line)| line.starts_with('{')) {
            return of_json(filled().map(|(_, line)| line.as_str()));
        }
        let mut missing = None;
        for (number, line) in filled().take(HEADER_LINES) {
            let Ok(header) = cells(line) else { continue };
            let next = first.get(number + 1).and_then(|line| cells(line).ok()).unwrap_or_default();
            if next.first().is_some_and(|cell| cell.eq_ignore_ascii_case("ticker"))
                && let Some(columns) = Header::of_download(&header)
            {
                // Several symbols side by side are refused, whatever the command line names.
                let ticker = only_ticker(&next)?;
                let symbol = symbol.unwrap_or(ticker);
                // A third line names the index.
                let table = CandleTable::new(columns, Some(symbol), source("replay")?, None);
                return Ok(Self::candles(table, number + 3));
            }
            match Header::of(&header) {
                Header::Candles(columns) => {
                    return of_candles(
                        path,
                        columns,
                        symbol,
                        first.get(number + 1..).unwrap_or_default(),
                        number + 1,
                    );
                }
                Header::Ticks(names) => {
                    let is_newest_first =
                        are_newest_first(&names, first.get(number + 1..).unwrap_or_default());
                    let detected = Self::lines(Lines::TickTable(names), number + 1);
                    return Ok(Self { is_newest_first, ..detected });
                }
                Header::Repeated => return Err(SEVERAL_TICKERS.to_owned()),
                Header::IncompleteCandles(names) => missing = missing.or(Some(names)),
                Header::None => {}
            }
        }
        if let Some(found) = of_data_file(path, filled().next().map_or("", |(_, line)| line.as_str()))? {
            return Ok(found);
        }
        Err(match missing {
            Some(names) => format!(
                "the header has no column {}; expected: Date,Open,High,Low,Close,Volume in any order",
                names.join(", ")
            ),
            None => "this is no recording: known are frames of Binance and Coinbase and ticks as JSON Lines, ticks and candles as CSV \
                     with a header, and Binance's data files under their own names"
                .to_owned(),
        })
    }
}

fn source(name: &str) -> Result<Source, String> {
    Source::parse(name).map_err(|error| error.to_string())
}

/// The symbol of a download, whose second line has it above each column.
fn only_ticker(cells: &[String]) -> Result<Symbol, String> {
    let mut tickers: Vec<&String> = cells.iter().skip(1).filter(|cell| !cell.is_empty()).collect();
    tickers.dedup();
    match tickers.as_slice() {
        [ticker] => Symbol::parse(ticker).map_err(|error| format!("Ticker: {error}")),
        _ => Err(SEVERAL_TICKERS.to_owned()),
    }
}

fn of_candles(
    path: &Path,
    columns: Columns,
    symbol: Option<Symbol>,
    rows: &[String],
    header_lines: usize,
) -> Result<Detected, String> {
    if let Some((named, contents)) = of_name(stem(path)) {
        let Contents::Candles(interval) = contents else { return Err(other_width()) };
        let table =
            CandleTable::new(columns, Some(symbol.unwrap_or(named)), source("binance")?, Some(interval));
        return Ok(Detected::candles(table, header_lines));
    }
    let of_file = symbol_of_name(path);
    // Names may be those of companies.
    let is_symbol = |text: &String| Symbol::parse(text).is_ok_and(|symbol| symbol.as_str() == text);
    let names_symbol = |column: &usize| {
        let cell = |row: &String| cells(row).ok()?.into_iter().nth(*column);
        rows.iter().filter_map(cell).all(|text| is_symbol(&text))
    };
    let column = columns.symbol.or(columns.name.filter(names_symbol));
    let symbol = match (symbol, column) {
        (Some(_), Some(_)) => {
            return Err("its rows name their symbols: leave out --symbol, or the column".to_owned());
        }
        (None, Some(_)) => None,
        (Some(symbol), None) => Some(symbol),
        (None, None) => Some(of_file?),
    };
    let columns = Columns { symbol: column, ..columns };
    Ok(Detected::candles(CandleTable::new(columns, symbol, source("replay")?, None), header_lines))
}

fn other_width() -> String {
    "its name is that of candles of a width that is not kept; 1m, 5m, 15m, 1h, 4h and 1d are".to_owned()
}

/// A data file of Binance, which has a name of its own.
fn of_data_file(path: &Path, first: &str) -> Result<Option<Detected>, String> {
    let Some((symbol, contents)) = of_name(stem(path)) else { return Ok(None) };
    let is_number = |cell: &String| cell.parse::<f64>().is_ok();
    let columns = cells(first).map_err(|error| error.to_string())?;
    if columns.len() < 6 {
        return Ok(None);
    }
    Ok(Some(match contents {
        Contents::Trades | Contents::AggregateTrades => {
            Detected::lines(Lines::Trades(Box::new(TradeRows::new(symbol, contents, source("binance")?))), 0)
        }
        Contents::OtherCandles => return Err(other_width()),
        Contents::Candles(interval) => {
            let Header::Candles(names) = Header::of(&CANDLE_HEADER.map(str::to_owned)) else {
                return Ok(None);
            };
            if !columns.iter().all(is_number) {
                return Ok(None);
            }
            Detected::candles(CandleTable::new(names, Some(symbol), source("binance")?, Some(interval)), 0)
        }
    }))
}

/// The first line that tells decides; what comes before it is answers of the venue, or cut.
fn of_json<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Detected, String> {
    let mut reason = None;
    for line in lines {
        let fields: BTreeMap<String, &RawValue> = match serde_json::from_str(line) {
            Ok(fields) => fields,
            Err(error) => {
                reason = reason.or_else(|| Some(format!("`{}` is no JSON object: {error}", shown(line))));
                continue;
            }
        };
        let message = fields.get("message").and_then(|message| serde_json::from_str(message.get()).ok());
        let frame: &BTreeMap<String, &RawValue> = message.as_ref().unwrap_or(&fields);
        let has = |name| frame.contains_key(name);
        if has("stream") || has("e") {
            return Ok(Detected::lines(
                Lines::Binance(FrameReader::new(source("binance")?, Names::Recorded)),
                0,
            ));
        }
        if has("type") || has("channel") {
            return Ok(Detected::lines(Lines::Coinbase(recording::FrameReader::new(source("coinbase")?)), 0));
        }
        if has("symbol") && has("price") {
            return Ok(Detected::lines(Lines::Ticks, 0));
        }
    }
    Err(reason.unwrap_or_else(|| {
        format!("none of its first {FIRST_LINES} lines is a frame of Binance or Coinbase, or a tick")
    }))
}

/// The times of the first rows fall, and never rise.
fn are_newest_first(names: &[Option<String>], rows: &[String]) -> bool {
    let Some(place) = names.iter().position(|name| name.as_deref() == Some("timestamp")) else {
        return false;
    };
    let time = |row: &String| cells(row).ok()?.get(place)?.parse::<DateTime<Utc>>().ok();
    let times: Vec<_> = rows.iter().filter_map(time).collect();
    times.is_sorted_by(|one, next| one >= next) && times.first() > times.last()
}

impl Lines {
    /// What a line holds, and why not all of it can be used.
    ///
    /// # Errors
    /// Why the line cannot be used.
    pub(super) fn line(&mut self, line: &str) -> Result<(Vec<Item>, Option<String>), String> {
        fn bad(error: impl ToString) -> String {
            error.to_string()
        }
        let items = match self {
            Self::Binance(reader) => {
                let (frame, received_at) = recorded(line)?;
                match reader.parse(frame.as_bytes(), received_at).map_err(bad)? {
                    Frame::Tick(tick) => vec![Item::Tick(tick)],
                    Frame::Candle(candle) => vec![Item::Candle(candle)],
                    Frame::Update | Frame::Nothing => Vec::new(),
                }
            }
            Self::Coinbase(reader) => {
                let (frame, received_at) = recorded(line)?;
                let read = reader.parse(frame.as_bytes(), received_at).map_err(bad)?;
                let refused = read.refused.into_iter().next().map(bad);
                return Ok((read.ticks.into_iter().map(Item::Tick).collect(), refused));
            }
            Self::Trades(rows) => {
                rows.row(&cells(line).map_err(bad)?).map_err(bad)?.into_iter().map(Item::Tick).collect()
            }
            Self::Ticks => vec![Item::Tick(topics::tick::decode(line.as_bytes(), Utc::now()).map_err(bad)?)],
            Self::TickTable(header) => vec![Item::Tick(table_row(header, line)?)],
        };
        Ok((items, None))
    }
}

/// A frame with the moment at which it was received, or a frame alone.
#[derive(Deserialize)]
struct Recorded<'a> {
    /// In seconds since 1970; some record milliseconds or microseconds.
    received_at: Option<f64>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    /// The time of a frame of Coinbase.
    time: Option<DateTime<Utc>>,
    timestamp: Option<DateTime<Utc>>,
    /// The time of a frame of Binance, or of what a combined stream wraps.
    #[serde(rename = "E")]
    event_time: Option<i64>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "E")]
    event_time: Option<i64>,
}

/// The frame of a line, and when it was received: of a frame that was recorded alone, when the venue sent it.
fn recorded(line: &str) -> Result<(&str, DateTime<Utc>), String> {
    let fields: Recorded<'_> =
        serde_json::from_str(line).map_err(|error| format!("not the JSON expected: {error}"))?;
    let Some(message) = fields.message else {
        let number = fields.event_time.or(fields.data.and_then(|data| data.event_time));
        let time = fields.time.or(fields.timestamp).or_else(|| from_epoch(number?));
        // A frame without a time is an answer; nothing of it is used.
        return Ok((line, time.unwrap_or(DateTime::UNIX_EPOCH)));
    };
    let received_at = fields.received_at.ok_or("received_at is missing")?;
    Ok((message.get(), from_epoch_f64(received_at).ok_or("received_at is out of range")?))
}

/// A row becomes the JSON it stands for, so that it is checked as every tick is, field by field.
fn table_row(header: &[Option<String>], line: &str) -> Result<market::Tick, String> {
    let cells = cells(line).map_err(|error| error.to_string())?;
    if cells.len() != header.len() {
        return Err(format!("{} cells where the header names {}", cells.len(), header.len()));
    }
    let mut fields = Map::new();
    // An empty cell is a field that is absent.
    for (name, cell) in header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let Some(name) = name else { continue };
        let is_text = TEXT_FIELDS.contains(&name.as_str());
        let value = if is_text {
            Value::String(cell)
        } else {
            serde_json::from_str(&cell).unwrap_or(Value::String(cell))
        };
        fields.insert(name.clone(), value);
    }
    let json = serde_json::to_vec(&fields).map_err(|error| error.to_string())?;
    topics::tick::decode(&json, Utc::now()).map_err(|error| error.to_string())
}
