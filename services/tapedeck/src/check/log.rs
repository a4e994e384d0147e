//! Checks of the event log: connection, topics, groups, clocks.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use backon::{ConstantBuilder, Retryable};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, EventLogError, LogDescription, PROBE_TOPIC, TopicInfo, TopicPartition};
use live_store::Checkpoint;
use service_runtime::{ExposeSecret, SecretString};
use topics::TopicDefinition;

use super::report::Report;
use crate::{cli::CheckArgs, data_dir};

/// A tick further in the future than this is refused, see `topics::tick`.
const REFUSED_AHEAD: TimeDelta = TimeDelta::minutes(5);
/// A larger difference between clocks distorts the latencies.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// A broker that has just started refuses some queries until its partitions have leaders; they are repeated for so long. An
/// address where nothing responds takes longer, and is queried once.
const STARTING_LIMIT: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const MAX_RETRIES: usize = 10;

const FIX_URL: &str = "check --log (LOG_URL), LOG_PASSWORD and LOG_PASSWORD_FILE";
const FIX_CLOCK: &str = "synchronise the clocks of all machines with NTP (`timedatectl set-ntp true`)";

/// The identities of topics, see [`EventLog::identities`].
pub(super) type Identities = BTreeMap<String, String>;

/// Checks the log. Returns the identities of its topics.
pub(super) async fn event_log(report: &mut Report, args: &CheckArgs, data: &Path) -> Identities {
    let places = &args.run.places;
    let url = match places.log_url() {
        Ok(url) => url.unwrap_or_else(|| SecretString::from(data_dir::log_url(data))),
        Err(error) => {
            report.wrong("event log", format!("{error:#}"), FIX_URL);
            return Identities::new();
        }
    };
    if let Some(file) = missing_file(url.expose_secret()) {
        report.ok("event log", format!("{file}: does not exist yet, created at the first start"));
        return Identities::new();
    }
    let opened = event_log::open_for_reading(url.expose_secret()).await;
    let queried = async {
        let log = opened?;
        let all = topics::ALL;
        let names: Vec<&str> = all.iter().map(|topic| &*topic.name).collect();
        let deadline = Instant::now() + STARTING_LIMIT;
        let query =
            || async { Ok((log.describe().await?, log.topics().await?, log.identities(&names).await?)) };
        let retries = ConstantBuilder::new().with_delay(RETRY_INTERVAL).with_max_times(MAX_RETRIES);
        let is_starting = |error: &EventLogError| error.is_transient() && Instant::now() < deadline;
        let answers = query.retry(retries).when(is_starting).await?;
        Ok::<_, EventLogError>((answers, log))
    };
    let ((description, infos, identities), log) = match queried.await {
        Ok(queried) => queried,
        Err(error) => {
            report.wrong("event log", error.to_string(), FIX_URL);
            return Identities::new();
        }
    };
    let cluster = description.cluster_id.as_ref().map_or(String::new(), |id| format!(", cluster {id}"));
    report.ok("event log", format!("{}{cluster}", description.location));
    if url.expose_secret().starts_with("kafka:") && url.expose_secret().contains('@') {
        report.warn(
            "encryption",
            "user, password and prices are sent unencrypted",
            "in a shared network write kafka+tls:// (built with --features kafka-tls)",
        );
    }
    check_topics(report, &infos, &description);
    for (name, topics) in consumer::groups(&args.run.consumer.group) {
        check_group(report, &*log, &name, topics, &infos).await;
    }
    check_newest_record(report, &*log, &infos).await;
    if args.probe {
        // An embedded log is open read-only here; the check of the data folder includes writing.
        match log.probe().await {
            Ok(stored_at) => check_clock(report, "publishing", stored_at),
            Err(_) if url.expose_secret().starts_with("sqlite:") => {
                report.ok("publishing", "the log is a file on this machine; see the data folder");
            }
            Err(error) => {
                let fix = format!(
                    "the user needs the permissions to create topics and to write to them, such as `{PROBE_TOPIC}`"
                );
                report.wrong("publishing", error.to_string(), fix);
            }
        }
    }
    identities
}

/// Checks whether the live store was filled from this log.
pub(super) fn compare_identities(report: &mut Report, here: &Identities, checkpoints: &[Checkpoint]) {
    let with_offset =
        checkpoints.iter().filter(|known| known.processor == consumer::PROCESSOR && known.next_offset > 0);
    let mut compared: BTreeMap<&str, bool> = BTreeMap::new();
    for checkpoint in with_offset {
        if let (Some(identity), Some(known)) = (here.get(&checkpoint.topic), &checkpoint.log_identity) {
            *compared.entry(&checkpoint.topic).or_insert(true) &= known == identity;
        }
    }
    let others: Vec<&str> =
        compared.iter().filter(|(_, is_same)| !**is_same).map(|(topic, _)| *topic).collect();
    if compared.is_empty() {
        return;
    }
    if others.is_empty() {
        report.ok("checkpoints", "the live store was filled from this event log");
    } else {
        report.warn(
            "checkpoints",
            format!("the live store was filled from another event log; topics with another identity: {}", others.join(", ")),
            "the consumer reads them from their beginning, and stores nothing twice. If another log is meant, change --log \
             (LOG_URL); if another store is meant, change --store (STORE_URL), before the consumer starts",
        );
    }
}

/// The path of an embedded log that does not exist yet.
fn missing_file(url: &str) -> Option<String> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path).split('?').next()?;
    (!path.is_empty() && !Path::new(path).exists()).then(|| path.to_owned())
}

