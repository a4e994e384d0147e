//! Which handler serves which path, and what is done for every request.

mod account;
mod alerts;
mod analytics;
pub(crate) mod assets;
mod events;
mod news;
mod outbox;
mod pages;
mod paging;
mod system;
mod v1;

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use live_store::LiveStore;
use mailer::Outbox;
use market::Symbol;
use service_runtime::{Runtime, admin_routes};
use tower_http::{
    CompressionLevel, compression::CompressionLayer, set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};

use crate::{
    account::Accounts,
    analytics::Analytics,
    config::WebConfig,
    latency_limit::LatencyLimit,
    live::Live,
    metrics::Metrics,
    middleware::{
        host::{AllowedHosts, require_allowed_host},
        origin::require_same_origin,
        request_count::count_request,
        this_machine::require_this_machine,
    },
    problem::wrong_method,
};

/// Longest time to the first byte of a response.
const RESPONSE_TIMEOUT_MS: u64 = 15_000;
/// Largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Only what this host serves; nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

/// What every request needs.
#[derive(Clone)]
pub(crate) struct App {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    store: Arc<dyn LiveStore>,
    accounts: Arc<Accounts>,
    analytics: Arc<Analytics>,
    /// The prices are of the past.
    is_historical: bool,
    runtime: Runtime,
    bundle: Arc<assets::Bundle>,
    /// The watched symbols with their places in the watch list.
    watched: Arc<HashMap<Symbol, usize>>,
    latency_limit: Arc<LatencyLimit>,
    /// Mails that are written to files; `None` where they go to a mail server.
    outbox: Option<Outbox>,
}

impl App {
    pub(crate) fn new(
        live: Arc<Live>,
        metrics: Arc<Metrics>,
        store: Arc<dyn LiveStore>,
        accounts: Arc<Accounts>,
        analytics: Arc<Analytics>,
        runtime: Runtime,
        config: &WebConfig,
    ) -> Self {
        let bundle = Arc::new(assets::Bundle::read());
        let watched = config.watched().iter().enumerate().map(|(place, symbol)| (*symbol, place)).collect();
        Self {
            live,
            metrics,
            store,
            accounts,
            analytics,
            is_historical: config.is_historical,
            runtime,
            bundle,
            watched: Arc::new(watched),
            latency_limit: Arc::default(),
            outbox: config.outbox.clone().map(Outbox::new),
        }
    }
}

/// Every path of the service.
pub(crate) fn router(app: App, hosts: Arc<AllowedHosts>) -> Router {
    let outbox = Router::new()
        .route("/outbox", get(outbox::list))
        .route("/outbox/{name}", get(outbox::mail))
        .route("/outbox/{name}/html", get(outbox::html))
        .route_layer(from_fn(require_this_machine));
    let routes = Router::new()
        .route("/", get(pages::board))
        .route("/symbols/{*symbol}", get(pages::symbol))
        .route("/dashboard", get(pages::dashboard))
        .route("/dashboard/performance.csv", get(analytics::performance_csv))
        .route("/alerts", get(alerts::page))
        .route("/news", get(news::page))
        .route("/system", get(system::page))
        .route("/events", get(events::events))
        .route("/assets/{*file}", get(assets::asset))
        .route("/favicon.svg", get(assets::favicon))
        .route("/v1/symbols", get(v1::symbols))
        .route("/v1/quotes", get(v1::quotes))
        .route("/v1/ticks", get(v1::ticks))
        .route("/v1/candles", get(v1::candles))
        .route("/v1/aggregates", get(analytics::aggregates))
        .route("/v1/weekly", get(analytics::weekly))
        .route("/v1/performance", get(analytics::performance))
        .route("/v1/batch-runs", get(analytics::batch_runs))
        .route("/v1/alerts", get(alerts::alerts))
        .route("/v1/news", get(news::news))
        .route("/v1/system", get(system::figures))
        .route("/v1/time", get(v1::time))
        .route("/v1/screen-latency", post(v1::screen_latency))
        .merge(account::router())
        .merge(outbox)
        .fallback(pages::not_found)
        .method_not_allowed_fallback(wrong_method);
    let routes = routes
        .with_state(app.clone())
        .merge(admin_routes(Arc::clone(&app.runtime.status)))
        .layer(from_fn(require_same_origin))
        .merge(account::open_router().with_state(app));
    guarded(routes, hosts)
}

/// What is done for every request, whatever is served.
pub(crate) fn guarded(routes: Router, hosts: Arc<AllowedHosts>) -> Router {
    let header = |name: HeaderName, value| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    routes
        .layer(from_fn_with_state(hosts, require_allowed_host))
        .layer(from_fn(count_request))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            Duration::from_millis(RESPONSE_TIMEOUT_MS),
        ))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::X_FRAME_OPTIONS, "DENY"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(header(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .layer(header(
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ))
        .layer(header(header::CACHE_CONTROL, "no-store"))
}
