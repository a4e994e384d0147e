//! Fault 17: the broker loses all data and restarts under the same address, as the same cluster or as another one, so that the log
//! is replaced. Services that end are restarted, as containers would be.

use std::time::Duration;

use anyhow::Context;
use event_log::TopicSpec;
use tokio::time::Instant;

use crate::{
    Outcome,
    checker::Stored,
    process::{Program, metric, wait_until},
    scene::{Scene, World, end, ready},
};

/// Ticks per second of the simulated market.
const SIMULATED_RATE: &str = "500";
/// How long services may take to continue with the new log: above the guarantee, so that the time is measured even if it is
/// violated.
const PATIENCE: Duration = Duration::from_mins(3);
/// The guaranteed time: the client waits half a minute for a missing topic.
const RESUME: Duration = Duration::from_mins(1);
/// Limit of starts of one program.
const MAX_STARTS: u32 = 5;
const MINUTE_MS: u64 = 60_000;

const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const STORED: &str = topics::names::figure::TICKS_STORED;
/// Texts of warnings of the consumer.
const REPLACED_LOG: &str = "this is not the log that was read before";
/// Part of the same warning, if the log was recognised by the identity of a topic; the two identities are around it.
const OTHER_IDENTITY: &str = ", and the one read before had ";
const FEWER_PARTITIONS: &str = "partitions and had";

/// Ids of two clusters that use the broker's address alternately: that of `tests/servers/kafka.sh`, and another one.
const CLUSTERS: [&str; 2] = ["dGVzdC1zZXJ2ZXItMDAwMQ", "dGVzdC1zZXJ2ZXItMDAwMg"];
/// The replacements of the broker, in order.
const REPLACEMENTS: [Replacement; 4] = [
    Replacement { cluster: CLUSTERS[0], consumer: Consumer::Runs },
    // The consumer then starts with a log that may be longer than its checkpoint.
    Replacement { cluster: CLUSTERS[0], consumer: Consumer::Stopped },
    Replacement { cluster: CLUSTERS[1], consumer: Consumer::Runs },
    Replacement { cluster: CLUSTERS[0], consumer: Consumer::Stopped },
];

#[derive(Clone, Copy)]
struct Replacement {
    /// Id of the new cluster.
    cluster: &'static str,
    consumer: Consumer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Consumer {
    Runs,
    Stopped,
}

/// A service with its address, and the metric that shows its progress.
struct Service {
    name: &'static str,
    program: Program,
    address: String,
    figure: &'static str,
}

impl Service {
    async fn start(scene: &mut Scene<'_>, name: &'static str, figure: &'static str) -> anyhow::Result<Self> {
        let market =
            [("PROVIDER", "simulated"), ("SIMULATED_RATE", SIMULATED_RATE), ("WATCHLIST", "AAPL,BTC/USDT")];
        let (mut program, address) = scene.service(name, if name == "producer" { &market } else { &[] })?;
        ready(&mut program, &address).await?;
        Ok(Self { name, program, address, figure })
    }

    /// Restarts the service if it has ended.
    async fn restart_if_ended(&mut self, scene: &mut Scene<'_>, outcome: &mut Outcome) -> anyhow::Result<()> {
        let Some(status) = self.program.ended()? else { return Ok(()) };
        let output = self.program.last_output();
        outcome.note(format!("the {} ended and was restarted: {}", self.name, last_error(&output)));
        outcome.check(!status.success(), format!("the {} ended with exit code 0: {output}", self.name));
        *self = Self::start_on_new(scene, self.name, self.figure, outcome).await?;
        Ok(())
    }

    /// Starts a service with a broker that was wiped. The broker may assign it the producer id of an earlier producer, as with
    /// `load`; then it is started again.
    async fn start_on_new(
        scene: &mut Scene<'_>,
        name: &'static str,
        figure: &'static str,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Self> {
        for _ in 0..MAX_STARTS {
            match Self::start(scene, name, figure).await {
                Ok(started) => return Ok(started),
                Err(error) => outcome.note(format!("restarted again: {}", last_error(&format!("{error:#}")))),
            }
        }
        anyhow::bail!("the {name} could not be started in {MAX_STARTS} attempts")
    }
}

/// The last error in the output of a service, with its causes.
fn last_error(output: &str) -> String {
    let from = output.rfind("Error: ").unwrap_or_default();
    let lines: Vec<&str> = output.get(from..).unwrap_or_default().lines().map(str::trim).collect();
    lines.join(" ").chars().take(400).collect()
}

/// Fault 17.
pub(super) async fn wiped(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 17, 0).await?;
    more_partitions(&scene).await?;
    let part = world.numbers.ticks / (1 + REPLACEMENTS.len() as u64);
    let begun = Instant::now();
    // All ticks are in the same minutes, so that candles in progress continue.
    let minute_ends = || MINUTE_MS - begun.elapsed().as_millis() as u64 % MINUTE_MS;

    let mut services = vec![
        Service::start(&mut scene, "producer", PUBLISHED).await?,
        Service::start(&mut scene, "web", "").await?,
        Service::start(&mut scene, "consumer", STORED).await?,
    ];
    load(&mut scene, part, &minute_ends, &mut outcome).await?;
    wait_until_stored(&mut scene, &mut services, &mut outcome).await?;

