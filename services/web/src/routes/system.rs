//! The state of the pipeline, as a page and as JSON.

use std::collections::BTreeSet;

use askama::Template;
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use topics::{
    names::{component, service},
    status::ComponentState,
};

use super::{
    App,
    pages::{Layout, render},
};
use crate::{
    format::{self, TimeText},
    gap_figures::GapFigures,
    middleware::viewer::Viewer,
    params::Params,
    pipeline::{BatchFigures, ComponentRow, PartitionRow, ProcessRow, Quantiles, SystemFigures, TopicRow},
    problem::Problem,
};

/// GET /v1/system
pub(crate) async fn figures(State(app): State<App>, params: Params) -> Result<Json<SystemFigures>, Problem> {
    params.allow(&[])?;
    Ok(Json(read_figures(&app, Utc::now()).await))
}

async fn read_figures(app: &App, now: DateTime<Utc>) -> SystemFigures {
    let own = app.runtime.status.snapshot(now);
    let prices = app.live.snapshot().await.prices();
    let gaps = GapFigures::read(&*app.store, now).await;
    let system = app.live.pipeline().system(&own, prices, app.metrics.live_clients(), now);
    SystemFigures { gaps, ..system }
}

/// One box of the pipeline.
struct Node {
    title: String,
    state: &'static str,
    state_text: &'static str,
    figures: Vec<Figure>,
}

/// A number with its name and definition.
struct Figure {
    id: &'static str,
    name: &'static str,
    value: String,
    definition: &'static str,
}

#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage<'a> {
    layout: Layout<'a>,
    system: SystemFigures,
    nodes: Vec<Node>,
    now: DateTime<Utc>,
}

/// GET /system
pub(crate) async fn page(State(app): State<App>, viewer: Viewer) -> Result<Response, Problem> {
    let now = Utc::now();
    let system = read_figures(&app, now).await;
    let nodes = nodes(&system, app.metrics.max_live_clients());
    render(&SystemPage { layout: Layout::new(&app, viewer, "system"), nodes, system, now })
}

fn nodes(system: &SystemFigures, max_live_clients: usize) -> Vec<Node> {
    let figure = |id, name, value, definition| Figure { id, name, value, definition };
    let count = |value: f64| format::compact(value.round());
    let latency =
        |quantiles: Option<f64>| quantiles.map_or_else(|| format::UNKNOWN.to_owned(), format::milliseconds);
    let records = system.topics.iter().map(|topic| topic.records).sum::<u64>();
    let log_state = if system.log_error.is_some() { ("down", "no response") } else { ("up", "up") };
    let up = system.feeds.iter().filter(|feed| feed.state == ComponentState::Up).count();
    let feeds = format!("{up} of {}", system.feeds.len());
    let stored = system.feed_stored;
    let screen = system.feed_screen;
    let node = |title: &str, (state, state_text), figures| Node {
        title: title.to_owned(),
        state,
        state_text,
        figures,
    };
    let mut nodes = vec![
        node(
            "Feeds",
            worst(system.feeds.iter()),
            vec![
                figure(
                    "feeds",
                    "Healthy",
                    feeds,
                    "Feeds that deliver, of all feeds. A feed that delivers nothing until its deadline counts as down.",
                ),
                figure(
                    "published",
                    "Published",
                    per_second(system.ticks_per_second),
                    "Ticks written to the event log per second, mean of the last ten seconds.",
                ),
            ],
        ),
        node(
            "Event log",
            log_state,
            vec![
                figure("records", "Kept", count(records as f64), "Records kept in all topics."),
                figure(
                    "dead",
                    "Dead letters",
                    count(system.dead_letters as f64),
                    "Records that could not be read. They are kept, with the reason, in the topics ending in .dlq.",
                ),
            ],
        ),
        node(
            "Consumer",
            worst(system.components.iter().filter(|row| row.name == component::CONSUMER)),
            vec![
                figure(
                    "lag",
                    "Lag",
                    count(system.lag as f64),
                    "Ticks in the log that the consumer has not stored and committed yet.",
                ),
                figure(
                    "closed",
                    "Candles closed",
                    count(system.candles_closed_total),
                    "Candles closed from ticks since the consumer started, of all intervals.",
                ),
            ],
        ),
        node(
            "Live store",
            worst(system.components.iter().filter(|row| row.name == component::LIVE_STORE)),
            vec![
                figure(
                    "stored",
                    "Stored",
                    per_second(system.stored_per_second),
                    "Ticks stored for the first time per second, mean of the last ten seconds.",
                ),
                figure(
                    "stored99",
                    "Feed to stored, p99",
                    latency(stored.map(|q| q.p99_ms)),
                    "From the receipt of a tick to the store's acknowledgement; 99 of 100 ticks of the last minute were at least this fast.",
                ),
            ],
        ),
        node(
            "Web",
            worst(system.components.iter().filter(|row| row.name == component::LIVE_PRICES)),
            vec![
                figure(
                    "browsers",
                    "Browsers",
                    format!("{} of {max_live_clients}", system.sse_connections),
                    "Open event streams, one for each browser, of the limit (--web-max-live-clients). Browsers past the limit poll.",
                ),
                figure(
                    "screen99",
                    "Feed to screen, p99",
                    latency(screen.map(|q| q.p99_ms)),
                    "From the receipt of a tick to the frame that showed it, as browsers measured it; 99 of 100 of the last minute were at least this fast.",
                ),
            ],
        ),
    ];
    if let Some(batch) = &system.batch {
        let rows = system.components.iter().filter(|row| row.service == service::BATCH);
        nodes.push(node("Batch", worst(rows), batch_figures(batch)));
    }
    // Services that have no figures of their own here.
    let others: BTreeSet<&str> = system.components.iter().map(|row| row.service.as_str()).collect();
    for name in others.into_iter().filter(|name| !service::WITH_NODES.contains(name)) {
        let rows = system.components.iter().filter(|row| row.service == name);
        nodes.push(node(&capitalised(name), worst(rows), Vec::new()));
    }
    nodes
}

