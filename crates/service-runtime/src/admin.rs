//! `/healthz`, `/readyz` and `/metrics` of every service.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::Utc;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    ProcessRuntime, Status, http_server::serve_http, install_metrics, process_figures::metrics_text,
};

/// Most connections of a service without pages.
const MAX_CONNECTIONS: usize = 64;

/// The three routes, to be merged into a service's own.
pub fn admin_routes(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(health_response))
        .route("/readyz", get(ready_response))
        .route("/metrics", get(metrics_response))
        .with_state(status)
}

/// The process runs and answers.
pub async fn health_response() -> &'static str {
    "ok\n"
}

/// 200 if every part works, otherwise 503; the parts as JSON either way.
pub async fn ready_response(State(status): State<Arc<Status>>) -> Response {
    let code = if status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(status.snapshot(Utc::now()).components)).into_response()
}

/// Prometheus text format.
pub async fn metrics_response(State(status): State<Arc<Status>>) -> Response {
    match install_metrics() {
        Ok(registry) => {
            let text = registry.render() + &metrics_text(status.started_at());
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!("{error:#}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Serves the three routes by themselves, for a service without pages, until the shutdown.
///
/// # Errors
/// An address that is in use, with the setting to change.
pub async fn serve_admin(listen: SocketAddr, process: ProcessRuntime) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another address with --listen"))?;
    let (_kept, routes) = watch::channel(admin_routes(process.status.clone()));
    serve_http(listener, routes, MAX_CONNECTIONS, process).await
}
