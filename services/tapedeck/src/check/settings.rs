//! Variables that cannot be parsed are findings of `config check`: it reports all problems, not only the first one.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
};

use clap::{
    Arg, CommandFactory, Parser,
    error::{ContextKind, ContextValue},
};

use crate::cli::{Cli, Command, ConfigCommand, Fault};

/// Of a value that is refused, so much is shown.
const MAX_SHOWN_CHARS: usize = 80;

/// Parses the command line. For `config check`, every variable is parsed by itself first; one that cannot be parsed is a
/// finding, and its default applies.
///
/// # Errors
/// Those of clap, also for help and version.
pub(crate) fn read(mut line: Vec<OsString>) -> Result<Cli, clap::Error> {
    if !line.windows(2).any(|pair| pair[0] == "config" && pair[1] == "check") {
        return Cli::try_parse_from(line);
    }
    let mut command = Cli::command();
    // Sets the derived names of flags.
    command.build();
    let check = command.find_subcommand("config").and_then(|config| config.find_subcommand("check"));
    let mut faults = Vec::new();
    for arg in check.into_iter().flat_map(clap::Command::get_arguments) {
        if let Some((fault, default)) = fault_of(arg, &line) {
            faults.push(fault);
            line.push(default);
        }
    }
    let mut cli = Cli::try_parse_from(line)?;
    if let Command::Config { command: ConfigCommand::Check(args) } = &mut cli.command {
        args.faults = faults;
    }
    Ok(cli)
}

/// The fault of an argument's variable, and the flag with the default. A flag on the line takes precedence over its variable,
/// which is then ignored.
fn fault_of(arg: &Arg, line: &[OsString]) -> Option<(Fault, OsString)> {
    let (flag, variable) = (format!("--{}", arg.get_long()?), arg.get_env()?);
    let value = env::var_os(variable)?;
    let default = arg.get_default_values().first()?;
    if line.iter().any(|word| word.to_str() == Some(&*flag) || starts_with(word, &format!("{flag}="))) {
        return None;
    }
    // Parsed alone, so that no other error can occur.
    let alone = clap::Command::new("check").no_binary_name(true).arg(arg.clone());
    let error = alone.try_get_matches_from([assigned(&flag, &value)]).err()?;
    let setting = format!("{flag} ({})", variable.to_string_lossy());
    let reason = reason(&error);
    // Addresses of feeds may contain keys.
    let reason = if arg.is_hide_env_values_set() { reason } else { format!("{}: {reason}", shown(&value)) };
    Some((Fault { setting, reason }, assigned(&flag, default)))
}

/// The beginning of a value.
fn shown(value: &OsStr) -> String {
    let value = value.to_string_lossy();
    let shown: String = value.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect();
    let rest = if value.chars().nth(MAX_SHOWN_CHARS).is_some() { "..." } else { "" };
    format!("`{shown}{rest}`")
}

fn assigned(flag: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(format!("{flag}="));
    text.push(value);
    text
}

fn starts_with(word: &OsStr, text: &str) -> bool {
    word.as_encoded_bytes().starts_with(text.as_bytes())
}

/// Why a value is refused: the reason of its parser, or the values that are possible.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("possible values: {}", values.join(", ")),
        _ => error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned(),
    }
}
