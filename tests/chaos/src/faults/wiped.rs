//! Fault 17: the broker loses everything it had, and comes back under the same address, as the cluster it was or as another:
//! another log in the place of the one that was read. What ends then is started again, as a container would be.

use std::time::Duration;

use anyhow::Context;
use event_log::{Retention, TopicSpec};
use tokio::time::Instant;

use crate::{
    Outcome,
    checker::Stored,
    process::{Program, metric, wait_until},
    scene::{Scene, World, end, ready},
};

/// Ticks a second of the simulated market.
const SIMULATED_RATE: &str = "500";
/// How long services may take until they are at work on the new log: long enough to say how long it took.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long they should take: the client waits half a minute for a topic that has vanished to come back.
const RESUME: Duration = Duration::from_mins(1);
/// How often a program is started for one purpose, before that counts as a failure.
const MAX_STARTS: u32 = 5;
const MINUTE_MS: u64 = 60_000;

const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const STORED: &str = topics::names::figure::TICKS_STORED;
const ANOTHER_LOG: &str = "this is not the log that was read before";
const FEWER_PARTITIONS: &str = "partitions and had";

/// Two clusters that have the broker's address in turns: that of `tests/servers/kafka.sh`, and another one.
const CLUSTERS: [&str; 2] = ["dGVzdC1zZXJ2ZXItMDAwMQ", "dGVzdC1zZXJ2ZXItMDAwMg"];
/// What becomes of the broker, one after the other.
const TURNS: [Turn; 4] = [
    Turn { cluster: CLUSTERS[0], consumer: Consumer::Runs },
    // It finds a log that is longer than the one it knows may be.
    Turn { cluster: CLUSTERS[0], consumer: Consumer::IsAway },
    Turn { cluster: CLUSTERS[1], consumer: Consumer::Runs },
    Turn { cluster: CLUSTERS[0], consumer: Consumer::IsAway },
];

#[derive(Clone, Copy)]
struct Turn {
    /// Which cluster comes.
    cluster: &'static str,
    consumer: Consumer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Consumer {
    Runs,
    IsAway,
}

/// A service, where its health answers, and the figure that says it works.
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

    /// Starts it again if it has ended.
    async fn keep_up(&mut self, scene: &mut Scene<'_>, outcome: &mut Outcome) -> anyhow::Result<()> {
        let Some(status) = self.program.ended()? else { return Ok(()) };
        let said = self.program.last_words();
        outcome.note(format!("the {} ended and was started again: {}", self.name, last_error(&said)));
        outcome.check(!status.success(), format!("the {} gave up as if all were well: {said}", self.name));
        *self = Self::start_on_new(scene, self.name, self.figure, outcome).await?;
        Ok(())
    }

    /// Starts it on a broker that was wiped. It may be taken for a producer from before, as `load` may be, and then starts
    /// again.
    async fn start_on_new(
        scene: &mut Scene<'_>,
        name: &'static str,
        figure: &'static str,
        outcome: &mut Outcome,
    ) -> anyhow::Result<Self> {
        for _ in 0..MAX_STARTS {
            match Self::start(scene, name, figure).await {
                Ok(started) => return Ok(started),
                Err(error) => outcome.note(format!("and again: {}", last_error(&format!("{error:#}")))),
            }
        }
        anyhow::bail!("the {name} could not be started again, {MAX_STARTS} times")
    }
}

/// What a service said when it ended: the error and its causes.
fn last_error(said: &str) -> String {
    let from = said.rfind("Error: ").unwrap_or_default();
    let lines: Vec<&str> = said.get(from..).unwrap_or_default().lines().map(str::trim).collect();
    lines.join(" ").chars().take(400).collect()
}

