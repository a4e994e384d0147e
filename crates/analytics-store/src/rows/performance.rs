//! The table `stock_performance`.

use chrono::NaiveDate;
use market::Symbol;
use serde::Serialize;

use crate::cell::{BadRow, CellReader, Cells, Kind, Row, Table};

/// A symbol's standing on a date. Returns, volatility and drawdown in percent; `None` for want of history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Performance {
    /// The trading day.
    pub date: NaiveDate,
    /// What was traded.
    pub symbol: Symbol,
    /// Close against the close before.
    pub return_1d: Option<f64>,
    /// Against the last close at least 7 calendar days before.
    pub return_7d: Option<f64>,
    /// Against the last close at least 30 calendar days before.
    pub return_30d: Option<f64>,
    /// Against the last close at least 90 calendar days before.
    pub return_90d: Option<f64>,
    /// Against the last close of the year before.
    pub ytd_return: Option<f64>,
    /// Annualised sample standard deviation of the last 30 daily log returns.
    pub volatility_30d: Option<f64>,
    /// The greatest fall from a high of the closes within 90 calendar days; 0 or less.
    pub max_drawdown_90d: Option<f64>,
    /// Mean over deviation of the last 30 daily returns, annualised; no risk-free rate.
    pub sharpe_30d: Option<f64>,
    /// Against the mean return of the other symbols of its class.
    pub beta_90d: Option<f64>,
    /// 1 for the greatest `return_30d` of the date.
    pub rank_30d: Option<u64>,
}

impl Row for Performance {
    const TABLE: Table = Table {
        name: "stock_performance",
        columns: &[
            ("date", Kind::Date),
            ("symbol", Kind::Text),
            ("return_1d", Kind::Double),
            ("return_7d", Kind::Double),
            ("return_30d", Kind::Double),
            ("return_90d", Kind::Double),
            ("ytd_return", Kind::Double),
            ("volatility_30d", Kind::Double),
            ("max_drawdown_90d", Kind::Double),
            ("sharpe_30d", Kind::Double),
            ("beta_90d", Kind::Double),
            ("rank_30d", Kind::Count),
        ],
        key: &["symbol", "date"],
        order: &["date", "symbol"],
        ignored: None,
    };

    fn cells(&self) -> Cells {
        Cells::default()
            .date(self.date)
            .text(self.symbol)
            .double(self.return_1d)
            .double(self.return_7d)
            .double(self.return_30d)
            .double(self.return_90d)
            .double(self.ytd_return)
            .double(self.volatility_30d)
            .double(self.max_drawdown_90d)
            .double(self.sharpe_30d)
            .double(self.beta_90d)
            .optional_count(self.rank_30d)
    }

    fn read(cells: &mut CellReader) -> Result<Self, BadRow> {
        Ok(Self {
            date: cells.date()?,
            symbol: cells.symbol()?,
            return_1d: cells.optional_double()?,
            return_7d: cells.optional_double()?,
            return_30d: cells.optional_double()?,
            return_90d: cells.optional_double()?,
            ytd_return: cells.optional_double()?,
            volatility_30d: cells.optional_double()?,
            max_drawdown_90d: cells.optional_double()?,
            sharpe_30d: cells.optional_double()?,
            beta_90d: cells.optional_double()?,
            rank_30d: cells.optional_count()?,
        })
    }
}
