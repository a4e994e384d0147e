//! Decimals at the edges: from JSON text, to and from the doubles that stores and charts read.

use rust_decimal::{Decimal, RoundingStrategy};

/// A price carries at most this many significant digits, so that an IEEE 754 double returns it exactly.
pub const MAX_SIGNIFICANT_DIGITS: u32 = 15;

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Why a text is not a usable number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// `NaN`, `Infinity`, or so large that no decimal holds it (`1e999`).
    #[error("is not a finite number")]
    NotFinite,
    /// Not a number at all.
    #[error("is not a number")]
    NotANumber,
}

/// Parses a JSON number (`261.05`, `1.2e-5`; not `1_000`, which JSON does not have), rounded half to even to
/// [`MAX_SIGNIFICANT_DIGITS`]: more digits are an artefact of binary floating point (`261.04999999999995`).
///
/// # Errors
/// [`DecimalError`]; the caller names the field.
pub fn parse_decimal(text: &str) -> Result<Decimal, DecimalError> {
    // The decimal library reads these as digit separators.
    if text.as_bytes().contains(&b'_') {
        return Err(DecimalError::NotANumber);
    }
    let parsed = match Decimal::from_str_exact(text) {
        Ok(decimal) => decimal,
        Err(_) => parse_unusual(text)?,
    };
    Ok(round_significant(parsed))
}

/// Exponents, too many digits, and what is no number.
fn parse_unusual(text: &str) -> Result<Decimal, DecimalError> {
    let float: f64 = text.parse().map_err(|_| DecimalError::NotANumber)?;
    decimal_from_f64(float).ok_or(DecimalError::NotFinite)
}

/// The decimal, half to even, of at most [`MAX_SIGNIFICANT_DIGITS`].
pub(crate) fn round_significant(decimal: Decimal) -> Decimal {
    // 15 digits hold below 10^15; the common case needs no rounding.
    if decimal.mantissa().unsigned_abs() < 1_000_000_000_000_000 {
        return decimal;
    }
    decimal
        .round_sf_with_strategy(MAX_SIGNIFICANT_DIGITS, RoundingStrategy::MidpointNearestEven)
        .unwrap_or(decimal)
        .normalize()
}

/// The decimal nearest to a double, of at most [`MAX_SIGNIFICANT_DIGITS`]; `None` for NaN, infinities and magnitudes
/// from about 7.9e28.
pub fn decimal_from_f64(float: f64) -> Option<Decimal> {
    if !float.is_finite() {
        return None;
    }
    // The shortest text that reads back as this double; never an exponent.
    let text = format!("{float}");
    match Decimal::from_str_exact(&text) {
        Ok(decimal) => Some(round_significant(decimal)),
        // More digits behind the point than a decimal has: they are below its resolution.
        Err(_) => text.parse::<Decimal>().ok().map(round_significant),
    }
}

/// The double nearest to a decimal. With at most [`MAX_SIGNIFICANT_DIGITS`] the mantissa and the power of ten are both
/// exact, so one correctly rounded division returns the nearest double, whose shortest text is the decimal's.
pub fn decimal_to_f64(decimal: Decimal) -> f64 {
    let mantissa = decimal.mantissa();
    let scale = decimal.scale() as usize;
    match EXACT_POWERS.get(scale) {
        Some(power) if mantissa.unsigned_abs() < 1 << 53 => mantissa as f64 / power,
        _ => decimal.normalize().to_string().parse().unwrap_or(f64::NAN),
    }
}
