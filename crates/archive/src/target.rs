//! The store that is written to. What is there stays; what was written is read back and compared.

use std::collections::BTreeMap;

use live_store::LiveStore;

use crate::{Kind, Result, noun::Rows, pages::PAGE_ROWS};

/// What became of the rows, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Kind, RowCounts>);

/// What became of the rows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows that were not there before, or less complete; read back and equal.
    pub new: u64,
    /// Rows that were there, equal.
    pub there: u64,
    /// Rows of which the target has another version, which stays.
    pub kept: u64,
}

impl RowCounts {
    /// Rows that the target holds now.
    pub fn all(&self) -> u64 {
        self.new + self.there + self.kept
    }
}

impl Counts {
    /// Of this kind.
    pub fn of(&self, kind: Kind) -> RowCounts {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, kind: Kind, more: RowCounts) {
        let counts = self.0.entry(kind).or_default();
        counts.new += more.new;
        counts.there += more.there;
        counts.kept += more.kept;
    }
}

pub(crate) struct Target<'a> {
    pub(crate) store: &'a dyn LiveStore,
    pub(crate) counts: Counts,
}

impl<'a> Target<'a> {
    pub(crate) fn new(store: &'a dyn LiveStore) -> Self {
        Self { store, counts: Counts::default() }
    }

    /// Stores rows page by page. `on_page` receives how many are stored, and may end it with an error.
    pub(crate) async fn store(
        &mut self,
        rows: &dyn Rows,
        on_page: &(dyn Fn(u64) -> Result<()> + Send + Sync),
    ) -> Result<()> {
        let mut done = 0;
        while done < rows.len() {
            let end = rows.len().min(done + PAGE_ROWS);
            rows.store(done..end, self).await?;
            done = end;
            on_page(done as u64)?;
        }
        Ok(())
    }
}
