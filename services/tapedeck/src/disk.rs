//! Watches the disk of the data folder: how large the files of the embedded log and store are, how fast they grow, and whether
//! the free space lasts a day.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indicatif::HumanBytes;
use service_runtime::{Component, Gauge, Runtime};
use tokio::time::{Instant, MissedTickBehavior};
use topics::names::{component, figure};

/// Between two looks.
const INTERVAL_SECONDS: u64 = 10;
/// Growth is measured over this time.
const GROWTH_WINDOW: Duration = Duration::from_hours(6);
/// And not before so much of it has passed: at the beginning history is filled in.
const GROWTH_SHORTEST: Duration = Duration::from_mins(10);
/// Between two sizes that are remembered.
const SAMPLE_INTERVAL: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// Free space below this is low whatever the growth, in bytes.
const LOW_BYTES: u64 = 100 << 20;

/// Reports until the shutdown. Free space for less than a day is reported as down, and logged.
pub(crate) async fn watch(folder: PathBuf, runtime: Runtime) -> anyhow::Result<()> {
    let health = runtime.status.secondary_component(component::DISK);
    let gauge = |name| runtime.status.report(Arc::new(Gauge::new(name)));
    let gauges = [figure::DATA_BYTES, figure::DATA_GROWTH, figure::DISK_FREE].map(gauge);
    let mut growth = Growth::default();
    let mut is_low = false;
    let mut due = tokio::time::interval(Duration::from_secs(INTERVAL_SECONDS));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            _ = due.tick() => {}
        }
        let place = folder.clone();
        let looked = tokio::task::spawn_blocking(move || look(&place)).await.map_err(io::Error::other);
        match looked.and_then(|looked| looked) {
            Ok((used, free)) => {
                let usage = Usage { used, free, daily: growth.daily(used, Instant::now()) };
                let values = [Some(used), usage.daily, Some(free)];
                for (gauge, value) in gauges.iter().zip(values) {
                    if let Some(value) = value {
                        gauge.set(value as f64);
                    }
                }
                report(&health, &usage, &mut is_low, &folder);
            }
            Err(error) => health.down(&format!("{}: the free space is unknown: {error}", folder.display())),
        }
    }
}

/// Bytes of the files in the folder itself, and free bytes of its disk.
fn look(folder: &Path) -> io::Result<(u64, u64)> {
    let mut used = 0;
    for entry in std::fs::read_dir(folder)? {
        // A file may be removed meanwhile, such as a write-ahead log.
        if let Ok(file) = entry?.metadata()
            && file.is_file()
        {
            used += file.len();
        }
    }
    Ok((used, fs4::available_space(folder)?))
}

/// The state of the disk, in bytes.
struct Usage {
    used: u64,
    free: u64,
    /// Growth in a day; `None` while it is unknown.
    daily: Option<u64>,
}

impl Usage {
    fn is_low(&self) -> bool {
        self.free < LOW_BYTES || self.daily.is_some_and(|daily| self.free < daily)
    }

    fn text(&self) -> String {
        let growth = match self.daily {
            Some(daily) => format!("grows by {} a day", HumanBytes(daily)),
            None => format!("growth known after {} minutes", GROWTH_SHORTEST.as_secs() / 60),
        };
        format!("{} used, {growth}, {} free", HumanBytes(self.used), HumanBytes(self.free))
    }
}

fn report(health: &Component, usage: &Usage, is_low: &mut bool, folder: &Path) {
    let text = usage.text();
    if usage.is_low() {
        let advice = "make room, or keep fewer days (--retention-days, RETENTION_DAYS) or bytes (--retention-max-gb, RETENTION_MAX_GB)";
        health.down(&format!("{text}: {advice}"));
        if !*is_low {
            let folder = folder.display();
            tracing::warn!(%folder, "the disk of the data folder has space for less than a day: {text}; {advice}");
        }
    } else {
        health.up(&text);
    }
    *is_low = usage.is_low();
}

/// Sizes of the last hours, oldest first.
#[derive(Default)]
struct Growth(VecDeque<(Instant, u64)>);

impl Growth {
    /// Bytes by which the files grow in a day, from their size now and the sizes before; `None` in the first minutes.
    fn daily(&mut self, used: u64, now: Instant) -> Option<u64> {
        let Self(sizes) = self;
        while sizes.front().is_some_and(|(at, _)| now - *at > GROWTH_WINDOW) {
            sizes.pop_front();
        }
        if sizes.back().is_none_or(|(at, _)| now - *at >= SAMPLE_INTERVAL) {
            sizes.push_back((now, used));
        }
        let (at, before) = sizes.front()?;
        let elapsed = now - *at;
        if elapsed < GROWTH_SHORTEST {
            return None;
        }
        let grown = used.saturating_sub(*before) as f64;
        Some((grown * DAY.as_secs_f64() / elapsed.as_secs_f64()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_last_hours_and_low_space_is_less_than_a_day_of_it() {
        let (mut growth, start) = (Growth::default(), Instant::now());
        let mut daily = None;
        // 1 MB a minute, for an hour.
        for minute in 0..=60 {
            daily = growth.daily(minute * 1_000_000, start + Duration::from_mins(minute));
            assert_eq!(daily.is_some(), minute >= 10, "{minute}");
        }
        assert_eq!(daily, Some(1_440_000_000));
        // Then none: a day later nothing of that hour counts.
        for minute in 61..60 + 24 * 60 {
            daily = growth.daily(60_000_000, start + Duration::from_mins(minute));
        }
        assert_eq!(daily, Some(0));
        assert!(growth.0.len() <= 361, "{}", growth.0.len());
        let usage = |free, daily| Usage { used: 1, free, daily };
        assert!(usage(1_000_000_000, Some(1_440_000_000)).is_low());
        assert!(!usage(2_000_000_000, Some(1_440_000_000)).is_low());
        assert!(!usage(2_000_000_000, None).is_low());
        assert!(usage(1_000_000, None).is_low());
        // Files that shrink, after old rows were removed.
        assert_eq!(growth.daily(0, start + Duration::from_hours(25)), Some(0));
    }

    #[test]
    fn the_files_of_a_folder_are_counted_and_its_folders_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("log.db"), [0; 100]).expect("written");
        std::fs::create_dir(folder.path().join("simulated")).expect("a folder");
        std::fs::write(folder.path().join("simulated/log.db"), [0; 100]).expect("written");
        let (used, free) = look(folder.path()).expect("a look");
        assert_eq!(used, 100);
        assert!(free > 0);
    }
}
