//! Topic `quoted-candles`: a candle as a provider quotes it, in the encoding of [`crate::candle`]. Key: the symbol.

use market::{Candle, CandleOrigin};

use crate::candle::{self, CandleDecodeError};

/// The topic.
pub const TOPIC: &str = "quoted-candles";

pub use candle::encode;

/// Reads a record.
///
/// # Errors
/// Those of [`candle::decode`], and a candle that was built from ticks: that belongs into topic `candles`.
pub fn decode(payload: &[u8]) -> Result<Candle, CandleDecodeError> {
    let candle = candle::decode(payload)?;
    match candle.source.origin {
        CandleOrigin::Provider => Ok(candle),
        CandleOrigin::Ticks => Err(CandleDecodeError::NotQuoted(candle.source)),
    }
}
