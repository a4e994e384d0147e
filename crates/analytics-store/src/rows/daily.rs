//! The table `daily_aggregates`.

use chrono::{DateTime, NaiveDate, Utc};
use market::Symbol;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::cell::{BadRow, CellReader, Cells, Kind, Row, Table};

/// A symbol's trading day. Prices in the quote currency, with at most 8 decimal places.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DailyAggregate {
    /// The trading day: New York's for stocks, UTC's for crypto.
    pub date: NaiveDate,
    /// What was traded.
    pub symbol: Symbol,
    /// First price.
    #[serde(serialize_with = "super::number")]
    pub open_price: Decimal,
    /// Last price.
    #[serde(serialize_with = "super::number")]
    pub close_price: Decimal,
    /// Highest price.
    #[serde(serialize_with = "super::number")]
    pub high_price: Decimal,
    /// Lowest price.
    #[serde(serialize_with = "super::number")]
    pub low_price: Decimal,
    /// Mean of the prices of the ticks; of a provider's candle, (high + low + close) / 3.
    #[serde(serialize_with = "super::number")]
    pub avg_price: Decimal,
    /// Mean price by size; `None` where a trade has no size.
    #[serde(serialize_with = "super::optional_number")]
    pub vwap: Option<Decimal>,
    /// The last cumulative volume of the day, in shares or base currency.
    #[serde(serialize_with = "super::optional_number")]
    pub total_volume: Option<Decimal>,
    /// Mean volume of the one-minute candles whose volume is known; `None` for fewer than 30.
    #[serde(serialize_with = "super::optional_number")]
    pub avg_volume: Option<Decimal>,
    /// Sample standard deviation of the prices, in their unit.
    pub volatility: Option<f64>,
    /// Sample standard deviation of log returns between adjacent minutes; `None` for fewer than 30.
    pub intraday_volatility: Option<f64>,
    /// Close against open, in percent.
    pub daily_change_pct: f64,
    /// Mean of the last 20 closes.
    pub sma_20: Option<f64>,
    /// Wilder's index over at most 250 closes, 0 to 100.
    pub rsi_14: Option<f64>,
    /// How many ticks; 0 for a provider's daily candle.
    pub ticks: u64,
    /// The feed of the last tick; `feed/1d` for its daily candle.
    pub source: String,
    /// When a column changed last.
    pub computed_at: DateTime<Utc>,
}

impl Row for DailyAggregate {
    const TABLE: Table = Table {
        name: "daily_aggregates",
        columns: &[
            ("date", Kind::Date),
            ("symbol", Kind::Text),
            ("open_price", Kind::Decimal),
            ("close_price", Kind::Decimal),
            ("high_price", Kind::Decimal),
            ("low_price", Kind::Decimal),
            ("avg_price", Kind::Decimal),
            ("vwap", Kind::Decimal),
            ("total_volume", Kind::Decimal),
            ("avg_volume", Kind::Decimal),
            ("volatility", Kind::Double),
            ("intraday_volatility", Kind::Double),
            ("daily_change_pct", Kind::Double),
            ("sma_20", Kind::Double),
            ("rsi_14", Kind::Double),
            ("ticks", Kind::Count),
            ("source", Kind::Text),
            ("computed_at", Kind::Time),
        ],
        key: &["symbol", "date"],
        order: &["date", "symbol"],
        ignored: Some("computed_at"),
    };

    fn cells(&self) -> Cells {
        Cells::default()
            .date(self.date)
            .text(self.symbol)
            .decimal(self.open_price)
            .decimal(self.close_price)
            .decimal(self.high_price)
            .decimal(self.low_price)
            .decimal(self.avg_price)
            .decimal(self.vwap)
            .decimal(self.total_volume)
            .decimal(self.avg_volume)
            .double(self.volatility)
            .double(self.intraday_volatility)
            .double(self.daily_change_pct)
            .double(self.sma_20)
            .double(self.rsi_14)
            .count(self.ticks)
            .text(&self.source)
            .time(self.computed_at)
    }

    fn read(cells: &mut CellReader) -> Result<Self, BadRow> {
        Ok(Self {
            date: cells.date()?,
            symbol: cells.symbol()?,
            open_price: cells.decimal()?,
            close_price: cells.decimal()?,
            high_price: cells.decimal()?,
            low_price: cells.decimal()?,
            avg_price: cells.decimal()?,
            vwap: cells.optional_decimal()?,
            total_volume: cells.optional_decimal()?,
            avg_volume: cells.optional_decimal()?,
            volatility: cells.optional_double()?,
            intraday_volatility: cells.optional_double()?,
            daily_change_pct: cells.double()?,
            sma_20: cells.optional_double()?,
            rsi_14: cells.optional_double()?,
            ticks: cells.count()?,
            source: cells.text()?,
            computed_at: cells.time()?,
        })
    }
}
