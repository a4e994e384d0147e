//! The table `weekly_aggregates`.

use chrono::NaiveDate;
use market::Symbol;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::cell::{BadRow, CellReader, Cells, Kind, Row, Table};

/// A symbol's ISO week, of its daily aggregates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeeklyAggregate {
    /// Monday.
    pub week_start: NaiveDate,
    /// Sunday.
    pub week_end: NaiveDate,
    /// What was traded.
    pub symbol: Symbol,
    /// First open.
    #[serde(serialize_with = "super::number")]
    pub open_price: Decimal,
    /// Last close.
    #[serde(serialize_with = "super::number")]
    pub close_price: Decimal,
    /// Highest price.
    #[serde(serialize_with = "super::number")]
    pub high_price: Decimal,
    /// Lowest price.
    #[serde(serialize_with = "super::number")]
    pub low_price: Decimal,
    /// Mean of the daily means.
    #[serde(serialize_with = "super::number")]
    pub avg_price: Decimal,
    /// Sum of the days; `None` where one is unknown.
    #[serde(serialize_with = "super::optional_number")]
    pub total_volume: Option<Decimal>,
    /// Sample standard deviation of the closes, in their unit.
    pub volatility: Option<f64>,
    /// Last close against first open, in percent.
    pub weekly_change_pct: f64,
    /// The day of the greatest daily change.
    pub best_day: NaiveDate,
    /// The day of the smallest daily change.
    pub worst_day: NaiveDate,
    /// Days with an aggregate, 1 to 7.
    pub days: u64,
}

impl Row for WeeklyAggregate {
    const TABLE: Table = Table {
        name: "weekly_aggregates",
        columns: &[
            ("week_start", Kind::Date),
            ("week_end", Kind::Date),
            ("symbol", Kind::Text),
            ("open_price", Kind::Decimal),
            ("close_price", Kind::Decimal),
            ("high_price", Kind::Decimal),
            ("low_price", Kind::Decimal),
            ("avg_price", Kind::Decimal),
            ("total_volume", Kind::Decimal),
            ("volatility", Kind::Double),
            ("weekly_change_pct", Kind::Double),
            ("best_day", Kind::Date),
            ("worst_day", Kind::Date),
            ("days", Kind::Count),
        ],
        key: &["symbol", "week_start"],
        order: &["week_start", "symbol"],
        ignored: None,
    };

    fn cells(&self) -> Cells {
        Cells::default()
            .date(self.week_start)
            .date(self.week_end)
            .text(self.symbol)
            .decimal(self.open_price)
            .decimal(self.close_price)
            .decimal(self.high_price)
            .decimal(self.low_price)
            .decimal(self.avg_price)
            .decimal(self.total_volume)
            .double(self.volatility)
            .double(self.weekly_change_pct)
            .date(self.best_day)
            .date(self.worst_day)
            .count(self.days)
    }

    fn read(cells: &mut CellReader) -> Result<Self, BadRow> {
        Ok(Self {
            week_start: cells.date()?,
            week_end: cells.date()?,
            symbol: cells.symbol()?,
            open_price: cells.decimal()?,
            close_price: cells.decimal()?,
            high_price: cells.decimal()?,
            low_price: cells.decimal()?,
            avg_price: cells.decimal()?,
            total_volume: cells.optional_decimal()?,
            volatility: cells.optional_double()?,
            weekly_change_pct: cells.double()?,
            best_day: cells.date()?,
            worst_day: cells.date()?,
            days: cells.count()?,
        })
    }
}
