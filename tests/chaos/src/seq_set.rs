//! A set of sequence numbers with one bit for each: a million take 125 kB.

use std::ops::Range;

/// A set of numbers from 0. Its memory depends on the largest one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqSet {
    words: Vec<u64>,
    len: u64,
}

impl SeqSet {
    /// Adds a number. Returns whether it is new.
    pub fn insert(&mut self, seq: u64) -> bool {
        let (word, bit) = ((seq / 64) as usize, 1 << (seq % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u64::from(is_new);
        is_new
    }

    /// Whether the set has the number.
    pub fn contains(&self, seq: u64) -> bool {
        self.words.get((seq / 64) as usize).is_some_and(|word| word & (1 << (seq % 64)) != 0)
    }

    /// Size of the set.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0_u64..).zip(&self.words).filter(|(_, word)| **word != 0).flat_map(|(index, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * 64 + bit)
        })
    }

    /// The numbers that are not in `other`, ascending.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.iter().filter(|seq| !other.contains(*seq))
    }
}

impl Extend<u64> for SeqSet {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, seqs: T) {
        for seq in seqs {
            self.insert(seq);
        }
    }
}

impl FromIterator<u64> for SeqSet {
    fn from_iter<T: IntoIterator<Item = u64>>(seqs: T) -> Self {
        let mut set = Self::default();
        set.extend(seqs);
        set
    }
}

/// Ascending numbers as text with ranges, limited to the first few: `3, 7-12, ...`.
pub(crate) fn listed(seqs: impl Iterator<Item = u64>) -> String {
    const SHOWN: usize = 5;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for seq in seqs {
        if let Some(last) = ranges.last_mut().filter(|last| last.end == seq) {
            last.end += 1;
        } else if ranges.len() > SHOWN {
            break;
        } else {
            ranges.push(seq..seq + 1);
        }
    }
    let one = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{}-{}", range.start, range.end - 1),
    };
    let mut text: Vec<String> = ranges.iter().take(SHOWN).map(one).collect();
    if ranges.len() > SHOWN {
        text.push("...".to_owned());
    }
    text.join(", ")
}
