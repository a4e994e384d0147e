//! Faults 10 and 19: nights of the batch that are killed, missed, run twice at once, or without their analytics store. Afterwards
//! the rows equal those of one clean run.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use analytics_store::{DailyAggregate, Performance, RowQuery, WeeklyAggregate, open_for_reading};
use anyhow::{Context, ensure};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use live_store::{LiveStore, StoredTick};
use market::{Source, Symbol, Tick, TickFields, day_bounds, session};
use rand::RngExt;
use rust_decimal::Decimal;

use crate::{
    Outcome,
    process::{Program, get, wait_until},
    scene::{Scene, StoreKind, World, end},
};

/// The symbols, of both classes.
const SYMBOLS: [&str; 6] = ["ZA", "ZB", "ZC", "ZA/USDT", "ZB/USDT", "ZC/USDT"];
/// Ticks of a symbol and day.
const TICKS_A_DAY: u64 = 40;
/// The weeks in which New York changed its clocks, with the days beside them.
const CLOCK_CHANGES: [(&str, u64); 2] = [("2025-10-30", 6), ("2026-03-05", 6)];
/// Nights that nothing ran.
const MISSED: u64 = 3;
/// Ticks of one write.
const WRITE: usize = 1_000;
/// The job, as its lease is named.
pub(super) const BATCH: &str = "batch";
/// What a run prints while another has the lease.
const TAKEN: &str = "another process runs the job";
/// How long one run may take.
const RUN: Duration = Duration::from_mins(3);
/// The setting of the analytics store.
const ANALYTICS: &str = "ANALYTICS_URL";

/// A live store with days of ticks, and the rows of a clean run over them.
struct Nights<'a> {
    scene: Scene<'a>,
    live: Arc<dyn LiveStore>,
    clean: Rows,
    /// What the clean run took.
    takes: Duration,
    url: String,
}

/// All rows that a night writes, without the time of the run.
#[derive(Debug, PartialEq)]
struct Rows {
    daily: Vec<DailyAggregate>,
    weekly: Vec<WeeklyAggregate>,
    performance: Vec<Performance>,
}

impl Rows {
    async fn read(url: &str) -> anyhow::Result<Self> {
        let store = open_for_reading(url).await?;
        let mut rows = Self { daily: Vec::new(), weekly: Vec::new(), performance: Vec::new() };
        for name in SYMBOLS {
            let query = RowQuery::newest(Some(Symbol::parse(name)?), RowQuery::MAX);
            rows.daily.extend(store.rows::<DailyAggregate>(&query).await?);
            rows.weekly.extend(store.rows::<WeeklyAggregate>(&query).await?);
            rows.performance.extend(store.rows::<Performance>(&query).await?);
        }
        store.close().await?;
        for row in &mut rows.daily {
            row.computed_at = DateTime::UNIX_EPOCH;
        }
        Ok(rows)
    }

    fn count(&self) -> usize {
        self.daily.len() + self.weekly.len() + self.performance.len()
    }
}

impl<'a> Nights<'a> {
    async fn set(world: &'a World, number: u8) -> anyhow::Result<Self> {
        let mut scene = Scene::set_with(world, number, 0, StoreKind::Mongodb).await?;
        let live = live_store::open(&scene.store_url_direct).await?;
        fill(&mut scene, &*live).await?;
        let clean_url = format!("sqlite:{}", scene.folder.join("clean.db").display());
        let begun = Instant::now();
        let mut program = run(&mut scene, &clean_url, &BACKFILL)?;
        let status = program.wait(RUN).await?;
        ensure!(status.success(), "the clean run failed: {}", program.last_output());
        let takes = begun.elapsed();
        let clean = Rows::read(&clean_url).await?;
        ensure!(clean.daily.len() as u64 >= MISSED * SYMBOLS.len() as u64 / 2, "the clean run wrote no rows");
        world.mysql.wipe().await?;
        world.mysql.start().await?;
        let url = format!("mysql://tapedeck:tapedeck@127.0.0.1:{}/stock_analytics", world.mysql_port);
        Ok(Self { scene, live, clean, takes, url })
    }

    /// A run of all days.
    fn run(&mut self) -> anyhow::Result<Program> {
        run(&mut self.scene, &self.url, &BACKFILL)
    }

    /// A random time within a run.
    fn moment(&mut self) -> Duration {
        self.takes.mul_f64(self.scene.rng.random_range(0.05..0.95))
    }

