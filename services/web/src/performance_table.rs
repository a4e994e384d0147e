//! The columns of the performance table and its order, for the page and for the CSV file. Pure. `ui/src/sort-table.ts` sorts in the
//! same way in the browser.

use std::{cmp::Ordering, fmt, str::FromStr};

use analytics_store::Performance;
use chrono::Datelike;

use crate::format;

/// A column, by its name in the analytics store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Symbol,
    Date,
    Return1d,
    Return7d,
    Return30d,
    Return90d,
    YtdReturn,
    Volatility30d,
    MaxDrawdown90d,
    Sharpe30d,
    Beta90d,
    Rank30d,
}

impl Column {
    pub(crate) const ALL: [Self; 12] = [
        Self::Symbol,
        Self::Date,
        Self::Return1d,
        Self::Return7d,
        Self::Return30d,
        Self::Return90d,
        Self::YtdReturn,
        Self::Volatility30d,
        Self::MaxDrawdown90d,
        Self::Sharpe30d,
        Self::Beta90d,
        Self::Rank30d,
    ];

    /// Its name, heading and definition.
    fn texts(self) -> [&'static str; 3] {
        match self {
            Self::Symbol => ["symbol", "Symbol", "What was traded. Its page has the chart."],
            Self::Date => {
                ["date", "Day", "The newest trading day with a row: New York for stocks, UTC for crypto."]
            }
            Self::Return1d => ["return_1d", "1 day", "Close against the close before, in percent."],
            Self::Return7d => {
                ["return_7d", "7 days", "Against the last close at least 7 calendar days before, in percent."]
            }
            Self::Return30d => [
                "return_30d",
                "30 days",
                "Against the last close at least 30 calendar days before, in percent.",
            ],
            Self::Return90d => [
                "return_90d",
                "90 days",
                "Against the last close at least 90 calendar days before, in percent.",
            ],
            Self::YtdReturn => ["ytd_return", "Year", "Since the last close of the year before, in percent."],
            Self::Volatility30d => [
                "volatility_30d",
                "Volatility",
                "Annualised standard deviation of the last 30 daily log returns, in percent.",
            ],
            Self::MaxDrawdown90d => [
                "max_drawdown_90d",
                "Drawdown",
                "Greatest fall from a high of the closes within 90 calendar days, in percent.",
            ],
            Self::Sharpe30d => [
                "sharpe_30d",
                "Sharpe",
                "Mean over standard deviation of the last 30 daily returns, annualised, without a risk-free rate.",
            ],
            Self::Beta90d => [
                "beta_90d",
                "Beta",
                "Of the daily returns of 90 days against the mean return of the other symbols of its class.",
            ],
            Self::Rank30d => ["rank_30d", "Rank", "1 for the greatest return of 30 days on that day."],
        }
    }

    /// Its name in the analytics store, and as a parameter.
    pub(crate) fn name(self) -> &'static str {
        self.texts()[0]
    }

    pub(crate) fn heading(self) -> &'static str {
        self.texts()[1]
    }

    pub(crate) fn definition(self) -> &'static str {
        self.texts()[2]
    }

    /// Whether the greatest is the first one at first.
    pub(crate) fn is_descending_at_first(self) -> bool {
        !matches!(self, Self::Symbol | Self::Rank30d)
    }

    /// The value to sort by; a symbol has none.
    pub(crate) fn value(self, row: &Performance) -> Option<f64> {
        match self {
            Self::Symbol => None,
            Self::Date => Some(f64::from(row.date.num_days_from_ce())),
            Self::Return1d => row.return_1d,
            Self::Return7d => row.return_7d,
            Self::Return30d => row.return_30d,
            Self::Return90d => row.return_90d,
            Self::YtdReturn => row.ytd_return,
            Self::Volatility30d => row.volatility_30d,
            Self::MaxDrawdown90d => row.max_drawdown_90d,
            Self::Sharpe30d => row.sharpe_30d,
            Self::Beta90d => row.beta_90d,
            Self::Rank30d => row.rank_30d.map(|rank| rank as f64),
        }
    }

    /// Whether it is a change, which is shown in the colour of its direction.
    pub(crate) fn is_change(self) -> bool {
        matches!(self, Self::Return1d | Self::Return7d | Self::Return30d | Self::Return90d | Self::YtdReturn)
    }

    /// The value for people.
    pub(crate) fn text(self, row: &Performance) -> String {
        let number = |value| match self {
            Self::Volatility30d | Self::MaxDrawdown90d => format!("{} %", format::grouped(value, 2)),
            Self::Sharpe30d | Self::Beta90d => format::grouped(value, 2),
            Self::Rank30d => format::grouped(value, 0),
            _ => format::percent(value),
        };
        match self {
            Self::Symbol => row.symbol.to_string(),
            Self::Date => row.date.to_string(),
            _ => self.value(row).map_or_else(|| format::UNKNOWN.to_owned(), number),
        }
    }
}

