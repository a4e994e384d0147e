//! Tables of candles: of days, or of minutes to hours. A table is read whole, since rows may run from the newest to the oldest, and may be
//! there twice.
//!
//! Of a day come the candle as it is quoted, and four ticks of its session: open, then low and high, then close.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use market::{
    AssetClass, Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, SymbolError,
    Tick, TickFields, day_bounds, decimal_to_f64, session, trading_hours,
};
use rust_decimal::Decimal;

use super::{
    Item, Remark,
    cell::{self, Moment},
    columns::Columns,
};

/// Longer tables are refused.
const MAX_ROWS: usize = 2_000_000;
/// Prices that were floating-point numbers may lie so far outside their range, as a part of the price.
const ROUNDING: Decimal = Decimal::from_parts(1, 0, 0, false, 6);
/// Rows that lie so far apart are of days.
const DAILY_STEP: TimeDelta = TimeDelta::hours(20);
/// Rows of days of which most lie so far apart are of several days, weeks or months: most days have a day before them.
const SPARSE_STEP: TimeDelta = TimeDelta::days(3);

/// Rows of one file.
pub(super) struct CandleTable {
    columns: Columns,
    /// Of rows that name none.
    symbol: Option<Symbol>,
    source: Source,
    /// As the file says; otherwise it follows from the rows.
    interval: Option<Interval>,
    rows: Vec<Row>,
}

/// A row as read.
struct Row {
    line: u64,
    symbol: Symbol,
    moment: Moment,
    /// Open, high, low, close.
    prices: [Decimal; 4],
    volume: Option<Decimal>,
    ticks: u64,
}

/// What the whole table gives.
#[derive(Default)]
pub(super) struct Candles {
    /// In the order of time.
    pub(super) items: Vec<Item>,
    /// Line and reason.
    pub(super) bad: Vec<(u64, String)>,
    /// Line and remark.
    pub(super) remarks: Vec<(u64, Remark)>,
}

/// When a candle is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum At {
    Day(NaiveDate),
    Time(DateTime<Utc>),
}

impl CandleTable {
    pub(super) fn new(
        columns: Columns,
        symbol: Option<Symbol>,
        source: Source,
        interval: Option<Interval>,
    ) -> Self {
        Self { columns, symbol, source, interval, rows: Vec::new() }
    }

    /// Reads a row.
    pub(super) fn take(&mut self, line: u64, cells: &[String]) -> Result<(), String> {
        let Columns { time, open, high, low, close, volume, time_of_day, symbol, count, .. } = self.columns;
        let cell = |name, column: usize| {
            cells.get(column).map(String::as_str).ok_or_else(|| format!("{name} is missing"))
        };
        let number =
            |name, column| cell::number(cell(name, column)?).map_err(|error| format!("{name} {error}"));
        // One more than may be is kept, for which the whole table is refused at its end.
        if self.rows.len() > MAX_ROWS {
            return Ok(());
        }
        // A comma too many moves what is behind it, such as the one of 45,170,400; at the end of a row it moves nothing.
        let surplus = cells.get(self.columns.cells..).unwrap_or_default();
        if surplus.iter().any(|cell| !cell.is_empty()) {
            return Err(format!("{} cells where the header names {}", cells.len(), self.columns.cells));
        }
        let symbol = match symbol.map(|column| cell("Symbol", column)).transpose()? {
            Some(text) => parse_symbol(text).map_err(|error| format!("Symbol: {error}"))?,
            None => self.symbol.ok_or("Symbol is missing")?,
        };
        let date = cell("Date", time)?;
        let moment = match time_of_day.map(|column| cell("Time", column)).transpose()? {
            Some(time) => Moment::parse(&format!("{date} {time}")),
            None => Moment::parse(date),
        };
        let moment = moment.map_err(|error| format!("Date: {error}"))?;
        let [open, high, low, close] =
            [number("Open", open)?, number("High", high)?, number("Low", low)?, number("Close", close)?];
        let volume = Some(cell("Volume", volume)?).filter(|text| !text.is_empty());
        self.rows.push(Row {
            line,
            symbol,
            moment,
            prices: [open, raised(high, open.max(close)), lowered(low, open.min(close)), close],
            volume: volume.map(cell::number).transpose().map_err(|error| format!("Volume {error}"))?,
            ticks: count.and_then(|column| cells.get(column)?.parse().ok()).unwrap_or(0),
        });
        Ok(())
    }

