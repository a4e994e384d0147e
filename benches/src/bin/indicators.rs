//! SMA 20 and RSI 14 over a slice, in values a second, for `benches/indicators.sh`, which sets them beside TA-Lib.
//!
//! Each line has the name, the length of the slice, the rate (the fastest round), and the last value for comparison.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use anyhow::Context;
use benches::rate;
use clap::Parser;
use indicators::{rsi, sma};

#[derive(Parser)]
struct Args {
    /// Rounds of each measurement; the fastest counts.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Values of one round, spread over slices of each length.
    #[arg(long, default_value_t = 1_000_000)]
    values: usize,
}

fn main() -> anyhow::Result<()> {
    let Args { rounds, values } = Args::parse();
    let period = |number: usize| NonZeroUsize::new(number).context("a period");
    let (sma_period, rsi_period) = (period(20)?, period(14)?);
    for length in [250, values] {
        let closes = closes(length);
        measure("sma_20", &closes, rounds, values / length, |closes| sma(closes, sma_period));
        measure("rsi_14", &closes, rounds, values / length, |closes| rsi(closes, rsi_period));
    }
    Ok(())
}

fn measure(
    name: &str,
    closes: &[f64],
    rounds: usize,
    slices: usize,
    figure: impl Fn(&[f64]) -> Vec<Option<f64>>,
) {
    let mut fastest = Duration::MAX;
    let mut last = None;
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..slices {
            last = black_box(figure(black_box(closes))).last().copied().flatten();
        }
        fastest = fastest.min(begun.elapsed());
    }
    let rate = rate((slices * closes.len()) as u64, fastest);
    println!("{name} {} {rate:.0} {:.12}", closes.len(), last.unwrap_or(f64::NAN));
}

/// Prices from 90 to 110, from a linear congruential generator; `peers/indicators.py` makes the same.
fn closes(length: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        90.0 + ((state >> 40) % 2_001) as f64 / 100.0
    };
    std::iter::repeat_with(next).take(length).collect()
}
