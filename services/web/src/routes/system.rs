//! How the pipeline is doing, as a page and as JSON.

use std::collections::BTreeSet;

use askama::Template;
use axum::{Json, extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use topics::{
    names::{component, service},
    status::ComponentState,
};

use super::{
    App,
    pages::{Frame, render},
};
use crate::{
    format::{self, Moment},
    params::Params,
    pipeline::{Assignment, Part, Process, Quantiles, System, Topic},
    problem::Problem,
};

/// GET /v1/system
pub(crate) async fn figures(State(app): State<App>, params: Params) -> Result<Json<System>, Problem> {
    params.allow(&[])?;
    Ok(Json(read(&app, Utc::now())))
}

/// The figures as of `now`.
pub(crate) fn read(app: &App, now: DateTime<Utc>) -> System {
    let own = app.runtime.status.snapshot(now);
    let symbols = app.live.picture().symbols().len();
    app.live.pipeline().system(&own, symbols, app.metrics.connections(), now)
}

/// One box of the pipeline.
struct Node {
    title: String,
    state: &'static str,
    word: &'static str,
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
    frame: Frame<'a>,
    system: System,
    nodes: Vec<Node>,
    now: DateTime<Utc>,
}

/// GET /system
pub(crate) async fn page(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let now = Utc::now();
    let system = read(&app, now);
    let nodes = nodes(&system);
    render(&SystemPage { frame: Frame::new(&app, &headers, "system"), nodes, system, now })
}

fn nodes(system: &System) -> Vec<Node> {
    let figure = |id, name, value, definition| Figure { id, name, value, definition };
    let count = |value: f64| format::compact(value.round());
    let latency =
        |quantiles: Option<f64>| quantiles.map_or_else(|| "\u{2013}".to_owned(), format::milliseconds);
    let records = system.topics.iter().map(|topic| topic.records).sum::<u64>();
    let log_state = if system.trouble.is_some() { ("down", "no answer") } else { ("up", "answers") };
    let up = system.feeds.iter().filter(|feed| feed.state == ComponentState::Up).count();
    let feeds = format!("{up} of {}", system.feeds.len());
    let stored = system.feed_stored;
    let screen = system.feed_screen;
    let node = |title: &str, (state, word), figures| Node { title: title.to_owned(), state, word, figures };
    let mut nodes = vec![
        node(
            "Feeds",
            worst(system.feeds.iter()),
            vec![
                figure(
                    "feeds",
                    "Healthy",
                    feeds,
                    "Feeds that deliver, of all feeds. A feed that says nothing past its deadline counts as down.",
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
                    "Records that could not be understood. They are kept, with the reason, in the topics ending in .dlq.",
                ),
            ],
        ),
        node(
            "Consumer",
            worst(system.parts.iter().filter(|part| part.name == component::CONSUMER)),
            vec![
                figure(
                    "lag",
                    "Lag",
                    count(system.lag as f64),
                    "Ticks in the log that the consumer has not stored and committed yet.",
                ),
                figure(
                    "closed",
                    "Bars closed",
                    count(system.candles_closed_total),
                    "Candles closed from ticks since the consumer started, of all widths.",
                ),
            ],
        ),
        node(
            "Live store",
            worst(system.parts.iter().filter(|part| part.name == component::LIVE_STORE)),
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
                    "From receiving a tick to the store's acknowledgement; 99 of 100 ticks of the last minute were at least this fast.",
                ),
            ],
        ),
        node(
            "Web",
            worst(system.parts.iter().filter(|part| part.name == component::LIVE_PRICES)),
            vec![
                figure(
                    "tabs",
                    "Tabs",
                    system.sse_connections.to_string(),
                    "Open event streams; one per browser tab.",
                ),
                figure(
                    "screen99",
                    "Feed to screen, p99",
                    latency(screen.map(|q| q.p99_ms)),
                    "From receiving a tick to the frame that showed it, as browsers measured it; 99 of 100 of the last minute were at least this fast.",
                ),
            ],
        ),
    ];
    // Services that have no figures of their own here.
    let others: BTreeSet<&str> = system.parts.iter().map(|part| part.service.as_str()).collect();
    for name in others.into_iter().filter(|name| !service::WITH_NODES.contains(name)) {
        nodes.push(node(name, worst(system.parts.iter().filter(|part| part.service == name)), Vec::new()));
    }
    nodes
}

fn worst<'a>(parts: impl Iterator<Item = &'a Part>) -> (&'static str, &'static str) {
    let (mut any, mut down, mut starting) = (false, false, false);
    for part in parts {
        any = true;
        down |= part.state == ComponentState::Down;
        starting |= part.state == ComponentState::Starting;
    }
    match (any, down, starting) {
        (false, ..) => ("unknown", "not heard of"),
        (_, true, _) => ("down", "in trouble"),
        (.., true) => ("starting", "starting"),
        _ => ("up", "works"),
    }
}

impl Part {
    fn word(&self) -> &'static str {
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

impl Topic {
    fn kept(&self) -> String {
        format::compact(self.records as f64)
    }

    fn rate(&self) -> String {
        per_second(self.per_second)
    }

    fn behind(&self) -> String {
        self.lag.map_or_else(|| "\u{2013}".to_owned(), |lag| format::compact(lag as f64))
    }
}

impl Assignment {
    fn behind(&self) -> String {
        format::compact(self.lag as f64)
    }
}

impl Process {
    fn running(&self, now: &DateTime<Utc>) -> String {
        format::span(self.had_run + (*now - self.last_heard))
    }

    /// `clock 1 h 1 min behind`, where it is worth a word.
    fn clock(&self) -> Option<String> {
        let ahead = self.clock_ahead_seconds?;
        let direction = if ahead > 0 { "ahead" } else { "behind" };
        Some(format!("clock {} {direction}", format::span(TimeDelta::seconds(ahead.abs()))))
    }

    fn silent_for(&self, now: &DateTime<Utc>) -> String {
        format::span(*now - self.last_heard)
    }
}

/// `12.4 /s`; from a hundred on without decimals.
fn per_second(rate: f64) -> String {
    format!("{} /s", format::compact(if rate >= 100.0 { rate.round() } else { rate }))
}
