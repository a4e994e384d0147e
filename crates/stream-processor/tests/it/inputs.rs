//! Inputs from outside of the log take effect at an offset that a crash does not move.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_log::Message;
use service_runtime::{Runtime, Status};
use stream_processor::{
    DeadLetterPolicy, Processor, ProcessorConfig, ProcessorError, StateUpdate, StoreCalls,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    scripted_log::ScriptedLog,
    scripted_store::ScriptedStore,
    world::{numbers, partition, wait_until},
};

/// What is outside of the log, and what came of it.
#[derive(Default)]
struct Outside {
    /// The input at present.
    input: Mutex<u64>,
    /// Of every number, the inputs under which it was applied, one for each time.
    applied: Mutex<BTreeMap<u64, Vec<u64>>>,
}

impl Outside {
    fn applied(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u64>>> {
        self.applied.lock().unwrap()
    }
}

/// Emits every number with the input that was in effect.
struct Judge(Arc<Outside>);

#[async_trait]
impl Processor for Judge {
    const NAME: &'static str = "judge";
    type Event = u64;
    type State = Option<u64>;
    type Effect = (u64, u64);

    fn decode(&self, message: &Message, _now: DateTime<Utc>) -> Result<Option<u64>, String> {
        let text = std::str::from_utf8(&message.payload).map_err(|error| error.to_string())?;
        text.parse().map(Some).map_err(|_| "number: not a whole number".to_owned())
    }

    async fn restored(
        &self,
        input: &Option<u64>,
    ) -> Result<Option<StateUpdate<Option<u64>>>, ProcessorError> {
        if input.is_some() { Ok(None) } else { self.refresh(input).await }
    }

    async fn refresh(&self, input: &Option<u64>) -> Result<Option<StateUpdate<Option<u64>>>, ProcessorError> {
        let now = *self.0.input.lock().unwrap();
        let is_new = *input != Some(now);
        Ok(is_new.then(|| -> StateUpdate<Option<u64>> { Box::new(move |state| *state = Some(now)) }))
    }

    fn apply(
        &self,
        input: &mut Option<u64>,
        number: &u64,
        _now: DateTime<Utc>,
        effects: &mut Vec<(u64, u64)>,
    ) {
        effects.push((*number, input.unwrap()));
    }

    async fn emit(&self, effects: &[(u64, u64)]) -> Result<(), ProcessorError> {
        let mut applied = self.0.applied();
        for (number, input) in effects {
            applied.entry(*number).or_default().push(*input);
        }
        Ok(())
    }
}

fn start(
    log: &ScriptedLog,
    store: &Arc<ScriptedStore>,
    outside: &Arc<Outside>,
) -> JoinHandle<anyhow::Result<()>> {
    let runtime = Runtime {
        log: Arc::new(log.clone()),
        status: Status::new("judge", "test", Utc::now()),
        shutdown: CancellationToken::new(),
    };
    let config = ProcessorConfig {
        group: "group".to_owned(),
        topics: vec!["numbers".to_owned()],
        batch_max_records: 10,
        batch_max_age: Duration::from_millis(10),
        dead_letters: DeadLetterPolicy::Count,
    };
    let calls = Arc::new(StoreCalls::new(Arc::clone(store) as _, &runtime));
    let running = tokio::spawn(stream_processor::run(Judge(Arc::clone(outside)), config, calls, runtime));
    log.assign(&[partition(0)]);
    running
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_again_after_a_crash_is_applied_under_the_inputs_of_then() {
    let (log, store, outside) =
        (ScriptedLog::default(), Arc::<ScriptedStore>::default(), Arc::new(Outside::default()));
    "one".clone_into(&mut log.state().identity);
    let mut end = 0;
    for input in 1..=12_u64 {
        let running = start(&log, &store, &outside);
        log.append(&partition(0), &numbers(end..end + 35));
        end += 35;
        let is_applied = || outside.applied().len() as u64 == end;
        if input % 3 == 0 {
            // Saved in a checkpoint, too.
            wait_until("all is saved", async || {
                store.of("numbers", 0).is_some_and(|saved| saved.next_offset == end)
            })
            .await;
        } else {
            wait_until("all is applied", async || is_applied()).await;
        }
        *outside.input.lock().unwrap() = input;
        log.append(&partition(0), &numbers(end..end + 15));
        end += 15;
        wait_until("the new input is in effect", async || {
            outside.applied().get(&(end - 1)).is_some_and(|inputs| *inputs.last().unwrap() == input)
        })
        .await;
        // As `kill -9` does: what was applied since the last checkpoint is applied again, after the input has changed once more.
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        *outside.input.lock().unwrap() = 100 + input;
    }
    let applied = outside.applied();
    assert!(applied.values().any(|inputs| inputs.len() > 1), "nothing was applied again");
    for (number, inputs) in applied.iter() {
        assert!(inputs.iter().all(|input| *input == inputs[0]), "{number} was applied under {inputs:?}");
    }
}
