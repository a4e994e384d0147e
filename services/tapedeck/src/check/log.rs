//! The event log: whether it answers, what topics it has, whose clock is wrong.

use std::{collections::BTreeMap, path::Path, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, EventLogError, LogDescription, PROBE_TOPIC, TopicInfo, TopicPartition};
use live_store::Checkpoint;
use service_runtime::{ExposeSecret, SecretString};
use topics::Topic;

use super::report::Report;
use crate::{cli::CheckArgs, data_dir};

/// A tick further ahead than this is refused, see `topics::tick`.
const REFUSED_AHEAD: TimeDelta = TimeDelta::minutes(5);
/// Clocks that are further apart than this show in latencies.
const NOTICED: TimeDelta = TimeDelta::seconds(2);

const MEND_URL: &str = "look at --log (LOG_URL), LOG_PASSWORD and LOG_PASSWORD_FILE";
const MEND_CLOCK: &str = "set the clocks of all machines by NTP (`timedatectl set-ntp true`)";

/// The identities of topics, see [`EventLog::identities`].
pub(super) type Identities = BTreeMap<String, String>;

/// Checks the log; the identities of its topics, where it has any.
pub(super) async fn event_log(report: &mut Report, args: &CheckArgs, data: &Path) -> Identities {
    let places = &args.run.places;
    let url = match places.log_url() {
        Ok(url) => url.unwrap_or_else(|| SecretString::from(data_dir::log_url(data))),
        Err(error) => {
            report.wrong("event log", format!("{error:#}"), MEND_URL);
            return Identities::new();
        }
    };
    if let Some(file) = missing_file(url.expose_secret()) {
        report.ok("event log", format!("{file}: none yet, made at the first start"));
        return Identities::new();
    }
    let opened = event_log::open_for_reading(url.expose_secret()).await;
    let asked = async {
        let log = opened?;
        let names = topics::ALL.map(|topic| topic.name);
        let identities = log.identities(&names).await?;
        Ok::<_, EventLogError>((log.describe().await?, log.topics().await?, identities, log))
    };
    let (description, infos, identities, log) = match asked.await {
        Ok(asked) => asked,
        Err(error) => {
            report.wrong("event log", error.to_string(), MEND_URL);
            return Identities::new();
        }
    };
    let cluster = description.cluster_id.as_ref().map_or(String::new(), |id| format!(", cluster {id}"));
    report.ok("event log", format!("{}{cluster}", description.location));
    if url.expose_secret().starts_with("kafka:") && url.expose_secret().contains('@') {
        report.warn(
            "encryption",
            "user and prices travel unencrypted",
            "on a network that others share write kafka+tls:// (built with --features kafka-tls)",
        );
    }
    topics_are_there(report, &infos, &description);
    for (name, topics) in consumer::groups(&args.run.consumer.group) {
        group(report, &*log, &name, topics, &infos).await;
    }
    records_clock(report, &*log, &infos).await;
    if args.probe {
        // An embedded log that was opened for reading cannot try; its folder tells whether it can be written.
        match log.probe().await {
            Ok(stored_at) => clock(report, "publishing", stored_at),
            Err(_) if url.expose_secret().starts_with("sqlite:") => {
                report.ok("publishing", "the log is a file of this machine; see the data folder");
            }
            Err(error) => {
                let mend = format!(
                    "the user needs the rights to create topics and to write to them, such as `{PROBE_TOPIC}`"
                );
                report.wrong("publishing", error.to_string(), mend);
            }
        }
    }
    identities
}

/// Whether the log is the one that the store was filled from.
pub(super) fn same_log(report: &mut Report, here: &Identities, checkpoints: &[Checkpoint]) {
    let begun =
        checkpoints.iter().filter(|known| known.processor == consumer::PROCESSOR && known.next_offset > 0);
    let mut compared: BTreeMap<&str, bool> = BTreeMap::new();
    for checkpoint in begun {
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
             (LOG_URL); if another store, --store (STORE_URL), before the consumer starts",
        );
    }
}

/// The file of an embedded log that is not there yet.
fn missing_file(url: &str) -> Option<String> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path).split('?').next()?;
    (!path.is_empty() && !Path::new(path).exists()).then(|| path.to_owned())
}

fn topics_are_there(report: &mut Report, infos: &[TopicInfo], description: &LogDescription) {
    let mut as_they_should = 0;
    let mut missing = Vec::new();
    for topic in topics::ALL {
        let Some(info) = infos.iter().find(|info| info.name == topic.name) else {
            missing.push(topic.name);
            continue;
        };
        let trouble = [fewer_partitions(&topic, info), other_retention(&topic, description)];
        as_they_should += usize::from(trouble.iter().all(Option::is_none));
        for (found, mend) in trouble.into_iter().flatten() {
            report.warn("topic", found, mend);
        }
    }
    if !missing.is_empty() {
        report.warn(
            "topics",
            format!("not there yet: {}", missing.join(", ")),
            "each service creates them when it starts; its user needs the right to",
        );
    }
    if as_they_should > 0 {
        report.ok("topics", format!("{as_they_should} of {} are as they should be", topics::ALL.len()));
    }
}

