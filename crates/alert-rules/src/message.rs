//! What happened, in one sentence.

use market::Tick;

use crate::RuleKind;

/// `volume` is that of the candle, and its mean.
pub(crate) fn of(kind: RuleKind, tick: &Tick, measure: f64, volume: Option<(f64, f64)>) -> String {
    let mark = if tick.source.is_simulated() { "SIMULATED: " } else { "" };
    let (symbol, price) = (tick.symbol, tick.price);
    let text = match kind {
        RuleKind::ChangeFromOpen { percent } => {
            let side = if measure < 0.0 { "below" } else { "above" };
            let change = measure.abs();
            format!(
                "{symbol} is {change:.2} % {side} its open: {price} against {open} (threshold {percent} %)",
                open = tick.open
            )
        }
        RuleKind::VolumeSpike { multiplier } => {
            let (volume, mean) = volume.unwrap_or_default();
            format!(
                "{symbol} traded {volume} in five minutes, {measure:.1} times the usual {mean} (threshold {multiplier} times)",
                volume = rounded(volume),
                mean = rounded(mean)
            )
        }
        RuleKind::Above { price: level } => format!("{symbol} is at {price}, at or above {level}"),
        RuleKind::Below { price: level } => format!("{symbol} is at {price}, at or below {level}"),
    };
    format!("{mark}{text}")
}

/// Whole numbers from 100 on, otherwise four significant digits.
fn rounded(number: f64) -> String {
    if number >= 100.0 || number == 0.0 {
        return format!("{number:.0}");
    }
    let digits = (3.0 - number.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    format!("{number:.digits$}")
}
