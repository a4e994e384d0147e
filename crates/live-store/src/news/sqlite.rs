//! Stories in the tables `news_articles` and `news_symbols`, sources in `news_sources`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::Symbol;
use sqlx::{AssertSqlSafe, Row, error::BoxDynError, sqlite::SqliteRow};
use url::Url;

use super::{
    ArticleId, MAX_PAGE_ARTICLES, NewsArticle, NewsPage, NewsQuery, NewsSource, NewsStore, PageRequest,
    whole_millis,
};
use crate::{
    Result,
    sqlite::{
        SqliteStore,
        columns::{self, optional_time, placeholders, read_time, text},
        time_text::range_end,
    },
};

const TABLE: &str = "news_articles";

/// The columns, in the order in which stories are bound and read.
const COLUMNS: &str = "id, title, summary, source, publisher, url, published_at, fetched_at, symbols, relevance, sentiment, \
     duplicates";

/// Stories that are removed by one transaction.
const PRUNE_ROWS: i64 = 500;
/// The oldest of those that were published (`?1`) and first seen (`?1`) before a time; `?2` is their number.
const PRUNABLE: &str = "SELECT id FROM news_articles WHERE published_at < ?1 AND fetched_at < ?1 \
     ORDER BY published_at, id LIMIT ?2";

const WRITE_SOURCE: &str = "INSERT OR REPLACE INTO news_sources (id, name, etag, last_modified, tried_at, succeeded_at, \
     next_try_at, failures, last_error, items) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const SOURCES: &str = "SELECT id, name, etag, last_modified, tried_at, succeeded_at, next_try_at, failures, last_error, items \
     FROM news_sources ORDER BY id";

/// One page; of a symbol or of all, the first or behind a cursor. The row value compares in the order of the index.
fn page_sql(of_symbol: bool, behind_cursor: bool) -> String {
    let columns = COLUMNS.split(", ").map(|column| format!("story.{column}")).collect::<Vec<_>>().join(", ");
    let (from, of, table) = if of_symbol {
        let from = "news_symbols AS place CROSS JOIN news_articles AS story ON story.id = place.id";
        (from, "place.symbol = ? AND", "place")
    } else {
        ("news_articles AS story", "", "story")
    };
    let behind = if behind_cursor {
        format!("AND ({table}.published_at, {table}.id) < (?, ?)")
    } else {
        String::new()
    };
    format!(
        "SELECT {columns} FROM {from} WHERE {of} {table}.published_at >= ? {behind} \
         ORDER BY {table}.published_at DESC, {table}.id DESC LIMIT ?"
    )
}

#[async_trait]
impl NewsStore for SqliteStore {
    async fn write_articles(&self, articles: &[NewsArticle]) -> Result<()> {
        if articles.is_empty() {
            return Ok(());
        }
        let mut writing = self.begin().await?;
        for article in articles {
            let refused =
                |error: BoxDynError| self.refused(format!("cannot store the story {}: {error}", article.id));
            let cells = Cells::of(article).map_err(refused)?;
            let published_at = cells.published_at.clone();
            let sql =
                format!("INSERT OR REPLACE INTO news_articles ({COLUMNS}) VALUES {}", placeholders(1, 12));
            let insert = sqlx::query(AssertSqlSafe(sql))
                .bind(article.id.as_str())
                .bind(&article.title)
                .bind(&article.summary)
                .bind(&article.source)
                .bind(&article.publisher)
                .bind(article.url.as_str())
                .bind(cells.published_at)
                .bind(cells.fetched_at)
                .bind(cells.symbols)
                .bind(cells.relevance)
                .bind(article.sentiment)
                .bind(cells.duplicates);
            let failure = |error: sqlx::Error| self.failure(&error);
            insert.execute(writing.connection()).await.map_err(failure)?;
            let delete = sqlx::query("DELETE FROM news_symbols WHERE id = ?").bind(article.id.as_str());
            delete.execute(writing.connection()).await.map_err(failure)?;
            for symbol in article.symbols() {
                let insert = "INSERT OR IGNORE INTO news_symbols (symbol, published_at, id) VALUES (?, ?, ?)";
                let insert = sqlx::query(insert)
                    .bind(symbol.as_str().to_owned())
                    .bind(published_at.clone())
                    .bind(article.id.as_str());
                insert.execute(writing.connection()).await.map_err(failure)?;
            }
        }
        Ok(writing.commit().await?)
    }

    async fn articles(&self, query: &NewsQuery) -> Result<NewsPage> {
        let request = PageRequest::of(query)?;
        let sql = page_sql(query.symbol.is_some(), request.after.is_some());
        let mut select = sqlx::query(AssertSqlSafe(sql));
        if let Some(symbol) = query.symbol {
            select = select.bind(symbol.as_str().to_owned());
        }
        select = select.bind(range_end(request.from));
        if let Some(after) = &request.after {
            select = select.bind(range_end(after.published_at)).bind(after.id.as_str().to_owned());
        }
        let select = select.bind(request.rows() as i64);
        Ok(request.page(self.read(select, TABLE, decode).await?))
    }