    /// Runs to the end, and compares.
    async fn check(&mut self, outcome: &mut Outcome, after: &str) -> anyhow::Result<()> {
        let mut program = self.run()?;
        let status = program.wait(RUN).await?;
        outcome.check(status.success(), format!("the run after {after} failed: {}", program.last_output()));
        self.compare(outcome, after).await
    }

    async fn compare(&self, outcome: &mut Outcome, after: &str) -> anyhow::Result<()> {
        let rows = Rows::read(&self.url).await?;
        let (found, clean) = (rows.count(), self.clean.count());
        let differing = rows.daily.iter().zip(&self.clean.daily).find(|(found, clean)| found != clean);
        outcome.check(
            rows == self.clean,
            format!(
                "after {after} {found} rows differ from the {clean} of a clean run, such as {differing:?}"
            ),
        );
        Ok(())
    }

    /// Starts the schedule with a history that ended before the missed nights, and waits until it has made them up.
    async fn make_up(&mut self, outcome: &mut Outcome, is_away: bool) -> anyhow::Result<()> {
        let last = Utc::now() - TimeDelta::days(1 + MISSED as i64);
        expire_lease(&*self.live, BATCH, Some(last)).await?;
        let settings = [(ANALYTICS, self.url.as_str())];
        let (mut program, address) = self.scene.service_with("batch", &["schedule"], &settings)?;
        if is_away {
            let patience = Duration::from_secs(40);
            wait_until("the health names the analytics store", patience, async || {
                program.check_running()?;
                let ready = get(&address, "/readyz").await;
                Ok(ready.is_some_and(|(_, body)| body.contains("nothing is aggregated or removed")))
            })
            .await
            .with_context(|| program.last_output())?;
            self.scene.world.mysql.start().await?;
        }
        // All kinds of rows: a night that is stopped before its last one is finished by the next night only.
        let wanted = self.clean.count();
        let url = self.url.clone();
        let made_up = wait_until("the missed nights are made up", RUN, async || {
            program.check_running()?;
            Ok(Rows::read(&url).await.is_ok_and(|rows| rows.count() == wanted))
        });
        match made_up.await {
            Ok(took) => {
                outcome.note(format!("{MISSED} missed nights were made up in {:.1} s", took.as_secs_f64()));
            }
            Err(error) => outcome.check(false, format!("{error}: {}", program.last_output())),
        }
        end([program]).await
    }
}

/// Ends the lease of a process that was killed, which expires after a minute.
pub(super) async fn expire_lease(
    live: &dyn LiveStore,
    job: &str,
    finished: Option<DateTime<Utc>>,
) -> anyhow::Result<()> {
    let now = Utc::now() + TimeDelta::minutes(2);
    let acquired = live.acquire(job, "chaos", now, now).await.map_err(anyhow::Error::from_boxed)?;
    ensure!(acquired, "the lease of the job {job} cannot be taken after it has expired");
    live.release(job, "chaos", finished).await.map_err(anyhow::Error::from_boxed)?;
    Ok(())
}

/// All days that have ended.
const BACKFILL: [&str; 3] = ["backfill", "--from", "2025-10-30"];

fn run(scene: &mut Scene<'_>, analytics: &str, command: &[&str]) -> anyhow::Result<Program> {
    Ok(scene.service_with("batch", command, &[(ANALYTICS, analytics)])?.0)
}

/// Stores the ticks of the days around the changes of the clocks, and of the days before today.
async fn fill(scene: &mut Scene<'_>, live: &dyn LiveStore) -> anyhow::Result<()> {
    let mut days = Vec::new();
    for (first, count) in CLOCK_CHANGES {
        let first: NaiveDate = first.parse()?;
        days.extend((0..count).map(|day| first + Days::new(day)));
    }
    let today = Utc::now().date_naive();
    // Not yesterday, which may become complete between two runs.
    days.extend((2..=MISSED + 1).rev().map(|back| today - Days::new(back)));
    let mut ticks = Vec::new();
    let mut seq = 0;
    for name in SYMBOLS {
        let symbol = Symbol::parse(name)?;
        for date in &days {
            // A day of stocks without a session has a tick that makes no row.
            let noon = date.and_hms_opt(17, 0, 0).context("noon")?.and_utc();
            let (from, to) = match session(symbol.asset_class(), *date) {
                Some(session) => (session.open, session.close),
                None => (noon, noon + TimeDelta::minutes(1)),
            };
            ensure!(day_bounds(symbol.asset_class(), from).date == *date, "{date} of {symbol}");
            let step = (to - from) / TICKS_A_DAY as i32;
            let open = Decimal::from(scene.rng.random_range(50..150));
            for place in 0..TICKS_A_DAY {
                seq += 1;
                let time = from + step * place as i32;
                let price = open + Decimal::new(scene.rng.random_range(-2_000..2_000), 2);
                let tick = Tick::new(TickFields {
                    symbol,
                    timestamp: time,
                    price,
                    volume: Decimal::from(100 * (place + 1)),
                    open,
                    high: price.max(open),
                    low: price.min(open),
                    size: None,
                    change_percent: 0.0,
                    source: Source::parse("chaos")?,
                    received_at: time,
                    seq,
                })?;
                ticks.push(StoredTick { tick, processed_at: time, partition: 0, offset: seq });
            }
        }
    }
    for part in ticks.chunks(WRITE) {
        live.write_ticks(part).await?;
    }
    Ok(())
}

