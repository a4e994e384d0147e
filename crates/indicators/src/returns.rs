//! Returns from price to price.

/// price / before - 1; `None` where it is not finite.
pub fn simple_return(before: f64, price: f64) -> Option<f64> {
    Some(price / before - 1.0).filter(|change| change.is_finite())
}

/// ln(price / before); `None` where it is not finite, as where a price is not above zero.
pub fn log_return(before: f64, price: f64) -> Option<f64> {
    Some((price / before).ln()).filter(|change| change.is_finite())
}

/// [`simple_return`] at each price but the first.
pub fn simple_returns(prices: &[f64]) -> impl Iterator<Item = Option<f64>> {
    changes(prices, simple_return)
}

/// [`log_return`] at each price but the first.
pub fn log_returns(prices: &[f64]) -> impl Iterator<Item = Option<f64>> {
    changes(prices, log_return)
}

fn changes(prices: &[f64], change: fn(f64, f64) -> Option<f64>) -> impl Iterator<Item = Option<f64>> {
    prices.iter().zip(prices.iter().skip(1)).map(move |(before, price)| change(*before, *price))
}
