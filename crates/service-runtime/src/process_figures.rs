//! What the process itself uses: processor time, memory, open files, by the names that Prometheus' own clients have.

use std::{fmt::Write, fs};

use chrono::{DateTime, Utc};
use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, getrlimit},
};
use topics::names::figure;

use crate::figures::{Figures, Reading};

/// What the process uses at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: u64,
    threads: u64,
}

impl Usage {
    /// `None` where the operating system has no `/proc`.
    fn read() -> Option<Self> {
        let (stat, status) =
            (fs::read_to_string("/proc/self/stat").ok()?, fs::read_to_string("/proc/self/status").ok()?);
        // The directory that is read is one of the open files itself.
        let open_files = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
        Self::parse(&stat, &status, clock_ticks_per_second(), open_files)
    }

    /// `stat` and `status` as in proc(5).
    fn parse(stat: &str, status: &str, ticks_per_second: u64, open_files: u64) -> Option<Self> {
        // The name, in brackets, may contain anything; the fields after it count from the third, the state.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) as f64 / ticks_per_second as f64,
            resident_bytes: value("VmRSS")? * 1024,
            virtual_bytes: value("VmSize")? * 1024,
            open_files,
            threads: value("Threads")?,
        })
    }
}

/// The lines of `/metrics`; empty where the operating system has no `/proc`.
pub(crate) fn metrics_text(started_at: DateTime<Utc>) -> String {
    let Some(usage) = Usage::read() else { return String::new() };
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: f64| {
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
    };
    metric(
        figure::PROCESS_CPU,
        "counter",
        "Processor time of the process, user and system, in seconds.",
        usage.cpu_seconds,
    );
    metric(
        figure::PROCESS_MEMORY,
        "gauge",
        "Resident memory of the process, in bytes.",
        usage.resident_bytes as f64,
    );
    metric(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory of the process, in bytes.",
        usage.virtual_bytes as f64,
    );
    metric(
        figure::PROCESS_FILES,
        "gauge",
        "Open files and connections of the process.",
        usage.open_files as f64,
    );
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        metric(
            "process_max_fds",
            "gauge",
            "Limit of open files and connections of the process.",
            limit as f64,
        );
    }
    metric("process_threads", "gauge", "Threads of the process.", usage.threads as f64);
    let started = started_at.timestamp_millis() as f64 / 1e3;
    metric(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
        started,
    );
    text
}

/// The same in the status of the process, for `/system` and the command line.
pub(crate) struct ProcessFigures;

impl Figures for ProcessFigures {
    fn export(&self, _service: &str) {
        // `/metrics` reads them when it is requested.
    }

    fn read(&self, into: &mut Reading) {
        let Some(usage) = Usage::read() else { return };
        into.insert(figure::PROCESS_CPU.to_owned(), usage.cpu_seconds);
        into.insert(figure::PROCESS_MEMORY.to_owned(), usage.resident_bytes as f64);
        into.insert(figure::PROCESS_FILES.to_owned(), usage.open_files as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_read_whatever_the_process_is_called() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 9 0 100 1000 25";
        let status = "Name:\ta) (b\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n";
        let usage = Usage {
            cpu_seconds: 2.0,
            resident_bytes: 1 << 20,
            virtual_bytes: 2 << 20,
            open_files: 5,
            threads: 9,
        };
        assert_eq!(Usage::parse(stat, status, 100, 5), Some(usage));
        assert_eq!(Usage::parse("7 (a) S", status, 100, 5), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_files() {
        let usage = Usage::read().expect("there is a /proc");
        assert!(usage.resident_bytes > 100_000 && usage.open_files >= 3 && usage.threads >= 1, "{usage:?}");
    }
}