    /// The candles of all rows, once each.
    pub(super) fn finish(self) -> Result<Candles, String> {
        let Self { source, interval, rows, .. } = self;
        if rows.len() > MAX_ROWS {
            return Err(format!("it has more than {MAX_ROWS} rows: split it"));
        }
        let mut candles = Candles::default();
        let interval = interval.map_or_else(|| width(&rows), |interval| Ok(Some(interval)))?;
        let Some(interval) = interval else { return Ok(candles) };
        let mut placed: HashMap<(Symbol, At), Row> = HashMap::new();
        for row in rows {
            match place(&row, interval) {
                Ok(at) => {
                    let key = (row.symbol, at);
                    if let Some(other) = placed.remove(&key) {
                        candles.remarks.push((row.line, Remark::Repeated));
                        // During a session a row has less volume than at its end.
                        let kept = if row.volume >= other.volume { row } else { other };
                        placed.insert(key, kept);
                    } else {
                        placed.insert(key, row);
                    }
                }
                Err(reason) => candles.bad.push((row.line, reason)),
            }
        }
        let mut rows: Vec<((Symbol, At), Row)> = placed.into_iter().collect();
        rows.sort_unstable_by_key(|((symbol, at), _)| (*at, *symbol));
        let mut closes: HashMap<Symbol, Decimal> = HashMap::new();
        for ((symbol, at), row) in rows {
            let before = closes.insert(symbol, row.prices[3]);
            let read = match at {
                At::Day(date) => row.day(date, source, before).inspect(|_| {
                    if session(symbol.asset_class(), date).is_none() {
                        candles.remarks.push((row.line, Remark::NoSession(date)));
                    }
                }),
                At::Time(time) => row.candle(interval, time, source).map(|candle| vec![Item::Candle(candle)]),
            };
            match read {
                Ok(items) => candles.items.extend(items),
                Err(reason) => {
                    // Its close is no close.
                    closes.remove(&symbol);
                    candles.bad.push((row.line, reason));
                }
            }
        }
        candles.bad.sort_unstable();
        candles.remarks.sort_unstable();
        Ok(candles)
    }
}

/// A high that lies below a price of its candle by an error of rounding only is raised to it.
fn raised(high: Decimal, price: Decimal) -> Decimal {
    if high < price && price - high <= price * ROUNDING { price } else { high }
}

/// The same of a low.
fn lowered(low: Decimal, price: Decimal) -> Decimal {
    if low > price && low - price <= price * ROUNDING { price } else { low }
}

/// The width of the candles, from the most frequent step between rows of one symbol: a row of the price of now may be behind the last
/// one, a week that is not over be shorter. `None` without rows.
fn width(rows: &[Row]) -> Result<Option<Interval>, String> {
    let mut times: Vec<(Symbol, DateTime<Utc>)> =
        rows.iter().map(|row| (row.symbol, row.moment.in_utc())).collect();
    times.sort_unstable();
    let mut counts: BTreeMap<TimeDelta, usize> = BTreeMap::new();
    for pair in times.windows(2) {
        if let [(one, first), (other, second)] = pair
            && one == other
            && second > first
        {
            *counts.entry(*second - *first).or_default() += 1;
        }
    }
    // Of several the shortest.
    let step = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(step, _)| *step);
    if rows.iter().all(|row| row.moment.date().is_some()) && step.is_none_or(|step| step >= DAILY_STEP) {
        return match step.filter(|step| *step >= SPARSE_STEP) {
            // Two days a week apart may be all that there is.
            Some(step) if counts.values().sum::<usize>() > 1 => Err(format!(
                "its rows are {} days apart; candles of several days, weeks and months are not kept",
                step.num_days()
            )),
            _ => Ok((!rows.is_empty()).then_some(Interval::Day)),
        };
    }
    let step = step.ok_or("it has one row: how long its candle is cannot be seen")?;
    if step >= DAILY_STEP {
        return Ok(Some(Interval::Day));
    }
    let found = Interval::ALL.into_iter().find(|interval| interval.duration() == step);
    found.map(Some).ok_or_else(|| {
        format!("its rows are {} s apart; candles of 1m, 5m, 15m, 1h, 4h and 1d are kept", step.num_seconds())
    })
}

