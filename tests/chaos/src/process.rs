//! Programs of the suite as child processes: started with an environment of their own, stopped, killed, watched.

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

/// Between two looks at a condition or at a process's memory.
const LOOK_MS: u64 = 50;
/// How long an answer of a service may take.
const ANSWER_MS: u64 = 2_000;

/// How to start a program.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// For messages and the name of the log file.
    pub name: String,
    /// The executable.
    pub binary: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
    /// The whole environment but for `PATH`: what the person who runs the tests has set does not reach it.
    pub env: Vec<(String, String)>,
    /// Where its output goes, added to what is there.
    pub output: PathBuf,
}

/// A program that runs. Killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    output: PathBuf,
    /// Bytes of the output that an earlier start had left.
    output_before: u64,
    peak_kb: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// A program that is not built, or output that cannot be written.
    pub fn start(recipe: &Recipe) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&recipe.output);
        let file: File = file.with_context(|| recipe.output.display().to_string())?;
        let output_before = file.metadata()?.len();
        let child = Command::new(&recipe.binary)
            .args(&recipe.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(recipe.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C is for us; children are ended in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}; is it built?", recipe.binary.display()))?;
        let (peak_kb, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (pid, peak, stop) = (child.id(), Arc::clone(&peak_kb), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                if let Some(now) = memory_kb(pid, "VmHWM:") {
                    peak.fetch_max(now, Ordering::AcqRel);
                }
                std::thread::sleep(Duration::from_millis(LOOK_MS)); // between two samples
            }
        });
        Ok(Self {
            name: recipe.name.clone(),
            child,
            output: recipe.output.clone(),
            output_before,
            peak_kb,
            ended,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it has had so far, in MiB.
    pub fn peak_mb(&self) -> u64 {
        self.peak_kb.load(Ordering::Acquire) / 1024
    }

    /// The memory it has now, in MiB; 0 when it has ended.
    pub fn memory_mb(&self) -> u64 {
        memory_kb(self.pid(), "VmRSS:").unwrap_or(0) / 1024
    }

    /// What it has said since it was started.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        let from = usize::try_from(self.output_before).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// How often it has said a text.
    pub fn times_said(&self, text: &str) -> usize {
        self.said().matches(text).count()
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// A process that had ended by itself, with how.
    pub fn kill_9(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} had ended before it was killed ({}): {}", self.name, shown(status), self.last_words());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        send(self.pid(), signal).with_context(|| self.name.clone())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// How it ended, and its last words.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended ({}): {}", self.name, shown(status), self.last_words());
        }
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// One that does not end in time, or not with success.
    pub async fn terminate(mut self, limit: Duration) -> anyhow::Result<()> {
        self.check_running()?;
        self.signal(Signal::TERM)?;
        let status = self.wait(limit).await?;
        if !status.success() {
            bail!("{} ended with {} after SIGTERM: {}", self.name, shown(status), self.last_words());
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// One that does not end in time.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} has not ended after {} s: {}", self.name, limit.as_secs(), self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await; // up to the deadline
        }
    }

    /// The end of what it has said.
    pub fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().rev().take(8).collect();
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

/// Sends a signal to a process that is not ours to wait for.
///
/// # Errors
/// A process that is gone.
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
/// A condition that still does not hold at the deadline, named.
pub async fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while !condition().await? {
        if begun.elapsed() >= limit {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await; // up to the deadline
    }
    Ok(begun.elapsed())
}

/// Code and body of `GET path`; `None` when nobody answers in time. A plain HTTP/1.0 question needs no client.
pub async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let question = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    };
    timeout(Duration::from_millis(ANSWER_MS), question).await.ok().flatten()
}

/// A counter at `/metrics`, all its labels together; `None` when nobody answers.
pub async fn metric(address: &str, name: &str) -> Option<f64> {
    let (code, body) = get(address, "/metrics").await?;
    let value = |line: &str| {
        let (known, value) = line.rsplit_once(' ')?;
        (known.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
    };
    (code == 200).then(|| body.lines().filter_map(value).sum())
}

/// An address on this host that nobody listens on at the moment.
///
/// # Errors
/// When the operating system has none.
pub fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// The port of such an address.
///
/// # Errors
/// When the operating system has none.
pub fn free_port() -> anyhow::Result<u16> {
    let address = free_address()?;
    let (_, port) = address.rsplit_once(':').context("an address has a port")?;
    Ok(port.parse()?)
}

/// The program of that name, built into the folder that this one was built into.
///
/// # Errors
/// A program that is not there, with how to build it.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    // A test lies one folder deeper than the programs.
    let folders = ours.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path: &PathBuf| Path::is_file(path));
    found.with_context(|| format!("{name} is not built; `cargo build --bins` does it"))
}
