//! The fields of an event or a span, as JSON strings.

use std::{
    error::Error,
    fmt::{self, Debug, Write},
};

use tracing::field::{Field, Visit};

use crate::json;

/// The field that holds the message of an event.
pub(crate) const MESSAGE: &str = "message";
/// The error that an event reports.
pub(crate) const ERROR_MESSAGE: &str = "error.message";
/// The error with its sources.
pub(crate) const ERROR_STACK: &str = "error.stack_trace";
/// What the lines of one operation have in common.
pub(crate) const TRACE: &str = "trace.id";

/// More fields of one event or one span than this are left out and counted.
pub(crate) const MAX_FIELDS: usize = 200;
/// A source of a source, and so on, so many times: a chain may be a circle.
const MAX_SOURCES: usize = 32;
/// Values larger than this give their memory back.
const KEPT_BYTES: usize = 1_024;

/// Names and values, in the order in which they were recorded. The memory is reused.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    entries: Vec<Entry>,
    used: usize,
    left_out: usize,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// A JSON string.
    value: Vec<u8>,
}

impl Fields {
    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        (self.used, self.left_out) = (0, 0);
    }

    /// The value of a field, as a JSON string.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(of, _)| *of == name).map(|(_, value)| value)
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.entries[..self.used].iter().map(|entry| (entry.name, entry.value.as_slice()))
    }

    /// Fields that there was no room for.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Sets the fields of another, in place of earlier values of the same names.
    pub(crate) fn take_over(&mut self, other: Self) {
        self.left_out += other.left_out;
        for Entry { name, value } in other.entries.into_iter().take(other.used) {
            if let Some(entry) = self.entry(name) {
                entry.value = value;
            }
        }
    }

    /// Sets a field, in place of an earlier value of the same name.
    pub(crate) fn set(&mut self, name: &'static str, write: impl FnOnce(&mut json::Text<'_>) -> fmt::Result) {
        let Some(entry) = self.entry(name) else { return };
        entry.value.clear();
        if entry.value.capacity() > KEPT_BYTES {
            entry.value = Vec::new();
        }
        json::format(&mut entry.value, write);
    }

    /// The entry of this name, which may be new; `None` if there is no room.
    fn entry(&mut self, name: &'static str) -> Option<&mut Entry> {
        let known = self.entries[..self.used].iter().position(|entry| entry.name == name);
        let at = match known {
            Some(at) => at,
            None if self.used == MAX_FIELDS => {
                self.left_out += 1;
                return None;
            }
            None => {
                self.used += 1;
                self.used - 1
            }
        };
        if at == self.entries.len() {
            self.entries.push(Entry { name, value: Vec::new() });
        }
        let entry = &mut self.entries[at];
        entry.name = name;
        Some(entry)
    }
}

/// Names that are in use for the fields of the schema.
fn schema_name(name: &'static str) -> &'static str {
    match name {
        "error" | "err" => ERROR_MESSAGE,
        "trace_id" => TRACE,
        _ => name,
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(schema_name(field.name()), |text| write!(text, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(schema_name(field.name()), |text| text.write_str(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let is_first = self.get(ERROR_MESSAGE).is_none();
        let name = if is_first { ERROR_MESSAGE } else { schema_name(field.name()) };
        self.set(name, |text| write!(text, "{value}"));
        if is_first && value.source().is_some() {
            self.set(ERROR_STACK, |text| write_chain(text, value));
        }
    }
}

/// The error and its sources, one a line.
fn write_chain(text: &mut json::Text<'_>, error: &(dyn Error + 'static)) -> fmt::Result {
    write!(text, "{error}")?;
    let mut source = error.source();
    for _ in 0..MAX_SOURCES {
        let Some(error) = source else { break };
        write!(text, "\ncaused by: {error}")?;
        source = error.source();
    }
    Ok(())
}