fn place(row: &Row, interval: Interval) -> Result<At, String> {
    let class = row.symbol.asset_class();
    if interval == Interval::Day {
        let instant = match class {
            AssetClass::Stock => row.moment.instant(),
            AssetClass::Crypto => Some(row.moment.in_utc()),
        };
        let date = row.moment.date().or_else(|| Some(day_bounds(class, instant?).date));
        return date.map(At::Day).ok_or_else(|| "Date: a day has a time of day without a zone".to_owned());
    }
    let time = match class {
        AssetClass::Stock => {
            row.moment.instant().ok_or("Date: the time of a stock needs a zone, such as -05:00")?
        }
        AssetClass::Crypto => row.moment.in_utc(),
    };
    if interval.floor(time) == time {
        Ok(At::Time(time))
    } else {
        Err(format!("Date: {time} is not the beginning of a candle of {interval}"))
    }
}

impl Row {
    fn candle(&self, interval: Interval, time: DateTime<Utc>, source: Source) -> Result<Candle, String> {
        let [open, high, low, close] = self.prices;
        Candle::new(CandleFields {
            symbol: self.symbol,
            interval,
            time,
            open,
            high,
            low,
            close,
            volume: self.volume,
            ticks: self.ticks,
            source: CandleSource { feed: source, origin: CandleOrigin::Provider },
            is_final: true,
        })
        .map_err(|error| error.to_string())
    }

    /// Four ticks and the candle. The ticks are at the session's open, after a third and two thirds of it, and at its last second. The low
    /// comes before the high on days that rose, after it on days that fell. A row is proof of trading: it is used on a day on which the
    /// calendar has no session, too.
    fn day(&self, date: NaiveDate, source: Source, before: Option<Decimal>) -> Result<Vec<Item>, String> {
        let candle = self.candle(Interval::Day, date.and_time(NaiveTime::MIN).and_utc(), source)?;
        let class = self.symbol.asset_class();
        let hours = trading_hours(class, date).ok_or_else(|| format!("Date: {date} is out of range"))?;
        let [open, high, low, close] = self.prices;
        let volume = self.volume.unwrap_or_default();
        let third = (hours.close - hours.open) / 3;
        let times =
            [hours.open, hours.open + third, hours.open + third * 2, hours.close - TimeDelta::seconds(1)];
        let prices = if close >= open { [open, low, high, close] } else { [open, high, low, close] };
        let before = decimal_to_f64(before.unwrap_or(open));
        let (mut items, mut so_far) = (Vec::new(), (open, open));
        for ((time, price), quarter) in times.into_iter().zip(prices).zip(1_i64..) {
            so_far = (so_far.0.max(price), so_far.1.min(price));
            let change = (decimal_to_f64(price) / before - 1.0) * 100.0;
            let fields = TickFields {
                symbol: self.symbol,
                timestamp: time,
                price,
                // Divided first: no product is larger than the volume.
                volume: (volume / Decimal::from(4) * Decimal::from(quarter)).round_dp(4).normalize(),
                open,
                high: so_far.0,
                low: so_far.1,
                size: None,
                change_percent: (change * 1e4).round() / 1e4,
                source,
                received_at: time,
                seq: time.timestamp_micros().unsigned_abs(),
            };
            items.push(Item::Tick(Tick::new(fields).map_err(|error| error.to_string())?));
        }
        items.push(Item::Candle(candle));
        Ok(items)
    }
}

/// The symbol that a file is named for, in front of its endings: `BRK.B.csv.gz` is BRK.B.
pub(super) fn symbol_of_name(path: &Path) -> Result<Symbol, String> {
    parse_symbol(stem(path))
        .map_err(|error| format!("the file must be named for its symbol, or --symbol must name it: {error}"))
}

/// A symbol as files name it: some add the country, `aapl.us`.
fn parse_symbol(text: &str) -> Result<Symbol, SymbolError> {
    let text = text.trim();
    Symbol::parse(text.strip_suffix(".us").or(text.strip_suffix(".US")).unwrap_or(text))
}

/// The name without its endings.
pub(super) fn stem(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
