//! `tapedeck status`: one screen that shows whether the running instance works; `--metrics` prints all of its figures.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Deserialize;
use serde_json::Value;
use topics::{names::figure, status::ComponentState};

use crate::{cli::StatusArgs, http::Remote, output::print_line};

/// Exits with 1 if a part of the instance is down, for scripts.
pub(crate) async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let answer = Remote::new(&args.instance.url)?.get("/v1/system", &[]).await?;
    let system = System::deserialize(&answer)?;
    if args.json {
        print_line(format_args!("{answer:#}"))?;
    } else if args.metrics {
        print_tables(&answer)?;
    } else {
        print_line(summary(&system, &args.instance.url, Utc::now()))?;
    }
    let is_up = system.parts().all(|part| part.state == ComponentState::Up);
    Ok(if is_up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is read of `/v1/system`.
#[derive(Debug, Deserialize)]
struct System {
    log_error: Option<String>,
    feeds: Vec<Part>,
    components: Vec<Part>,
    processes: Vec<Process>,
    partitions: Vec<Partition>,
    ticks_per_second: f64,
    stored_per_second: f64,
    lag: u64,
    dead_letters: u64,
    feed_stored: Option<Quantiles>,
    feed_screen: Option<Quantiles>,
    sse_connections: u64,
    prices: Prices,
}

#[derive(Debug, Deserialize)]
struct Part {
    service: String,
    name: String,
    state: ComponentState,
    detail: String,
    since: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct Process {
    instance: String,
    version: String,
    started_at: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    silent: bool,
    clock_ahead_seconds: Option<i64>,
    figures: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the field is the name in the JSON")]
struct Partition {
    topic: String,
    partition: i32,
    owner: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Quantiles {
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Prices {
    live: u64,
    stale: u64,
    closed: u64,
    waiting: u64,
    simulated: u64,
    newest_age_ms: Option<i64>,
}

impl System {
    /// Feeds first, then the other parts.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.feeds.iter().chain(&self.components)
    }
}

/// A part that has not begun to work after so long is a problem.
const STARTING: TimeDelta = TimeDelta::minutes(1);

/// The screen: at most 80 columns where names and reasons are not longer.
fn summary(system: &System, url: &str, now: DateTime<Utc>) -> String {
    let problems = problems(system, now);
    let verdict = match problems.len() {
        0 => "works".to_owned(),
        1 => "has 1 problem".to_owned(),
        n => format!("has {n} problems"),
    };
    let mut lines = vec![format!("Tapedeck at {url} {verdict}")];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
    line("prices", prices(&system.prices));
    line(
        "rates",
        format!(
            "{} ticks/s published, {} stored/s, {} not stored yet, {} dead letters",
            rate(system.ticks_per_second),
            rate(system.stored_per_second),
            system.lag,
            system.dead_letters
        ),
    );
    line("latency", latency(system));
    line("pages", format!("{} live", system.sse_connections));
    for (index, process) in system.processes.iter().enumerate() {
        line(if index == 0 { "processes" } else { "" }, process.line(now));
    }
    for (index, problem) in problems.into_iter().enumerate() {
        line(if index == 0 { "problems" } else { "" }, problem);
    }
    line("more", "--metrics for all figures, --json for programs".to_owned());
    lines.join("\n")
}

fn prices(prices: &Prices) -> String {
    let Prices { live, stale, closed, waiting, simulated, newest_age_ms } = prices;
    let kinds =
        [("live", live), ("stale", stale), ("of closed markets", closed), ("without a price", waiting)];
    let mut parts: Vec<String> = kinds
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if *simulated > 0 {
        parts.push(format!("{simulated} SIMULATED"));
    }
    parts.extend(newest_age_ms.map(|age| format!("newest {} ago", span(TimeDelta::milliseconds(age)))));
    if parts.is_empty() { "none yet".to_owned() } else { parts.join(", ") }
}

fn latency(system: &System) -> String {
    let of = |name: &str, quantiles: &Option<Quantiles>| {
        let Quantiles { p50_ms, p99_ms } = quantiles.as_ref()?;
        Some(format!("{name} p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms"))
    };
    let known: Vec<String> = [of("stored", &system.feed_stored), of("on screens", &system.feed_screen)]
        .into_iter()
        .flatten()
        .collect();
    if known.is_empty() { "nothing measured in the last minute".to_owned() } else { known.join("; ") }
}

/// What is down, since when and why; one line each.
fn problems(system: &System, now: DateTime<Utc>) -> Vec<String> {
    let mut problems: Vec<String> =
        system.log_error.iter().map(|reason| format!("event log: {reason}")).collect();
    // What begins is no problem at first.
    let is_problem = |part: &&Part| match part.state {
        ComponentState::Up => false,
        ComponentState::Starting => now - part.since > STARTING,
        ComponentState::Down => true,
    };
    problems.extend(system.parts().filter(is_problem).map(|part| {
        let Part { service, name, state, detail, since } = part;
        let state = if *state == ComponentState::Down { "down" } else { "starting" };
        format!("{name} of {service}: {state} for {}: {detail}", span(now - *since))
    }));
    let without = system.partitions.iter().filter(|partition| partition.owner.is_none());
    problems.extend(without.map(|Partition { topic, partition, .. }| {
        format!("no consumer reads {topic}[{partition}]; start one, or wait until it is assigned")
    }));
    for process in &system.processes {
        if process.silent {
            let ago = span(now - process.last_seen);
            problems.push(format!(
                "{}: no heartbeat for {ago}; it was killed, or cannot reach the log",
                process.instance
            ));
        }
        if let Some(ahead) = process.clock_ahead_seconds {
            let direction = if ahead > 0 { "ahead" } else { "behind" };
            problems.push(format!(
                "the clock of {} is {} s {direction}: synchronise the clocks of all machines with NTP (`timedatectl set-ntp true`)",
                process.instance,
                ahead.abs()
            ));
        }
    }
    problems
}

impl Process {
    fn line(&self, now: DateTime<Utc>) -> String {
        let figure = |name: &str| self.figures.get(name).and_then(Value::as_f64);
        let up = now - self.started_at;
        let mut parts = vec![format!("{} {}, up {}", self.instance, self.version, span(up))];
        parts.extend(figure(figure::PROCESS_MEMORY).map(|bytes| format!("{:.0} MB", bytes / 1e6)));
        let share =
            |seconds: f64| format!("{:.0} % of a core", seconds / up.as_seconds_f64().max(1.0) * 100.0);
        parts.extend(figure(figure::PROCESS_CPU).map(share));
        parts.join(", ")
    }
}

/// `0.4`, `20.1`, `1234`.
fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { format!("{per_second:.0}") } else { format!("{per_second:.1}") }
}

/// `0.4 s`, `12 s`, `3 min`, `2 h 13 min`, `4 d 2 h`.
fn span(span: TimeDelta) -> String {
    let (seconds, minutes, hours) = (span.num_seconds().max(0), span.num_minutes(), span.num_hours());
    match seconds {
        ..10 => format!("{:.1} s", span.as_seconds_f64().max(0.0)),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", span.num_days(), hours % 24),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn print_tables(system: &Value) -> anyhow::Result<()> {
    let mut parts = Table::new();
    parts.load_style(UTF8_HORIZONTAL_ONLY).set_header(["service", "part", "state", "detail"]);
    for part in ["feeds", "components"].into_iter().flat_map(|kind| list(system, kind)) {
        parts.add_row(["service", "name", "state", "detail"].map(|field| text(part, field)));
    }
    print_line(parts)?;
    let mut partitions = Table::new();
    partitions.load_style(UTF8_HORIZONTAL_ONLY).set_header(["topic", "partition", "owner", "lag"]);
    for partition in list(system, "partitions") {
        let number = |field: &str| partition.get(field).map(ToString::to_string).unwrap_or_default();
        let owner = partition.get("owner").and_then(Value::as_str).unwrap_or("none");
        partitions.add_row([
            text(partition, "topic").to_owned(),
            number("partition"),
            owner.to_owned(),
            number("lag"),
        ]);
    }
    print_line(partitions)?;
    let mut figures = Table::new();
    figures.load_style(UTF8_HORIZONTAL_ONLY).set_header(["process", "figure", "value"]);
    for process in list(system, "processes") {
        for (name, value) in process.get("figures").and_then(Value::as_object).into_iter().flatten() {
            figures.add_row([
                text(process, "instance").to_owned(),
                name.clone(),
                value.as_f64().map_or(value.to_string(), |value| format!("{value:.1}")),
            ]);
        }
    }
    print_line(figures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_screen_shows_what_works_and_what_does_not() {
        let now: DateTime<Utc> = "2026-01-13T15:30:00Z".parse().unwrap();
        let part = |name: &str, state: &str, detail: &str| json!({"service": "consumer", "name": name, "state": state, "detail": detail, "since": "2026-01-13T15:28:00Z"});
        let process = |instance: &str, silent: bool, clock: Option<i64>| {
            json!({"service": "consumer", "instance": instance, "version": "0.1.0", "started_at": "2026-01-13T13:17:00Z",
                   "last_seen": "2026-01-13T15:29:30Z", "silent": silent, "clock_ahead_seconds": clock,
                   "figures": {"process_resident_memory_bytes": 95_000_000.0, "process_cpu_seconds_total": 158.0}})
        };
        let mut system = json!({
            "log_error": null,
            "feeds": [part("feed binance", "up", "12 symbols")],
            "components": [part("live store", "up", "has room")],
            "processes": [process("consumer-a", false, None)],
            "partitions": [{"topic": "stock-prices", "partition": 0, "owner": "consumer-a", "lag": 0}],
            "ticks_per_second": 20.14, "stored_per_second": 1234.4, "lag": 3, "dead_letters": 0,
            "feed_stored": {"p50_ms": 12.3, "p99_ms": 45.6, "count": 1200.0}, "feed_screen": null,
            "sse_connections": 2,
            "prices": {"live": 10, "stale": 1, "closed": 0, "waiting": 1, "simulated": 0, "newest_age_ms": 420}
        });
        let show =
            |system: &Value| summary(&System::deserialize(system).unwrap(), "http://127.0.0.1:5000", now);
        let healthy = show(&system);
        system["components"] = json!([part("live store", "down", "no space left on the disk")]);
        system["processes"] = json!([process("consumer-a", true, Some(-90))]);
        system["partitions"][0]["owner"] = json!(null);
        system["prices"] =
            json!({"live": 0, "stale": 0, "closed": 0, "waiting": 0, "simulated": 0, "newest_age_ms": null});
        insta::assert_snapshot!(format!("{healthy}\n\n{}", show(&system)), @r#"
        Tapedeck at http://127.0.0.1:5000 works
          prices     10 live, 1 stale, 1 without a price, newest 0.4 s ago
          rates      20.1 ticks/s published, 1234 stored/s, 3 not stored yet, 0 dead letters
          latency    stored p50 12 ms, p99 46 ms
          pages      2 live
          processes  consumer-a 0.1.0, up 2 h 13 min, 95 MB, 2 % of a core
          more       --metrics for all figures, --json for programs

        Tapedeck at http://127.0.0.1:5000 has 4 problems
          prices     none yet
          rates      20.1 ticks/s published, 1234 stored/s, 3 not stored yet, 0 dead letters
          latency    stored p50 12 ms, p99 46 ms
          pages      2 live
          processes  consumer-a 0.1.0, up 2 h 13 min, 95 MB, 2 % of a core
          problems   live store of consumer: down for 2 min: no space left on the disk
                     no consumer reads stock-prices[0]; start one, or wait until it is assigned
                     consumer-a: no heartbeat for 30 s; it was killed, or cannot reach the log
                     the clock of consumer-a is 90 s behind: synchronise the clocks of all machines with NTP (`timedatectl set-ntp true`)
          more       --metrics for all figures, --json for programs
        "#);
    }
}
