//! The prices of the day, and the rows that the night makes of them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use market::{AssetClass, newest_complete_day};
use serde_json::{Value, json};

use crate::SYMBOL;

/// The day of the move in the reference.
const LAST: &str = "2022-05-05";
/// Open, high, low, close of the last two sessions.
const SESSIONS: [[f64; 4]; 2] = [
    [159.669_998, 166.479_996, 159.259_995, 166.020_004],
    [163.850_006, 164.080_002, 154.949_997, 156.770_004],
];
/// Days that are played: 250 closes are what RSI is computed from.
pub const DAYS: usize = 260;
/// Ticks of all recordings: one a day, and four of each session.
pub const TICKS: usize = DAYS + 3 * SESSIONS.len();
/// How far a mean and an RSI may be from those of the reference, which has fewer digits.
const SMA_TOLERANCE: f64 = 1e-6;
const RSI_TOLERANCE: f64 = 1e-4;

/// A row of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    close: f64,
    sma: f64,
    rsi: f64,
}

fn reference() -> Vec<Reference> {
    let text = include_str!("../../../crates/indicators/tests/fixtures/AAPL.csv");
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let until: Vec<_> = rows.take_while(|cells| cells[0] <= LAST).collect();
    let number = |cell: &str| cell.parse().unwrap_or(f64::NAN);
    let row = |cells: &Vec<&str>| Reference {
        close: number(cells[3]),
        sma: number(cells[4]),
        rsi: number(cells[6]),
    };
    until[until.len() - DAYS..].iter().map(row).collect()
}

/// The files to be played.
#[derive(Clone, Debug)]
pub struct Recordings {
    /// The days before the sessions.
    pub before: PathBuf,
    /// The last two sessions; the last one ends with the newest complete day, and has the move.
    pub sessions: PathBuf,
    /// The rows that the night makes of the two sessions.
    pub rows: Vec<Reference>,
}

impl Recordings {
    /// Writes the recordings to a folder. In the last minutes of a day and the first ten of the next, in which a digest of yesterday
    /// would become that of the day before, it waits until they are over.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(folder: &Path) -> anyhow::Result<Self> {
        let last = newest_complete_day(AssetClass::Crypto, Utc::now());
        let complete: DateTime<Utc> =
            (last + Days::new(2)).and_time(NaiveTime::MIN).and_utc() + TimeDelta::minutes(10);
        if Utc::now() >= complete - TimeDelta::minutes(12) {
            std::thread::sleep((complete - Utc::now()).to_std().unwrap_or_default());
        }
        let last = newest_complete_day(AssetClass::Crypto, Utc::now());
        let rows = reference();
        let (mut before, mut sessions) = (Lines::default(), Lines::default());
        for (row, place) in rows.iter().zip(0..) {
            let date = last - Days::new((DAYS - 1 - place) as u64);
            let seq = 10 * place + 1;
            match place.checked_sub(DAYS - SESSIONS.len()) {
                None => before.tick(date, "12:00:00", seq, row.close, [row.close; 3])?,
                Some(session) => {
                    let [open, high, low, close] = SESSIONS[session];
                    sessions.tick(date, "12:00:00", seq, open, [open, open, open])?;
                    sessions.tick(date, "18:00:00", seq + 1, high, [open, high, open])?;
                    // A minute before midnight, so that a digest of the same day has it at any hour.
                    sessions.tick(date, "23:59:00", seq + 2, low, [open, high, low])?;
                    sessions.tick(date, "23:59:30", seq + 3, close, [open, high, low])?;
                }
            }
        }
        Ok(Self {
            before: before.write(folder.join("before.jsonl"))?,
            sessions: sessions.write(folder.join("sessions.jsonl"))?,
            rows: rows[DAYS - SESSIONS.len()..].to_vec(),
        })
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn tick(
        &mut self,
        date: NaiveDate,
        time: &str,
        seq: usize,
        price: f64,
        [open, high, low]: [f64; 3],
    ) -> anyhow::Result<()> {
        let time = date.and_time(time.parse::<NaiveTime>()?).and_utc();
        let tick = json!({
            "symbol": SYMBOL, "timestamp": time, "price": price, "volume": seq, "open": open, "high": high, "low": low,
            "change_percent": (price / open - 1.0) * 100.0, "source": "binance", "received_at": time, "seq": seq,
        });
        self.0.push_str(&tick.to_string());
        self.0.push('\n');
        Ok(())
    }

    fn write(&self, file: PathBuf) -> anyhow::Result<PathBuf> {
        std::fs::write(&file, &self.0).with_context(|| file.display().to_string())?;
        Ok(file)
    }
}

/// What is wrong with the answer of `/v1/aggregates` about the two sessions, the newest row last.
pub fn row_problems(answer: &Value, rows: &[Reference]) -> Vec<String> {
    let Some(found) = answer["aggregates"].as_array().filter(|found| found.len() == rows.len()) else {
        return vec![format!("{} rows are expected: {answer}", rows.len())];
    };
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let mut problems = Vec::new();
    for (row, expected) in found.iter().zip(rows) {
        let near = |name: &str, expected: f64, tolerance: f64| {
            let difference = (number(&row[name]) - expected).abs();
            (difference.is_nan() || difference > tolerance)
                .then(|| format!("{name} of {row} and not {expected}"))
        };
        problems.extend(near("close_price", expected.close, 0.0));
        problems.extend(near("sma_20", expected.sma, SMA_TOLERANCE));
        problems.extend(near("rsi_14", expected.rsi, RSI_TOLERANCE));
    }
    problems
}
