//! Programs of the suite as child processes: started with their own environment, stopped, killed, observed.

use std::{
    fs::{File, OpenOptions},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// Interval of checks of a condition or of a process's memory.
const CHECK_INTERVAL_MS: u64 = 50;
/// Time limit of a request to a service.
const REQUEST_TIMEOUT_MS: u64 = 2_000;

/// Command, environment and output of a program.
#[derive(Clone, Debug)]
pub struct ProgramSpec {
    /// Name for messages.
    pub name: String,
    /// The executable.
    pub binary: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
    /// The environment, besides `PATH`. Variables of the test run are not passed on.
    pub env: Vec<(String, String)>,
    /// File to which its output is appended.
    pub output: PathBuf,
}

/// A running program. Killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    output: PathBuf,
    /// Size of the output before this start, in bytes.
    output_before: u64,
    peak_kb: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Program {
    /// Starts a program.
    ///
    /// # Errors
    /// A program that is not built, or output that cannot be written.
    pub fn start(spec: &ProgramSpec) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&spec.output);
        let file: File = file.with_context(|| spec.output.display().to_string())?;
        let output_before = file.metadata()?.len();
        let child = Command::new(&spec.binary)
            .args(&spec.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C must not reach the children, which are ended in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}; is it built?", spec.binary.display()))?;
        let (peak_kb, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (pid, peak, stop) = (child.id(), Arc::clone(&peak_kb), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                if let Some(now) = memory_kb(pid, "VmHWM:") {
                    peak.fetch_max(now, Ordering::AcqRel);
                }
                std::thread::sleep(Duration::from_millis(CHECK_INTERVAL_MS)); // between two samples
            }
        });
        Ok(Self {
            name: spec.name.clone(),
            child,
            output: spec.output.clone(),
            output_before,
            peak_kb,
            ended,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Highest resident memory so far, in MiB.
    pub fn peak_mb(&self) -> u64 {
        self.peak_kb.load(Ordering::Acquire) / 1024
    }

    /// Its output since its start.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        let from = usize::try_from(self.output_before).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Number of occurrences of a text in its output.
    pub fn occurrences(&self, text: &str) -> usize {
        self.output().matches(text).count()
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// A process that has ended by itself, with its status.
    pub fn kill_9(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} had ended before it was killed ({}): {}", self.name, shown(status), self.last_output());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// A process that has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        send(self.pid(), signal).with_context(|| self.name.clone())
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// Its exit status, and the end of its output.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended ({}): {}", self.name, shown(status), self.last_output());
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// A process that does not end in time, or not with success.
    pub async fn terminate(mut self, limit: Duration) -> anyhow::Result<()> {
        self.check_running()?;
        self.signal(Signal::TERM)?;
        let status = self.wait(limit).await?;
        if !status.success() {
            bail!("{} ended with {} after SIGTERM: {}", self.name, shown(status), self.last_output());
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// A process that does not end in time.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} has not ended after {} s: {}", self.name, limit.as_secs(), self.last_output());
            }
            tokio::time::sleep(Duration::from_millis(CHECK_INTERVAL_MS)).await; // up to the deadline
        }
    }

    /// The last lines of its output.
    pub fn last_output(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}

/// Sends a signal to a process that is not a child of this one.
///
/// # Errors
/// A process that has ended.
pub fn send(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process id")?;
    kill_process(pid, signal).with_context(|| format!("process {pid:?}"))
}

/// A line of `/proc/PID/status`, in KiB.
fn memory_kb(pid: u32, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Waits until a condition holds.
///
/// # Errors
/// A condition that does not hold at the deadline, with `what`.
pub async fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while !condition().await? {
        if begun.elapsed() >= limit {
            bail!("timeout after {} s: {what}", limit.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(CHECK_INTERVAL_MS)).await; // up to the deadline
    }
    Ok(begun.elapsed())
}

/// Status and body of `GET path`; `None` without a response in time. A plain HTTP/1.0 request needs no client.
pub async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let request = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let head = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        let code = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    };
    timeout(Duration::from_millis(REQUEST_TIMEOUT_MS), request).await.ok().flatten()
}

/// Value of a counter at `/metrics`, summed over its labels; `None` without a response.
pub async fn metric(address: &str, name: &str) -> Option<f64> {
    let (code, body) = get(address, "/metrics").await?;
    let value = |line: &str| {
        let (known, value) = line.rsplit_once(' ')?;
        (known.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
    };
    (code == 200).then(|| body.lines().filter_map(value).sum())
}

/// An unused address on this host.
///
/// # Errors
/// Errors of the operating system.
pub fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// An unused port on this host.
///
/// # Errors
/// Errors of the operating system.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Path of a program in the build folder of this one.
///
/// # Errors
/// A program that is not built, with the command that builds it.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // Tests are one folder below the programs.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path: &PathBuf| Path::is_file(path));
    found.with_context(|| format!("{name} is not built; run `cargo build --bins`"))
}
