//! The adapter for MySQL 8.4 and later, and MariaDB 10.11 and later.

use std::{borrow::Cow, cmp::Ordering, str::FromStr, time::Duration};

use async_trait::async_trait;
use chrono::{NaiveDate, NaiveDateTime};
use connection_url::without_credentials;
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use sqlx::{
    Arguments, AssertSqlSafe, ConnectOptions, Connection, MySql, MySqlConnection, MySqlExecutor, MySqlPool,
    Row, SqlSafeStr,
    error::BoxDynError,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions, MySqlRow},
};
use tokio::time::timeout;

use crate::{
    AnalyticsError, Result, RowQuery, StoreCheck,
    cell::{Cell, Kind, Table},
    database::{Database, Transaction},
    sql,
};

/// Steps are only ever appended.
const STEPS: [(&str, &str); 1] = [("aggregates", include_str!("../../../schema/mysql/0001_aggregates.sql"))];

const DATABASE: &str = "stock_analytics";
const MAX_CONNECTIONS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Error numbers of the server after which the same statement may succeed: too many connections, shutdown, lock wait, deadlock.
const TRANSIENT: [u16; 5] = [1040, 1053, 1205, 1213, 1317];
/// The state of SQL for a table that does not exist.
const NO_TABLE: &str = "42S02";
/// A table or the disk is full.
const FULL: [u16; 3] = [1021, 1114, 1041];
/// A user who is not let in, or not to the database.
const DENIED: [u16; 3] = [1044, 1045, 1698];

pub(crate) struct MySqlDatabase {
    /// The URL without credentials.
    place: String,
    pool: MySqlPool,
}

impl MySqlDatabase {
    /// Connects, and brings the tables to the newest format.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let database = Self::connect(url).await?;
        let place = &database.place;
        migrator().run(&database.pool).await.map_err(|error| match error {
            MigrateError::Execute(error) => failure(place, &error),
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                AnalyticsError::NewerFormat { place: place.clone(), reason: error.to_string() }
            }
            other => AnalyticsError::Refused { place: place.clone(), reason: format!("its tables: {other}") },
        })?;
        Ok(database)
    }

    /// Connects, and changes nothing: the user needs no right but to read.
    pub(crate) async fn open_for_reading(url: &str) -> Result<Self> {
        let database = Self::connect(url).await?;
        let place = database.place.clone();
        let version = version(&place, &database.pool).await?;
        match version.cmp(&STEPS.len()) {
            Ordering::Equal => Ok(database),
            Ordering::Less => Err(AnalyticsError::NotCreated { place }),
            Ordering::Greater => Err(newer(place, version)),
        }
    }

    async fn connect(url: &str) -> Result<Self> {
        let (place, options) = options(url)?;
        let pool = MySqlPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|error| failure(&place, &error))?;
        Ok(Self { place, pool })
    }

    fn failure(&self, error: &sqlx::Error) -> AnalyticsError {
        failure(&self.place, error)
    }

    fn damaged(&self, table: Table, error: &BoxDynError) -> AnalyticsError {
        let reason = format!("a row of {} is damaged: {error}", table.name);
        AnalyticsError::Refused { place: self.place.clone(), reason }
    }
}

/// Where a URL leads, without credentials, and how to connect to it.
fn options(url: &str) -> Result<(String, MySqlConnectOptions)> {
    let place = without_credentials(url);
    let bad = |error: sqlx::Error| AnalyticsError::BadUrl { url: place.clone(), reason: error.to_string() };
    let options = MySqlConnectOptions::from_str(url).map_err(bad)?;
    let options = match options.get_database() {
        None | Some("") => options.database(DATABASE),
        Some(_) => options,
    };
    Ok((place, options.timezone(Some("+00:00".to_owned()))))
}

/// Whether the server responds and admits the user, and which version the tables have.
pub(crate) async fn look(url: &str) -> Result<StoreCheck> {
    let (place, options) = options(url)?;
    // One connection: a pool hides why a server cannot be reached, because it tries until its time is over.
    let looking = async {
        let mut connection = options.connect().await.map_err(|error| failure(&place, &error))?;
        let server = sqlx::query_scalar::<_, String>("SELECT VERSION()").fetch_one(&mut connection).await;
        let server = server.map_err(|error| failure(&place, &error))?;
        let format = version(&place, &mut connection).await?;
        connection.close().await.map_err(|error| failure(&place, &error))?;
        Ok::<_, AnalyticsError>((server, format))
    };
    let (server, format) = match timeout(ACQUIRE_TIMEOUT, looking).await {
        Ok(looked) => looked?,
        Err(_) => {
            let reason = format!("no response within {} s", ACQUIRE_TIMEOUT.as_secs());
            return Err(AnalyticsError::Unavailable { place, reason });
        }
    };
    let newest = STEPS.len();
    if format > newest {
        return Err(newer(place, format));
    }
    // MariaDB names itself there.
    let found = if server.contains("MariaDB") { server } else { format!("MySQL {server}") };
    Ok(StoreCheck { place, format, newest, found, folder: None })
}

/// The version of the tables; 0: there are none.
async fn version(place: &str, executor: impl MySqlExecutor<'_>) -> Result<usize> {
    let version = "SELECT CAST(COALESCE(MAX(version), 0) AS SIGNED) FROM _sqlx_migrations WHERE success";
    let version: i64 = match sqlx::query_scalar(version).fetch_one(executor).await {
        Ok(version) => version,
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_TABLE) => 0,
        Err(error) => return Err(failure(place, &error)),
    };
    usize::try_from(version).map_err(|error| AnalyticsError::Refused {
        place: place.to_owned(),
        reason: format!("the version {version} of its tables: {error}"),
    })
}

