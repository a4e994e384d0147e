//! The command line of Tapedeck; `tapedeck help` is its manual.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = tapedeck::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match tapedeck::execute(cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tapedeck: {error:#}");
            ExitCode::FAILURE
        }
    }
}
