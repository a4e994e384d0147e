//! Reads a recording, plain or compressed with gzip, chunk by chunk.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, anyhow, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use market::{Candle, Symbol};
use tokio::sync::mpsc::Sender;

use super::{
    Chunk, Item,
    candle_table::CandleTable,
    cell::cells,
    format::{Detected, FIRST_LINES, Format, Lines},
};

/// Longer lines are bad lines.
const MAX_LINE_BYTES: u64 = 256 * 1024;
/// Lines of a chunk.
const CHUNK_LINES: usize = 500;
/// A table of ticks that runs from the newest to the oldest is read whole, up to so many bytes.
const MAX_REVERSED_BYTES: usize = 256 << 20;
/// How other kinds of files begin.
const OTHER_KINDS: [(&[u8], &str); 4] = [
    (b"PK\x03\x04", "this is a ZIP archive (or a spreadsheet): unpack it, or save it as CSV"),
    (b"\xff\xfe", "this is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "this is UTF-16: save it as UTF-8"),
    (b"PAR1", "this is a Parquet file: save it as CSV"),
];

/// A line, or why it is none.
struct RawLine {
    text: Result<String, String>,
    /// In the file.
    bytes: u64,
}

/// The lines of a file.
struct LineReader {
    reader: Box<dyn BufRead>,
    number: u64,
}

impl LineReader {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let start = file.fill_buf()?;
        if let Some((_, what)) = OTHER_KINDS.iter().find(|(magic, _)| start.starts_with(magic)) {
            bail!("{what}");
        }
        let is_gzip = start.starts_with(b"\x1f\x8b");
        let reader: Box<dyn BufRead> =
            if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Self { reader, number: 0 })
    }

    /// The next line without white space around it; `None` at the end.
    fn next(&mut self) -> std::io::Result<Option<RawLine>> {
        let mut line = Vec::new();
        // At most the limit and one byte is kept.
        let mut bytes =
            Read::by_ref(&mut self.reader).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        if bytes > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            bytes += self.reader.skip_until(b'\n')? as u64;
        }
        self.number += 1;
        Ok(Some(RawLine { text: text(line), bytes }))
    }
}

fn text(line: Vec<u8>) -> Result<String, String> {
    if line.len() as u64 > MAX_LINE_BYTES {
        return Err(format!("longer than {MAX_LINE_BYTES} bytes"));
    }
    let line = String::from_utf8(line)
        .map_err(|error| format!("not UTF-8 (byte {})", error.utf8_error().valid_up_to()))?;
    Ok(line.trim_start_matches('\u{feff}').trim().to_owned())
}

/// A recording of which the first lines are read.
struct Opened {
    first: Vec<RawLine>,
    lines: LineReader,
    detected: Detected,
}

/// Reads the first lines. `symbol` is that of files which name none.
fn open(path: &Path, symbol: Option<Symbol>) -> anyhow::Result<Opened> {
    let named = || path.display().to_string();
    let mut lines = LineReader::open(path).with_context(named)?;
    let mut first = Vec::new();
    while first.len() < FIRST_LINES {
        match lines.next().with_context(named)? {
            Some(line) => first.push(line),
            None => break,
        }
    }
    let texts: Vec<String> = first.iter().map(|line| line.text.clone().unwrap_or_default()).collect();
    let detected =
        Detected::of(path, &texts, symbol).map_err(|reason| anyhow!("{}: {reason}", path.display()))?;
    Ok(Opened { first, lines, detected })
}

/// Whether the file has more than a header, as far as its first lines show. `symbol` is that of files which name none.
///
/// # Errors
/// A file that cannot be read or is no recording, with its name.
pub(super) fn has_rows(path: &Path, symbol: Option<Symbol>) -> anyhow::Result<bool> {
    let Opened { first, detected, .. } = open(path, symbol)?;
    let mut rows = first.iter().skip(detected.header_lines as usize);
    Ok(first.len() == FIRST_LINES || rows.any(|line| line.text.as_deref() != Ok("")))
}

/// Reads the file to its end, chunk by chunk, until the receiver is gone. `symbol` is that of files which name none.
///
/// # Errors
/// A file that cannot be read or is no recording, with its name.
pub(super) fn read(path: &Path, symbol: Option<Symbol>, chunks: &Sender<Chunk>) -> anyhow::Result<()> {
    let named = || path.display().to_string();
    let Opened { first, mut lines, detected } = open(path, symbol)?;
    let mut batch = Batch { chunk: Chunk::default(), chunks };
    let mut rest = first.into_iter().map(Ok).chain(std::iter::from_fn(|| lines.next().transpose()));
    for _ in 0..detected.header_lines {
        if let Some(line) = rest.next() {
            batch.count(&line.with_context(named)?);
            batch.chunk.empty_lines += 1;
        }
    }
    let numbered = (detected.header_lines + 1..).zip(rest.map(|line| line.with_context(named)));
    match detected.format {
        Format::Lines(format) if detected.is_newest_first => {
            reversed(*format, numbered, &mut batch).with_context(named)?;
        }
        Format::Lines(format) => in_order(*format, numbered, &mut batch)?,
        Format::Candles(table) => candles(*table, numbered, &mut batch).with_context(named)?,
    }
    batch.send();
    Ok(())
}

