//! What is served until the live view has been loaded from the store: a page that names what is waited for. It is served from the
//! beginning, before the event log is open.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use chrono::Utc;
use service_runtime::{Component, ProcessRuntime, Status, serve_http};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;
use topics::{names::component, status::ComponentState};

use crate::{WebConfig, max_connections, middleware::host::AllowedHosts, problem::Problem, routes};

/// A browser asks again after so long, in seconds.
const REFRESH_SECONDS: &str = "3";

/// The pages of a service that is starting. Dropping them ends them.
pub struct StartingPages {
    pub(crate) routes: watch::Sender<Router>,
    pub(crate) hosts: Arc<AllowedHosts>,
    /// The part of the health, which is down.
    pub(crate) health: Component,
    /// Serves until the shutdown.
    pub(crate) server: AbortOnDropHandle<anyhow::Result<()>>,
}

impl StartingPages {
    /// Serves from now on. [`run`](crate::run) replaces what is served when it has loaded its live view.
    pub fn serve(config: &WebConfig, listener: TcpListener, process: ProcessRuntime) -> Self {
        let health = process.status.component(component::PAGES);
        health.down("waiting for the event log (--log, LOG_URL)");
        let address = listener.local_addr().unwrap_or(config.listen);
        // The links of mails lead to the public host.
        let public_host = config.public_url.host_str().map(str::to_owned);
        let allowed: Vec<String> = config.web_allowed_hosts.iter().cloned().chain(public_host).collect();
        let hosts = AllowedHosts::new(address, &allowed);
        let (sender, receiver) = watch::channel(routes::guarded(router(&process.status), Arc::clone(&hosts)));
        let max = max_connections(config.web_max_live_clients);
        let server = tokio::spawn(serve_http(listener, receiver, max, process));
        Self { routes: sender, hosts, health, server: AbortOnDropHandle::new(server) }
    }
}

#[derive(Template)]
#[template(path = "starting.html")]
struct StartingPage {
    /// Names of parts that do not work yet, and why.
    waiting: Vec<(String, String)>,
}

/// Health, and the page for every other path.
fn router(status: &Arc<Status>) -> Router {
    Router::new()
        .fallback(starting)
        .with_state(Arc::clone(status))
        .merge(service_runtime::admin_routes(Arc::clone(status)))
}

async fn starting(State(status): State<Arc<Status>>, request: Request) -> Response {
    let parts = status.snapshot(Utc::now()).components;
    let waiting: Vec<_> = parts
        .into_iter()
        .filter(|part| part.state != ComponentState::Up)
        .map(|part| (part.name, part.detail))
        .collect();
    let path = request.uri().path();
    if path == "/events" || path.starts_with("/v1/") {
        let parts: Vec<_> = waiting.iter().map(|(name, detail)| format!("{name}: {detail}")).collect();
        return Problem::unavailable(format!("the service is starting; {}", parts.join("; ")))
            .into_response();
    }
    match (StartingPage { waiting }).render() {
        Ok(page) => {
            let headers = [(header::RETRY_AFTER, REFRESH_SECONDS), (header::REFRESH, REFRESH_SECONDS)];
            (StatusCode::SERVICE_UNAVAILABLE, headers, Html(page)).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_what_is_waited_for() {
        let waiting = vec![("pages".to_owned(), "waiting for the live store: <refused>".to_owned())];
        insta::assert_snapshot!(StartingPage { waiting }.render().expect("it renders"), @r#"
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="dark light">
        <title>Starting · Tapedeck</title>
        </head>
        <body>
        <main>
        <h1>Tapedeck is starting</h1>
        <p>Prices appear here as soon as its parts work. This page is loaded again every 3 seconds.</p>
        <ul>
        <li><b>pages</b>: waiting for the live store: &#60;refused&#62;</li>
        </ul>
        </main>
        </body>
        </html>
        "#);
    }
}