/// Fault 17.
pub(super) async fn wiped(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 17, 0).await?;
    more_partitions(&scene).await?;
    let part = world.numbers.ticks / (1 + TURNS.len() as u64);
    let begun = Instant::now();
    // All in the same minutes, so that bars in progress live on.
    let minute_ends = || MINUTE_MS - begun.elapsed().as_millis() as u64 % MINUTE_MS;

    let mut services = vec![
        Service::start(&mut scene, "producer", PUBLISHED).await?,
        Service::start(&mut scene, "web", "").await?,
        Service::start(&mut scene, "consumer", STORED).await?,
    ];
    load(&mut scene, part, &minute_ends, &mut outcome).await?;
    everything_stored(&mut scene, &mut services, &mut outcome).await?;

    for (count, turn) in (2..).zip(TURNS) {
        if turn.consumer == Consumer::IsAway {
            end(services.pop().map(|consumer| consumer.program)).await?;
        }
        replace(world, turn.cluster).await?;
        let resumed = at_work(&mut services, &mut scene, &mut outcome).await?;
        if turn.consumer == Consumer::Runs {
            outcome
                .note(format!("wiped under running services: at work after {:.1} s", resumed.as_secs_f64()));
            outcome.check(resumed <= RESUME, format!("at work only after {:.1} s", resumed.as_secs_f64()));
        }
        load(&mut scene, part * count, &minute_ends, &mut outcome).await?;
        if turn.consumer == Consumer::IsAway {
            services.push(Service::start_on_new(&mut scene, "consumer", STORED, &mut outcome).await?);
        }
        everything_stored(&mut scene, &mut services, &mut outcome).await?;
    }
    let said_so = said_by_consumers(&scene, ANOTHER_LOG)?;
    outcome.note(format!("said {said_so} times that a partition is of another log"));
    outcome.check(said_so > 0, "nobody said that the log is another one");
    let fewer = said_by_consumers(&scene, FEWER_PARTITIONS)?;
    outcome.note(format!("{fewer} times that a topic has fewer partitions than before"));
    outcome.check(fewer > 0, "nobody said that topics have fewer partitions");
    // In the last turn. In the one before, a running consumer may see offsets begin again before it asks who the log is.
    let [here, before] = CLUSTERS;
    let named =
        said_by_consumers(&scene, &format!("it is the log {here}, and the one read before is {before}"))?;
    outcome.note(format!("and {named} times that it is of another cluster, and of which"));
    outcome.check(named > 0, "nobody said that it is another cluster");

    let consumer = services.pop().context("the consumer is the last one")?;
    end(services.into_iter().map(|service| service.program)).await?;
    scene.settled().await?;
    end([consumer.program]).await?;
    scene.check(&mut outcome).await?;
    Ok(outcome)
}

/// How often consumers have said a text, also those that have ended.
fn said_by_consumers(scene: &Scene<'_>, text: &str) -> anyhow::Result<usize> {
    let mut times = 0;
    for entry in std::fs::read_dir(&scene.folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("-consumer.log") {
            times += std::fs::read_to_string(&path)?.matches(text).count();
        }
    }
    Ok(times)
}

/// Publishes until so many are acknowledged altogether. A producer that starts while another one goes on from before the wipe
/// may be taken for it, and refused; then it starts again.
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
            Err(error) => outcome.note(format!("started again: {}", last_error(&format!("{error:#}")))),
        }
    }
    anyhow::bail!("the load program failed {MAX_STARTS} times")
}

/// A broker whose topics have more partitions than the services give them: once it is wiped, theirs are fewer.
async fn more_partitions(scene: &Scene<'_>) -> anyhow::Result<()> {
    replace(scene.world, CLUSTERS[0]).await?;
    let specs = topics::ALL.map(|topic| TopicSpec {
        name: topic.name.to_owned(),
        partitions: topic.partitions * 2,
        retention: Retention::For(topic.retention),
    });
    scene.log.ensure_topics(&specs).await.context("cannot create the topics")
}

/// An empty broker of that cluster in the place of the one that is there.
async fn replace(world: &World, cluster: &str) -> anyhow::Result<()> {
    world.kafka.kill_9()?;
    world.kafka.wipe().await?;
    world.kafka.with("KAFKA_CLUSTER_ID", cluster).start().await
}

/// Waits until all that was acknowledged so far is stored.
async fn everything_stored(
    scene: &mut Scene<'_>,
    services: &mut [Service],
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let said = scene.said()?;
    let store = scene.store().await?;
    let plan = scene.plan.clone();
    wait_until("everything acknowledged is stored", PATIENCE, async || {
        for service in &mut *services {
            service.keep_up(scene, outcome).await?;
        }
        Ok(Stored::read(&*store, &plan).await?.verdict(&said).lost == 0)
    })
    .await
    .map(drop)
}

/// Waits until every service has got something done since the call; how long that took.
async fn at_work(
    services: &mut [Service],
    scene: &mut Scene<'_>,
    outcome: &mut Outcome,
) -> anyhow::Result<Duration> {
    let mut before = Vec::new();
    for service in &*services {
        before.push((service.program.pid(), metric(&service.address, service.figure).await.unwrap_or(0.0)));
    }
    wait_until("every service is at work", PATIENCE, async || {
        let mut all = true;
        for (service, (pid, before)) in services.iter_mut().zip(&before) {
            service.keep_up(scene, outcome).await?;
            // A new process counts from zero.
            let before = if service.program.pid() == *pid { *before } else { 0.0 };
            let now = metric(&service.address, service.figure).await;
            all &= service.figure.is_empty() || now.is_some_and(|now| now > before);
        }
        Ok(all)
    })
    .await
}
