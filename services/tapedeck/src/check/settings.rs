//! Flags and variables that cannot be read are findings, too: whoever checks wants to hear of everything that is wrong,
//! not of the first of it.

use std::ffi::OsString;

use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::cli::{Cli, Command, ConfigCommand, Fault};

/// After so many settings that cannot be read nobody wants to hear of more.
const MOST_FAULTS: usize = 20;

/// Reads the command line. For `config check`, a variable that cannot be read is left aside for its default, and noted.
///
/// # Errors
/// Those of clap, also for help and version.
pub(crate) fn read(mut line: Vec<OsString>) -> Result<Cli, clap::Error> {
    let is_check = line.windows(2).any(|pair| pair[0] == "config" && pair[1] == "check");
    let mut first = None;
    let mut faults = Vec::new();
    loop {
        let error = match Cli::try_parse_from(&line) {
            Ok(mut cli) => {
                if let Command::Config { command: ConfigCommand::Check(args) } = &mut cli.command {
                    args.faults = faults;
                }
                return Ok(cli);
            }
            Err(error) => error,
        };
        let aside = if is_check && faults.len() < MOST_FAULTS { set_aside(&error) } else { None };
        // What stands on the line itself cannot be given a second time; the first error tells more than that.
        let Some((fault, default)) = aside else { return Err(first.unwrap_or(error)) };
        faults.push(fault);
        line.push(default);
        first.get_or_insert(error);
    }
}

/// The fault, and the flag with its default.
fn set_aside(error: &clap::Error) -> Option<(Fault, OsString)> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = shown.split_whitespace().next()?;
    let command = Cli::command();
    let check = command.find_subcommand("config")?.find_subcommand("check")?;
    let known = |arg: &&clap::Arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
    let arg = check.get_arguments().find(known)?;
    let variable = arg.get_env()?.to_string_lossy().into_owned();
    let mut default = OsString::from(format!("{flag}="));
    default.push(arg.get_default_values().first()?);
    let text = error.to_string();
    let reason = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    Some((Fault { setting: format!("{flag} ({variable})"), reason }, default))
}
