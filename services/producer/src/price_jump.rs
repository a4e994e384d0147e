//! Prices far from the last one wait until a second one confirms them. Pure.
//!
//! Venues send single prices that were never paid, and a wrong one would fire alerts and draw a spike into every candle above it.

use std::collections::HashMap;

use market::{AssetClass, Symbol, Tick, decimal_to_f64};
use rust_decimal::Decimal;

/// The largest step of each asset class, in percent; 0: every price passes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PriceJumpArgs {
    /// A price of a stock that is more than this percentage away from the last one waits for a second one near it; 0: none waits.
    #[arg(long, env = "PRICE_JUMP_STOCKS", default_value_t = 20.0, value_name = "PERCENT", value_parser = percent)]
    pub price_jump_stocks: f64,
    /// The same of a crypto pair.
    #[arg(long, env = "PRICE_JUMP_CRYPTO", default_value_t = 20.0, value_name = "PERCENT", value_parser = percent)]
    pub price_jump_crypto: f64,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=1e6).contains(&percent) { Ok(percent) } else { Err("it is from 0 to 1000000".to_owned()) }
}

/// The last price of each symbol, and what waits.
#[derive(Debug)]
pub(crate) struct PriceJumps {
    limits: PriceJumpArgs,
    symbols: HashMap<Symbol, LastPrice>,
}

#[derive(Debug)]
struct LastPrice {
    price: Decimal,
    /// A tick whose price is far from it.
    waiting: Option<Tick>,
}

/// A tick that is not published, and why.
pub(crate) type RefusedTick = (Tick, String);

/// What becomes of a tick, and of the one that waited before it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Judged {
    /// To be published, in this order.
    pub(crate) accepted: Vec<Tick>,
    /// Not to be published, with the reason.
    pub(crate) refused: Option<RefusedTick>,
}

impl PriceJumps {
    pub(crate) fn new(limits: PriceJumpArgs) -> Self {
        Self { limits, symbols: HashMap::new() }
    }

    /// Judges a tick of any feed.
    pub(crate) fn take_in(&mut self, tick: Tick) -> Judged {
        let limit = match tick.asset_class() {
            AssetClass::Stock => self.limits.price_jump_stocks,
            AssetClass::Crypto => self.limits.price_jump_crypto,
        };
        let first = LastPrice { price: tick.price, waiting: None };
        let last = self.symbols.entry(tick.symbol).or_insert(first);
        let is_near = |price: Decimal| limit == 0.0 || step(price, tick.price).abs() <= limit;
        let mut judged = Judged::default();
        match last.waiting.take() {
            // It confirms the tick that waited.
            Some(waiting) if is_near(waiting.price) => judged.accepted.push(waiting),
            Some(waiting) => {
                let reason = format!(
                    "price {} is {:+.1} % from the last one, {}, and the next one, {}, is not near it",
                    waiting.price,
                    step(last.price, waiting.price),
                    last.price,
                    tick.price
                );
                judged.refused = Some((waiting, reason));
                if !is_near(last.price) {
                    last.waiting = Some(tick);
                    return judged;
                }
            }
            None if is_near(last.price) => {}
            None => {
                last.waiting = Some(tick);
                return judged;
            }
        }
        last.price = tick.price;
        judged.accepted.push(tick);
        judged
    }

    /// What still waits at the end.
    pub(crate) fn drain(&mut self) -> Vec<RefusedTick> {
        let waiting = self.symbols.values_mut().filter_map(|last| {
            let tick = last.waiting.take()?;
            let step = step(last.price, tick.price);
            let reason = format!(
                "price {} is {step:+.1} % from the last one, {}, and no other one came before the end of the producer",
                tick.price, last.price
            );
            Some((tick, reason))
        });
        waiting.collect()
    }
}

