//! `tapedeck topics redeliver`: publishes dead letters that can be decoded now to their original topic again.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use event_log::{
    DEAD_LETTER_SUFFIX, EventLog, Message, NewRecord, Pages, Publisher, TopicInfo, TopicPartition,
};

use crate::output::print_line;

/// Dead letters in one page.
const PAGE: usize = 1_000;

/// Result for the dead letters of one topic.
#[derive(Default)]
struct Count {
    sent: usize,
    staying: usize,
    /// Why the first of them stays.
    reason: Option<String>,
}

/// Redelivers the dead letters of all topics, or of one. They also stay in their own topic until its retention ends: another
/// run sends them again, and consumers recognise those that they have stored.
pub(crate) async fn redeliver(
    log: &dyn EventLog,
    infos: &[TopicInfo],
    only: Option<&str>,
) -> anyhow::Result<()> {
    let letters: Vec<(&TopicInfo, &str)> = infos
        .iter()
        .filter(|info| only.is_none_or(|only| only == info.name))
        .filter_map(|info| Some((info, info.name.strip_suffix(DEAD_LETTER_SUFFIX)?)))
        .collect();
    if letters.is_empty() {
        match only {
            Some(only) => bail!("there is no dead-letter topic `{only}`"),
            None => bail!("there are no dead-letter topics"),
        }
    }
    let publisher = log.publisher().context("cannot write to the event log")?;
    for (info, topic) in letters {
        let mut count = Count::default();
        for (partition, (first, next)) in (0..).zip(&info.partitions) {
            let partition = TopicPartition { topic: info.name.as_str().into(), partition };
            let mut pages = Pages::new(log, partition.clone(), *first..*next, PAGE);
            while let Some(page) = pages.next().await.with_context(|| format!("cannot read {partition}"))? {
                publish_again(&*publisher, topic, page, &mut count).await?;
            }
        }
        print_line(format_args!("{}: {} redelivered to {topic}", info.name, count.sent))?;
        if let Some(reason) = count.reason {
            print_line(format_args!("  {} cannot be decoded yet; the first one: {reason}", count.staying))?;
        }
    }
    Ok(())
}

async fn publish_again(
    publisher: &dyn Publisher,
    topic: &str,
    page: Vec<Message>,
    count: &mut Count,
) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut records = Vec::with_capacity(page.len());
    for message in page {
        if let Err(reason) = check_decodes(topic, &message, now) {
            count.staying += 1;
            count.reason.get_or_insert(reason);
        } else {
            let Message { key, payload, .. } = message;
            records.push(NewRecord { key, payload, headers: Vec::new(), timestamp: now });
        }
    }
    let sending = records.len();
    if sending > 0 {
        let receipt = publisher.send(topic, records).await;
        let receipt = receipt.with_context(|| format!("cannot write into {topic}"))?;
        receipt.durable().await.with_context(|| format!("cannot write into {topic}"))?;
    }
    count.sent += sending;
    Ok(())
}

/// Whether a consumer of the topic can decode the record now.
fn check_decodes(topic: &str, message: &Message, now: DateTime<Utc>) -> Result<(), String> {
    if message.headers.iter().any(|(name, _)| name == "cut") {
        return Err("it was too large, and only its beginning was kept".to_owned());
    }
    match topic {
        topics::tick::STOCK_PRICES | topics::tick::CRYPTO_PRICES => {
            let tick = topics::tick::decode(&message.payload, now).map_err(|error| error.to_string())?;
            // A tick from the future would close the candles of the ticks before it.
            if tick.timestamp > now { Err("its time is in the future".to_owned()) } else { Ok(()) }
        }
        topics::quoted_candle::TOPIC => {
            topics::quoted_candle::decode(&message.payload).map(drop).map_err(|error| error.to_string())
        }
        _ => Err("the topic has no consumers".to_owned()),
    }
}
