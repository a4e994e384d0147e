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

/// A URL without what may be secret in it: user, password, parameters.
pub(crate) fn shown(url: Option<&str>, default: &str) -> String {
    let Some(url) = url else { return default.to_owned() };
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let rest = rest.split('?').next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}: {}", place.trim_start_matches('/'))
}
