//! Fault 20: a day of the suite on servers (`tests/day`), while each service is killed at a random moment of it. Afterwards the mails,
//! the rows and the log lines are those of a day without kills.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use day::{
    Browser, DAYS, DIGEST, HOUSE, MOVE, PERSON, Recordings, SYMBOL, TICKS, feed, later_hour, mail_problems,
    row_problems, to_address, with_subject,
};
use live_store::LiveStore;
use rand::RngExt;
use serde_json::{Value, json};
use service_runtime::LOG_DATA_STREAM;

use super::{
    alerts,
    mails::taken_mails,
    nights::{BATCH, expire_lease},
    random_wait,
};
use crate::{
    Outcome,
    checker::lag,
    process::{Program, free_port, get, wait_until},
    scene::{Scene, StoreKind, TICKS as TICK_TOPICS, World, end, ready},
};

/// Services that run all day.
const SERVICES: [&str; 4] = ["consumer", "alerts", "news", "web"];
/// All services whose log lines Elasticsearch must have.
const LOGGING: [&str; 6] = ["producer", "consumer", "alerts", "batch", "news", "web"];
/// The job of `news run`, as its lease is named.
const GATHERING: &str = "news gathering";
/// What the service of the alerts logs when it sees the rule, while it runs or at its start.
const RULES_SEEN: [&str; 2] = ["the alert rules have changed", "3 active"];
/// How often each of them is killed while the sessions are played.
const ROUNDS: usize = 2;
/// Longest time from the start of a program to its kill.
const KILLED_WITHIN_MS: u64 = 1_500;
/// How long a step of the day may take: the lease of a mail whose sender was killed expires after a minute.
const PATIENCE: Duration = Duration::from_secs(150);
const COMMAND: Duration = Duration::from_mins(1);

