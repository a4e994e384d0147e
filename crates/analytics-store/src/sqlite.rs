//! The embedded adapter: one SQLite file.

use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use futures_util::TryStreamExt;
use market::{decimal_from_f64, decimal_to_f64};
use sqlite_file::{
    Durability, Failure, FileLook, FileUrl, Format, SqliteFile, SqliteFileError, Tuning, WriteTransaction,
};
use sqlx::{
    Arguments, AssertSqlSafe, Connection, Row, SqliteConnection,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    AnalyticsError, Result, RowQuery, StoreCheck,
    cell::{Cell, Kind, Table},
    database::{Database, Transaction},
    sql,
};

const FORMAT: Format = Format {
    // `TDAN`
    application_id: 0x5444_414e,
    unmarked_table: None,
    name: "analytics store",
    steps: &[include_str!("../../../schema/sqlite/analytics/0001_aggregates.sql")],
};

/// Written once a night, read by pages.
const TUNING: Tuning = Tuning {
    page_bytes: 4096,
    readers: 2,
    checkpoint_pages: 1000,
    writer_cache_kb: 4 << 10,
    reader_cache_kb: 2 << 10,
    durability: Durability::Power,
};

/// Which format the file has, and whether it may be written.
pub(crate) async fn look(path: &Path) -> Result<StoreCheck> {
    let place = path.display().to_string();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let check = |format, found| StoreCheck {
        place,
        format,
        newest: FORMAT.newest(),
        found,
        folder: Some(folder.to_owned()),
    };
    let Some(FileLook { format, bytes, connection }) = sqlite_file::look(path, &FORMAT).await? else {
        return Ok(check(0, "does not exist yet".to_owned()));
    };
    connection.close().await.map_err(|error| AnalyticsError::from(Failure::of(&error).at(path)))?;
    Ok(check(format, format!("{:.1} MB", bytes as f64 / 1e6)))
}

pub(crate) struct SqliteDatabase {
    file: SqliteFile,
}

impl SqliteDatabase {
    /// Opens or creates the file, with its folder, in the newest format.
    pub(crate) async fn open(url: &FileUrl) -> Result<Self> {
        let (file, _) = SqliteFile::open(url, &TUNING, &FORMAT, "analytics").await?;
        Ok(Self { file })
    }

    /// Opens a file that exists.
    pub(crate) async fn open_for_reading(url: &FileUrl) -> Result<Self> {
        if !url.path.exists() {
            let place = url.path.display().to_string();
            return Err(AnalyticsError::NotCreated { place });
        }
        Self::open(url).await
    }

    fn failure(&self, error: &sqlx::Error) -> AnalyticsError {
        self.file.failure(error).into()
    }

    fn damaged(&self, table: Table, error: &BoxDynError) -> AnalyticsError {
        let place = self.file.path().display().to_string();
        AnalyticsError::Refused { place, reason: format!("a row of {} is damaged: {error}", table.name) }
    }
}

#[async_trait]
impl Database for SqliteDatabase {
    async fn select(&self, table: Table, query: &RowQuery) -> Result<Vec<Vec<Cell>>> {
        let mut connection = self.file.readers().acquire().await.map_err(|error| self.failure(&error))?;
        self.select_on(&mut connection, table, query).await
    }

    async fn begin(&self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(SqliteTransaction { database: self, inner: self.file.begin().await? }))
    }

    async fn close(&self) -> Result<()> {
        Ok(self.file.close().await?)
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1")
            .execute(self.file.readers())
            .await
            .map(drop)
            .map_err(|error| self.failure(&error))
    }
}

struct SqliteTransaction<'a> {
    database: &'a SqliteDatabase,
    inner: WriteTransaction<'a>,
}

