//! Runs parts of tests in a separate process: this test binary, started again.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::{groups, sqlite};

/// Variable that names the part; without it this process is not a child.
const PART: &str = "EVENT_LOG_TEST_PART";

/// The command that runs a part.
pub(crate) fn command(part: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "child::runs_the_part_that_the_environment_names", "--nocapture"])
        .env(PART, part);
    Ok(command)
}

/// Runs a part to its end. Returns its output; fails if the part fails.
pub(crate) fn run(part: &str, environment: &[(&str, &str)]) -> anyhow::Result<String> {
    let output = command(part)?.envs(environment.iter().copied()).stdin(Stdio::null()).output()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{part}: {text}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_the_part_that_the_environment_names() -> anyhow::Result<()> {
    match std::env::var(PART).as_deref() {
        Err(_) => Ok(()),
        Ok("slow-reader") => groups::read_slowly().await,
        Ok("publish-until-killed") => sqlite::publish_until_killed().await,
        Ok("open") => sqlite::open_and_report().await,
        Ok(other) => anyhow::bail!("no part `{other}`"),
    }
}

/// Highest resident memory of this process so far, in bytes.
pub(crate) fn highest_memory_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes << 10)
}
