//! Encodes events as documents of the Elastic Common Schema.

use std::{ops::Range, time::SystemTime};

use tracing::Level;

use crate::{
    fields::{ERROR_MESSAGE, ERROR_STACK, Fields, MESSAGE, TRACE},
    json,
    settings::Settings,
    timestamp,
};

/// The version of the schema that the fields follow.
const ECS_VERSION: &str = "8.17.0";
/// Longest name of a label, in bytes; longer ones are truncated.
const MAX_NAME_BYTES: usize = 128;
/// More labels than this in one document are left out, and `labels.left_out` has their number.
const MAX_LABELS: usize = 200;
/// The same for the bytes of all labels of one document.
const MAX_LABELS_BYTES: usize = 128 << 10;

/// What one event has besides its fields.
pub(crate) struct Line<'a> {
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    /// The target.
    pub(crate) logger: &'a str,
    pub(crate) file: Option<&'a str>,
    pub(crate) row: Option<u32>,
    /// The path of the module: the nearest that an event knows of its function.
    pub(crate) function: Option<&'a str>,
    /// The name of the innermost span.
    pub(crate) span: Option<&'a str>,
    /// The number of the outermost span.
    pub(crate) root: Option<u64>,
}

/// The memory of one thread for encoding.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The fields of the event.
    pub(crate) fields: Fields,
    gathered: Gathered,
    entry: Vec<u8>,
}

/// What the fields of the event and its spans become.
#[derive(Debug, Default)]
struct Gathered {
    /// The members of `labels`.
    labels: Vec<u8>,
    seen: Vec<Seen>,
    left_out: usize,
    /// JSON strings; empty without one.
    service: Vec<u8>,
    trace: Vec<u8>,
}

#[derive(Debug)]
struct Seen {
    name: &'static str,
    /// The key in `labels`.
    key: Range<usize>,
}

/// Encodes the documents of one process.
pub(crate) struct Encoder {
    /// Distinguishes this process from all others: the time of its start and a random number.
    run: String,
    service_field: Option<&'static str>,
    /// A JSON string.
    service: Vec<u8>,
    /// The members that are the same in every document.
    fixed: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(settings: &Settings, started_at: SystemTime, random: u64) -> Self {
        let started = started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut service = Vec::new();
        json::string(&mut service, &settings.service.name);
        let mut fixed = Vec::new();
        let mut member = |name: &str, value: &str| {
            fixed.extend_from_slice(name.as_bytes());
            json::string(&mut fixed, value);
        };
        member(",\"ecs.version\":", ECS_VERSION);
        member(",\"service.version\":", &settings.service.version);
        if let Some(host) = &settings.service.host {
            member(",\"host.name\":", host);
        }
        fixed.extend_from_slice(b",\"process.pid\":");
        json::number(&mut fixed, u64::from(std::process::id()));
        Self {
            run: format!("{:012x}{:08x}", started.as_micros() as u64, random as u32),
            service_field: settings.service_field,
            service,
            fixed,
        }
    }

    /// Adds the fields of the event, and then those of its spans, the innermost first. A field hides those of the same name that are
    /// added after it.
    pub(crate) fn gather_event(&self, scratch: &mut Scratch, skips: impl Fn(&str) -> bool) {
        scratch.gathered.clear();
        let Scratch { fields, gathered, .. } = scratch;
        gathered.left_out += fields.left_out();
        for (name, value) in fields.iter() {
            let has_its_own_place = matches!(name, MESSAGE | ERROR_MESSAGE | ERROR_STACK);
            if !has_its_own_place && !skips(name) {
                self.gather(gathered, name, value);
            }
        }
    }

    /// See [`gather_event`](Self::gather_event).
    pub(crate) fn gather_span(&self, scratch: &mut Scratch, fields: &Fields) {
        scratch.gathered.left_out += fields.left_out();
        for (name, value) in fields.iter() {
            self.gather(&mut scratch.gathered, name, value);
        }
    }

    fn gather(&self, gathered: &mut Gathered, name: &'static str, value: &[u8]) {
        let of_schema = if self.service_field == Some(name) {
            &mut gathered.service
        } else if name == TRACE {
            &mut gathered.trace
        } else {
            return gathered.add_label(name, value);
        };
        if of_schema.is_empty() {
            of_schema.extend_from_slice(value);
        }
    }

