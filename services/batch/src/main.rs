//! The batch as a program of its own.

use std::process::ExitCode;

use batch::{BatchArgs, BatchCommand};
use clap::Parser;
use service_runtime::{init_logs, install_metrics};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = BatchArgs::parse();
    if matches!(args.command, BatchCommand::Schedule) {
        batch::serve(args).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let _logs = init_logs("batch", &args.log_output)?;
    install_metrics()?;
    let done = batch::command(args).await?;
    println!("{}", done.text);
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
