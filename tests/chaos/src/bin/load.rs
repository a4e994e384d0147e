//! The load program of the fault tests, in a separate process that can be killed.

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chaos::load::run(chaos::load::LoadArgs::parse()).await
}
