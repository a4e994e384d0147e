//! Accepts connections within bounds, and serves them by HTTP/1.1.
//!
//! `axum::serve` needs some 7 KB more for each live client: it detects HTTP/2 on every connection, which no browser speaks
//! without TLS, and has the state and the buffers for both. It also has no limit of connections, and no timeout.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{Request, Response, StatusCode, header},
    response::IntoResponse,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ProcessRuntime,
    connections::{Answering, BodyWait, Connections, Place},
};

/// Longest time that a connection waits for its client: for the complete head of a request, counted from the opening of the
/// connection or from its last response, for the complete body, or until the client reads some of what is written to it.
const CLIENT_TIMEOUT_MS: u64 = 30_000;
/// Between two looks for connections that have waited too long.
const CHECK_INTERVAL_MS: u64 = 1_000;
/// Between two warnings about connections that were closed because of the limit.
const WARNING_INTERVAL_MS: u64 = 10_000;
/// Most bytes read or written ahead on one connection, and so of the head of a request.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// Between two attempts to accept while the process has no file descriptors left.
const ACCEPT_RETRY_MS: u64 = 1_000;
/// What a reserved connection is for: health checks, metrics and `tapedeck status`.
const RESERVED_PATHS: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/v1/system"];

/// The address of the client, in the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Serves until the shutdown, then lets open connections end. `routes` may be replaced meanwhile; each request takes the
/// latest.
///
/// There are at most `max_connections`, and a few more for health checks and the command line while all of them are answering
/// requests. At the limit a new connection replaces the one that has waited the longest for its client.
///
/// # Errors
/// None at present: what cannot be accepted is tried again.
pub async fn serve_http(
    listener: TcpListener,
    routes: watch::Receiver<Router>,
    max_connections: usize,
    process: ProcessRuntime,
) -> anyhow::Result<()> {
    let shutdown = process.shutdown.clone();
    let tasks = TaskTracker::new();
    let connections = Connections::new(max_connections);
    let mut check = tokio::time::interval(Duration::from_millis(CHECK_INTERVAL_MS));
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            _ = check.tick() => {
                connections.close_waiting(Duration::from_millis(CLIENT_TIMEOUT_MS));
                warn_of_closings(&connections, max_connections, &mut warned);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // Dropped, and so closed, where there is no place for it.
                let _ = connections.admit(|place| {
                    let (routes, shutdown) = (routes.clone(), shutdown.clone());
                    tasks
                        .spawn(serve_connection(stream, address.ip(), place, routes, shutdown))
                        .abort_handle()
                });
            }
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted; trying again");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    // Connections that are still open after the deadline end with the process: one to a client that stopped reading never ends.
    tokio::select! {
        () = tasks.wait() => {}
        () = process.shutdown_budget().connections().passed() => {}
    }
    Ok(())
}

/// Warns at most every ten seconds; what was closed between is counted in the next warning.
fn warn_of_closings(connections: &Connections, max: usize, warned: &mut Option<Instant>) {
    if warned.is_some_and(|at| at.elapsed() < Duration::from_millis(WARNING_INTERVAL_MS)) {
        return;
    }
    let closed = connections.take_closings();
    if closed.replaced > 0 || closed.refused > 0 {
        *warned = Some(Instant::now());
        tracing::warn!(
            limit = max,
            replaced = closed.replaced,
            refused = closed.refused,
            "there were as many connections as may be: new ones replaced those that had waited the longest for their clients, \
             or were refused"
        );
    }
}

/// Whether the client went away before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    address: IpAddr,
    place: Place,
    routes: watch::Receiver<Router>,
    shutdown: CancellationToken,
) {
    // Otherwise an event waits for the acknowledgement of the one before. Fails only where the client is gone already.
    let _ = stream.set_nodelay(true);
    let place = Arc::new(place);
    let stream = WatchedStream { stream: TokioIo::new(stream), place: Arc::clone(&place) };
    let service = service_fn(move |mut request: Request<Incoming>| {
        let answering = place.answering();
        request.extensions_mut().insert(ClientAddress(address));
        let is_refused = place.is_reserved && !RESERVED_PATHS.contains(&request.uri().path());
        if is_refused {
            place.count_refused();
        }
        let request = request.map(|body| AwaitedBody { body, wait: place.body_wait() });
        let routes = routes.borrow().clone();
        async move {
            let response = if is_refused {
                too_many_connections()
            } else {
                TowerToHyperService::new(routes).call(request).await?
            };
            Ok::<_, Infallible>(response.map(|body| WatchedBody { body, _answering: answering }))
        }
    });
    // The server's own timeout covers also what hyper's does not: a client that does not read.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(stream, service);
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

fn too_many_connections() -> Response<Body> {
    let text = "There are too many connections to this server; try again shortly.\n";
    let headers = [(header::RETRY_AFTER, "5"), (header::CONNECTION, "close")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
}

/// The body of a request: until it is complete, the connection waits for its client.
struct AwaitedBody {
    body: Incoming,
    wait: BodyWait,
}

impl HttpBody for AwaitedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Pending => self.wait.begin(),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => self.wait.end(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, which ends the answering of its request.
struct WatchedBody {
    body: Body,
    _answering: Answering,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose writes show whether the client reads.
struct WatchedStream {
    stream: TokioIo<TcpStream>,
    place: Arc<Place>,
}

impl WatchedStream {
    fn report(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            self.place.write_is_blocked();
        }
        let written = ready!(written);
        self.place.has_written();
        Poll::Ready(written)
    }
}

impl Read for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.report(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.report(written)
    }
}
