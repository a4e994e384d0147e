//! The broker and the store's server, through the scripts in `tests/servers`.

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
    /// Where its pid and its log lie.
    home: PathBuf,
    env: Vec<(String, String)>,
}

impl Server {
    /// The server of `tests/servers/SCRIPT`, which keeps its things in `.servers/NAME`.
    ///
    /// # Errors
    /// A workspace that is gone.
    pub fn new(script: &str, name: &str, env: Vec<(String, String)>) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().context("the workspace's folder is gone")?;
        let servers =
            std::env::var_os("TEST_SERVERS_DIR").map_or_else(|| root.join(".servers"), PathBuf::from);
        let path = root.join("tests/servers").join(script);
        Ok(Self { script: path, home: servers.join(name), env })
    }

    /// The same server, told something else.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.env.push((name.to_owned(), value.to_owned()));
        other
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// What the script says.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.run("start").await
    }

    /// Stops it, and removes everything it has stored.
    ///
    /// # Errors
    /// What the script says.
    pub async fn wipe(&self) -> anyhow::Result<()> {
        self.run("wipe").await
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// A server that does not run.
    pub fn kill_9(&self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::KILL)
    }

    /// Stands still until [`Server::go_on`]; the operating system goes on taking its connections.
    ///
    /// # Errors
    /// A server that does not run.
    pub fn stand_still(&self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::STOP)
    }

    /// Ends a [`Server::stand_still`].
    ///
    /// # Errors
    /// A server that does not run.
    pub fn go_on(&self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::CONT)
    }

    /// The folder of everything it has stored.
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
        // The home's parent; so that a relative TEST_SERVERS_DIR means the same to the script.
        command.env("TEST_SERVERS_DIR", self.home.parent().context("the servers' folder")?);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            bail!("{} {what}: {}", self.script.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}
