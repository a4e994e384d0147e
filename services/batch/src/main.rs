//! The batch as a program of its own.

use std::process::ExitCode;

use batch::BatchArgs;
use clap::Parser;
use service_runtime::{init_logs, install_metrics};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = BatchArgs::parse();
    let _logs = init_logs("batch", &args.log_output)?;
    install_metrics()?;
    let done = batch::command(args).await?;
    println!("{}", done.text);
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
