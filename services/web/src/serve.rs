//! Accepts connections and serves them by HTTP/1.1.
//!
//! `axum::serve` needs some 7 KB more for each live client: it detects HTTP/2 on every connection, which no browser speaks
//! without TLS, and has the state and the buffers for both.

use std::{io, pin::pin, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use service_runtime::Runtime;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest time from the opening of a connection, or from its last response, until the head of a request is complete.
const HEAD_TIMEOUT_MS: u64 = 30_000;
/// Most bytes read or written ahead on one connection, and so of the head of a request.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// Between two attempts to accept while the process has no file descriptors left.
const ACCEPT_RETRY_MS: u64 = 1_000;

/// Serves until the shutdown, then lets open connections end.
pub(crate) async fn serve(listener: TcpListener, routes: Router, runtime: Runtime) -> anyhow::Result<()> {
    let shutdown = runtime.shutdown.clone();
    let service = TowerToHyperService::new(routes);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, service.clone(), shutdown.clone()));
            }
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted; trying again");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    // Connections that are still open after the deadline end with the process: one to a client that stopped reading never ends.
    tokio::select! {
        () = connections.wait() => {}
        () = runtime.shutdown_budget().connections().passed() => {}
    }
    Ok(())
}

/// Whether the client went away before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    shutdown: CancellationToken,
) {
    // Otherwise an event waits for the acknowledgement of the one before. Fails only where the client is gone already.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
