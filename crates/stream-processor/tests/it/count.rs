//! A second processor: it counts the records of each key.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_log::{Message, Position};
use stream_processor::{Processor, ProcessorError, Verdict};

use crate::scripted_store::Fault;

/// A record: its key, its number, and where it lay.
pub(crate) struct Numbered {
    pub(crate) key: String,
    number: u64,
    position: Position,
}

/// What the processor stores: of every number, where it was read and when; and the counts that it emitted last.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) numbers: Mutex<HashMap<u64, (Position, DateTime<Utc>)>>,
    pub(crate) counts: Mutex<BTreeMap<String, u64>>,
    pub(crate) fault: Fault,
}

/// The processor.
pub(crate) struct Count(pub(crate) Arc<Stored>);

#[async_trait]
impl Processor for Count {
    const NAME: &'static str = "count";
    type Event = Numbered;
    type State = BTreeMap<String, u64>;
    type Effect = (String, u64);

    fn decode(&self, message: &Message, _now: DateTime<Utc>) -> Result<Option<Numbered>, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string());
        let number = text(&message.payload)?.parse().map_err(|_| "number: not a whole number".to_owned())?;
        let key = text(message.key.as_deref().unwrap_or_default())?;
        Ok(Some(Numbered { key, number, position: message.position.clone() }))
    }

    async fn store(&self, events: &[Numbered]) -> Result<Vec<Verdict>, ProcessorError> {
        self.0.fault.pass().await?;
        let mut numbers = self.0.numbers.lock().unwrap();
        let verdict = |event: &Numbered| match numbers.get(&event.number) {
            Some((position, at)) if *position == event.position => Verdict::Redelivered(*at),
            Some(_) => Verdict::Duplicate,
            None => {
                numbers.insert(event.number, (event.position.clone(), Utc::now()));
                Verdict::New
            }
        };
        Ok(events.iter().map(verdict).collect())
    }

    fn apply(
        &self,
        counts: &mut BTreeMap<String, u64>,
        event: &Numbered,
        _now: DateTime<Utc>,
        effects: &mut Vec<(String, u64)>,
    ) {
        let count = counts.entry(event.key.clone()).or_default();
        *count += 1;
        effects.push((event.key.clone(), *count));
    }

    async fn emit(&self, effects: &[(String, u64)]) -> Result<(), ProcessorError> {
        self.0.counts.lock().unwrap().extend(effects.iter().cloned());
        Ok(())
    }
}