fn newer(place: String, version: usize) -> AnalyticsError {
    let reason = format!("its tables have version {version}, known is {}", STEPS.len());
    AnalyticsError::NewerFormat { place, reason }
}

/// Two processes that start at the same time wait for each other: a lock of the server.
fn migrator() -> Migrator {
    let step = |(version, (name, script)): (i64, &(&'static str, &'static str))| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, script.into_sql_str(), false)
    };
    Migrator { migrations: (1..).zip(&STEPS).map(step).collect(), ..Migrator::DEFAULT }
}

fn failure(place: &str, error: &sqlx::Error) -> AnalyticsError {
    let place = place.to_owned();
    let reason = error.to_string();
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Protocol(_) => AnalyticsError::Unavailable { place, reason },
        sqlx::Error::Database(engine) => {
            let number = engine.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
            match number {
                Some(number) if TRANSIENT.contains(&number) => AnalyticsError::Unavailable { place, reason },
                Some(number) if FULL.contains(&number) => AnalyticsError::DiskFull { place },
                Some(number) if DENIED.contains(&number) => {
                    let hint =
                        "check user, password and database (--analytics, ANALYTICS_URL, ANALYTICS_PASSWORD)";
                    AnalyticsError::Refused { place, reason: format!("{reason}; {hint}") }
                }
                _ => AnalyticsError::Refused { place, reason },
            }
        }
        _ => AnalyticsError::Refused { place, reason },
    }
}

#[async_trait]
impl Database for MySqlDatabase {
    async fn select(&self, table: Table, query: &RowQuery) -> Result<Vec<Vec<Cell>>> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.failure(&error))?;
        self.select_on(&mut connection, table, query).await
    }

    async fn begin(&self) -> Result<Box<dyn Transaction + '_>> {
        let inner = self.pool.begin().await.map_err(|error| self.failure(&error))?;
        Ok(Box::new(MySqlTransaction { database: self, inner }))
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(|error| self.failure(&error))
    }
}

struct MySqlTransaction<'a> {
    database: &'a MySqlDatabase,
    inner: sqlx::Transaction<'static, MySql>,
}

#[async_trait]
impl Transaction for MySqlTransaction<'_> {
    async fn select(&mut self, table: Table, query: &RowQuery) -> Result<Vec<Vec<Cell>>> {
        self.database.select_on(&mut self.inner, table, query).await
    }

    async fn upsert(&mut self, table: Table, rows: &[&Vec<Cell>]) -> Result<()> {
        let arguments = self.database.arguments(table, rows.iter().copied().flatten())?;
        sqlx::query_with(AssertSqlSafe(upsert(table, rows.len())), arguments)
            .execute(&mut *self.inner)
            .await
            .map(drop)
            .map_err(|error| self.database.failure(&error))
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.inner.commit().await.map_err(|error| self.database.failure(&error))
    }
}

impl MySqlDatabase {
    async fn select_on(
        &self,
        connection: &mut MySqlConnection,
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
    ) -> Result<MySqlArguments> {
        let mut arguments = MySqlArguments::default();
        for cell in cells {
            bind(cell, &mut arguments).map_err(|error| self.damaged(table, &error))?;
        }
        Ok(arguments)
    }
}

fn upsert(table: Table, rows: usize) -> String {
    let updates: Vec<String> = sql::values(table).map(|name| format!("{name} = VALUES({name})")).collect();
    format!("{} ON DUPLICATE KEY UPDATE {}", sql::insert(table, rows), updates.join(", "))
}

fn bind(cell: &Cell, to: &mut MySqlArguments) -> Result<(), BoxDynError> {
    match cell {
        Cell::Null(_) => to.add(None::<i64>),
        Cell::Date(date) => to.add(*date),
        Cell::Text(text) => to.add(text.clone()),
        Cell::Decimal(decimal) => to.add(*decimal),
        Cell::Double(double) => to.add(*double),
        Cell::Count(count) => to.add(*count),
        Cell::Time(time) => to.add(time.naive_utc()),
    }
}

fn read(table: Table, row: &MySqlRow) -> Result<Vec<Cell>, BoxDynError> {
    let cell = |(place, (_, kind)): (usize, &(&str, Kind))| -> Result<Cell, BoxDynError> {
        let cell = match kind {
            Kind::Date => row.try_get::<Option<NaiveDate>, _>(place)?.map(Cell::Date),
            Kind::Text => row.try_get::<Option<String>, _>(place)?.map(Cell::Text),
            Kind::Decimal => {
                row.try_get::<Option<Decimal>, _>(place)?.map(|decimal| Cell::Decimal(decimal.normalize()))
            }
            Kind::Double => row.try_get::<Option<f64>, _>(place)?.map(Cell::Double),
            Kind::Count => row.try_get::<Option<i64>, _>(place)?.map(Cell::Count),
            Kind::Time => {
                row.try_get::<Option<NaiveDateTime>, _>(place)?.map(|time| Cell::Time(time.and_utc()))
            }
        };
        Ok(cell.unwrap_or(Cell::Null(*kind)))
    };
    table.columns.iter().enumerate().map(cell).collect()
}