/// `Alerts` of `alerts`.
fn capitalised(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

fn batch_figures(batch: &BatchFigures) -> Vec<Figure> {
    let figure = |id, name, value, definition| Figure { id, name, value, definition };
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| format::UNKNOWN.to_owned(), |time| time.format("%m-%d %H:%M UTC").to_string())
    };
    let bytes = |bytes: f64| match bytes {
        bytes if bytes <= 0.0 => format::UNKNOWN.to_owned(),
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", bytes / 1e6),
    };
    let status = match (batch.finished, batch.failed) {
        (None, _) => "none yet".to_owned(),
        (_, true) => "failed".to_owned(),
        (_, false) => format!("{} rows", format::compact(batch.rows)),
    };
    vec![
        figure("lastrun", "Last run", time(batch.finished), "When the last run of the batch ended."),
        figure(
            "lastrows",
            "Result",
            status,
            "Rows that the last run wrote: those that were new or differed.",
        ),
        figure(
            "nextrun",
            "Next run",
            time(batch.next),
            "When the batch aggregates the days that have ended since.",
        ),
        figure(
            "storesize",
            "Store size",
            bytes(batch.store_bytes),
            "Bytes on disk that hold rows and indexes of the live store. Days past the retention are removed when they are aggregated.",
        ),
        figure(
            "storegrowth",
            "Growth a day",
            bytes(batch.store_growth_bytes_per_day),
            "Bytes of the ticks of a day, about: the mean of the last seven days, 200 bytes a tick.",
        ),
    ]
}

/// The state that a box shows, and its text.
fn worst<'a>(components: impl Iterator<Item = &'a ComponentRow>) -> (&'static str, &'static str) {
    let (mut any, mut down, mut starting) = (false, false, false);
    for component in components {
        any = true;
        down |= component.state == ComponentState::Down;
        starting |= component.state == ComponentState::Starting;
    }
    match (any, down, starting) {
        (false, ..) => ("unknown", "no heartbeat"),
        (_, true, _) => ("down", "down"),
        (.., true) => ("starting", "starting"),
        _ => ("up", "up"),
    }
}

impl ComponentRow {
    fn state_text(&self) -> &'static str {
        match self.state {
            ComponentState::Starting => "starting",
            ComponentState::Up => "up",
            ComponentState::Down => "down",
        }
    }

    /// `binance` of `feed binance`.
    fn short_name(&self) -> &str {
        self.name.strip_prefix(component::FEED_PREFIX).unwrap_or(&self.name)
    }
}

impl Quantiles {
    fn p50(&self) -> String {
        format::milliseconds(self.p50_ms)
    }

    fn p99(&self) -> String {
        format::milliseconds(self.p99_ms)
    }

    fn measured(&self) -> String {
        format::compact(self.count)
    }
}

impl TopicRow {
    fn kept(&self) -> String {
        format::compact(self.records as f64)
    }

    fn rate(&self) -> String {
        per_second(self.per_second)
    }

    fn lag_text(&self) -> String {
        self.lag.map_or_else(|| format::UNKNOWN.to_owned(), |lag| format::compact(lag as f64))
    }
}

impl PartitionRow {
    fn lag_text(&self) -> String {
        format::compact(self.lag as f64)
    }
}

