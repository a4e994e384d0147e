//! Every service of Tapedeck in one process, with embedded defaults; and the command line.

mod alerts;
mod batch;
mod check;
mod cli;
mod copy;
mod data_dir;
mod disk;
mod drain;
mod export;
mod health;
mod http;
mod import;
mod migrate;
mod moving;
mod news;
mod output;
mod redeliver;
mod replay;
mod run;
mod status;
mod tail;
mod topics;

use std::{ffi::OsString, io::stdout, process::ExitCode};

use clap::CommandFactory;

pub use cli::Cli;
use cli::{Command, ConfigCommand};

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
            let _logs = service_runtime::init_logs(cli.log_format)?;
            run::run(*args).await?;
        }
        Command::Replay(args) => {
            let _logs = service_runtime::init_logs(cli.log_format)?;
            replay::replay(args).await?;
        }
        Command::Tail(args) => tail::tail(args).await?,
        Command::Status(args) => return status::status(args).await,
        Command::Health(args) => return health::health(args).await,
        Command::Topics(args) => topics::topics(args).await?,
        Command::Migrate(args) => migrate::migrate(args).await?,
        Command::Export(args) => {
            let _logs = service_runtime::init_logs(cli.log_format)?;
            export::export(args).await?;
        }
        Command::Import(args) => {
            let _logs = service_runtime::init_logs(cli.log_format)?;
            import::import(args).await?;
        }
        Command::Copy(args) => {
            let _logs = service_runtime::init_logs(cli.log_format)?;
            copy::copy(args).await?;
        }
        Command::Alerts(args) => alerts::alerts(args).await?,
        Command::Batch(args) => {
            let _logs = service_runtime::init_logs(cli.log_format)?;
            return batch::batch(args).await;
        }
        Command::News(args) => {
            let _logs = service_runtime::init_logs(cli.log_format)?;
            return news::news(*args).await;
        }
        Command::Config { command: ConfigCommand::Check(args) } => return check::check(*args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tapedeck", &mut stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}
