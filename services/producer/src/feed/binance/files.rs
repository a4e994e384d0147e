//! Binance's data files (`data.binance.vision`): candles and trades as CSV, named `BTCUSDT-1m-2025-01.csv`, `BTCUSDT-trades-2025-01-01.csv`,
//! `BTCUSDT-aggTrades-2025-01.csv`; with a header for futures, without for spot. Pure.
//!
//! Columns as in the README of the repository `binance/binance-public-data`.

use chrono::{DateTime, Utc};
use market::{Interval, Source, Symbol, Tick};

use super::parse::{FrameReader, Names, QUOTES, TradeText};
use crate::feed::{epoch::from_epoch, fields::ParseError};

/// Columns of a candle.
pub(crate) const CANDLE_HEADER: [&str; 12] = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
];

/// What a data file has, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Candles(Interval),
    /// Candles of a width that is not kept.
    OtherCandles,
    Trades,
    AggregateTrades,
}

/// Reads the name of a data file, without its ending. `None` for another file.
pub(crate) fn of_name(stem: &str) -> Option<(Symbol, Contents)> {
    let mut parts = stem.split('-');
    // Behind them is the date. Futures with an end (BTCUSD_PERP) are no pairs.
    let (pair, kind, _) = (parts.next().filter(|pair| !pair.contains('_'))?, parts.next()?, parts.next()?);
    let symbol = Symbol::parse_pair(pair, &QUOTES).ok()?;
    let contents = match kind {
        "trades" => Contents::Trades,
        "aggTrades" => Contents::AggregateTrades,
        width => match width.parse() {
            Ok(interval) => Contents::Candles(interval),
            Err(_) if is_width(width) => Contents::OtherCandles,
            Err(_) => return None,
        },
    };
    Some((symbol, contents))
}

/// `3m`, `12h`, `1mo`.
fn is_width(text: &str) -> bool {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit());
    unit.len() < text.len() && ["s", "m", "h", "d", "w", "mo"].contains(&unit)
}

/// Trades of one pair.
pub(crate) struct TradeRows {
    symbol: Symbol,
    /// Columns of id, price, size and time.
    columns: [usize; 4],
    reader: FrameReader,
}

impl TradeRows {
    pub(crate) fn new(symbol: Symbol, contents: Contents, source: Source) -> Self {
        // An aggregate has the id of its last trade, as in the stream.
        let columns = if contents == Contents::AggregateTrades { [4, 1, 2, 5] } else { [0, 1, 2, 4] };
        Self { symbol, columns, reader: FrameReader::new(source, Names::Recorded) }
    }

    /// The trade of a row; `None` for a header.
    pub(crate) fn row(&mut self, cells: &[String]) -> Result<Option<Tick>, ParseError> {
        const NAMES: [&str; 4] = ["id", "price", "qty", "time"];
        let mut found = [""; 4];
        for ((cell, column), name) in found.iter_mut().zip(self.columns).zip(NAMES) {
            *cell = cells.get(column).ok_or(ParseError::Missing(name))?;
        }
        let [id, price, size, time] = found;
        if NAMES[1] == price {
            return Ok(None);
        }
        let id = id.parse().map_err(|_| ParseError::WrongType("id"))?;
        let time: i64 = time.parse().map_err(|_| ParseError::WrongType("time"))?;
        let received_at: DateTime<Utc> = from_epoch(time).ok_or(ParseError::Time("time"))?;
        self.reader.trade(self.symbol, TradeText { id, price, size, time, received_at }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("BTCUSDT-1m-2025-01", Some(("BTC/USDT", Contents::Candles(Interval::Minute))))]
    #[case("BNBUSD-1d-2024-12-31", Some(("BNB/USD", Contents::Candles(Interval::Day))))]
    #[case("ETHBTC-3m-2025-01", Some(("ETH/BTC", Contents::OtherCandles)))]
    #[case("TUSDT-trades-2025-01-01", Some(("T/USDT", Contents::Trades)))]
    #[case("BTCUSDT-aggTrades-2025-01", Some(("BTC/USDT", Contents::AggregateTrades)))]
    #[case("BTC-USDT", None)]
    #[case("BRK-B", None)]
    #[case("BTCUSDT", None)]
    #[case("CBRL-1d", None)]
    #[case("BTCUSD_PERP-1h-2025-01", None)]
    #[case("AAPL-1m-2025-01", None)]
    #[case("BTCUSDT-notes-2025-01", None)]
    fn a_name_has_pair_and_contents(#[case] stem: &str, #[case] expected: Option<(&str, Contents)>) {
        let found = of_name(stem);
        assert_eq!(found.as_ref().map(|(symbol, contents)| (symbol.as_str(), *contents)), expected);
    }

    #[test]
    fn trades_and_aggregates_are_ticks() {
        let source = Source::parse("binance").unwrap();
        let cells = |row: &str| row.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (symbol, contents) = of_name("BTCUSDT-trades-2025-01-01").unwrap();
        let mut rows = TradeRows::new(symbol, contents, source);
        assert_eq!(rows.row(&cells("id,price,qty,quote_qty,time,is_buyer_maker")).unwrap(), None);
        let row = "3511111111,93548.76000000,0.00120000,112.258512,1735689600123456,True,True";
        let tick = rows.row(&cells(row)).unwrap().unwrap();
        assert_eq!(tick.timestamp, "2025-01-01T00:00:00.123456Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!((tick.price.to_string(), tick.seq), ("93548.76".to_owned(), 3_511_111_111));
        assert_eq!(rows.row(&cells("1,2")).unwrap_err().to_string(), "qty is missing");

        let mut rows = TradeRows::new(symbol, Contents::AggregateTrades, source);
        let tick =
            rows.row(&cells("26129,0.01633102,4.70443515,27781,27783,1498793709153,true,true")).unwrap();
        assert_eq!(tick.unwrap().seq, 27_783);
    }
}