#[async_trait]
impl Transaction for SqliteTransaction<'_> {
    async fn select(&mut self, table: Table, query: &RowQuery) -> Result<Vec<Vec<Cell>>> {
        self.database.select_on(self.inner.connection(), table, query).await
    }

    async fn upsert(&mut self, table: Table, rows: &[&Vec<Cell>]) -> Result<()> {
        let arguments = self.database.arguments(table, rows.iter().copied().flatten())?;
        sqlx::query_with(AssertSqlSafe(upsert(table, rows.len())), arguments)
            .execute(self.inner.connection())
            .await
            .map(drop)
            .map_err(|error| self.database.failure(&error))
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        Ok(self.inner.commit().await?)
    }
}

impl SqliteDatabase {
    async fn select_on(
        &self,
        connection: &mut SqliteConnection,
        table: Table,
        query: &RowQuery,
    ) -> Result<Vec<Vec<Cell>>> {
        let (statement, arguments) = sql::select(table, query);
        let arguments = self.arguments(table, &arguments)?;
        let mut rows = sqlx::query_with(AssertSqlSafe(statement), arguments).fetch(connection);
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|error| self.failure(&error))? {
            found.push(read(table, &row).map_err(|error| self.damaged(table, &error))?);
        }
        found.reverse();
        Ok(found)
    }

    fn arguments<'a>(
        &self,
        table: Table,
        cells: impl IntoIterator<Item = &'a Cell>,
    ) -> Result<SqliteArguments> {
        let mut arguments = SqliteArguments::default();
        for cell in cells {
            bind(cell, &mut arguments).map_err(|error| self.damaged(table, &error))?;
        }
        Ok(arguments)
    }
}

fn upsert(table: Table, rows: usize) -> String {
    let updates: Vec<String> = sql::values(table).map(|name| format!("{name} = excluded.{name}")).collect();
    let insert = sql::insert(table, rows);
    format!("{insert} ON CONFLICT ({}) DO UPDATE SET {}", table.key.join(", "), updates.join(", "))
}

fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn bind(cell: &Cell, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    match cell {
        Cell::Null(_) => to.add(None::<i64>),
        Cell::Date(date) => to.add(date.to_string()),
        Cell::Text(text) => to.add(text.clone()),
        Cell::Decimal(decimal) => to.add(decimal_to_f64(*decimal)),
        Cell::Double(double) => to.add(*double),
        Cell::Count(count) => to.add(*count),
        Cell::Time(time) => to.add(time_text(*time)),
    }
}

fn read(table: Table, row: &SqliteRow) -> Result<Vec<Cell>, BoxDynError> {
    let cell = |(place, (name, kind)): (usize, &(&str, Kind))| -> Result<Cell, BoxDynError> {
        let text = || row.try_get::<Option<String>, _>(place);
        let double = || row.try_get::<Option<f64>, _>(place);
        let cell = match kind {
            Kind::Date => text()?.map(|text| text.parse::<NaiveDate>().map(Cell::Date)).transpose()?,
            Kind::Text => text()?.map(Cell::Text),
            Kind::Decimal => match double()? {
                Some(number) => {
                    let decimal = decimal_from_f64(number)
                        .ok_or_else(|| format!("{name}: {number} is out of range"))?;
                    Some(Cell::Decimal(decimal.normalize()))
                }
                None => None,
            },
            Kind::Double => double()?.map(Cell::Double),
            Kind::Count => row.try_get::<Option<i64>, _>(place)?.map(Cell::Count),
            Kind::Time => text()?.map(|text| text.parse::<DateTime<Utc>>().map(Cell::Time)).transpose()?,
        };
        Ok(cell.unwrap_or(Cell::Null(*kind)))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

impl From<SqliteFileError> for AnalyticsError {
    fn from(SqliteFileError { path: place, failure }: SqliteFileError) -> Self {
        match failure {
            Failure::Full => Self::DiskFull { place },
            Failure::NewerFormat { .. } => Self::NewerFormat { place, reason: failure.to_string() },
            Failure::Busy(_) | Failure::Unavailable(_) => {
                Self::Unavailable { place, reason: failure.to_string() }
            }
            _ => Self::Refused { place, reason: failure.to_string() },
        }
    }
}
