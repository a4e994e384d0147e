//! The store, typed by row.

use connection_url::{is_scheme, without_credentials};
use sqlite_file::FileUrl;

use crate::{
    AnalyticsError, Result, Row, RowQuery,
    cell::CellReader,
    database::{Database, TableRows},
    mysql::MySqlDatabase,
    sql,
    sqlite::SqliteDatabase,
};

/// The analytics store.
pub struct AnalyticsStore {
    database: Box<dyn Database>,
}

/// Rows of any tables to store in one transaction.
#[derive(Debug, Default)]
pub struct Changes(Vec<TableRows>);

impl Changes {
    /// Adds rows of one table.
    #[must_use]
    pub fn with<R: Row>(mut self, rows: &[R]) -> Self {
        self.0.push(TableRows { table: R::TABLE, rows: rows.iter().map(|row| row.cells().0).collect() });
        self
    }
}

impl AnalyticsStore {
    /// Rows by date, then symbol, ascending: the newest `limit`, at most [`RowQuery::MAX`].
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn rows<R: Row>(&self, query: &RowQuery) -> Result<Vec<R>> {
        let found = self.database.select(R::TABLE, query).await?;
        let read = |cells| R::read(&mut CellReader::new(R::TABLE, cells)).map_err(AnalyticsError::from);
        found.into_iter().map(read).collect()
    }

    /// Stores rows in one transaction, replacing those of the same key that differ; the others stay as they are, also their
    /// `computed_at`. Returns how many were new or differed.
    ///
    /// # Errors
    /// [`AnalyticsError`]; then nothing was stored.
    pub async fn store(&self, changes: Changes) -> Result<u64> {
        let mut transaction = self.database.begin().await?;
        let mut stored = 0;
        for rows in &changes.0 {
            let Some(query) = sql::stored(rows) else { continue };
            let found = transaction.select(rows.table, &query).await?;
            let changed = sql::changed(rows, found);
            for chunk in changed.chunks(sql::CHUNK) {
                transaction.upsert(rows.table, chunk).await?;
            }
            stored += changed.len() as u64;
        }
        transaction.commit().await?;
        Ok(stored)
    }

    /// Ends all connections; an embedded store is then one whole file. Later calls fail.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn close(&self) -> Result<()> {
        self.database.close().await
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn ping(&self) -> Result<()> {
        self.database.ping().await
    }
}

/// Opens the store that `url` names, creating what is missing.
///
/// `sqlite:path`: a file, with its folders; `?max_mb=N` bounds it. `mysql://user[:password]@host[:port][/database][?ssl-mode=...]`:
/// a database of MySQL 8.4 or MariaDB 10.11, `stock_analytics` unless named; its tables are created.
///
/// # Errors
/// [`AnalyticsError`].
pub async fn open(url: &str) -> Result<AnalyticsStore> {
    let database: Box<dyn Database> = match Location::parse(url)? {
        Location::File(file) => Box::new(SqliteDatabase::open(&file).await?),
        Location::Server => Box::new(MySqlDatabase::open(url).await?),
    };
    Ok(AnalyticsStore { database })
}

/// Opens the store that `url` names, as [`open`], to read it: nothing is created, and on a server the right to read is enough.
///
/// # Errors
/// [`AnalyticsError`]; a store that does not exist yet is [`AnalyticsError::NotCreated`].
pub async fn open_for_reading(url: &str) -> Result<AnalyticsStore> {
    let database: Box<dyn Database> = match Location::parse(url)? {
        Location::File(file) => Box::new(SqliteDatabase::open_for_reading(&file).await?),
        Location::Server => Box::new(MySqlDatabase::open_for_reading(url).await?),
    };
    Ok(AnalyticsStore { database })
}

/// Where a URL leads.
pub(crate) enum Location {
    File(FileUrl),
    Server,
}

impl Location {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let bad = |reason: String| AnalyticsError::BadUrl { url: without_credentials(url), reason };
        match url.split_once(':') {
            Some(("sqlite", rest)) => Ok(Self::File(FileUrl::parse(rest).map_err(bad)?)),
            Some(("mysql" | "mariadb", rest)) if rest.starts_with("//") => Ok(Self::Server),
            // The driver would take the rest, with a password in it, for the name of a database, and show it in errors.
            Some((scheme @ ("mysql" | "mariadb"), _)) => {
                let url = format!("{scheme}:...");
                Err(AnalyticsError::BadUrl { url, reason: format!("no // after {scheme}:") })
            }
            Some((scheme, _)) if is_scheme(scheme) => Err(bad(format!("no adapter for `{scheme}:`"))),
            _ => Err(bad("the scheme is missing".to_owned())),
        }
    }
}
