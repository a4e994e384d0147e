//! News: the page, the headlines of a symbol, and the JSON.

use askama::Template;
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use live_store::{LiveStoreError, NewsArticle, NewsQuery, OtherOutlet};
use market::Symbol;
use serde::Serialize;

use super::{
    App,
    pages::Layout,
    paging::{ListPage, PageRequest, StoredPage, read_or_none, read_page, render_list},
};
use crate::{
    format::TimeText,
    middleware::viewer::Viewer,
    params::{Params, far_past},
    problem::Problem,
};

/// Headlines on the page of a symbol.
const HEADLINES: usize = 8;

/// A story as JSON.
#[derive(Serialize)]
struct StoryJson {
    id: String,
    title: String,
    summary: String,
    publisher: String,
    source: String,
    url: String,
    published_at: DateTime<Utc>,
    fetched_at: DateTime<Utc>,
    symbols: Vec<Symbol>,
    relevance: Vec<live_store::Relevance>,
    sentiment: Option<f64>,
    duplicates: Vec<OtherOutlet>,
}

#[derive(Serialize)]
pub(crate) struct NewsJson {
    news: Vec<StoryJson>,
    next_cursor: Option<String>,
}

impl From<NewsArticle> for StoryJson {
    fn from(story: NewsArticle) -> Self {
        Self {
            id: story.id.to_string(),
            symbols: story.symbols().collect(),
            title: story.title,
            summary: story.summary,
            publisher: story.publisher,
            source: story.source,
            url: story.url.into(),
            published_at: story.published_at,
            fetched_at: story.fetched_at,
            relevance: story.relevance,
            sentiment: story.sentiment,
            duplicates: story.duplicates,
        }
    }
}

/// GET /v1/news?symbol=&limit=&cursor=
pub(crate) async fn news(State(app): State<App>, params: Params) -> Result<Json<NewsJson>, Problem> {
    let (stories, next_cursor) = read(&app, query_of(params)?).await?;
    Ok(Json(NewsJson { news: stories.into_iter().map(StoryJson::from).collect(), next_cursor }))
}

fn query_of(params: Params) -> Result<NewsQuery, Problem> {
    let params = params.allow(&["symbol", "limit", "cursor"])?;
    Ok(query(PageRequest::of(&params)?))
}

/// Stories, whenever they were published.
fn query(PageRequest { symbol, limit, cursor }: PageRequest) -> NewsQuery {
    NewsQuery { symbol, from: far_past(), limit, cursor }
}

async fn read(app: &App, query: NewsQuery) -> Result<StoredPage<NewsArticle>, LiveStoreError> {
    let page = app.store.articles(&query).await?;
    Ok((page.articles, page.next_cursor))
}

/// A story, formatted.
pub(crate) struct Story {
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) publisher: String,
    pub(super) url: String,
    pub(super) published_at: DateTime<Utc>,
    pub(super) symbols: Vec<Symbol>,
    /// Why it belongs to them.
    pub(super) reasons: String,
    pub(super) others: Vec<Outlet>,
}

pub(super) struct Outlet {
    pub(super) publisher: String,
    pub(super) title: String,
    pub(super) url: String,
}

impl From<NewsArticle> for Story {
    fn from(story: NewsArticle) -> Self {
        let reasons = story.relevance.iter().map(|of| format!("{}: {}", of.symbol, of.reasons.join(", ")));
        let other = |other: OtherOutlet| Outlet {
            publisher: other.publisher,
            title: other.title,
            url: other.url.into(),
        };
        Self {
            reasons: reasons.collect::<Vec<_>>().join("; "),
            symbols: story.symbols().collect(),
            title: story.title,
            summary: story.summary,
            publisher: story.publisher,
            url: story.url.into(),
            published_at: story.published_at,
            others: story.duplicates.into_iter().map(other).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "news.html")]
struct NewsPage<'a> {
    layout: Layout<'a>,
    symbol: Option<Symbol>,
    list: ListPage<Story>,
}

/// GET /news?symbol=&cursor=
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    params: Params,
) -> Result<Response, Problem> {
    let query = query_of(params)?;
    let (symbol, is_older) = (query.symbol, query.cursor.is_some());
    let list = read_page("/news", symbol, is_older, read(&app, query)).await?;
    let store_is_down = list.store_is_down;
    render_list(&NewsPage { layout: Layout::new(&app, viewer, "news"), symbol, list }, store_is_down)
}

/// The newest headlines of a symbol; none while the store does not respond.
pub(super) async fn headlines(app: &App, symbol: Symbol) -> Vec<Story> {
    read_or_none(read(app, query(PageRequest::newest(symbol, HEADLINES)))).await
}

#[cfg(test)]
pub(super) fn sample() -> Story {
    Story {
        title: "Bitcoin <b>slides</b>".to_owned(),
        summary: String::new(),
        publisher: "Reuters".to_owned(),
        url: "https://example.com/1?a=1&b=2".to_owned(),
        published_at: DateTime::UNIX_EPOCH,
        symbols: Vec::new(),
        reasons: String::new(),
        others: Vec::new(),
    }
}
