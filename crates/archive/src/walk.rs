//! All selected rows of a store, page by page, in an order that can be taken up anywhere: noun by noun.

use live_store::LiveStore;

use crate::{
    Prices, Result, Selection,
    held::held,
    noun::{AnyPages, NOUNS, Page, Place, Source},
    pages::patiently,
    prices::Held,
};

/// A walk through a store.
pub(crate) struct Walk<'a> {
    source: Source<'a>,
    /// The index of the noun that is being read.
    noun: usize,
    pages: Option<Box<dyn AnyPages>>,
    held: Held,
}

impl<'a> Walk<'a> {
    /// Behind `after`, or from the beginning.
    pub(crate) async fn start(
        store: &'a dyn LiveStore,
        selection: &'a Selection,
        after: Option<&Place>,
    ) -> Result<Self> {
        let mut symbols = patiently(|| store.symbols()).await?;
        symbols.retain(|symbol| selection.has_symbol(*symbol));
        let held = held(store, selection).await?;
        held.only()?;
        let source = Source { store, selection, symbols };
        let mut walk = Self { source, noun: 0, pages: None, held };
        if let Some(place) = after {
            walk.noun = NOUNS.iter().position(|noun| noun.kind() == place.kind).unwrap_or(NOUNS.len());
            if let Some(noun) = NOUNS.get(walk.noun) {
                walk.pages = Some(noun.pages(&walk.source, Some(place)).await?);
            }
        }
        Ok(walk)
    }

    /// Which prices were met.
    pub(crate) fn prices(&self) -> Result<Option<Prices>> {
        self.held.only()
    }

    /// The next page, never empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>> {
        while let Some(noun) = NOUNS.get(self.noun) {
            if !self.source.selection.has_noun(*noun) {
                self.noun += 1;
                continue;
            }
            if self.pages.is_none() {
                self.pages = Some(noun.pages(&self.source, None).await?);
            }
            let Some(pages) = &mut self.pages else { continue };
            match pages.next(&self.source).await? {
                Some(page) if page.rows.len() > 0 => {
                    // Real and simulated prices are separated row by row.
                    page.rows.add_to(&mut self.held);
                    self.held.only()?;
                    return Ok(Some(page));
                }
                Some(_) => {}
                None => {
                    self.pages = None;
                    self.noun += 1;
                }
            }
        }
        Ok(None)
    }
}
