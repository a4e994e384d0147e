//! The command line of Tapedeck; `tapedeck help` is its manual.

use std::process::ExitCode;

use clap::Parser;
use tapedeck::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match tapedeck::execute(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tapedeck: {error:#}");
            ExitCode::FAILURE
        }
    }
}
