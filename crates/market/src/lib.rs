//! The market model: symbols, ticks, candles, intervals, trading calendars. No I/O, no clock, no async.
//!
//! Prices and volumes are [`rust_decimal::Decimal`]; statistics (percentages) are `f64`; times are UTC. Everything
//! that needs the current time takes it as an argument.

mod builder;
mod calendar;
mod candle;
mod day;
mod decimal;
mod interval;
mod rollup;
mod symbol;
mod tick;
mod watchlist;

pub use builder::{Applied, BuilderState, CandleBuilder, CandleTiming};
pub use calendar::{
    Session, closure, current_session, day_complete_at, is_open, newest_complete_day, next_session,
    previous_session, session, sessions_between, trading_hours,
};
pub use candle::{Candle, CandleFields, CandleOrigin, CandleSource, InvalidCandle};
pub use day::{DayBounds, day_bounds};
pub use decimal::{DecimalError, MAX_SIGNIFICANT_DIGITS, decimal_from_f64, decimal_to_f64, parse_decimal};
pub use interval::{Interval, UnknownInterval};
pub use rollup::{prefer, rollup, widen};
pub use symbol::{AssetClass, Symbol, SymbolError};
pub use tick::{Source, SourceError, Tick, TickError, TickFields};
pub use watchlist::Watchlist;