/// The programs of the day, and what they have in common.
struct Suite<'a> {
    scene: Scene<'a>,
    settings: Vec<(&'static str, String)>,
    /// Address of the pages, which their links have.
    pages: String,
    running: Vec<(&'static str, Program)>,
}

impl<'a> Suite<'a> {
    async fn set(world: &'a World) -> anyhow::Result<Self> {
        let scene = Scene::set_with(world, 20, 0, StoreKind::Mongodb).await?;
        for server in [&world.mysql, &world.smtp, &world.elastic] {
            server.wipe().await?;
            server.start().await?;
        }
        let pages = format!("127.0.0.1:{}", free_port()?);
        let settings = vec![
            (
                "ANALYTICS_URL",
                format!("mysql://tapedeck:tapedeck@127.0.0.1:{}/stock_analytics", world.mysql_port),
            ),
            ("MAIL_URL", format!("smtp://127.0.0.1:{}?tls=none", world.smtp_port)),
            ("MAIL_FROM", "tapedeck@example.com".to_owned()),
            ("MAIL_REPLAYS", "true".to_owned()),
            ("ALERT_RECIPIENTS", HOUSE.to_owned()),
            ("PUBLIC_URL", format!("http://{pages}")),
            ("ELASTICSEARCH_URL", format!("http://127.0.0.1:{}", world.elastic_port)),
            ("WATCHLIST", SYMBOL.to_owned()),
            ("NEWS_SOURCES", "none".to_owned()),
            ("NEWS_FEEDS", feed()?),
            ("NEWS_SCHEDULE", format!("0 {} * * *", later_hour())),
            ("NEWS_ALLOW_PRIVATE", "true".to_owned()),
        ];
        let mut suite = Self { scene, settings, pages, running: Vec::new() };
        for name in SERVICES {
            suite.start(name).await?;
        }
        Ok(suite)
    }

    /// Starts a program with all settings. Returns its address, too.
    fn program(&mut self, name: &str, args: &[&str]) -> anyhow::Result<(Program, String)> {
        let mut env: Vec<_> = self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if name == "web" {
            env.push(("LISTEN", &self.pages));
        }
        let (program, address) = self.scene.service_with(name, args, &env)?;
        Ok((program, if name == "web" { self.pages.clone() } else { address }))
    }

    /// Starts a service and waits until it is ready.
    async fn start(&mut self, name: &'static str) -> anyhow::Result<()> {
        let (mut program, address) = self.program(name, if name == "news" { &["schedule"] } else { &[] })?;
        ready(&mut program, &address).await?;
        self.running.push((name, program));
        Ok(())
    }

    /// Kills a service at a random moment, and starts it again.
    async fn kill(&mut self, name: &'static str) -> anyhow::Result<()> {
        random_wait(&mut self.scene.rng, KILLED_WITHIN_MS).await;
        let place = self.running.iter().position(|(running, _)| *running == name).context(name)?;
        self.running.swap_remove(place).1.kill_9()?;
        self.start(name).await
    }

    /// Plays a recording.
    fn producer(&mut self, file: &std::path::Path) -> anyhow::Result<Program> {
        let file = file.to_str().context("a path in UTF-8")?;
        let args = ["--provider", "replay", "--replay-file", file, "--replay-speed", "max"];
        Ok(self.program("producer", &args)?.0)
    }

    /// Waits until the rule of the person is in effect. It takes effect with the first record after it was seen: what is in the log before
    /// that, also while the service is down, is judged by the rules before.
    async fn rule_is_in_effect(&mut self, recordings: &Recordings) -> anyhow::Result<()> {
        let (_, alerts) =
            self.running.iter().find(|(name, _)| *name == "alerts").context("the alerts run")?;
        let seen = async || Ok(RULES_SEEN.iter().any(|text| alerts.occurrences(text) > 0));
        wait_until("the rule of the person is seen", PATIENCE, seen).await?;
        // Records of known ticks, which change nothing.
        let again = self.producer(&recordings.before)?;
        let log = &self.scene.log;
        let published = async || -> anyhow::Result<u64> {
            let topics = log.topics().await?;
            let ticks = topics.iter().filter(|info| TICK_TOPICS.contains(&info.name.as_str()));
            Ok(ticks.flat_map(|info| &info.partitions).map(|(_, end)| *end).sum())
        };
        let records = 2 * (DAYS - recordings.rows.len()) as u64;
        wait_until("they are published again", PATIENCE, async || Ok(published().await? >= records)).await?;
        let is_read = async || Ok(lag(&**log, alerts::GROUP).await? == 0);
        wait_until("the alerts have read them", PATIENCE, is_read).await?;
        end([again]).await
    }

    /// Runs a command that is killed at a random moment, then to its end.
    async fn command(
        &mut self,
        name: &str,
        args: &[&str],
        job: &str,
        live: &dyn LiveStore,
    ) -> anyhow::Result<()> {
        let (mut program, _) = self.program(name, args)?;
        random_wait(&mut self.scene.rng, KILLED_WITHIN_MS).await;
        if program.ended()?.is_none() {
            program.kill_9()?;
            expire_lease(live, job, None).await?;
        }
        let (mut program, _) = self.program(name, args)?;
        let status = program.wait(COMMAND).await?;
        ensure!(status.success(), "{name} {args:?}: {}", program.last_output());
        Ok(())
    }

    /// The answer of the pages to a path.
    async fn answer(&self, path: &str) -> Option<Value> {
        let (code, body) = get(&self.pages, path).await?;
        if code != 200 {
            return None;
        }
        serde_json::from_str(&body).ok()
    }

    async fn ticks_are(&self, count: usize) -> anyhow::Result<()> {
        let path = "/v1/ticks?symbol=BTC-USDT&limit=1000";
        let stored = async || {
            let answer = self.answer(path).await.unwrap_or_default();
            Ok(answer["ticks"].as_array().is_some_and(|ticks| ticks.len() == count))
        };
        wait_until(&format!("{count} ticks are stored"), PATIENCE, stored).await.map(drop)
    }

    fn mails(&self, to: &str) -> anyhow::Result<Vec<String>> {
        let taken = taken_mails(self.scene.world)?;
        let messages = taken.iter().filter_map(|mail| mail["message"].as_str().map(str::to_owned));
        Ok(to_address(messages, to))
    }

    /// Waits until a mail with this part in its subject has come.
    async fn mail_comes(&self, to: &str, part: &str) -> anyhow::Result<()> {
        let has_come = async || {
            // Before the first mail there is no file.
            Ok(self.mails(to).is_ok_and(|mails| with_subject(&mails, part) > 0))
        };
        wait_until(&format!("a mail with {part:?} comes to {to}"), PATIENCE, has_come).await.map(drop)
    }
}

/// Fault 20.
pub(super) async fn kills(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut suite = Suite::set(world).await?;
    let recordings = Recordings::write(&suite.scene.folder)?;
    let live = live_store::open(&suite.scene.store_url_direct).await?;

    // A person registers after the days before.
    let before = suite.producer(&recordings.before)?;
    suite.ticks_are(DAYS - recordings.rows.len()).await?;
    end([before]).await?;
    let mut browser = Browser::new(&format!("http://{}", suite.pages))?;
    browser.register().await?;
    suite.kill("alerts").await?;
    suite.mail_comes(PERSON, "").await?;
    browser.confirm(&suite.mails(PERSON)?.remove(0)).await?;
    suite.rule_is_in_effect(&recordings).await?;

    let kills = play(&mut suite, &recordings, &live).await?;
    night_and_digest(&mut suite, &recordings, &live, &mut outcome).await?;

    let programs = std::mem::take(&mut suite.running);
    end(programs.into_iter().map(|(_, program)| program)).await?;
    let twice = taken_mails(world)?.len();
    let mut distinct = 0;
    for (to, registrations) in [(PERSON, 1), (HOUSE, 0)] {
        let mails = suite.mails(to)?;
        distinct += mails.len();
        outcome.problems.extend(mail_problems(to, &mails, registrations));
    }
    outcome.note(format!(
        "{kills} kills while the sessions were played; {distinct} mails, {} of them twice",
        twice - distinct
    ));
    check_log_lines(world, &mut outcome).await?;
    Ok(outcome)
}

/// The sessions are played while each service is killed. Returns the number of kills.
async fn play(
    suite: &mut Suite<'_>,
    recordings: &Recordings,
    live: &Arc<dyn LiveStore>,
) -> anyhow::Result<usize> {
    let mut kills = 0;
    let mut producer = suite.producer(&recordings.sessions)?;
    for _ in 0..ROUNDS {
        let first = suite.scene.rng.random_range(0..SERVICES.len());
        for place in 0..SERVICES.len() {
            suite.kill(SERVICES[(first + place) % SERVICES.len()]).await?;
        }
        producer.kill_9()?;
        producer = suite.producer(&recordings.sessions)?;
        kills += SERVICES.len() + 1;
    }
    suite.ticks_are(TICKS).await?;
    for to in [PERSON, HOUSE] {
        suite.mail_comes(to, MOVE).await?;
    }
    let recorded = async || Ok(live.pending_alerts(1).await?.is_empty());
    wait_until("every delivery is recorded", PATIENCE, recorded).await?;
    end([producer]).await?;
    Ok(kills)
}

/// The night, the news and the digests, each command killed once.
async fn night_and_digest(
    suite: &mut Suite<'_>,
    recordings: &Recordings,
    live: &Arc<dyn LiveStore>,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    suite.command("batch", &["run"], BATCH, &**live).await?;
    let rows = suite.answer("/v1/aggregates?symbol=BTC-USDT&limit=2").await.unwrap_or_default();
    outcome.problems.extend(row_problems(&rows, &recordings.rows));

    suite.command("news", &["run"], GATHERING, &**live).await?;
    let story = async || {
        let found = suite.answer("/v1/news?symbol=BTC-USDT").await.unwrap_or_default();
        Ok(found.to_string().contains(day::HEADLINE))
    };
    wait_until("the story is stored", PATIENCE, story).await?;
    for to in [PERSON, HOUSE] {
        let (program, _) = suite.program("news", &["digest", "--user", to, "--wait-seconds", "0"])?;
        suite.kill("alerts").await?;
        drop(program); // Killed.
        for _ in 0..2 {
            let (mut again, _) = suite.program("news", &["digest", "--user", to, "--wait-seconds", "0"])?;
            let status = again.wait(COMMAND).await?;
            ensure!(status.success(), "the digest to {to}: {}", again.last_output());
        }
        suite.kill("alerts").await?;
        suite.mail_comes(to, DIGEST).await?;
    }
    Ok(())
}

/// Each service has log lines in Elasticsearch.
async fn check_log_lines(world: &World, outcome: &mut Outcome) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{}/{LOG_DATA_STREAM}", world.elastic_port);
    let client = service_runtime::http_client().build()?;
    client.post(format!("{url}/_refresh")).send().await?.error_for_status()?;
    let mut counts = Vec::new();
    for name in LOGGING {
        let query = json!({ "query": { "term": { "service.name": name } } });
        let request = client.post(format!("{url}/_count")).header("content-type", "application/json");
        let answer = request.body(query.to_string()).send().await?.error_for_status()?.text().await?;
        let count = serde_json::from_str::<Value>(&answer)?["count"].as_u64().context("a count")?;
        outcome.check(count > 0, format!("no log line of {name} is in Elasticsearch"));
        counts.push(format!("{name} {count}"));
    }
    outcome.note(format!("log lines: {}", counts.join(", ")));
    Ok(())
}