fn check_topics(report: &mut Report, infos: &[TopicInfo], description: &LogDescription) {
    let (mut correct, mut all) = (0, 0);
    let mut missing = Vec::new();
    for topic in topics::all_with_dead_letters() {
        all += 1;
        let Some(info) = infos.iter().find(|info| info.name == topic.name) else {
            missing.push(topic.name);
            continue;
        };
        let problems = [fewer_partitions(&topic, info), shorter_retention(&topic, description)];
        correct += usize::from(problems.iter().all(Option::is_none));
        for (found, fix) in problems.into_iter().flatten() {
            report.warn("topic", found, fix);
        }
    }
    if !missing.is_empty() {
        report.warn(
            "topics",
            format!("missing: {}", missing.join(", ")),
            "each service creates them when it starts; its user needs the permission",
        );
    }
    if correct > 0 {
        report.ok("topics", format!("{correct} of {all} exist with the expected settings"));
    }
}

fn fewer_partitions(topic: &TopicDefinition, info: &TopicInfo) -> Option<(String, String)> {
    let (existing, expected) = (info.partitions.len(), topic.partitions.unsigned_abs() as usize);
    (existing < expected).then(|| {
        let found = format!("{} has {existing} partitions instead of {expected}", topic.name);
        let fix = format!(
            "it works, but consumers beyond the number of partitions are idle. kafka-topics.sh --alter --topic {} \
             --partitions {expected}, best just after midnight (UTC): candles in progress of symbols that change their partition \
             start again",
            topic.name
        );
        (found, fix)
    })
}

fn shorter_retention(topic: &TopicDefinition, description: &LogDescription) -> Option<(String, String)> {
    let kept = (*description.retention.get(&*topic.name)?)?;
    (kept < topic.retention).then(|| {
        let found =
            format!("{} keeps records for {} instead of {}", topic.name, shown(kept), shown(topic.retention));
        let fix = format!(
            "a consumer that is down for longer loses ticks. kafka-configs.sh --alter --topic {} --add-config retention.ms={}",
            topic.name,
            topic.retention.as_millis()
        );
        (found, fix)
    })
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 86_400 => format!("{:.1} days", seconds as f64 / 86_400.0),
        seconds if seconds >= 3_600 => format!("{:.1} hours", seconds as f64 / 3_600.0),
        seconds => format!("{seconds} s"),
    }
}

async fn check_group(
    report: &mut Report,
    log: &dyn EventLog,
    group: &str,
    topics: &[&str],
    infos: &[TopicInfo],
) {
    let exists = |name: &&str| infos.iter().any(|info| info.name == *name);
    let existing: Vec<&str> = topics.iter().copied().filter(exists).collect();
    if existing.is_empty() {
        return;
    }
    match log.lag(group, &existing).await {
        Err(error) => report.wrong(
            "group",
            format!("{group}: {error}"),
            "the user needs the permission to read this group, or choose another --consumer-group (CONSUMER_GROUP)",
        ),
        Ok(lags) => {
            for lag in lags.iter().filter(|lag| lag.committed.is_some_and(|committed| committed > lag.end)) {
                report.warn(
                    "group",
                    format!(
                        "{group} has committed offset {} of {}, which ends at {}",
                        lag.committed.unwrap_or_default(),
                        lag.topic_partition,
                        lag.end
                    ),
                    "the topic was deleted and created again, or --log (LOG_URL) names another cluster than before: the consumer \
                     reads it from its beginning. If another cluster is meant, change --log before the consumer starts",
                );
            }
            let total: u64 = lags.iter().map(|lag| lag.lag).sum();
            report.ok("group", format!("the lag of {group} is {total} records"));
        }
    }
}

/// Compares the newest record with this machine's clock. Only a time in the future is certainly wrong: old records may be from
/// before a night without trades, or from services that were stopped. `--probe` checks the broker's clock, and `/system` those
/// of running processes.
async fn check_newest_record(report: &mut Report, log: &dyn EventLog, infos: &[TopicInfo]) {
    let mut newest: Option<DateTime<Utc>> = None;
    let live = [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES, topics::status::TOPIC];
    for info in infos.iter().filter(|info| live.contains(&info.name.as_str())) {
        for (partition, (first, end)) in (0..).zip(&info.partitions) {
            if first == end {
                continue;
            }
            let partition = TopicPartition { topic: info.name.as_str().into(), partition };
            match log.read(&partition, end - 1, 1).await {
                Ok(messages) => newest = newest.max(messages.first().map(|message| message.timestamp)),
                Err(error) => {
                    return report.wrong(
                        "reading",
                        format!("{partition}: {error}"),
                        "the user needs the permission to read the topic",
                    );
                }
            }
        }
    }
    if let Some(newest) = newest {
        let ahead = newest - Utc::now();
        if ahead > CLOCK_TOLERANCE {
            let seconds = ahead.num_seconds();
            report.warn(
                "clocks",
                format!("the time of the newest record is {seconds} s in the future"),
                fix_clock(ahead),
            );
        } else {
            report.ok("reading", format!("the newest record is {} s old", -ahead.num_seconds()));
        }
    }
}

/// Compares the broker's clock with this machine's.
fn check_clock(report: &mut Report, what: &'static str, stored_at: DateTime<Utc>) {
    let apart = stored_at - Utc::now();
    let seconds = apart.num_milliseconds().abs() as f64 / 1e3;
    let found = format!("published one record to `{PROBE_TOPIC}`; the clocks differ by {seconds:.1} s");
    if apart.abs() > CLOCK_TOLERANCE {
        report.warn(what, found, fix_clock(apart));
    } else {
        report.ok(what, found);
    }
}

fn fix_clock(apart: TimeDelta) -> String {
    if apart.abs() > REFUSED_AHEAD {
        format!("{FIX_CLOCK}; ticks more than 5 minutes in the future become dead letters")
    } else {
        FIX_CLOCK.to_owned()
    }
}
