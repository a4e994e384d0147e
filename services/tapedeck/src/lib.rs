//! Every service of Tapedeck in one process, with embedded defaults; and the command line.

mod alerts;
mod backfill;
mod batch;
mod check;
mod cli;
mod copy;
mod data_dir;
mod demo;
mod disk;
mod drain;
mod export;
mod feeds;
mod gaps;
mod health;
mod http;
mod import;
mod log_and_store;
mod logs;
mod mail;
mod migrate;
mod moving;
mod news;
mod output;
mod redeliver;
mod replay;
mod run;
mod status;
mod stored_candles;
mod tail;
mod topics;
mod user;

use std::{ffi::OsString, io::stdout, process::ExitCode};

use clap::CommandFactory;

use ::topics::names::service;
pub use cli::Cli;
use cli::{Command, ConfigCommand, LogsCommand};
use service_runtime::{LogGuard, LogOutput};

/// Parses a command line, whose first element is the name of the program.
///
/// # Errors
/// A usage error, or the text of `--help` or `--version`, to be printed with [`clap::Error::exit`].
pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    check::read(line.into_iter().collect())
}

/// Executes a command line.
///
/// # Errors
/// The reason why the command failed, for the terminal.
pub async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    match dispatch(cli).await {
        Err(error) if output::is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run(args) => {
            let output = cli.log_output.or_dead_letters(&logs::dead_letters(&args.places));
            run::run(*args, &log_to(&output)?).await?;
        }
        Command::Replay(args) => {
            let _logs = log_to(&cli.log_output)?;
            replay::replay(args).await?;
        }
        Command::Backfill(args) => {
            let _logs = log_to(&cli.log_output)?;
            return backfill::backfill(*args).await;
        }
        Command::Demo(args) => {
            let _logs = log_to(&cli.log_output)?;
            demo::demo(*args).await?;
        }
        Command::Feeds(args) => return feeds::feeds(args).await,
        Command::Gaps(args) => gaps::gaps(args).await?,
        Command::Tail(args) => tail::tail(args).await?,
        Command::Status(args) => return status::status(args).await,
        Command::Health(args) => return health::health(args).await,
        Command::Topics(args) => topics::topics(args).await?,
        Command::Migrate(args) => migrate::migrate(args).await?,
        Command::Export(args) => {
            let _logs = log_to(&cli.log_output)?;
            export::export(args).await?;
        }
        Command::Import(args) => {
            let _logs = log_to(&cli.log_output)?;
            import::import(args).await?;
        }
        Command::Copy(args) => {
            let _logs = log_to(&cli.log_output)?;
            copy::copy(args).await?;
        }
        Command::Alerts(args) => alerts::alerts(args).await?,
        Command::Batch(args) => {
            let _logs = log_to(&cli.log_output)?;
            return batch::batch(args).await;
        }
        Command::Logs { command: LogsCommand::Setup } => logs::setup(&cli.log_output).await?,
        Command::Mail { command } => mail::mail(command).await?,
        Command::News(args) => {
            let _logs = log_to(&cli.log_output)?;
            return news::news(*args).await;
        }
        Command::User(args) => user::user(args).await?,
        Command::Config { command: ConfigCommand::Check(args) } => {
            return check::check(*args, &cli.log_output).await;
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tapedeck", &mut stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn log_to(output: &LogOutput) -> anyhow::Result<LogGuard> {
    service_runtime::init_logs(service::ALL_IN_ONE, output)
}
