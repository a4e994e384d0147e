//! Against TA-Lib, against Stock.Indicators, and against the definitions.

mod definitions;
mod references;