/// The order of the rows; as a text the name of its column, after a hyphen where it is descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) column: Column,
    pub(crate) is_descending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { column: Column::Symbol, is_descending: false }
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
        match Column::ALL.into_iter().find(|column| column.name() == name) {
            Some(column) => Ok(Self { column, is_descending }),
            None => Err(format!("`{name}` is no column; use {}", Column::ALL.map(Column::name).join(", "))),
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_descending { "-" } else { "" }, self.column.name())
    }
}

impl Sort {
    /// The order after the heading of a column was chosen.
    pub(crate) fn choose(self, column: Column) -> Self {
        let is_descending =
            if column == self.column { !self.is_descending } else { column.is_descending_at_first() };
        Self { column, is_descending }
    }

    /// Orders rows: what is unknown comes last in both directions, equal values are in the order of their symbols.
    pub(crate) fn apply(self, rows: &mut [Performance]) {
        let directed = |order: Ordering| if self.is_descending { order.reverse() } else { order };
        rows.sort_by(|a, b| {
            let by_symbol = a.symbol.as_str().cmp(b.symbol.as_str());
            match (self.column.value(a), self.column.value(b)) {
                _ if self.column == Column::Symbol => directed(by_symbol),
                (Some(a), Some(b)) => directed(a.total_cmp(&b)).then(by_symbol),
                (a, b) => b.is_some().cmp(&a.is_some()).then(by_symbol),
            }
        });
    }
}

/// The rows as CSV under the names of the columns; what is unknown is empty. No value needs quotes.
pub(crate) fn csv(rows: &[Performance]) -> String {
    let cell = |row: &Performance, column: Column| match column {
        Column::Symbol | Column::Date => column.text(row),
        _ => column.value(row).map_or_else(String::new, |value| value.to_string()),
    };
    let header = Column::ALL.map(|column| column.name().to_owned());
    let lines = rows.iter().map(|row| Column::ALL.map(|column| cell(row, column)));
    std::iter::once(header).chain(lines).map(|cells| cells.join(",") + "\r\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use market::Symbol;

    fn row(name: &str, return_1d: Option<f64>) -> Performance {
        Performance {
            date: NaiveDate::from_ymd_opt(2026, 1, 13).expect("a date"),
            symbol: Symbol::parse(name).expect("a symbol"),
            return_1d,
            return_7d: None,
            return_30d: None,
            return_90d: None,
            ytd_return: None,
            volatility_30d: Some(18.25),
            max_drawdown_90d: Some(-0.0),
            sharpe_30d: None,
            beta_90d: Some(-1.5),
            rank_30d: None,
        }
    }

    #[test]
    fn unknown_values_come_last_in_both_directions_and_equal_ones_by_symbol() {
        let mut rows = vec![
            row("NVDA", Some(1.0)),
            row("BTC/USDT", None),
            row("MSFT", Some(-2.0)),
            row("AAPL", Some(1.0)),
        ];
        let mut sorted = |sort: &str| -> Vec<String> {
            sort.parse::<Sort>().expect("a sort").apply(&mut rows);
            rows.iter().map(|row| row.symbol.to_string()).collect()
        };
        assert_eq!(sorted("return_1d"), ["MSFT", "AAPL", "NVDA", "BTC/USDT"]);
        assert_eq!(sorted("-return_1d"), ["AAPL", "NVDA", "MSFT", "BTC/USDT"]);
        assert_eq!(sorted("-symbol"), ["NVDA", "MSFT", "BTC/USDT", "AAPL"]);
        assert_eq!(sorted("sharpe_30d"), ["AAPL", "BTC/USDT", "MSFT", "NVDA"]);
    }

    #[test]
    fn a_heading_that_is_chosen_again_turns_the_order() {
        let first = Sort::default().choose(Column::Return1d);
        assert_eq!(first.to_string(), "-return_1d");
        assert_eq!(first.choose(Column::Return1d).to_string(), "return_1d");
        assert_eq!(first.choose(Column::Rank30d).to_string(), "rank_30d");
        assert_eq!(
            "-nothing".parse::<Sort>().map_err(|error| error.starts_with("`nothing` is no column")),
            Err(true)
        );
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        let row = row("AAPL", Some(1.254));
        let texts = [
            Column::Return1d,
            Column::Return7d,
            Column::Volatility30d,
            Column::MaxDrawdown90d,
            Column::Beta90d,
        ]
        .map(|column| column.text(&row));
        assert_eq!(texts, ["+1.25 %", "\u{2013}", "18.25 %", "0.00 %", "\u{2212}1.50"]);
        let lines: Vec<String> = csv(&[row]).split("\r\n").map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "symbol,date,return_1d,return_7d,return_30d,return_90d,ytd_return,volatility_30d,max_drawdown_90d,\
                 sharpe_30d,beta_90d,rank_30d",
                "AAPL,2026-01-13,1.254,,,,,18.25,-0,,-1.5,",
                "",
            ]
        );
    }
}
