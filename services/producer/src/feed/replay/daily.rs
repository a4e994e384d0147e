//! Daily candles: the candle as it is quoted, and four ticks of its session: open, then low and high, then close.

use std::path::Path;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, Tick, TickFields,
    decimal_to_f64, parse_decimal, session, trading_hours,
};
use rust_decimal::Decimal;

use super::Item;

/// Reads the rows of one file: `Date,Open,High,Low,Close,Adj Close,Volume`, prices in the symbol's currency, volume in
/// shares; the file is named for its symbol.
pub(super) struct DailyCandles {
    symbol: Symbol,
    source: Source,
    columns: [usize; 6],
    /// The close of the row before.
    previous_close: Option<Decimal>,
}

/// What a row holds.
pub(super) struct Row {
    /// Ticks, then the candle.
    pub(super) items: Vec<Item>,
    /// The row is of a date on which the calendar has no session.
    pub(super) date_without_session: Option<NaiveDate>,
}

const COLUMNS: [&str; 6] = ["Date", "Open", "High", "Low", "Close", "Volume"];

impl DailyCandles {
    pub(super) fn new(path: &Path, header: &[String]) -> Result<Self, String> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let symbol =
            Symbol::parse(stem).map_err(|error| format!("the file must be named for its symbol: {error}"))?;
        let mut columns = [0; 6];
        for (place, name) in columns.iter_mut().zip(COLUMNS) {
            let found = header.iter().position(|column| column == name);
            *place = found.ok_or_else(|| format!("the header has no column {name}"))?;
        }
        let source = Source::parse("replay").map_err(|error| error.to_string())?;
        Ok(Self { symbol, source, columns, previous_close: None })
    }

    /// Reads a row. Its ticks are at the session's open, after a third and two thirds of it, and at its last second. The low
    /// comes before the high on days that rose, after it on days that fell. A row is proof of trading: on a day on which the
    /// calendar has no session it is used, and reported.
    pub(super) fn row(&mut self, cells: &[String]) -> Result<Row, String> {
        let cell = |column: usize| {
            let place = self.columns.get(column).copied().unwrap_or(usize::MAX);
            cells
                .get(place)
                .map(String::as_str)
                .ok_or_else(|| format!("{} is missing", COLUMNS.get(column).unwrap_or(&"")))
        };
        let number = |column: usize| {
            parse_decimal(cell(column)?)
                .map_err(|error| format!("{} {error}", COLUMNS.get(column).unwrap_or(&"")))
        };
        let date: NaiveDate = cell(0)?.parse().map_err(|error| format!("Date: {error}"))?;
        let time = date.and_time(NaiveTime::MIN).and_utc();
        let (open, high, low, close, volume) = (number(1)?, number(2)?, number(3)?, number(4)?, number(5)?);
        let class = self.symbol.asset_class();
        let hours = trading_hours(class, date).ok_or_else(|| format!("Date: {date} is out of range"))?;
        let candle = Candle::new(CandleFields {
            symbol: self.symbol,
            interval: Interval::Day,
            time,
            open,
            high,
            low,
            close,
            volume: Some(volume),
            ticks: 0,
            source: CandleSource { feed: self.source, origin: CandleOrigin::Provider },
            is_final: true,
        })
        .map_err(|error| error.to_string())?;
        let third = (hours.close - hours.open) / 3;
        let times =
            [hours.open, hours.open + third, hours.open + third * 2, hours.close - TimeDelta::seconds(1)];
        let prices = if close >= open { [open, low, high, close] } else { [open, high, low, close] };
        let before = decimal_to_f64(self.previous_close.unwrap_or(open));
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
                source: self.source,
                received_at: time,
                seq: time.timestamp_micros().unsigned_abs(),
            };
            items.push(Item::Tick(Tick::new(fields).map_err(|error| error.to_string())?));
        }
        self.previous_close = Some(close);
        items.push(Item::Candle(candle));
        let date_without_session = session(class, date).is_none().then_some(date);
        Ok(Row { items, date_without_session })
    }
}
