//! The news as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use news::{NewsArgs, ProgramCommand};
use service_runtime::{init_logs, install_metrics};
use topics::names::service;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = NewsArgs::parse();
    let command = match args.command.clone() {
        ProgramCommand::Once(command) => command,
        ProgramCommand::Schedule(process) => {
            news::serve(args, *process).await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let _logs = init_logs(service::NEWS, &args.log_output)?;
    install_metrics()?;
    let done = news::command(&args, command).await?;
    println!("{}", done.text);
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
