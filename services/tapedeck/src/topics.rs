//! `tapedeck topics`: inspects the event log without joining a group, and redelivers dead letters.

use anyhow::{Context, bail};
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use event_log::{DEAD_LETTER_SUFFIX, EventLog, Message, Pages, TopicInfo, TopicPartition};
use serde_json::{Map, Value, json, value::RawValue};
use service_runtime::ExposeSecret;

use crate::{
    cli::{TopicsArgs, TopicsCommand},
    output::{note, print_line},
    redeliver::redeliver,
    run::existing_log_url,
};

const CANNOT_OPEN: &str = "cannot open the event log (--log, --data)";

pub(crate) async fn topics(args: TopicsArgs) -> anyhow::Result<()> {
    let url = existing_log_url(&args.places)?;
    let command = args.command.unwrap_or(TopicsCommand::List);
    // Read-only first: the log must exist, and opening it for writing would create it.
    let mut log = event_log::open_for_reading(url.expose_secret()).await.context(CANNOT_OPEN)?;
    if matches!(command, TopicsCommand::Redeliver { .. }) {
        log = event_log::open(url.expose_secret()).await.context(CANNOT_OPEN)?;
    }
    let infos = log.topics().await.context("cannot list the topics")?;
    match command {
        TopicsCommand::List => list(&infos)?,
        TopicsCommand::Offsets { group } => offsets(&*log, &infos, &group).await?,
        TopicsCommand::Peek { topic, partition, offset, max } => {
            let info = infos.iter().find(|info| info.name == topic);
            let Some(info) = info else {
                let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
                bail!("there is no topic `{topic}`; there are {}", names.join(", "));
            };
            if peek(&*log, info, partition, offset, max).await? == 0 {
                note(format_args!("no records of `{topic}` there"))?;
            }
        }
        TopicsCommand::DeadLetters { max } => {
            let (mut topics, mut printed) = (0_usize, 0);
            for info in infos.iter().filter(|info| info.name.ends_with(DEAD_LETTER_SUFFIX)) {
                topics += 1;
                printed += peek(&*log, info, None, None, max).await?;
            }
            if printed == 0 {
                note(format_args!("no dead letters in {topics} topics ({DEAD_LETTER_SUFFIX})"))?;
            }
        }
        TopicsCommand::Redeliver { topic } => {
            let done = redeliver(&*log, &infos, topic.as_deref()).await;
            return done.and(log.close().await.context("the event log was not closed in order"));
        }
    }
    Ok(())
}

fn list(infos: &[TopicInfo]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["topic", "partitions", "records", "offsets"]);
    for info in infos {
        let records: u64 = info.partitions.iter().map(|(first, next)| next.saturating_sub(*first)).sum();
        let ranges: Vec<String> =
            info.partitions.iter().map(|(first, next)| format!("{first}..{next}")).collect();
        table.add_row([
            info.name.clone(),
            info.partitions.len().to_string(),
            records.to_string(),
            ranges.join("  "),
        ]);
    }
    print_line(table)
}

async fn offsets(log: &dyn EventLog, infos: &[TopicInfo], group: &str) -> anyhow::Result<()> {
    let topics: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    let lags =
        log.lag(group, &topics).await.with_context(|| format!("cannot read the offsets of {group}"))?;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["partition", "committed", "end", "lag"]);
    let mut committed_any = false;
    for lag in &lags {
        let Some(committed) = lag.committed else { continue };
        committed_any = true;
        table.add_row([
            lag.topic_partition.to_string(),
            committed.to_string(),
            lag.end.to_string(),
            lag.lag.to_string(),
        ]);
    }
    if !committed_any {
        bail!("the group `{group}` has no committed offsets");
    }
    print_line(table)
}

/// Prints records; returns how many.
async fn peek(
    log: &dyn EventLog,
    info: &TopicInfo,
    only: Option<i32>,
    offset: Option<u64>,
    max: u16,
) -> anyhow::Result<usize> {
    let mut printed = 0;
    let count = info.partitions.len();
    if let Some(partition) = only
        && usize::try_from(partition).map_or(true, |index| index >= count)
    {
        bail!("topic `{}` has the partitions 0 to {}, not {partition}", info.name, count.saturating_sub(1));
    }
    for (partition, (first, next)) in (0..).zip(&info.partitions) {
        if only.is_some_and(|wanted| wanted != partition) || next == first {
            continue;
        }
        let partition = TopicPartition { topic: info.name.as_str().into(), partition };
        let from = offset.unwrap_or_else(|| next.saturating_sub(u64::from(max)).max(*first));
        let mut left = usize::from(max);
        let mut pages = Pages::new(log, partition.clone(), from..*next, left);
        while left > 0
            && let Some(page) = pages.next().await.with_context(|| format!("cannot read {partition}"))?
        {
            for message in page.iter().take(left) {
                print_line(described(message))?;
                printed += 1;
            }
            left = left.saturating_sub(page.len());
        }
    }
    Ok(printed)
}

/// A record as JSON; a payload that is not JSON becomes a string.
fn described(message: &Message) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Map<String, Value> =
        message.headers.iter().map(|(name, value)| (name.clone(), Value::String(text(value)))).collect();
    let value = serde_json::from_slice::<&RawValue>(&message.payload)
        .ok()
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_else(|| Value::String(text(&message.payload)));
    json!({
        "topic": &*message.position.topic_partition.topic,
        "partition": message.position.topic_partition.partition,
        "offset": message.position.offset,
        "key": message.key.as_deref().map(text),
        "timestamp": message.timestamp,
        "headers": headers,
        "value": value,
    })
}