/// What is read but not sent yet.
struct Batch<'a> {
    chunk: Chunk,
    chunks: &'a Sender<Chunk>,
}

impl Batch<'_> {
    /// Counts a line; its text, if it can be read and is not empty.
    fn count<'line>(&mut self, line: &'line RawLine) -> Option<Result<&'line str, &'line str>> {
        self.chunk.lines += 1;
        self.chunk.bytes += line.bytes;
        match &line.text {
            Ok(text) if text.is_empty() => {
                self.chunk.empty_lines += 1;
                None
            }
            Ok(text) => Some(Ok(text)),
            Err(reason) => Some(Err(reason)),
        }
    }

    fn take(&mut self, number: u64, read: Result<(Vec<Item>, Option<String>), String>) {
        let (items, bad) = read.unwrap_or_else(|reason| (Vec::new(), Some(reason)));
        self.chunk.empty_lines += u64::from(items.is_empty() && bad.is_none());
        self.chunk.items.extend(items);
        self.chunk.bad.extend(bad.map(|reason| (number, reason)));
    }

    /// Whether more is wanted: the receiver is gone only while the process shuts down.
    fn send_full(&mut self) -> bool {
        let is_full = self.chunk.lines as usize >= CHUNK_LINES || self.chunk.items.len() >= CHUNK_LINES;
        !is_full || self.send()
    }

    fn send(&mut self) -> bool {
        self.chunks.blocking_send(std::mem::take(&mut self.chunk)).is_ok()
    }
}

fn in_order(
    mut format: Lines,
    lines: impl Iterator<Item = (u64, anyhow::Result<RawLine>)>,
    batch: &mut Batch<'_>,
) -> anyhow::Result<()> {
    for (number, line) in lines {
        let line = line?;
        match batch.count(&line) {
            Some(Ok(text)) => batch.take(number, format.line(text)),
            Some(Err(reason)) => batch.take(number, Err(reason.to_owned())),
            None => {}
        }
        if !batch.send_full() {
            break;
        }
    }
    Ok(())
}

/// The oldest line first.
fn reversed(
    format: Lines,
    lines: impl Iterator<Item = (u64, anyhow::Result<RawLine>)>,
    batch: &mut Batch<'_>,
) -> anyhow::Result<()> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    for (number, line) in lines {
        let line = line?;
        bytes += line.bytes as usize;
        ensure!(
            bytes <= MAX_REVERSED_BYTES,
            "it runs from the newest to the oldest and is larger than {MAX_REVERSED_BYTES} bytes: sort it by time"
        );
        held.push((number, Ok(line)));
    }
    held.reverse();
    in_order(format, held.into_iter(), batch)
}

fn candles(
    mut table: CandleTable,
    lines: impl Iterator<Item = (u64, anyhow::Result<RawLine>)>,
    batch: &mut Batch<'_>,
) -> anyhow::Result<()> {
    for (number, line) in lines {
        let line = line?;
        let read = match batch.count(&line) {
            None => continue,
            Some(Err(reason)) => Err(reason.to_owned()),
            Some(Ok(text)) => {
                cells(text).map_err(|error| error.to_string()).and_then(|cells| table.take(number, &cells))
            }
        };
        if let Err(reason) = read {
            batch.chunk.bad.push((number, reason));
        }
        if !batch.send_full() {
            return Ok(());
        }
    }
    let whole = table.finish().map_err(|reason| anyhow!(reason))?;
    batch.chunk.bad.extend(whole.bad);
    batch.chunk.bad.sort_unstable();
    batch.chunk.remarks.extend(whole.remarks);
    for item in whole.items {
        batch.chunk.items.push(item);
        if !batch.send_full() {
            break;
        }
    }
    Ok(())
}

/// The candles of a table of candles, without ticks. `name` is that of its file, which is named for the symbol.
///
/// # Errors
/// A name that is no symbol, or a row that cannot be read, with its line.
pub fn daily_candles(name: &str, text: &str) -> anyhow::Result<Vec<Candle>> {
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let first = lines.get(..FIRST_LINES).unwrap_or(&lines);
    let detected =
        Detected::of(Path::new(name), first, None).map_err(|reason| anyhow!("{name}: {reason}"))?;
    let Format::Candles(mut table) = detected.format else { bail!("{name} has no candles") };
    let refused = |(line, reason): (u64, String)| anyhow!("{name}, line {line}: {reason}");
    for (number, line) in (1..).zip(&lines).skip(detected.header_lines as usize) {
        let read =
            cells(line).map_err(|error| error.to_string()).and_then(|cells| table.take(number, &cells));
        read.map_err(|reason| refused((number, reason)))?;
    }
    let whole = table.finish().map_err(|reason| anyhow!("{name}: {reason}"))?;
    match whole.bad.into_iter().next() {
        Some(bad) => Err(refused(bad)),
        None => Ok(whole.items.iter().filter_map(Item::candle).copied().collect()),
    }
}