    async fn articles_by_id(&self, ids: &[ArticleId]) -> Result<Vec<NewsArticle>> {
        let ids: Vec<&str> = ids.iter().take(MAX_PAGE_ARTICLES).map(ArticleId::as_str).collect();
        let ids = serde_json::to_string(&ids).map_err(|error| self.refused(error.to_string()))?;
        let sql = format!("SELECT {COLUMNS} FROM news_articles WHERE id IN (SELECT value FROM json_each(?))");
        self.read(sqlx::query(AssertSqlSafe(sql)).bind(ids), TABLE, decode).await
    }

    async fn prune_articles(&self, before: DateTime<Utc>) -> Result<u64> {
        let before = range_end(before);
        let mut removed = 0;
        loop {
            let mut writing = self.begin().await?;
            let mut rows = 0;
            for table in ["news_symbols", "news_articles"] {
                let sql = format!("DELETE FROM {table} WHERE id IN ({PRUNABLE})");
                let delete = sqlx::query(AssertSqlSafe(sql)).bind(&before).bind(PRUNE_ROWS);
                let done = delete.execute(writing.connection()).await;
                rows = done.map_err(|error| self.failure(&error))?.rows_affected();
            }
            writing.commit().await?;
            removed += rows;
            if rows < PRUNE_ROWS as u64 {
                return Ok(removed);
            }
        }
    }

    async fn news_sources(&self) -> Result<Vec<NewsSource>> {
        self.read(sqlx::query(SOURCES), "news_sources", decode_source).await
    }

    async fn write_news_source(&self, source: &NewsSource) -> Result<()> {
        let refused =
            |error: BoxDynError| self.refused(format!("cannot store the source {}: {error}", source.id));
        let time = |time: DateTime<Utc>| columns::time(whole_millis(time)).map_err(refused);
        let insert = sqlx::query(WRITE_SOURCE)
            .bind(&source.id)
            .bind(&source.name)
            .bind(&source.etag)
            .bind(&source.last_modified)
            .bind(source.tried_at.map(time).transpose()?)
            .bind(source.succeeded_at.map(time).transpose()?)
            .bind(time(source.next_try_at)?)
            .bind(source.failures)
            .bind(&source.last_error)
            .bind(source.items);
        let mut writing = self.begin().await?;
        insert.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
        Ok(writing.commit().await?)
    }
}

/// The columns of a story that are made of its fields.
struct Cells {
    published_at: std::sync::Arc<str>,
    fetched_at: std::sync::Arc<str>,
    symbols: String,
    relevance: String,
    duplicates: String,
}

impl Cells {
    fn of(article: &NewsArticle) -> Result<Self, BoxDynError> {
        Ok(Self {
            published_at: columns::time(whole_millis(article.published_at))?,
            fetched_at: columns::time(whole_millis(article.fetched_at))?,
            symbols: serde_json::to_string(&article.symbols().collect::<Vec<Symbol>>())?,
            relevance: serde_json::to_string(&article.relevance)?,
            duplicates: serde_json::to_string(&article.duplicates)?,
        })
    }
}

/// A story from [`COLUMNS`]; `symbols` (8) is in `relevance`, too.
fn decode(row: &SqliteRow) -> Result<NewsArticle, BoxDynError> {
    Ok(NewsArticle {
        id: text(row, "id", 0, ArticleId::parse)?,
        title: row.try_get(1)?,
        summary: row.try_get(2)?,
        source: row.try_get(3)?,
        publisher: row.try_get(4)?,
        url: text(row, "url", 5, Url::parse)?,
        published_at: read_time(row, "published_at", 6)?,
        fetched_at: read_time(row, "fetched_at", 7)?,
        relevance: text(row, "relevance", 9, |text| serde_json::from_str(text))?,
        sentiment: row.try_get(10)?,
        duplicates: text(row, "duplicates", 11, |text| serde_json::from_str(text))?,
    })
}

fn decode_source(row: &SqliteRow) -> Result<NewsSource, BoxDynError> {
    Ok(NewsSource {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        etag: row.try_get(2)?,
        last_modified: row.try_get(3)?,
        tried_at: optional_time(row, "tried_at", 4)?,
        succeeded_at: optional_time(row, "succeeded_at", 5)?,
        next_try_at: read_time(row, "next_try_at", 6)?,
        failures: row.try_get(7)?,
        last_error: row.try_get(8)?,
        items: row.try_get(9)?,
    })
}

/// The queries whose plans `sqlite::query` checks.
#[cfg(test)]
pub(crate) fn queries() -> [String; 4] {
    [page_sql(false, false), page_sql(false, true), page_sql(true, false), page_sql(true, true)]
}
