//! Panics as documents.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::Write,
    panic::{self, PanicHookInfo},
    thread,
    time::{Duration, SystemTime},
};

use tracing::Level;

use crate::{
    document::{Line, Scratch},
    fields::{ERROR_MESSAGE, ERROR_STACK, MESSAGE},
    logs::Monitor,
    queue::Health,
};

/// The name of the thread that sends, as Linux shows it: at most 15 bytes.
pub(crate) const SENDER_THREAD: &str = "tracing-elastic";
/// A panic waits so long for its document to be sent. It may end only a part of the process, which has to go on.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Installs the hook.
pub(crate) fn record(logs: Monitor) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        add(&logs, info);
        // Nothing is waited for where nothing is sent, and the sender does not wait for itself.
        let is_sender = thread::current().name() == Some(SENDER_THREAD);
        if !is_sender && !matches!(logs.health(), Health::Down(_)) {
            logs.flush(FLUSH_TIMEOUT);
        }
    }));
}

fn add(logs: &Monitor, info: &PanicHookInfo<'_>) {
    let mut scratch = Scratch::default();
    let text = info.payload_as_str().unwrap_or("without a message");
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed");
    scratch.fields.set(MESSAGE, |message| write!(message, "thread {name} panicked: {text}"));
    scratch.fields.set(ERROR_MESSAGE, |message| message.write_str(text));
    // Only with RUST_BACKTRACE.
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        scratch.fields.set(ERROR_STACK, |message| write!(message, "{trace}"));
    }
    let line = Line {
        at: SystemTime::now(),
        level: Level::ERROR,
        logger: "panic",
        file: info.location().map(panic::Location::file),
        row: info.location().map(panic::Location::line),
        function: None,
        span: None,
        root: None,
    };
    logs.intake().add(&mut scratch, &line);
}
