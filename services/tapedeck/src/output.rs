//! Output of commands.

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stderr, stdout},
};

use anyhow::Context;
use chrono::{DateTime, Utc};

/// Prints a line. Unlike `println!` it does not panic if the pipe is closed (`tapedeck status | head`).
///
/// # Errors
/// A stdout that cannot be written; see [`is_closed_pipe`].
pub(crate) fn print_line(line: impl Display) -> anyhow::Result<()> {
    writeln!(stdout(), "{line}").context("cannot write to stdout")
}

/// Prints a line for the person at the terminal to stderr, where no program that reads the output gets it.
///
/// # Errors
/// A stderr that cannot be written; see [`is_closed_pipe`].
pub(crate) fn note(line: impl Display) -> anyhow::Result<()> {
    writeln!(stderr(), "{line}").context("cannot write to stderr")
}

/// Whether the error is a closed pipe, which is not a failure.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
}

/// `2026-01-13 15:30:00`, of UTC.
pub(crate) fn second(time: DateTime<Utc>) -> String {
    time.format("%F %T").to_string()
}

/// A URL without its possible secrets: user, password and parameters. `default` without a URL.
pub(crate) fn shown(url: Option<&str>, default: &str) -> String {
    let Some(url) = url else { return default.to_owned() };
    let url = connection_url::without_credentials(url);
    let (scheme, rest) = url.split_once(':').unwrap_or(("", &url));
    format!("{scheme}: {}", rest.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, expected) in [
            ("sqlite:data/store.db?max_mb=1", "sqlite: data/store.db"),
            ("mongodb://me:secret@host/x?w=secret", "mongodb: host/x"),
            ("mongodb://me:sec@secret@host/x", "mongodb: host/x"),
            ("kafka://host:9092?sasl.password=a@secret&x=1", "kafka: ..."),
            ("mongodb://me:secret?secret@host/x", "mongodb: ..."),
        ] {
            assert_eq!(shown(Some(url), ""), expected);
        }
    }
}
