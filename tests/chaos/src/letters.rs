//! Compares the dead-letter topics with the records that cannot be decoded.

use std::collections::{BTreeMap, BTreeSet};

use event_log::{DEAD_LETTER_SUFFIX, EventLog};

use crate::{
    checker::read_topic,
    ledger::{LedgerContent, Poison},
    plan::{Plan, poison},
};

/// The dead letters of all topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetters {
    /// Number of records with a dead letter.
    pub distinct: u64,
    /// Number of further dead letters of the same records.
    pub repeated: u64,
    /// Poison records without a dead letter, dead letters without a poison record, and dead letters with a missing header or
    /// another payload than the record.
    pub problems: Vec<String>,
}

/// Compares the dead letters with the acknowledged poison records.
///
/// # Errors
/// Errors of the log.
pub async fn dead_letters(
    log: &dyn EventLog,
    plan: &Plan,
    content: &LedgerContent,
) -> anyhow::Result<DeadLetters> {
    let mut expected: BTreeMap<(String, i32, u64), Poison> = BTreeMap::new();
    for poison in &content.poison {
        let topic = plan.lanes[poison.lane].topic.to_owned();
        expected.insert((topic, poison.partition, poison.offset), *poison);
    }
    let mut found: BTreeSet<(String, i32, u64)> = BTreeSet::new();
    let mut letters = DeadLetters::default();
    let mut strange = Vec::new();
    for lane in &plan.lanes {
        for message in read_topic(log, &format!("{}{DEAD_LETTER_SUFFIX}", lane.topic)).await? {
            match origin(&message.headers) {
                Err(reason) => strange.push(format!("offset {}: {reason}", message.position.offset)),
                Ok(origin) => {
                    let sent = expected.get(&origin).map(|sent| poison(sent.seq));
                    if sent.is_some_and(|sent| sent != message.payload) {
                        strange.push(format!(
                            "the payload of the dead letter of {origin:?} differs from the record"
                        ));
                    }
                    letters.repeated += u64::from(!found.insert(origin));
                }
            }
        }
    }
    letters.distinct = found.len() as u64;
    let without: Vec<_> = expected.keys().filter(|origin| !found.contains(*origin)).collect();
    if let Some(first) = without.first() {
        letters
            .problems
            .push(format!("{} poison records have no dead letter, such as {first:?}", without.len()));
    }
    let unexpected: Vec<_> = found.iter().filter(|origin| !expected.contains_key(*origin)).collect();
    // Includes records whose producer was killed before it could write the ledger.
    letters.problems.extend(unexpected.first().map(|first| {
        format!(
            "{} dead letters are of records that were not acknowledged, such as {first:?}",
            unexpected.len()
        )
    }));
    if let Some(first) = strange.first() {
        letters.problems.push(format!("{} dead letters are invalid: {first}", strange.len()));
    }
    Ok(letters)
}

/// Topic, partition and offset from the headers, which must also have a reason and a time.
fn origin(headers: &[(String, bytes::Bytes)]) -> Result<(String, i32, u64), String> {
    let text = |name: &str| {
        let header = headers.iter().find(|(known, _)| known == name).ok_or(format!("no header {name}"))?;
        let text = std::str::from_utf8(&header.1).map_err(|_| format!("header {name} is not UTF-8"))?;
        if text.is_empty() { Err(format!("header {name} is empty")) } else { Ok(text.to_owned()) }
    };
    let number = |error: std::num::ParseIntError| error.to_string();
    text("reason")?;
    text("when")?;
    Ok((
        text("topic")?,
        text("partition")?.parse().map_err(number)?,
        text("offset")?.parse().map_err(number)?,
    ))
}
