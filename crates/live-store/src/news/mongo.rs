//! Stories in the collection `news_articles`, sources in `news_sources`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::Symbol;
use mongodb::bson::{
    DateTime as BsonDate, RawDocument, RawDocumentBuf, deserialize_from_slice, doc, rawdoc,
    serialize_to_raw_document_buf,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    ArticleId, MAX_PAGE_ARTICLES, NewsArticle, NewsPage, NewsQuery, NewsSource, NewsStore, OtherOutlet,
    PageRequest, Relevance, last_of_each,
};
use crate::{
    Result,
    mongo::{
        MongoStore,
        fields::{self, RowError, date, read_date},
        schema::Collection,
    },
};

const ARTICLES: &str = "news_articles";
const SOURCES: &str = "news_sources";

/// The collection of stories in the list of the schema.
pub(crate) const ARTICLES_SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/news_articles.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample: || sample(&statement(&sample_article()).expect("a statement")),
};

/// The collection of sources in the list of the schema.
pub(crate) const SOURCES_SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/news_sources.json"),
    check: |document| decode_source(document).map(drop),
    #[cfg(test)]
    sample: || sample(&source_statement(&sample_source()).expect("a statement")),
};

/// The document of a story, without its `_id`.
#[derive(Serialize, Deserialize)]
struct ArticleRow {
    title: String,
    summary: String,
    source: String,
    publisher: String,
    url: String,
    published_at: BsonDate,
    fetched_at: BsonDate,
    symbols: Vec<Symbol>,
    relevance: Vec<Relevance>,
    sentiment: Option<f64>,
    duplicates: Vec<OtherOutlet>,
}

/// The document of a source, without its `_id`.
#[derive(Serialize, Deserialize)]
struct SourceRow {
    name: String,
    etag: Option<String>,
    last_modified: Option<String>,
    tried_at: Option<BsonDate>,
    succeeded_at: Option<BsonDate>,
    next_try_at: BsonDate,
    failures: i32,
    last_error: Option<String>,
    items: i32,
}

#[async_trait]
impl NewsStore for MongoStore {
    async fn write_articles(&self, articles: &[NewsArticle]) -> Result<()> {
        let mut statements = Vec::with_capacity(articles.len());
        for article in last_of_each(articles) {
            let statement = statement(article)
                .map_err(|error| self.refused(format!("cannot store the story {}: {error}", article.id)))?;
            statements.push(statement);
        }
        let taken = self.upsert("cannot store news", ARTICLES, &statements).await?;
        self.refuse_taken(ARTICLES, taken.len())
    }

    async fn articles(&self, query: &NewsQuery) -> Result<NewsPage> {
        let request = PageRequest::of(query)?;
        let mut filter = doc! { "published_at": { "$gte": date(request.from) } };
        if let Some(after) = &request.after {
            let at = date(after.published_at);
            filter = doc! { "$and": [filter, { "published_at": { "$lte": at } }, { "$or": [
                { "published_at": { "$lt": at } },
                { "_id": { "$lt": after.id.as_str() } },
            ] }] };
        }
        if let Some(symbol) = query.symbol {
            filter.insert("symbols", symbol.as_str());
        }
        let rows = request.rows() as u32;
        let found = self
            .find("cannot read news", ARTICLES, filter, |find| {
                find.sort(doc! { "published_at": -1, "_id": -1 }).limit(i64::from(rows)).batch_size(rows)
            })
            .await?;
        Ok(request.page(self.decode(ARTICLES, &found, decode)?))
    }

    async fn articles_by_id(&self, ids: &[ArticleId]) -> Result<Vec<NewsArticle>> {
        let ids: Vec<&str> = ids.iter().take(MAX_PAGE_ARTICLES).map(ArticleId::as_str).collect();
        let filter = doc! { "_id": { "$in": ids } };
        let found = self.find("cannot read news", ARTICLES, filter, |find| find).await?;
        self.decode(ARTICLES, &found, decode)
    }

    async fn prune_articles(&self, before: DateTime<Utc>) -> Result<u64> {
        let before = date(before);
        let filter = doc! { "published_at": { "$lt": before }, "fetched_at": { "$lt": before } };
        self.remove_in_steps(ARTICLES, &filter, &doc! { "published_at": 1 }).await
    }

    async fn news_sources(&self) -> Result<Vec<NewsSource>> {
        let found = self
            .find("cannot read the sources of news", SOURCES, doc! {}, |find| find.sort(doc! { "_id": 1 }))
            .await?;
        self.decode(SOURCES, &found, decode_source)
    }

    async fn write_news_source(&self, source: &NewsSource) -> Result<()> {
        let statement = source_statement(source)
            .map_err(|error| self.refused(format!("cannot store the source {}: {error}", source.id)))?;
        let statements = [statement];
        let taken = self.upsert("cannot store a source of news", SOURCES, &statements).await?;
        self.refuse_taken(SOURCES, taken.len())
    }
}