fn fewer_partitions(topic: &Topic, info: &TopicInfo) -> Option<(String, String)> {
    let (there, wanted) = (info.partitions.len(), topic.partitions.unsigned_abs() as usize);
    (there < wanted).then(|| {
        let found = format!("{} has {there} partitions, not {wanted}", topic.name);
        let mend = format!(
            "it works; more consumers than partitions stand idle. kafka-topics.sh --alter --topic {} --partitions {wanted}, \
             best after midnight (UTC): bars in progress of symbols that move begin anew",
            topic.name
        );
        (found, mend)
    })
}

fn other_retention(topic: &Topic, description: &LogDescription) -> Option<(String, String)> {
    let kept = (*description.retention.get(topic.name)?)?;
    (kept < topic.retention).then(|| {
        let found = format!("{} keeps records for {}, not {}", topic.name, words(kept), words(topic.retention));
        let mend = format!(
            "a consumer that is away for longer loses ticks. kafka-configs.sh --alter --topic {} --add-config retention.ms={}",
            topic.name,
            topic.retention.as_millis()
        );
        (found, mend)
    })
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 86_400 => format!("{:.1} days", seconds as f64 / 86_400.0),
        seconds if seconds >= 3_600 => format!("{:.1} hours", seconds as f64 / 3_600.0),
        seconds => format!("{seconds} s"),
    }
}

async fn group(report: &mut Report, log: &dyn EventLog, group: &str, topics: &[&str], infos: &[TopicInfo]) {
    let is_there = |name: &&str| infos.iter().any(|info| info.name == *name);
    let there: Vec<&str> = topics.iter().copied().filter(is_there).collect();
    if there.is_empty() {
        return;
    }
    match log.lag(group, &there).await {
        Err(error) => report.wrong(
            "group",
            format!("{group}: {error}"),
            "the user needs the right to read this group, or choose another --consumer-group (CONSUMER_GROUP)",
        ),
        Ok(lags) => {
            for lag in lags.iter().filter(|lag| lag.committed.is_some_and(|committed| committed > lag.end)) {
                report.warn(
                    "group",
                    format!(
                        "{group} has committed {} of {}, which ends at {}",
                        lag.committed.unwrap_or_default(),
                        lag.topic_partition,
                        lag.end
                    ),
                    "the topic was made anew, or LOG_URL names another cluster than before: the consumer reads it from its \
                     beginning. If another cluster is meant, mend LOG_URL before the consumer starts",
                );
            }
            let behind: u64 = lags.iter().map(|lag| lag.lag).sum();
            report.ok("group", format!("{group} is {behind} records behind"));
        }
    }
}

/// The newest records by this machine's clock. Only those from the future are certain to be wrong: records bear the time of
/// whoever made them, also heartbeats, and old ones may be of a quiet night, or of services that were stopped. `--probe` knows
/// the broker's clock, and `/system` compares those of processes that are running.
async fn records_clock(report: &mut Report, log: &dyn EventLog, infos: &[TopicInfo]) {
    let mut newest: Option<DateTime<Utc>> = None;
    let live = [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES, topics::status::TOPIC];
    for info in infos.iter().filter(|info| live.contains(&info.name.as_str())) {
        for (partition, (first, end)) in (0..).zip(&info.partitions) {
            if first == end {
                continue;
            }
            let place = TopicPartition { topic: info.name.as_str().into(), partition };
            match log.read(&place, end - 1, 1).await {
                Ok(messages) => newest = newest.max(messages.first().map(|message| message.timestamp)),
                Err(error) => {
                    return report.wrong(
                        "reading",
                        format!("{place}: {error}"),
                        "the user needs the right to read the topic",
                    );
                }
            }
        }
    }
    if let Some(newest) = newest {
        let ahead = newest - Utc::now();
        if ahead > NOTICED {
            let seconds = ahead.num_seconds();
            report.warn(
                "clocks",
                format!("the newest record was made {seconds} s from now"),
                mend_clock(ahead),
            );
        } else {
            report.ok("reading", format!("the newest record was made {} s ago", -ahead.num_seconds()));
        }
    }
}

/// The broker's clock against this machine's.
fn clock(report: &mut Report, what: &'static str, stored_at: DateTime<Utc>) {
    let apart = stored_at - Utc::now();
    let seconds = apart.num_milliseconds().abs() as f64 / 1e3;
    let found = format!("one record went to `{PROBE_TOPIC}`; the clocks are {seconds:.1} s apart");
    if apart.abs() > NOTICED {
        report.warn(what, found, mend_clock(apart));
    } else {
        report.ok(what, found);
    }
}

fn mend_clock(apart: TimeDelta) -> String {
    if apart.abs() > REFUSED_AHEAD {
        format!("{MEND_CLOCK}; ticks more than 5 minutes ahead go to the dead letters")
    } else {
        MEND_CLOCK.to_owned()
    }
}
