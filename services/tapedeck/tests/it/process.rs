//! Runs `tapedeck`, and sends requests to it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Time after which a condition of a test has failed.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) fn tapedeck() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
    // Variables in the environment of the test run must not reach the process.
    for name in [
        "LOG_URL",
        "LOG_PASSWORD",
        "LOG_PASSWORD_FILE",
        "STORE_URL",
        "STORE_PASSWORD",
        "STORE_PASSWORD_FILE",
        "LISTEN",
        "WATCHLIST",
        "PROVIDER",
        "CONSUMER_GROUP",
        "DATA",
        "CONSUMER_RETENTION_DAYS",
        "RETENTION_DAYS",
        "RETENTION_MAX_GB",
        "RUST_LOG",
        "TAPEDECK_URL",
        "WEB_ALLOWED_HOSTS",
        "ANALYTICS_URL",
        "ANALYTICS_PASSWORD",
        "ALERT_RECIPIENTS",
        "ALERTS_GROUP",
        "MAIL_URL",
        "MAIL_PASSWORD",
        "MAIL_FROM",
        "SMTP_SERVER",
        "PRICE_CHANGE_THRESHOLD",
        "PUBLIC_URL",
        "VOLUME_THRESHOLD_MULTIPLIER",
        "BATCH_SCHEDULE",
        "BATCH_TIMEZONE",
        "LOG_FORMAT",
        "ELASTICSEARCH_URL",
        "ELASTICSEARCH_PASSWORD",
        "ELASTICSEARCH_PASSWORD_FILE",
        "ELASTICSEARCH_API_KEY",
        "NEWS_FEEDS",
        "NEWS_SCHEDULE",
        "NEWS_TIMEZONE",
        "NEWS_ALLOW_PRIVATE",
        "DIGEST_RECIPIENTS",
        "NEWS_ALIASES",
        "ALPHA_VANTAGE_KEY",
        "FINNHUB_KEY",
    ] {
        command.env_remove(name);
    }
    // No test depends on servers of the Internet.
    command.env("NEWS_SOURCES", "none");
    command
}

/// What the environment names of a server of `make test-servers`. Tests that need one are ignored, unless they are asked for.
pub(crate) fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"))
}

/// Runs a command to its end.
pub(crate) fn output(args: &[&str]) -> Output {
    tapedeck().args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that must end by itself, and kills it at the deadline.
pub(crate) fn output_in_time(args: &[&str]) -> Output {
    output_in_time_with(args, &[])
}

/// The same with variables.
pub(crate) fn output_in_time_with(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let child = tapedeck()
        .args(args)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let (ended, has_ended) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output().unwrap();
        // Fails only after the deadline.
        let _ = ended.send(());
        output
    });
    if has_ended.recv_timeout(DEADLINE).is_err() {
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        panic!("{args:?} did not end within {DEADLINE:?}");
    }
    waiting.join().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `tapedeck run`, killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) url: String,
}

impl Running {
    /// Starts it on a free port and waits until all parts are up.
    pub(crate) fn start(data: &Path, args: &[&str]) -> Self {
        let mut command = tapedeck();
        command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(args);
        Self::spawn(command, "pages")
    }

    /// Starts `tapedeck demo` on a free port and waits until its days are computed.
    pub(crate) fn demo() -> Self {
        let mut command = tapedeck();
        command.args(["demo", "--listen", "127.0.0.1:0"]);
        Self::spawn(command, "the pages are at")
    }

    /// Its address is in the line that begins with `prefix`.
    fn spawn(mut command: Command, prefix: &str) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("tapedeck ended before it printed its address").unwrap();
            if let Some(rest) = line.trim().strip_prefix(prefix) {
                let url = rest.split_whitespace().next().unwrap();
                break url.trim_end_matches("/dashboard").to_owned();
            }
        };
        // Read in the background, so that the process never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let running = Self { child, url };
        wait_until("every part is up", || running.try_get("/readyz").is_some());
        running
    }

    /// `None` unless the response is 200 with a JSON body.
    pub(crate) fn try_get(&self, path: &str) -> Option<Value> {
        let body = get(&format!("{}{path}", self.url)).ok()?;
        serde_json::from_str(&body).ok()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|| panic!("GET {path} failed"))
    }

    pub(crate) fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends Ctrl-C and waits for the end.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end after Ctrl-C");
            std::thread::sleep(Duration::from_millis(20)); // up to the deadline
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a 200 response. A plain HTTP/1.0 request needs no client.
pub(crate) fn get(url: &str) -> std::io::Result<String> {
    use std::{io::Write, net::TcpStream};
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap_or_default();
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    if head.split_whitespace().nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(std::io::Error::other(head.lines().next().unwrap_or_default().to_owned()))
    }
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timeout after {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20)); // up to the deadline
    }
}
