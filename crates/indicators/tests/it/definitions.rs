//! Every rolling calculation against its definition.

use std::num::NonZeroUsize;

use indicators::{Deviation, deviation, rolling_deviation, rsi, sma};
use proptest::prelude::*;

/// Prices of very different sizes in one series.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![8 => 90.0..110.0, 1 => 1e-6..1e-3, 1 => 1e6..1e9];
    prop::collection::vec(value, 0..400)
}

fn is_close(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() <= 1e-9 * expected.abs().max(1e-9))
}

proptest! {
    #[test]
    fn moving_averages_and_deviations_are_those_of_the_last_values(values in values(), period in 1_usize..60) {
        let count = NonZeroUsize::new(period).unwrap();
        let means = sma(&values, count);
        let spreads = rolling_deviation(&values, count, Deviation::Population);
        let samples = rolling_deviation(&values, count, Deviation::Sample);
        for place in 0..values.len() {
            let Some(start) = (place + 1).checked_sub(period) else {
                prop_assert_eq!((means[place], spreads[place], samples[place]), (None, None, None));
                continue;
            };
            let last = &values[start..=place];
            let mean = last.iter().sum::<f64>() / period as f64;
            prop_assert!(is_close(means[place], mean), "{:?} and not {mean}", means[place]);
            let spread = deviation(last, Deviation::Population).unwrap();
            // Of nearly equal values, the deviation is known to the rounding of the values.
            let rounding = mean.abs() * 1e-9;
            prop_assert!((spreads[place].unwrap() - spread).abs() <= 1e-9 * spread + rounding);
            prop_assert_eq!(samples[place].is_some(), period > 1);
        }
    }

    #[test]
    fn the_index_is_between_0_and_100_and_50_for_equal_closes(values in values(), close in 1e-6..1e9, period in 1_usize..30) {
        let count = NonZeroUsize::new(period).unwrap();
        for (place, index) in rsi(&values, count).into_iter().enumerate() {
            prop_assert_eq!(index.is_some(), place >= period);
            prop_assert!(index.is_none_or(|index| (0.0..=100.0).contains(&index)));
        }
        let flat = rsi(&vec![close; period + 1], count);
        prop_assert_eq!(flat.last().copied().flatten(), Some(50.0));
    }
}
