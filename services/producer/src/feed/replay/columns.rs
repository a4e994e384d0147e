//! Which column of a CSV file holds what. Names are compared without letter case, spaces and punctuation; other columns are left alone.

/// Names of the column of times, the exact ones first.
const TIME: [&str; 6] = ["opentime", "unix", "timestamp", "datetime", "date", "time"];
const SYMBOL: [&str; 3] = ["symbol", "ticker", "pair"];
/// Ends of names of volumes in a quote currency, where another column has that of the base.
const QUOTE_VOLUMES: [&str; 7] = ["usd", "usdt", "usdc", "busd", "eur", "gbp", "quote"];
const CLOSE: [&str; 3] = ["close", "closelast", "last"];

/// The columns of a table of candles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) time: usize,
    pub(super) open: usize,
    pub(super) high: usize,
    pub(super) low: usize,
    pub(super) close: usize,
    pub(super) volume: usize,
    /// Of the time of day, where it stands apart from the date.
    pub(super) time_of_day: Option<usize>,
    /// Of the symbol, where rows name theirs.
    pub(super) symbol: Option<usize>,
    /// Of a name, which may be a symbol.
    pub(super) name: Option<usize>,
    /// Cells of a row.
    pub(super) cells: usize,
    /// Of the number of trades.
    pub(super) count: Option<usize>,
}

/// What a line is, as a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Of candles.
    Candles(Columns),
    /// Of candles, of which these are missing.
    IncompleteCandles(Vec<&'static str>),
    /// Of candles of several symbols side by side.
    Repeated,
    /// Of ticks, in the names of their wire format; other columns are `None`.
    Ticks(Vec<Option<String>>),
    /// No header.
    None,
}

impl Header {
    /// Looks for the columns.
    pub(super) fn of(cells: &[String]) -> Self {
        let names: Vec<String> = cells.iter().map(|cell| normalised(cell)).collect();
        let place =
            |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|cell| cell == name));
        let has = |name| place(&[name]).is_some();
        if has("symbol") && has("price") && has("seq") {
            let wire_name =
                |cell: &String| Some(cell.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
            return Self::Ticks(cells.iter().map(wire_name).collect());
        }
        // An index column has no name.
        let time = place(&TIME).or_else(|| names.first().filter(|name| name.is_empty()).map(|_| 0));
        let volumes = || names.iter().enumerate().filter(|(_, name)| name.starts_with("volume"));
        let is_of_base = |name: &str| !QUOTE_VOLUMES.iter().any(|quote| name.ends_with(quote));
        let of_base = || volumes().find(|(_, name)| is_of_base(name)).or_else(|| volumes().next());
        let volume = place(&["volume", "vol"]).or_else(|| of_base().map(|(place, _)| place));
        let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
        if count("open") > 1 || count("close") > 1 {
            return Self::Repeated;
        }
        let found = [
            ("Date", time),
            ("Open", place(&["open"])),
            ("High", place(&["high"])),
            ("Low", place(&["low"])),
            ("Close", place(&CLOSE)),
            ("Volume", volume),
        ];
        match found {
            [
                (_, Some(time)),
                (_, Some(open)),
                (_, Some(high)),
                (_, Some(low)),
                (_, Some(close)),
                (_, Some(volume)),
            ] => {
                let time_of_day =
                    place(&["date"]).filter(|date| *date == time).and_then(|_| place(&["time"]));
                let (symbol, name) = (place(&SYMBOL), place(&["name"]));
                let (count, cells) = (place(&["count", "tradecount"]), cells.len());
                let columns =
                    Columns { time, open, high, low, close, volume, time_of_day, symbol, name, cells, count };
                Self::Candles(columns)
            }
            _ => {
                let missing: Vec<_> =
                    found.iter().filter(|(_, place)| place.is_none()).map(|(name, _)| *name).collect();
                // A line with most of the names is meant as a header.
                if missing.len() <= 3 { Self::IncompleteCandles(missing) } else { Self::None }
            }
        }
    }

    /// The header that yfinance's `download` writes: `Price,Close,High,Low,Open,Volume`, then a line of tickers, then one with `Date`.
    pub(super) fn of_download(cells: &[String]) -> Option<Columns> {
        let mut cells = cells.to_vec();
        let first = cells.first_mut().filter(|name| normalised(name) == "price")?;
        "Date".clone_into(first);
        match Self::of(&cells) {
            Self::Candles(columns) => Some(columns),
            _ => None,
        }
    }
}

fn normalised(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn header(line: &str) -> Header {
        Header::of(&line.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[rstest]
    #[case("Date,Open,High,Low,Close,Adj Close,Volume", [0, 1, 2, 3, 4, 6])]
    #[case("date,open,high,low,close,volume,Name", [0, 1, 2, 3, 4, 5])]
    #[case("Date,Close/Last,Volume,Open,High,Low", [0, 3, 4, 5, 1, 2])]
    #[case(",Open,High,Low,Close,Volume", [0, 1, 2, 3, 4, 5])]
    #[case("unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT", [0, 3, 4, 5, 6, 7])]
    #[case("open_time,open,high,low,close,volume,close_time,count", [0, 1, 2, 3, 4, 5])]
    fn candles_are_found_by_their_columns(#[case] line: &str, #[case] expected: [usize; 6]) {
        let Header::Candles(Columns { time, open, high, low, close, volume, .. }) = header(line) else {
            panic!("{line}")
        };
        assert_eq!([time, open, high, low, close, volume], expected);
    }

    #[test]
    fn ticks_incomplete_candles_and_other_lines_are_told_apart() {
        let ticks =
            ["", "symbol", "price", "seq"].map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
        assert_eq!(header(",Symbol,PRICE,seq"), Header::Ticks(ticks.to_vec()));
        assert_eq!(header("Date,Open,High,Low,Close"), Header::IncompleteCandles(vec!["Volume"]));
        assert_eq!(header("https://www.example.org"), Header::None);
        assert_eq!(header("2025-01-01,1,2,3"), Header::None);
    }
}
