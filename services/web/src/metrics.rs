//! What the pages count and measure.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use metrics::{Gauge, counter, gauge};
use service_runtime::{Latency, Meter, Status};

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// From `received_at` to the frame that showed the price, as browsers measured it.
    pub(crate) feed_screen: Arc<Latency>,
    /// Messages of the live topics that could not be read.
    pub(crate) unreadable: Arc<Meter>,
    connections: AtomicUsize,
    exported_connections: Gauge,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Arc<Self> {
        Arc::new(Self {
            feed_screen: status.report(Arc::new(Latency::new(topics::names::figure::FEED_SCREEN))),
            unreadable: status.report(Arc::new(Meter::new("tapedeck_web_unreadable_total"))),
            connections: AtomicUsize::new(0),
            exported_connections: gauge!("tapedeck_sse_connections"),
        })
    }

    /// Open event streams.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// One more event stream, unless there are `max`.
    pub(crate) fn connect(self: &Arc<Self>, max: usize) -> Option<Connection> {
        let connect = |open: usize| (open < max).then_some(open + 1);
        self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, connect).ok()?;
        self.exported_connections.increment(1.0);
        Some(Connection(Arc::clone(self)))
    }
}

/// An open event stream; dropping it counts it out.
pub(crate) struct Connection(Arc<Metrics>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.exported_connections.decrement(1.0);
    }
}

/// Counts requests by route, not by path: the number of series stays bounded whatever is asked for.
pub(crate) async fn count_request(State(()): State<()>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "HEAD") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    counter!("tapedeck_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_are_bounded_and_counted_out_when_they_end() {
        let metrics = Metrics::new(&Status::new("web", "test", chrono::Utc::now()));
        let first = metrics.connect(2);
        let second = metrics.connect(2);
        assert!(first.is_some() && second.is_some());
        assert!(metrics.connect(2).is_none(), "the third of two");
        drop(first);
        assert_eq!(metrics.connections(), 1);
        assert!(metrics.connect(2).is_some());
    }
}
