//! The acknowledgements of the load program, in a file that survives a kill of the process.
//!
//! Lines: `r LANE END`: numbers below END may be in use; `p LANE SEQ PARTITION OFFSET`: a record that cannot be decoded is
//! durable at this offset; `a LANE FIRST LAST`: these numbers are durable. No fsync: only processes are killed, not the machine.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use anyhow::Context;

use crate::{SeqSet, plan::LANES};

/// Numbers are reserved in blocks of this size; after a kill the rest of a block is not used.
const RESERVED_AT_ONCE: u64 = 5_000;

/// The content of a ledger.
#[derive(Clone, Debug, Default)]
pub struct LedgerContent {
    /// Numbers whose records are durable, including poison.
    pub acknowledged: [SeqSet; LANES],
    /// The durable records that cannot be decoded.
    pub poison: Vec<Poison>,
    /// Numbers from this one were never used.
    pub reserved: [u64; LANES],
}

/// A durable record that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Its lane.
    pub lane: usize,
    /// Its number.
    pub seq: u64,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: u64,
}

impl LedgerContent {
    /// Reads a ledger; a missing file is an empty ledger.
    ///
    /// # Errors
    /// A file that cannot be read, or an invalid line, with its number.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mut content = Self::default();
        // An incomplete last line was being written when the program was killed.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (index, line) in whole.lines().enumerate() {
            content.add(line).with_context(|| format!("{}:{}: `{line}`", path.display(), index + 1))?;
        }
        Ok(content)
    }

    /// Number of durable records in all lanes.
    pub fn acknowledged_len(&self) -> u64 {
        self.acknowledged.iter().map(SeqSet::len).sum()
    }

    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let (kind, rest) = line.split_once(' ').context("no kind")?;
        let numbers: Vec<u64> = rest.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let lane = *numbers.first().context("no lane")? as usize;
        anyhow::ensure!(lane < LANES, "no such lane");
        match (kind, &numbers[1..]) {
            ("r", [end]) => self.reserved[lane] = self.reserved[lane].max(*end),
            ("a", [first, last]) => self.acknowledged[lane].extend(*first..=*last),
            ("p", [seq, partition, offset]) => {
                let (seq, partition, offset) = (*seq, i32::try_from(*partition)?, *offset);
                self.poison.push(Poison { lane, seq, partition, offset });
            }
            _ => anyhow::bail!("unknown kind, or too few or too many numbers"),
        }
        Ok(())
    }
}

/// Allocates sequence numbers, each only once, also across kills.
#[derive(Debug)]
pub struct SeqAllocator {
    next: [u64; LANES],
    reserved: [u64; LANES],
}

impl SeqAllocator {
    /// Continues after all reserved numbers of the ledger.
    pub fn after(content: &LedgerContent) -> Self {
        // Numbers start at 1, as 0 could be a missing field.
        let next = content.reserved.map(|end| end.max(1));
        Self { next, reserved: next }
    }

    /// Allocates the next `count` numbers of a lane, and returns the first. They are reserved in the ledger before they are used.
    ///
    /// # Errors
    /// A ledger that cannot be written.
    pub fn take(&mut self, lane: usize, count: u64, ledger: &mut Ledger) -> anyhow::Result<u64> {
        let first = self.next[lane];
        let end = first + count;
        if end > self.reserved[lane] {
            self.reserved[lane] = end + RESERVED_AT_ONCE;
            ledger.write(&format!("r {lane} {}\n", self.reserved[lane]))?;
        }
        self.next[lane] = end;
        Ok(first)
    }
}

/// The ledger's file, open for appending.
#[derive(Debug)]
pub struct Ledger(File);

impl Ledger {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// A file that cannot be written, or whose incomplete last line cannot be removed.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // Removes an incomplete last line, which would merge with the next one.
        if let Ok(text) = std::fs::read(path)
            && text.last().is_some_and(|last| *last != b'\n')
        {
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole as u64).with_context(|| path.display().to_string())?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(file.with_context(|| path.display().to_string())?))
    }

    /// A second handle on the same file.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn try_clone(&self) -> anyhow::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Appends complete lines in one write.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, lines: &str) -> anyhow::Result<()> {
        self.0.write_all(lines.as_bytes()).context("cannot write the ledger")
    }
}