impl ProcessRow {
    fn running(&self, now: &DateTime<Utc>) -> String {
        format::span(self.uptime + (*now - self.last_seen))
    }

    /// `clock 1 h 1 min behind`; `None` where the difference is tolerated.
    fn clock(&self) -> Option<String> {
        let ahead = self.clock_ahead_seconds?;
        let direction = if ahead > 0 { "ahead" } else { "behind" };
        Some(format!("clock {} {direction}", format::span(TimeDelta::seconds(ahead.abs()))))
    }

    fn silent_for(&self, now: &DateTime<Utc>) -> String {
        format::span(*now - self.last_seen)
    }
}

/// `12.4 /s`; without decimals from 100 on.
fn per_second(rate: f64) -> String {
    format!("{} /s", format::compact(if rate >= 100.0 { rate.round() } else { rate }))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use event_log::{PartitionLag, TopicInfo, TopicPartition};
    use topics::status::{ComponentStatus, ServiceStatus};

    use super::*;
    use crate::{pipeline::Pipeline, routes::assets::Bundle, snapshot::PriceSummary};

    fn now() -> DateTime<Utc> {
        "2026-01-13T15:30:00Z".parse().expect("a time")
    }

    fn status(
        service: &str,
        components: &[(&str, ComponentState)],
        figures: &[(&str, f64)],
    ) -> ServiceStatus {
        let component = |(name, state): &(&str, ComponentState)| ComponentStatus {
            service: None,
            name: (*name).to_owned(),
            state: *state,
            detail: "a detail".to_owned(),
            since: now() - TimeDelta::minutes(10),
            partitions: match *name {
                "consumer" => BTreeMap::from([("stock-prices".to_owned(), BTreeSet::from([0]))]),
                _ => BTreeMap::new(),
            },
        };
        ServiceStatus {
            service: service.to_owned(),
            instance: format!("{service}-1"),
            version: "1.2.3".to_owned(),
            started_at: now() - TimeDelta::hours(26),
            at: now(),
            stopping: false,
            components: components.iter().map(component).collect(),
            figures: figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        }
    }

    fn figures() -> SystemFigures {
        let mut pipeline = Pipeline::default();
        let feeds = [("feed binance", ComponentState::Up), ("feed yahoo", ComponentState::Down)];
        let _ = pipeline.take_heartbeat(status("producer", &feeds, &[]), now());
        let consumer = [("consumer", ComponentState::Up), ("live store", ComponentState::Up)];
        let stored = [
            ("tapedeck_ticks_stored_total", 120_000.0),
            ("tapedeck_ticks_stored_per_second", 1_234.5),
            ("tapedeck_feed_stored_p50_ms", 12.3),
            ("tapedeck_feed_stored_p99_ms", 1_250.0),
            ("tapedeck_feed_stored_count", 70_000.0),
        ];
        let _ = pipeline.take_heartbeat(status("consumer", &consumer, &stored), now());
        let topic =
            |name: &str, ends: &[(u64, u64)]| TopicInfo { name: name.to_owned(), partitions: ends.to_vec() };
        let topics =
            vec![topic("stock-prices", &[(0, 1_000), (500, 2_000)]), topic("stock-prices.dlq", &[(0, 3)])];
        let lag = |partition, lag| PartitionLag {
            topic_partition: TopicPartition { topic: "stock-prices".into(), partition },
            committed: None,
            first: 0,
            end: lag,
            lag,
        };
        pipeline.take_log_state(Ok((topics, vec![lag(0, 12), lag(1, 0)])), now());
        pipeline.take_log_state(Err("the broker is away".to_owned()), now());
        let prices = PriceSummary {
            live: 5,
            stale: 1,
            waiting: 2,
            newest_age_ms: Some(400),
            ..PriceSummary::default()
        };
        pipeline.system(&status("web", &[("live prices", ComponentState::Starting)], &[]), prices, 3, now())
    }

    #[test]
    fn the_figures_as_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&figures()).expect("JSON"));
    }

    #[test]
    fn the_page() {
        let bundle = Bundle::default();
        let layout = Layout {
            bundle: &bundle,
            viewer: Viewer::default(),
            page: "system",
            symbols: Vec::new(),
            log_is_down: false,
        };
        let system = figures();
        let nodes = nodes(&system, 512);
        let page = SystemPage { layout, nodes, system, now: now() };
        let html = page.render().expect("it renders");
        let (_, content) = html.split_once("as soon as a connection is free.</p>").expect("a beginning");
        let (content, _) = content.split_once("</main>").expect("an end");
        insta::assert_snapshot!(content.trim());
    }
}
