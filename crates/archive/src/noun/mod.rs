//! The nouns of the live store in an archive. A noun is one file with its rows as JSON, out of a store and into one, and
//! one line in [`NOUNS`].

mod candles;
mod checkpoints;
mod ticks;

use std::{io, ops::Range, path::Path};

use async_trait::async_trait;
use live_store::LiveStore;
use market::Symbol;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{ArchiveError, Kind, Prices, Result, Selection, manifest::JOURNAL, prices::Held, target::Target};

/// Left out are leases of jobs, and mails: a backup has as owed what has been sent since, and restoring it would send it again.
///
/// Every noun, in the order in which a store is walked. Those that stand for others come first: then what they stand for
/// is there when it is read.
///
/// Not included yet: `alert_rules` and `alert_history` (deliveries that are owed must not be mailed by the installation that imports
/// them as well), and what is owed to people. `alert_facts`, the calls of keys and the leases of jobs mean nothing in another installation.
pub(crate) const NOUNS: [&dyn AnyNoun; 3] = [&checkpoints::Checkpoints, &ticks::Ticks, &candles::Candles];

/// What a walk reads from.
pub(crate) struct Source<'a> {
    pub(crate) store: &'a dyn LiveStore,
    pub(crate) selection: &'a Selection,
    /// The selected symbols of the store, in order.
    pub(crate) symbols: Vec<Symbol>,
}

