//! What the load program has been promised, in a file that it appends to; what a killed process wrote is there.
//!
//! Lines: `r LANE END` numbers below END may be in use; `p LANE SEQ PARTITION OFFSET` a record that cannot be read is
//! durable there; `a LANE FIRST LAST` these are durable. No fsync: what is killed here are processes, not the machine.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use anyhow::Context;

use crate::{SeqSet, plan::LANES};

/// Numbers are reserved so many at a time; after a kill the rest of them is left out.
const RESERVED_AT_ONCE: u64 = 5_000;

/// Everything a ledger says.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Numbers whose records are durable, poison among them.
    pub acknowledged: [SeqSet; LANES],
    /// Where the durable records that cannot be read lie.
    pub poison: Vec<Poison>,
    /// No number from here on was ever used.
    pub reserved: [u64; LANES],
}

/// A durable record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Which lane's topic.
    pub lane: usize,
    /// Its number.
    pub seq: u64,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: u64,
}

impl Said {
    /// Reads a ledger; one that is not there says nothing.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is none, named.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mut said = Self::default();
        // A line without its end was being written when the program was killed: nobody was told of it.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (place, line) in whole.lines().enumerate() {
            said.take(line).with_context(|| format!("{}:{}: `{line}`", path.display(), place + 1))?;
        }
        Ok(said)
    }

    /// All durable records, of all lanes.
    pub fn acknowledged_len(&self) -> u64 {
        self.acknowledged.iter().map(SeqSet::len).sum()
    }

    fn take(&mut self, line: &str) -> anyhow::Result<()> {
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

/// Hands out numbers, none twice, whatever is killed.
#[derive(Debug)]
pub struct Numbers {
    next: [u64; LANES],
    reserved: [u64; LANES],
}

impl Numbers {
    /// Goes on behind everything the ledger has reserved.
    pub fn behind(said: &Said) -> Self {
        // Numbers begin at 1: 0 tells nothing from a field that was left out.
        let next = said.reserved.map(|end| end.max(1));
        Self { next, reserved: next }
    }

    /// The next `count` numbers of a lane: the first of them. They are reserved on paper before they are used.
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

/// The file, open to append.
#[derive(Debug)]
pub struct Ledger(File);

impl Ledger {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// A file that cannot be written; or that ends within a line and cannot be mended.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // A line that a kill cut short must not swallow the next one.
        if let Ok(text) = std::fs::read(path)
            && text.last().is_some_and(|last| *last != b'\n')
        {
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole as u64).with_context(|| path.display().to_string())?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(file.with_context(|| path.display().to_string())?))
    }

    /// A second pen on the same file.
    ///
    /// # Errors
    /// When the operating system has no more handles.
    pub fn another(&self) -> anyhow::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Appends whole lines, in one piece.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, lines: &str) -> anyhow::Result<()> {
        self.0.write_all(lines.as_bytes()).context("the ledger cannot be written")
    }
}
