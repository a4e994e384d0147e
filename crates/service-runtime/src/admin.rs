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
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Status, install_metrics};

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
pub async fn metrics_response() -> Response {
    match install_metrics() {
        Ok(registry) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], registry.render())
                .into_response()
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
pub async fn serve_admin(
    listen: SocketAddr,
    status: Arc<Status>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another address with --listen"))?;
    axum::serve(listener, admin_routes(status))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .context("the health server failed")
}
