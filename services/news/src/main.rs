//! The news as a program of its own.

use std::process::ExitCode;

use clap::Parser;
use news::{NewsArgs, ProgramCommand};
use service_runtime::{init_logs, install_metrics};
use topics::names::service;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = NewsArgs::parse();
    let (config, output) = (args.config(), args.log_output.clone());
    match args.command.clone() {
        ProgramCommand::Once(command) => {
            let _logs = init_logs(service::NEWS, &output)?;
            install_metrics()?;
            let owner = format!("news-{}", std::process::id());
            let done =
                news::with_stores(&args, |stores| news::execute(command, config, stores, &owner)).await?;
            println!("{}", done.text);
            Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ProgramCommand::Schedule(process) => {
            let process = *process;
            let (log, listen) = (process.log.clone(), Some(process.listen));
            let run = |runtime| async move { news::run_process(args, process, runtime).await };
            service_runtime::main(service::NEWS, &output, &log, listen, run).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