/// One noun.
#[async_trait]
pub(crate) trait Noun: Send + Sync + 'static {
    /// A row.
    type Row: Clone + Send + Sync + 'static;
    /// Where a page ended, for an export that continues there.
    type Place: Serialize + DeserializeOwned + Send;
    /// The rows of a store that are being read.
    type Pages: Pages<Self>;

    /// Its name.
    const KIND: Kind;
    /// Its rows stand for those of other nouns: they are taken only where nothing is left out, and stored behind all
    /// others where it is asked for.
    const STANDS_FOR_OTHERS: bool = false;

    /// Rows out: from the beginning, or behind a place.
    async fn pages(source: &Source<'_>, after: Option<Self::Place>) -> Result<Self::Pages>;

    /// Appends a row as a line of JSON, exact to the last digit.
    fn encode(row: &Self::Row, text: &mut Vec<u8>) -> serde_json::Result<()>;

    /// A row from its line.
    fn decode(line: &str) -> Result<Self::Row, String>;

    /// Which prices a row has, and of which symbol; `None` where it has none.
    fn prices(_row: &Self::Row) -> Option<(Prices, Symbol)> {
        None
    }

    /// Whether a selection includes the row.
    fn is_selected(_row: &Self::Row, _selection: &Selection) -> bool {
        true
    }

    /// Refuses rows that the target cannot take, before any row of any noun is stored.
    async fn check(_rows: &[Self::Row], _target: &Target<'_>) -> Result<()> {
        Ok(())
    }

    /// Rows in: stores at most a page of them, and compares what the target then returns.
    async fn store(rows: &[Self::Row], target: &mut Target<'_>) -> Result<()>;
}

/// The rows of a noun, page by page.
#[async_trait]
pub(crate) trait Pages<N: Noun + ?Sized>: Send {
    /// The next page; `None` at the end. It may be empty.
    async fn next(&mut self, source: &Source<'_>) -> Result<Option<PageOf<N>>>;
}

/// A page of one noun.
pub(crate) struct PageOf<N: Noun + ?Sized> {
    pub(crate) rows: Vec<N::Row>,
    /// Names the files of rows that belong together: the day, or the width.
    pub(crate) part: String,
    pub(crate) end: N::Place,
}

/// A page of any noun.
pub(crate) struct Page {
    pub(crate) rows: Box<dyn Rows>,
    pub(crate) part: String,
    pub(crate) end: Place,
}

/// Everything up to here has been read: the noun, and a place of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    #[serde(flatten)]
    at: Map<String, Value>,
}

/// Any noun.
#[async_trait]
pub(crate) trait AnyNoun: Send + Sync {
    fn kind(&self) -> Kind;
    fn stands_for_others(&self) -> bool;
    /// Rows out: from the beginning, or behind a place of this noun.
    async fn pages(&self, source: &Source<'_>, after: Option<&Place>) -> Result<Box<dyn AnyPages>>;
    /// All rows of a file, or none. `path` is for messages.
    fn parse(&self, path: &Path, text: &str) -> Result<Box<dyn Rows>>;
}

/// The pages of any noun.
#[async_trait]
pub(crate) trait AnyPages: Send {
    /// The next page; `None` at the end. It may be empty.
    async fn next(&mut self, source: &Source<'_>) -> Result<Option<Page>>;
}

/// Rows of any noun.
#[async_trait]
pub(crate) trait Rows: Send + Sync {
    fn kind(&self) -> Kind;
    fn stands_for_others(&self) -> bool;
    fn len(&self) -> usize;
    fn encode(&self, text: &mut Vec<u8>) -> Result<()>;
    /// Each row that has prices: its index, which prices, and of which symbol.
    fn prices(&self) -> Box<dyn Iterator<Item = (usize, Prices, Symbol)> + '_>;
    fn retain(&mut self, selection: &Selection);
    async fn check(&self, target: &Target<'_>) -> Result<()>;
    /// Stores some of the rows, at most a page.
    async fn store(&self, some: Range<usize>, target: &mut Target<'_>) -> Result<()>;
}

impl dyn Rows {
    pub(crate) fn add_to(&self, held: &mut Held) {
        for (_, prices, symbol) in self.prices() {
            held.add(prices, symbol);
        }
    }
}

struct RowsOf<N: Noun>(Vec<N::Row>);

struct PagesOf<N: Noun>(N::Pages);

#[async_trait]
impl<N: Noun> AnyNoun for N {
    fn kind(&self) -> Kind {
        N::KIND
    }

    fn stands_for_others(&self) -> bool {
        N::STANDS_FOR_OTHERS
    }

    async fn pages(&self, source: &Source<'_>, after: Option<&Place>) -> Result<Box<dyn AnyPages>> {
        let after = after.map(|place| serde_json::from_value(Value::Object(place.at.clone())));
        let after = after.transpose().map_err(|error| place_error(N::KIND, error))?;
        Ok(Box::new(PagesOf::<N>(N::pages(source, after).await?)))
    }

    fn parse(&self, path: &Path, text: &str) -> Result<Box<dyn Rows>> {
        // Counted first: a list that grows is for a moment there twice.
        let mut rows = Vec::with_capacity(text.lines().count());
        for (line, text) in (1..).zip(text.lines()) {
            rows.push(N::decode(text).map_err(|reason| {
                let path = path.display().to_string();
                ArchiveError::BadRow { path, line, reason }
            })?);
        }
        Ok(Box::new(RowsOf::<N>(rows)))
    }
}

#[async_trait]
impl<N: Noun> AnyPages for PagesOf<N> {
    async fn next(&mut self, source: &Source<'_>) -> Result<Option<Page>> {
        let Some(PageOf { rows, part, end }) = self.0.next(source).await? else { return Ok(None) };
        let at = match serde_json::to_value(end) {
            Ok(Value::Object(at)) => at,
            Ok(_) => Map::new(),
            Err(error) => return Err(place_error(N::KIND, error)),
        };
        Ok(Some(Page { rows: Box::new(RowsOf::<N>(rows)), part, end: Place { kind: N::KIND, at } }))
    }
}

fn place_error(kind: Kind, error: serde_json::Error) -> ArchiveError {
    let error = io::Error::other(format!("the place of {kind} where it ended: {error}"));
    ArchiveError::io("use", Path::new(JOURNAL), error)
}

#[async_trait]
impl<N: Noun> Rows for RowsOf<N> {
    fn kind(&self) -> Kind {
        N::KIND
    }

    fn stands_for_others(&self) -> bool {
        N::STANDS_FOR_OTHERS
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, text: &mut Vec<u8>) -> Result<()> {
        let written = self.0.iter().try_for_each(|row| N::encode(row, text));
        written.map_err(|error| ArchiveError::io("write", Path::new(N::KIND.as_str()), error.into()))
    }

    fn prices(&self) -> Box<dyn Iterator<Item = (usize, Prices, Symbol)> + '_> {
        let rows = self.0.iter().enumerate();
        Box::new(
            rows.filter_map(|(index, row)| N::prices(row).map(|(prices, symbol)| (index, prices, symbol))),
        )
    }

    fn retain(&mut self, selection: &Selection) {
        self.0.retain(|row| N::is_selected(row, selection));
    }

    async fn check(&self, target: &Target<'_>) -> Result<()> {
        N::check(&self.0, target).await
    }

    async fn store(&self, some: Range<usize>, target: &mut Target<'_>) -> Result<()> {
        N::store(self.0.get(some).unwrap_or_default(), target).await
    }
}
