//! Broker and store's server, controlled by the scripts in `tests/servers`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::process::send;

/// A server that a script starts and stops.
#[derive(Clone, Debug)]
pub struct Server {
    script: PathBuf,
    /// Folder of its pid file, log and data.
    home: PathBuf,
    env: Vec<(String, String)>,
}

impl Server {
    /// The server of `tests/servers/SCRIPT`, with its files in `.servers/NAME`.
    ///
    /// # Errors
    /// A missing workspace folder.
    pub fn new(script: &str, name: &str, env: Vec<(String, String)>) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().context("the folder of the workspace is missing")?;
        let servers =
            std::env::var_os("TEST_SERVERS_DIR").map_or_else(|| root.join(".servers"), PathBuf::from);
        let path = root.join("tests/servers").join(script);
        Ok(Self { script: path, home: servers.join(name), env })
    }

    /// The same server with a further environment variable.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.env.push((name.to_owned(), value.to_owned()));
        other
    }

    /// Starts the server and waits until it responds.
    ///
    /// # Errors
    /// Errors of the script.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.run("start").await
    }

    /// Stops the server and removes its data.
    ///
    /// # Errors
    /// Errors of the script.
    pub async fn wipe(&self) -> anyhow::Result<()> {
        self.run("wipe").await
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// A server that does not run.
    pub fn kill_9(&self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::KILL)
    }

    /// Stops the process with SIGSTOP until [`Server::resume`]; the operating system still accepts its connections.
    ///
    /// # Errors
    /// A server that does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::STOP)
    }

    /// Continues the process after [`Server::pause`].
    ///
    /// # Errors
    /// A server that does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::CONT)
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn pid(&self) -> anyhow::Result<u32> {
        let file = self.home.join("server.pid");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(text.trim().parse()?)
    }

    async fn run(&self, what: &str) -> anyhow::Result<()> {
        let mut command = Command::new(&self.script);
        command.arg(what).envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        // Absolute, as a relative TEST_SERVERS_DIR would be another folder for the script.
        command.env("TEST_SERVERS_DIR", self.home.parent().context("the servers' folder")?);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            bail!("{} {what}: {}", self.script.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}