/// From one price to another, in percent.
fn step(from: Decimal, to: Decimal) -> f64 {
    (decimal_to_f64(to) / decimal_to_f64(from) - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use market::{Source, TickFields};

    use super::*;

    fn tick(name: &str, price: i64, seq: u64) -> Tick {
        let time = DateTime::UNIX_EPOCH + TimeDelta::seconds(seq.cast_signed());
        let price = Decimal::from(price);
        Tick::new(TickFields {
            symbol: Symbol::parse(name).expect("a symbol"),
            timestamp: time,
            price,
            volume: Decimal::ONE,
            open: price,
            high: price,
            low: price,
            size: None,
            change_percent: 0.0,
            source: Source::parse("yahoo").expect("a source"),
            received_at: time,
            seq,
        })
        .expect("a tick")
    }

    fn jumps(percent: f64) -> PriceJumps {
        PriceJumps::new(PriceJumpArgs { price_jump_stocks: percent, price_jump_crypto: 50.0 })
    }

    /// The numbers of the accepted ticks, and of the refused one, for each price in turn.
    fn judged(jumps: &mut PriceJumps, prices: &[i64]) -> Vec<(Vec<u64>, Option<u64>)> {
        let judge = |(seq, price): (u64, &i64)| {
            let judged = jumps.take_in(tick("AAPL", *price, seq));
            let accepted = judged.accepted.iter().map(|tick| tick.seq).collect();
            (accepted, judged.refused.map(|(tick, _)| tick.seq))
        };
        (1..).zip(prices).map(judge).collect()
    }

    #[test]
    fn a_single_price_far_away_is_refused_with_its_reason() {
        let mut jumps = jumps(20.0);
        assert_eq!(
            judged(&mut jumps, &[100, 110, 1_000, 111]),
            [(vec![1], None), (vec![2], None), (vec![], None), (vec![4], Some(3))]
        );
        jumps.take_in(tick("AAPL", 10, 5));
        let (refused, reason) = jumps.take_in(tick("AAPL", 112, 6)).refused.expect("refused");
        assert_eq!(refused.seq, 5);
        assert_eq!(
            reason,
            "price 10 is -91.0 % from the last one, 111, and the next one, 112, is not near it"
        );
    }

    #[test]
    fn a_second_price_confirms_the_first_and_neither_is_lost() {
        let confirmed = [(vec![1], None), (vec![], None), (vec![2, 3], None), (vec![4], None)];
        assert_eq!(judged(&mut jumps(20.0), &[100, 50, 51, 52]), confirmed, "a split, or news");
        let exactly = [(vec![1], None), (vec![2], None), (vec![3], None)];
        assert_eq!(judged(&mut jumps(20.0), &[100, 120, 96]), exactly, "exactly the limit passes");
    }

    #[test]
    fn prices_that_are_far_from_each_other_wait_one_by_one() {
        assert_eq!(
            judged(&mut jumps(20.0), &[100, 1_000, 10, 1_000, 1_001]),
            [(vec![1], None), (vec![], None), (vec![], Some(2)), (vec![], Some(3)), (vec![4, 5], None)]
        );
    }

    #[test]
    fn symbols_and_classes_have_prices_and_limits_of_their_own() {
        let mut jumps = jumps(20.0);
        for (name, price) in [("AAPL", 100), ("MSFT", 500), ("BTC/USDT", 100), ("BTC/USDT", 140)] {
            assert_eq!(jumps.take_in(tick(name, price, 1)).accepted.len(), 1, "{name}");
        }
        let mut off = PriceJumps::new(PriceJumpArgs { price_jump_stocks: 0.0, price_jump_crypto: 0.0 });
        assert_eq!(
            judged(&mut off, &[1, 1_000_000, 1]).iter().map(|(accepted, _)| accepted.len()).sum::<usize>(),
            3
        );
    }

    #[test]
    fn what_waits_at_the_end_is_returned_once() {
        let mut jumps = jumps(20.0);
        judged(&mut jumps, &[100, 1_000]);
        let [(waiting, reason)] = &jumps.drain()[..] else { panic!("one waits") };
        assert_eq!(waiting.seq, 2);
        assert!(reason.ends_with("no other one came before the end of the producer"), "{reason}");
        assert_eq!(jumps.drain(), []);
    }
}
