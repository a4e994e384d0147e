//! What commands print.

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};

use anyhow::Context;

/// Prints a line. Unlike `println!` it does not panic when nobody reads any more (`tapedeck status | head`).
///
/// # Errors
/// A stdout that cannot be written; see [`is_closed_pipe`].
pub(crate) fn print_line(line: impl Display) -> anyhow::Result<()> {
    writeln!(stdout(), "{line}").context("cannot write to stdout")
}

/// The reader has had enough: no failure.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
}
