//! Alerts of the house: the page and the JSON. Those of a person are on no page that others can open.

use alert_rules::{Delivery, DeliveryState, Owner, RuleKind};
use askama::Template;
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use live_store::{AlertQuery, LiveStoreError, StoredAlert};
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
    params::{Params, far_future, far_past},
    problem::Problem,
};

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

impl From<StoredAlert> for AlertJson {
    fn from(StoredAlert { alert, .. }: StoredAlert) -> Self {
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

/// For people.
fn state_text(state: &DeliveryState) -> &'static str {
    match state {
        DeliveryState::Owed => "to be sent",
        DeliveryState::InMail { .. } => "being sent",
        DeliveryState::Sent { .. }
        | DeliveryState::Refused { .. }
        | DeliveryState::Expired { .. }
        | DeliveryState::Suppressed { .. } => state.name(),
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
    let (alerts, next_cursor) = read(&app, query_of(params)?).await?;
    Ok(Json(AlertsJson { alerts: alerts.into_iter().map(AlertJson::from).collect(), next_cursor }))
}

fn query_of(params: Params) -> Result<AlertQuery, Problem> {
    let params = params.allow(&["symbol", "from", "to", "limit", "cursor"])?;
    let (from, to) = params.range()?;
    Ok(AlertQuery { from, to, ..house_query(PageRequest::of(&params)?) })
}

/// Alerts of the house, whenever they opened.
fn house_query(PageRequest { symbol, limit, cursor }: PageRequest) -> AlertQuery {
    let owners = vec![Owner::House];
    AlertQuery { symbol, owners, from: far_past(), to: far_future(), limit, cursor }
}

async fn read(app: &App, query: AlertQuery) -> Result<StoredPage<StoredAlert>, LiveStoreError> {
    let page = app.store.alerts(&query).await?;
    Ok((page.alerts, page.next_cursor))
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

impl From<StoredAlert> for AlertText {
    fn from(StoredAlert { alert, .. }: StoredAlert) -> Self {
        let delivery = |delivery: Delivery| DeliveryText {
            recipient: masked(&delivery.recipient),
            state: state_text(&delivery.state),
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
    list: ListPage<AlertText>,
}

/// GET /alerts?symbol=&cursor=
pub(crate) async fn page(
    State(app): State<App>,
    viewer: Viewer,
    params: Params,
) -> Result<Response, Problem> {
    let query = query_of(params)?;
    let (symbol, is_older) = (query.symbol, query.cursor.is_some());
    let list = read_page("/alerts", symbol, is_older, read(&app, query)).await?;
    let store_is_down = list.store_is_down;
    render_list(&AlertsPage { layout: Layout::new(&app, viewer, "alerts"), symbol, list }, store_is_down)
}

/// The newest alerts of a symbol; none while the store does not respond.
pub(super) async fn newest(app: &App, symbol: Symbol) -> Vec<AlertText> {
    read_or_none(read(app, house_query(PageRequest::newest(symbol, NEWEST)))).await
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
