//! `tapedeck topics redeliver`: dead letters that can be read by now go back into the topic they came from.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use event_log::{
    DEAD_LETTER_SUFFIX, EventLog, Message, NewRecord, Pages, Publisher, TopicInfo, TopicPartition,
};

use crate::output::print_line;

/// Dead letters read at a time.
const PAGE: usize = 1_000;

/// What became of the dead letters of one topic.
#[derive(Default)]
struct Count {
    sent: usize,
    staying: usize,
    /// Why the first of these stays.
    reason: Option<String>,
}

/// All of the topics of dead letters, or of one. They stay where they are, until their topic forgets them: done again, the
/// same are sent again, and consumers know what they have stored.
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
            Some(only) => bail!("there is no topic `{only}` of dead letters"),
            None => bail!("there are no topics of dead letters"),
        }
    }
    let publisher = log.publisher().context("cannot write to the event log")?;
    for (info, topic) in letters {
        let mut count = Count::default();
        for (partition, (first, next)) in (0..).zip(&info.partitions) {
            let place = TopicPartition { topic: info.name.as_str().into(), partition };
            let mut pages = Pages::new(log, place.clone(), *first..*next, PAGE);
            while let Some(page) = pages.next().await.with_context(|| format!("cannot read {place}"))? {
                send_back(&*publisher, topic, page, &mut count).await?;
            }
        }
        print_line(format_args!("{}: {} sent back into {topic}", info.name, count.sent))?;
        if let Some(reason) = count.reason {
            print_line(format_args!("  {} cannot be read yet; the first one: {reason}", count.staying))?;
        }
    }
    Ok(())
}

async fn send_back(
    publisher: &dyn Publisher,
    topic: &str,
    page: Vec<Message>,
    count: &mut Count,
) -> anyhow::Result<()> {
    let now = Utc::now();
    let mut records = Vec::with_capacity(page.len());
    for message in page {
        if let Err(reason) = readable(topic, &message, now) {
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

/// Whether a consumer of the topic would take it now.
fn readable(topic: &str, message: &Message, now: DateTime<Utc>) -> Result<(), String> {
    if message.headers.iter().any(|(name, _)| name == "cut") {
        return Err("only its beginning was kept, it was too large".to_owned());
    }
    match topic {
        topics::tick::STOCK_PRICES | topics::tick::CRYPTO_PRICES => {
            let tick = topics::tick::decode(&message.payload, now).map_err(|error| error.to_string())?;
            // The first of them would close the bars of the ticks that come meanwhile.
            if tick.timestamp > now { Err("its time is yet to come".to_owned()) } else { Ok(()) }
        }
        topics::quoted_candle::TOPIC => {
            topics::quoted_candle::decode(&message.payload).map(drop).map_err(|error| error.to_string())
        }
        _ => Err("nobody reads that topic".to_owned()),
    }
}