fn statement(article: &NewsArticle) -> Result<RawDocumentBuf, RowError> {
    let row = ArticleRow {
        title: article.title.clone(),
        summary: article.summary.clone(),
        source: article.source.clone(),
        publisher: article.publisher.clone(),
        url: article.url.as_str().to_owned(),
        published_at: date(article.published_at),
        fetched_at: date(article.fetched_at),
        symbols: article.symbols().collect(),
        relevance: article.relevance.clone(),
        sentiment: article.sentiment,
        duplicates: article.duplicates.clone(),
    };
    upsert_statement(article.id.as_str(), &row)
}

fn source_statement(source: &NewsSource) -> Result<RawDocumentBuf, RowError> {
    let row = SourceRow {
        name: source.name.clone(),
        etag: source.etag.clone(),
        last_modified: source.last_modified.clone(),
        tried_at: source.tried_at.map(date),
        succeeded_at: source.succeeded_at.map(date),
        next_try_at: date(source.next_try_at),
        failures: i32::try_from(source.failures).unwrap_or(i32::MAX),
        last_error: source.last_error.clone(),
        items: i32::try_from(source.items).unwrap_or(i32::MAX),
    };
    upsert_statement(&source.id, &row)
}

/// Sets every field, also those that are null now.
fn upsert_statement(id: &str, row: &impl Serialize) -> Result<RawDocumentBuf, RowError> {
    let fields = serialize_to_raw_document_buf(row)?;
    Ok(rawdoc! { "q": { "_id": id }, "u": { "$set": fields }, "upsert": true })
}

fn decode(document: &RawDocument) -> Result<NewsArticle, RowError> {
    let row: ArticleRow = deserialize_from_slice(document.as_bytes())?;
    Ok(NewsArticle {
        id: fields::text(document, "_id", ArticleId::parse)?,
        title: row.title,
        summary: row.summary,
        source: row.source,
        publisher: row.publisher,
        url: Url::parse(&row.url).map_err(|error| format!("url: {error}"))?,
        published_at: read_date("published_at", row.published_at)?,
        fetched_at: read_date("fetched_at", row.fetched_at)?,
        relevance: row.relevance,
        sentiment: row.sentiment,
        duplicates: row.duplicates,
    })
}

fn decode_source(document: &RawDocument) -> Result<NewsSource, RowError> {
    let row: SourceRow = deserialize_from_slice(document.as_bytes())?;
    let optional = |name, time: Option<BsonDate>| time.map(|time| read_date(name, time)).transpose();
    Ok(NewsSource {
        id: fields::id(document)?,
        name: row.name,
        etag: row.etag,
        last_modified: row.last_modified,
        tried_at: optional("tried_at", row.tried_at)?,
        succeeded_at: optional("succeeded_at", row.succeeded_at)?,
        next_try_at: read_date("next_try_at", row.next_try_at)?,
        failures: u32::try_from(row.failures)?,
        last_error: row.last_error,
        items: u32::try_from(row.items)?,
    })
}

/// The document that a statement makes where none was.
#[cfg(test)]
fn sample(statement: &RawDocumentBuf) -> mongodb::bson::Document {
    crate::mongo::upserted(std::slice::from_ref(statement))
}

#[cfg(test)]
fn sample_article() -> NewsArticle {
    let url = Url::parse("https://example.com/story").expect("a URL");
    let symbol = Symbol::parse("AAPL").expect("a symbol");
    NewsArticle {
        id: ArticleId::of(&url),
        title: "A title".to_owned(),
        summary: "A summary".to_owned(),
        source: "yahoo".to_owned(),
        publisher: "Reuters".to_owned(),
        url: url.clone(),
        published_at: DateTime::UNIX_EPOCH,
        fetched_at: DateTime::UNIX_EPOCH,
        relevance: vec![Relevance { symbol, score: 0.8, reasons: vec!["the title names Apple".to_owned()] }],
        sentiment: Some(0.2),
        duplicates: vec![OtherOutlet {
            publisher: "AP".to_owned(),
            title: "A title".to_owned(),
            url,
            source: "rss".to_owned(),
        }],
    }
}

#[cfg(test)]
fn sample_source() -> NewsSource {
    let text = || Some("text".to_owned());
    NewsSource {
        id: "yahoo:AAPL".to_owned(),
        name: "yahoo AAPL".to_owned(),
        etag: text(),
        last_modified: text(),
        tried_at: Some(DateTime::UNIX_EPOCH),
        succeeded_at: Some(DateTime::UNIX_EPOCH),
        next_try_at: DateTime::UNIX_EPOCH,
        failures: 0,
        last_error: text(),
        items: 20,
    }
}
