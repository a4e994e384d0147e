//! A broker for one test, which may stop it without effect on other tests.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::fixture::Fixture;

/// A broker that may be stopped.
pub(crate) struct Broker {
    pub(crate) folder: TempDir,
    port: u16,
    /// Further environment variables of the script.
    settings: Vec<(&'static str, String)>,
}

impl Broker {
    /// Starts a broker.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(|_| Ok(Vec::new()))
    }

    /// Starts a broker with further environment variables of the script, which may name files in the broker's folder.
    pub(crate) fn start_with(
        settings: impl FnOnce(&Path) -> anyhow::Result<Vec<(&'static str, String)>>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let settings = settings(folder.path())?;
        let broker = Self { folder, port: two_free_ports()?, settings };
        // Uses the programs that were downloaded for the shared broker.
        let fetched = servers_folder().join("kafka/bin");
        if fetched.is_dir() {
            let own = broker.folder.path().join("kafka");
            std::fs::create_dir_all(&own)?;
            std::os::unix::fs::symlink(fetched.canonicalize()?, own.join("bin"))?;
        }
        broker.script("start")?;
        Ok(broker)
    }

    /// Sets an environment variable of the script from the next start.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
    }

    pub(crate) fn script(&self, verb: &str) -> anyhow::Result<()> {
        let script = repository().join("tests/servers/kafka.sh");
        let output = Command::new("bash")
            .arg(script)
            .arg(verb)
            .env("KAFKA_PORT", self.port.to_string())
            .env("KAFKA_HEAP", "256m")
            .env("TEST_SERVERS_DIR", self.folder.path())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .output()?;
        ensure!(output.status.success(), "kafka.sh {verb}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(crate) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.folder.path().join("kafka/server.pid"))?;
        let status = Command::new("kill").arg(signal).arg(pid.trim()).status()?;
        ensure!(status.success(), "kill {signal} failed");
        Ok(())
    }

    pub(crate) fn fixture(&self) -> Fixture {
        Fixture::at(format!("kafka://127.0.0.1:{}", self.port))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.signal("-CONT");
        let _ = self.script("wipe");
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn servers_folder() -> PathBuf {
    std::env::var_os("TEST_SERVERS_DIR").map_or_else(|| repository().join(".servers"), PathBuf::from)
}

/// A port that is free at the moment.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A free port such that the port 1000 above it, where the controller listens, is free as well.
fn two_free_ports() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let second = port.checked_add(1000).context("the port is too high for the controller's port");
        if second.is_ok_and(|second| TcpListener::bind(("127.0.0.1", second)).is_ok()) {
            return Ok(port);
        }
    }
    anyhow::bail!("no two ports are free")
}