    /// The entry of a bulk request: the line with the id, and the line with the document.
    pub(crate) fn entry<'a>(&self, scratch: &'a mut Scratch, number: u64, line: &Line<'_>) -> &'a [u8] {
        let Scratch { fields, gathered, entry: into } = scratch;
        into.clear();
        into.extend_from_slice(b"{\"create\":{\"_id\":\"");
        into.extend_from_slice(self.run.as_bytes());
        into.push(b'-');
        json::number(into, number);
        // The order that the specification of ECS loggers recommends: time, level, message.
        into.extend_from_slice(b"\"}}\n{\"@timestamp\":\"");
        timestamp::append(into, line.at);
        into.extend_from_slice(b"\",\"log.level\":\"");
        into.extend_from_slice(level_name(line.level).as_bytes());
        into.push(b'"');
        let mut member = |name: &str, value: Option<&[u8]>| {
            if let Some(value) = value {
                into.extend_from_slice(name.as_bytes());
                into.extend_from_slice(value);
            }
        };
        let service = if gathered.service.is_empty() { &self.service } else { &gathered.service };
        member(",\"message\":", fields.get(MESSAGE));
        member("", Some(&self.fixed));
        member(",\"service.name\":", Some(service));
        member(",\"event.dataset\":", Some(service));
        member(",\"error.message\":", fields.get(ERROR_MESSAGE));
        member(",\"error.stack_trace\":", fields.get(ERROR_STACK));
        Self::append_origin(into, line);
        self.append_trace(into, &gathered.trace, line.root);
        gathered.append_to(into);
        into.extend_from_slice(b"}\n");
        into
    }

    fn append_origin(into: &mut Vec<u8>, line: &Line<'_>) {
        let mut text = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                into.extend_from_slice(name.as_bytes());
                json::string(into, value);
            }
        };
        text(",\"log.logger\":", Some(line.logger));
        text(",\"log.origin.file.name\":", line.file);
        text(",\"log.origin.function\":", line.function);
        text(",\"span.name\":", line.span);
        if let Some(number) = line.row {
            into.extend_from_slice(b",\"log.origin.file.line\":");
            json::number(into, u64::from(number));
        }
    }

    /// The id that a field gives, or one that is made of the outermost span.
    fn append_trace(&self, into: &mut Vec<u8>, given: &[u8], root: Option<u64>) {
        const NAME: &[u8] = b",\"trace.id\":";
        if !given.is_empty() {
            into.extend_from_slice(NAME);
            into.extend_from_slice(given);
        } else if let Some(root) = root {
            into.extend_from_slice(NAME);
            into.push(b'"');
            into.extend_from_slice(self.run.as_bytes());
            into.push(b'-');
            json::number(into, root);
            into.push(b'"');
        }
    }
}

impl Gathered {
    fn clear(&mut self) {
        self.labels.clear();
        self.seen.clear();
        self.service.clear();
        self.trace.clear();
        self.left_out = 0;
    }

    /// Adds a label unless a field of the same name hides it.
    fn add_label(&mut self, name: &'static str, value: &[u8]) {
        if self.seen.iter().any(|seen| seen.name == name) {
            return;
        }
        if self.seen.len() == MAX_LABELS || self.labels.len() + value.len() > MAX_LABELS_BYTES {
            self.left_out += 1;
            return;
        }
        if !self.labels.is_empty() {
            self.labels.push(b',');
        }
        self.labels.push(b'"');
        let begin = self.labels.len();
        append_key(&mut self.labels, name);
        // Two names may become the same key.
        while self.seen.iter().any(|seen| self.labels[seen.key.clone()] == self.labels[begin..]) {
            self.labels.push(b'_');
        }
        self.seen.push(Seen { name, key: begin..self.labels.len() });
        self.labels.extend_from_slice(b"\":");
        self.labels.extend_from_slice(value);
    }

    fn append_to(&self, into: &mut Vec<u8>) {
        if self.labels.is_empty() && self.left_out == 0 {
            return;
        }
        into.extend_from_slice(b",\"labels\":{");
        into.extend_from_slice(&self.labels);
        let has_such_label = self.seen.iter().any(|seen| self.labels[seen.key.clone()] == *b"left_out");
        if self.left_out > 0 && !has_such_label {
            into.extend_from_slice(if self.labels.is_empty() {
                b"\"left_out\":\""
            } else {
                b",\"left_out\":\""
            });
            json::number(into, self.left_out as u64);
            into.push(b'"');
        }
        into.push(b'}');
    }
}

/// A name as a key: with the replacements of the specification of ECS loggers, not blank, not longer than the longest.
fn append_key(into: &mut Vec<u8>, name: &str) {
    let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
    if name.trim().is_empty() {
        into.push(b'_');
    } else if name.contains(['.', '*', '\\']) {
        json::escape(&name.replace(['.', '*', '\\'], "_"), into);
    } else {
        json::escape(name, into);
    }
}

/// As most loggers of the schema write it. The template makes upper case find it, too.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}
