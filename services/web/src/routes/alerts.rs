//! Alerts of the house: the page and the JSON. Those of a person are on no page that others can open.

use std::time::Duration;

use alert_rules::{Alert, Delivery, Owner, RuleKind};
use askama::Template;
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use live_store::AlertQuery;
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
    params::{Params, far_future, far_past},
    problem::Problem,
};

/// Alerts of a page where no limit is given, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;
/// Alerts on the page of a symbol.
const NEWEST: usize = 8;

/// An alert as JSON; prices and volumes in the units of the tick.
#[derive(Serialize)]
struct AlertJson {
    id: String,
    rule: String,
    revision: u64,
    symbol: Symbol,
    /// As `kind` and `threshold`.
    #[serde(flatten)]
    kind: RuleKind,
    measure: f64,
    peak: f64,
    price: f64,
    change_percent: f64,
    opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    message: String,
    simulated: bool,
    recorded: bool,
    deliveries: Vec<DeliveryJson>,
}

/// What became of the mail to one recipient.
#[derive(Serialize)]
struct DeliveryJson {
    /// The address without its name: pages have no sign-in.
    recipient: String,
    state: &'static str,
    at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct AlertsJson {
    alerts: Vec<AlertJson>,
    next_cursor: Option<String>,
}

impl From<Alert> for AlertJson {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id.to_string(),
            rule: alert.rule.to_string(),
            revision: alert.revision,
            symbol: alert.symbol,
            kind: alert.kind,
            measure: alert.measure,
            peak: alert.peak,
            price: alert.tick.price,
            change_percent: alert.tick.change_percent(),
            opened_at: alert.opened_at,
            closed_at: alert.closed_at,
            message: alert.message,
            simulated: alert.is_simulated,
            recorded: alert.is_recorded,
            deliveries: alert.deliveries.into_iter().map(DeliveryJson::from).collect(),
        }
    }
}

impl From<Delivery> for DeliveryJson {
    fn from(Delivery { recipient, state }: Delivery) -> Self {
        Self {
            recipient: masked(&recipient),
            state: state.name(),
            at: state.ended_at(),
            reason: state.reason().map(str::to_owned),
        }
    }
}

/// The first letter and the domain of an address.
fn masked(address: &str) -> String {
    let Some((name, domain)) = address.rsplit_once('@') else { return "\u{2026}".to_owned() };
    let first = name.chars().next().map(String::from).unwrap_or_default();
    format!("{first}\u{2026}@{domain}")
}

/// GET /v1/alerts?symbol=&from=&to=&limit=&cursor=
pub(crate) async fn alerts(State(app): State<App>, params: Params) -> Result<Json<AlertsJson>, Problem> {
    let page = app.store.alerts(&query_of(params)?).await?;
    let alerts = page.alerts.into_iter().map(|stored| AlertJson::from(stored.alert)).collect();
    Ok(Json(AlertsJson { alerts, next_cursor: page.next_cursor }))
}

fn query_of(params: Params) -> Result<AlertQuery, Problem> {
    let params = params.allow(&["symbol", "from", "to", "limit", "cursor"])?;
    let (from, to) = params.range()?;
    Ok(AlertQuery {
        symbol: params.parsed("symbol")?,
        owners: vec![Owner::House],
        from,
        to,
        limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
        cursor: params.get("cursor").map(str::to_owned),
    })
}

/// An alert, formatted. The message of a simulated one begins with that word.
pub(super) struct AlertText {
    pub(super) id: String,
    symbol: Symbol,
    pub(super) opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    pub(super) message: String,
    pub(super) is_recorded: bool,
    deliveries: Vec<DeliveryText>,
}

struct DeliveryText {
    recipient: String,
    state: &'static str,
    at: Option<DateTime<Utc>>,
    reason: String,
}

impl From<Alert> for AlertText {
    fn from(alert: Alert) -> Self {
        let delivery = |delivery: Delivery| DeliveryText {
            recipient: masked(&delivery.recipient),
            state: delivery.state.name(),
            at: delivery.state.ended_at(),
            reason: delivery.state.reason().unwrap_or_default().to_owned(),
        };
        Self {
            id: alert.id.to_string(),
            symbol: alert.symbol,
            opened_at: alert.opened_at,
            closed_at: alert.closed_at,
            message: alert.message,
            is_recorded: alert.is_recorded,
            deliveries: alert.deliveries.into_iter().map(delivery).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage<'a> {
    layout: Layout<'a>,
    symbol: Option<Symbol>,
    alerts: Vec<AlertText>,
    /// The address of the next page.
    older: Option<String>,
    /// It begins behind the newest alerts.
    is_older: bool,
    store_is_down: bool,
}

/// GET /alerts?symbol=&cursor=
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    params: Params,
) -> Result<Response, Problem> {
    let query = query_of(params)?;
    let read = timeout(Duration::from_millis(STORE_TIMEOUT_MS), app.store.alerts(&query)).await;
    let (read, store_is_down) = match read {
        Ok(Ok(page)) => (Some(page), false),
        Ok(Err(error)) if !error.is_transient() => return Err(error.into()),
        Ok(Err(_)) | Err(_) => (None, true),
    };
    let (alerts, next_cursor) = read.map(|page| (page.alerts, page.next_cursor)).unwrap_or_default();
    let page = AlertsPage {
        layout: Layout::new(&app, viewer, "alerts"),
        symbol: query.symbol,
        alerts: alerts.into_iter().map(|stored| AlertText::from(stored.alert)).collect(),
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
    format!("/alerts?{}", query.append_pair("cursor", cursor).finish())
}

/// The newest alerts of a symbol; none while the store does not answer.
pub(super) async fn newest(app: &App, symbol: Symbol) -> Vec<AlertText> {
    let query = AlertQuery {
        symbol: Some(symbol),
        owners: vec![Owner::House],
        from: far_past(),
        to: far_future(),
        limit: NEWEST,
        cursor: None,
    };
    match timeout(Duration::from_millis(STORE_TIMEOUT_MS), app.store.alerts(&query)).await {
        Ok(Ok(page)) => page.alerts.into_iter().map(|stored| AlertText::from(stored.alert)).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_its_first_letter_and_its_domain_are_shown() {
        assert_eq!(masked("ops@example.com"), "o\u{2026}@example.com");
        assert_eq!(masked("\"a@b\"@example.com"), "\"\u{2026}@example.com");
        assert_eq!(masked("no address"), "\u{2026}");
    }
}