/// Fault 10.
pub(super) async fn kills(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut nights = Nights::set(world, 10).await?;
    let mut killed = 0;
    for _ in 0..world.numbers.kills {
        let mut program = nights.run()?;
        tokio::time::sleep(nights.moment()).await;
        if program.ended()?.is_some() {
            continue;
        }
        program.kill_9()?;
        killed += 1;
        expire_lease(&*nights.live, BATCH, None).await?;
    }
    outcome.check(killed > 0, "no run was killed");
    outcome.note(format!("{killed} runs were killed, a clean run takes {:.1} s", nights.takes.as_secs_f64()));
    nights.check(&mut outcome, "the kills").await?;

    // Two at once, on an empty store.
    world.mysql.wipe().await?;
    world.mysql.start().await?;
    let mut two = [nights.run()?, nights.run()?];
    let mut done = 0;
    for program in &mut two {
        let status = program.wait(RUN).await?;
        let is_refused = !status.success() && program.occurrences(TAKEN) > 0;
        done += usize::from(status.success());
        outcome.check(
            status.success() || is_refused,
            format!("one of two runs at once failed: {}", program.last_output()),
        );
    }
    outcome.check(done > 0, "neither of two runs at once was done");
    nights.compare(&mut outcome, "two runs at once").await?;

    // Nights without a run, after one that ended before them.
    world.mysql.wipe().await?;
    world.mysql.start().await?;
    let until = (Utc::now().date_naive() - Days::new(2 + MISSED)).to_string();
    let mut program =
        run(&mut nights.scene, &nights.url, &["backfill", "--from", "2025-10-30", "--to", &until])?;
    let status = program.wait(RUN).await?;
    outcome.check(status.success(), format!("the run before the missed nights: {}", program.last_output()));
    nights.make_up(&mut outcome, false).await?;
    nights.compare(&mut outcome, "the missed nights").await?;
    Ok(outcome)
}

/// Fault 19.
pub(super) async fn without_analytics(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut nights = Nights::set(world, 19).await?;

    // Its server hangs in the night.
    let mut program = nights.run()?;
    tokio::time::sleep(nights.moment()).await;
    world.mysql.pause()?;
    tokio::time::sleep(Duration::from_secs(world.numbers.outage_seconds)).await;
    world.mysql.resume()?;
    let status = program.wait(RUN).await?;
    outcome.note(format!("the run whose server hung for {} s: {status}", world.numbers.outage_seconds));
    if !status.success() {
        outcome.check(
            program.output().contains("analytics"),
            format!("the run does not name the analytics store: {}", program.last_output()),
        );
        expire_lease(&*nights.live, BATCH, None).await?;
    }
    nights.check(&mut outcome, "a hanging server").await?;

    // It is killed in the night.
    world.mysql.wipe().await?;
    world.mysql.start().await?;
    let mut program = nights.run()?;
    tokio::time::sleep(nights.moment()).await;
    let was_running = program.ended()?.is_none();
    world.mysql.kill_9()?;
    let status = program.wait(RUN).await?;
    outcome.note(format!("the run whose server was killed: {status}"));
    outcome.check(
        !was_running || !status.success() || program.occurrences("rows written") > 0,
        format!("a run without its server reports success: {}", program.last_output()),
    );

    // It is away when the schedule begins.
    nights.make_up(&mut outcome, true).await?;
    nights.check(&mut outcome, "a server that was killed").await?;
    Ok(outcome)
}