    for (count, replacement) in (2..).zip(REPLACEMENTS) {
        if replacement.consumer == Consumer::Stopped {
            end(services.pop().map(|consumer| consumer.program)).await?;
        }
        replace(world, replacement.cluster).await?;
        let resumed = wait_for_progress(&mut services, &mut scene, &mut outcome).await?;
        if replacement.consumer == Consumer::Runs {
            outcome.note(format!("wiped while services run: continued after {:.1} s", resumed.as_secs_f64()));
            outcome.check(resumed <= RESUME, format!("continued only after {:.1} s", resumed.as_secs_f64()));
        }
        load(&mut scene, part * count, &minute_ends, &mut outcome).await?;
        if replacement.consumer == Consumer::Stopped {
            services.push(Service::start_on_new(&mut scene, "consumer", STORED, &mut outcome).await?);
        }
        wait_until_stored(&mut scene, &mut services, &mut outcome).await?;
    }
    let replaced = logged_by_consumers(&scene, REPLACED_LOG)?;
    outcome.note(format!("{replaced} warnings of a replaced log"));
    outcome.check(replaced > 0, "no warning of a replaced log");
    let fewer = logged_by_consumers(&scene, FEWER_PARTITIONS)?;
    outcome.note(format!("{fewer} warnings of fewer partitions"));
    outcome.check(fewer > 0, "no warning of fewer partitions");
    // In the last replacement. In the one before, a running consumer may see offsets begin again before it asks who the log is.
    let named = logged_by_consumers(&scene, OTHER_IDENTITY)?;
    outcome.note(format!("{named} of them name the identities of both topics"));
    outcome.check(named > 0, "no warning names the identities of both topics");

    let consumer = services.pop().context("the consumer is the last one")?;
    end(services.into_iter().map(|service| service.program)).await?;
    scene.settled().await?;
    end([consumer.program]).await?;
    scene.check(&mut outcome).await?;
    Ok(outcome)
}

/// Number of occurrences of a text in the logs of all consumers, including those that have ended.
fn logged_by_consumers(scene: &Scene<'_>, text: &str) -> anyhow::Result<usize> {
    let mut times = 0;
    for entry in std::fs::read_dir(&scene.folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("-consumer.log") {
            times += std::fs::read_to_string(&path)?.matches(text).count();
        }
    }
    Ok(times)
}

/// Publishes until this total number of ticks is acknowledged. The broker may assign the load program the producer id of a
/// producer from before the wipe, and refuse its records; then it is started again.
async fn load(
    scene: &mut Scene<'_>,
    count: u64,
    minute_ends: &impl Fn() -> u64,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for _ in 0..MAX_STARTS {
        let load = scene.load_over_a_minute(count, scene.world.numbers.rate, minute_ends())?;
        let ended = scene.loaded(load).await;
        match ended {
            Ok(()) => return Ok(()),
            Err(error) => outcome
                .note(format!("the load program was started again: {}", last_error(&format!("{error:#}")))),
        }
    }
    anyhow::bail!("the load program failed {MAX_STARTS} times")
}

/// Creates the topics with more partitions than the services do, so that there are fewer after the broker was wiped.
async fn more_partitions(scene: &Scene<'_>) -> anyhow::Result<()> {
    replace(scene.world, CLUSTERS[0]).await?;
    let specs: Vec<TopicSpec> = crate::load::topic_specs()
        .into_iter()
        .map(|spec| TopicSpec { partitions: spec.partitions * 2, ..spec })
        .collect();
    scene.log.ensure_topics(&specs).await.context("cannot create the topics")
}

/// Replaces the broker by an empty one of this cluster.
async fn replace(world: &World, cluster: &str) -> anyhow::Result<()> {
    world.kafka.kill_9()?;
    world.kafka.wipe().await?;
    world.kafka.with("KAFKA_CLUSTER_ID", cluster).start().await
}

/// Waits until all acknowledged ticks are stored.
async fn wait_until_stored(
    scene: &mut Scene<'_>,
    services: &mut [Service],
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let content = scene.ledger_content()?;
    let store = scene.store().await?;
    let plan = scene.plan.clone();
    wait_until("everything acknowledged is stored", PATIENCE, async || {
        for service in &mut *services {
            service.restart_if_ended(scene, outcome).await?;
        }
        Ok(Stored::read(&*store, &plan).await?.verdict(&content).lost == 0)
    })
    .await
    .map(drop)
}

/// Waits until every service has made progress since the call. Returns the time it took.
async fn wait_for_progress(
    services: &mut [Service],
    scene: &mut Scene<'_>,
    outcome: &mut Outcome,
) -> anyhow::Result<Duration> {
    let mut before = Vec::new();
    for service in &*services {
        before.push((service.program.pid(), metric(&service.address, service.figure).await.unwrap_or(0.0)));
    }
    wait_until("every service makes progress", PATIENCE, async || {
        let mut all = true;
        for (service, (pid, before)) in services.iter_mut().zip(&before) {
            service.restart_if_ended(scene, outcome).await?;
            // The metrics of a new process start at zero.
            let before = if service.program.pid() == *pid { *before } else { 0.0 };
            let now = metric(&service.address, service.figure).await;
            all &= service.figure.is_empty() || now.is_some_and(|now| now > before);
        }
        Ok(all)
    })
    .await
}
