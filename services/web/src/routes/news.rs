//! News: the page, the headlines of a symbol, and the JSON.

use std::time::Duration;

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use live_store::{NewsArticle, NewsQuery, OtherOutlet};
use market::Symbol;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    App,
    pages::{Layout, STORE_TIMEOUT_MS, render},
};
use crate::{
    format::TimeText,
    middleware::viewer::Viewer,
    params::{Params, far_past},
    problem::Problem,
};

/// Stories of a page where no limit is given, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;
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
    let query = query_of(params)?;
    let page = app.store.articles(&query).await?;
    let news = page.articles.into_iter().map(StoryJson::from).collect();
    Ok(Json(NewsJson { news, next_cursor: page.next_cursor }))
}

fn query_of(params: Params) -> Result<NewsQuery, Problem> {
    let params = params.allow(&["symbol", "limit", "cursor"])?;
    Ok(NewsQuery {
        symbol: params.parsed("symbol")?,
        from: far_past(),
        limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
        cursor: params.get("cursor").map(str::to_owned),
    })
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
    stories: Vec<Story>,
    /// The address of the next page.
    older: Option<String>,
    /// It begins behind the newest stories.
    is_older: bool,
    store_is_down: bool,
}

/// GET /news?symbol=&cursor=
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    params: Params,
) -> Result<Response, Problem> {
    let query = query_of(params)?;
    let read = timeout(Duration::from_millis(STORE_TIMEOUT_MS), app.store.articles(&query)).await;
    let (read, store_is_down) = match read {
        Ok(Ok(page)) => (Some(page), false),
        Ok(Err(error)) if !error.is_transient() => return Err(error.into()),
        Ok(Err(_)) | Err(_) => (None, true),
    };
    let (stories, next_cursor) = read.map(|page| (page.articles, page.next_cursor)).unwrap_or_default();
    let page = NewsPage {
        layout: Layout::new(&app, viewer, "news"),
        symbol: query.symbol,
        stories: stories.into_iter().map(Story::from).collect(),
        older: next_cursor.map(|cursor| older(query.symbol, &cursor)),
        is_older: query.cursor.is_some(),
        store_is_down,
    };
    let response = render(&page)?;
    Ok(if store_is_down { (StatusCode::SERVICE_UNAVAILABLE, response).into_response() } else { response })
}

fn older(symbol: Option<Symbol>, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(symbol) = symbol {
        query.append_pair("symbol", symbol.as_str());
    }
    format!("/news?{}", query.append_pair("cursor", cursor).finish())
}

/// The newest headlines of a symbol; none while the store does not answer.
pub(super) async fn headlines(app: &App, symbol: Symbol) -> Vec<Story> {
    let query = NewsQuery { symbol: Some(symbol), from: far_past(), limit: HEADLINES, cursor: None };
    match timeout(Duration::from_millis(STORE_TIMEOUT_MS), app.store.articles(&query)).await {
        Ok(Ok(page)) => page.articles.into_iter().map(Story::from).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
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
