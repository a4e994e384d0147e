//! Two figures, each against a limit measured in the same run:
//!
//! 1. What an event costs its caller, against `fmt().json()` into `tracing_appender::non_blocking`.
//! 2. Documents a second into Elasticsearch, against a loop that posts bodies that are encoded already.
//!
//! `cargo bench -p tracing-elastic`; the second one needs ELASTIC_URL. LOG_LINES (default 200000) is the number of events. Exits with 1
//! where a limit is not reached.

use std::{
    env,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use tracing::{Dispatch, dispatcher, info, info_span};
use tracing_elastic::{Limits, Logs, Service, Settings, start};
use tracing_subscriber::{Registry, fmt, layer::SubscriberExt};

/// The layer costs its caller at most so many times what JSON lines cost.
const COST_LIMIT: f64 = 1.0;
/// The layer sends at least this part of what the loop posts.
const RATE_LIMIT: f64 = 0.8;
/// Rounds of the first figure; the fastest of each counts.
const ROUNDS: usize = 5;
/// Of the second one.
const RATE_ROUNDS: usize = 4;

fn main() -> ExitCode {
    let lines: usize = env::var("LOG_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let mut is_met = cost(lines);
    match env::var("ELASTIC_URL") {
        Ok(url) => is_met &= rate(&url, lines),
        Err(_) => println!("documents a second: not measured, ELASTIC_URL is not set"),
    }
    ExitCode::from(u8::from(!is_met))
}

/// What services log: a span with two fields, an event with two.
fn log(lines: usize) {
    let _span = info_span!("read", topic = "stock-prices", partition = 2).entered();
    for line in 0..lines {
        info!(symbol = "AAPL", offset = line, "a tick was stored");
    }
}

fn timed(dispatch: &Dispatch, lines: usize) -> Duration {
    dispatcher::with_default(dispatch, || {
        let begun = Instant::now();
        log(lines);
        begun.elapsed()
    })
}

fn settings(url: &str, stream: &str, lines: usize) -> Settings {
    let mut settings = Settings::new(url.to_owned(), stream, Service::new("bench", "1"));
    // Nothing may be dropped: a drop is cheaper than an event that is kept.
    settings.limits =
        Limits { queue_max_bytes: 4 << 30, queue_max_documents: lines + 1, ..Limits::default() };
    settings
}

fn cost(lines: usize) -> bool {
    let (mut json, mut elastic) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let writer = tracing_appender::non_blocking::NonBlockingBuilder::default()
            .lossy(false)
            .buffered_lines_limit(lines);
        let (writer, guard) = writer.finish(std::io::sink());
        let layer = fmt::layer().json().with_writer(writer);
        json = json.min(timed(&Dispatch::new(Registry::default().with(layer)), lines));
        drop(guard);

        // Nothing listens there: the queue keeps everything.
        let (layer, logs) =
            start(settings("http://127.0.0.1:9", "bench-logs", lines), None).expect("settings");
        elastic = elastic.min(timed(&Dispatch::new(Registry::default().with(layer)), lines));
        assert_eq!(logs.monitor().counts().dropped, 0);
        logs.shutdown(Duration::ZERO);
    }
    let each = |time: Duration| time.as_nanos() as f64 / lines as f64;
    let ratio = each(elastic) / each(json);
    println!(
        "an event costs its caller {:.0} ns, as a JSON line {:.0} ns: {ratio:.2} (limit {COST_LIMIT})",
        each(elastic),
        each(json)
    );
    ratio <= COST_LIMIT
}

fn rate(url: &str, lines: usize) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let (mut layer, mut posted) = (0.0_f64, 0.0_f64);
    // In turn: a server that was just started becomes faster with every round.
    for round in 0..RATE_ROUNDS {
        let stream = |of: &str| format!("bench-{of}-{now}-{round}");
        let (sending, logs) = start(settings(url, &stream("layer"), lines), None).expect("settings");
        let Some(of_layer) = warm_up(&logs, sending, lines) else { return false };
        let Some(of_loop) = self::posted(url, &stream("loop"), lines) else { return false };
        (layer, posted) = (layer.max(of_layer), posted.max(of_loop));
        logs.shutdown(Duration::ZERO);
    }
    println!("{layer:.0} documents a second, posted {posted:.0}: {:.2} (limit {RATE_LIMIT})", layer / posted);
    layer >= posted * RATE_LIMIT
}

/// Documents a second of the layer, after the data stream was made.
fn warm_up(logs: &Logs, layer: tracing_elastic::ElasticLayer, lines: usize) -> Option<f64> {
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::with_default(&dispatch, || {
        log(100);
        logs.monitor().flush(Duration::from_secs(60)).then_some(())?;
        let begun = Instant::now();
        log(lines);
        logs.monitor().flush(Duration::from_secs(600)).then_some(())?;
        Some(lines as f64 / begun.elapsed().as_secs_f64())
    })
}

/// Documents a second of a loop that posts bodies that were encoded and compressed before.
fn posted(url: &str, stream: &str, lines: usize) -> Option<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let settings = settings(url, stream, lines);
    runtime.block_on(tracing_elastic::setup(&settings, None)).ok()?;
    let per_body = Limits::default().batch_max_documents;
    let body = |from: usize, count: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for line in from..from + count {
            writeln!(encoder, "{{\"create\":{{\"_id\":\"{stream}-{line}\"}}}}").ok()?;
            writeln!(
                encoder,
                "{{\"@timestamp\":\"2026-01-13T15:30:00.123456Z\",\"log.level\":\"info\",\"message\":\"a tick was stored\",\
                 \"ecs.version\":\"8.17.0\",\"service.version\":\"1\",\"process.pid\":4242,\"service.name\":\"bench\",\
                 \"event.dataset\":\"bench\",\"log.logger\":\"logging\",\"log.origin.file.name\":\"benches/logging.rs\",\
                 \"log.origin.function\":\"logging\",\"span.name\":\"read\",\"log.origin.file.line\":47,\
                 \"trace.id\":\"{stream}\",\"labels\":{{\"symbol\":\"AAPL\",\"offset\":\"{line}\",\"topic\":\"stock-prices\",\
                 \"partition\":\"2\"}}}}"
            )
            .ok()?;
        }
        encoder.finish().ok()
    };
    let bodies: Vec<Vec<u8>> = (0..lines)
        .step_by(per_body)
        .map(|from| body(from, per_body.min(lines - from)))
        .collect::<Option<_>>()?;
    let client = reqwest::Client::new();
    let post = async |body: Vec<u8>| {
        let request = client
            .post(format!("{url}/{stream}/_bulk?filter_path=errors"))
            .header("content-type", "application/x-ndjson")
            .header("content-encoding", "gzip")
            .body(body);
        let answer = request.send().await.ok()?.text().await.ok()?;
        answer.contains("\"errors\":false").then_some(())
    };
    runtime.block_on(async {
        // Makes the data stream.
        post(body(lines, 100)?).await?;
        let begun = Instant::now();
        for body in bodies {
            post(body).await?;
        }
        Some(lines as f64 / begun.elapsed().as_secs_f64())
    })
}
