//! The layer: receives events and spans, and appends documents to the queue.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::{
    document::{Encoder, Line, Scratch},
    fields::{Fields, MESSAGE},
    queue::Queue,
};

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A layer that sends every event that reaches it. Made by [`start`](crate::start).
pub struct ElasticLayer {
    intake: Arc<Intake>,
}

/// Makes documents and appends them to the queue; shared by the layer and what adds documents of its own.
pub(crate) struct Intake {
    encoder: Encoder,
    queue: Arc<Queue>,
    documents: AtomicU64,
    roots: AtomicU64,
}

/// What a span keeps for its events.
struct SpanFields {
    fields: Fields,
    /// The number of an outermost span.
    root: Option<u64>,
}

impl ElasticLayer {
    pub(crate) fn new(intake: Arc<Intake>) -> Self {
        Self { intake }
    }
}

impl Intake {
    pub(crate) fn new(encoder: Encoder, queue: Arc<Queue>) -> Self {
        Self { encoder, queue, documents: AtomicU64::new(0), roots: AtomicU64::new(0) }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    fn next_document(&self) -> u64 {
        self.documents.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends a document without spans whose fields are in `scratch`.
    pub(crate) fn add(&self, scratch: &mut Scratch, line: &Line<'_>) {
        self.encoder.gather_event(scratch, |_| false);
        self.queue.push(self.encoder.entry(scratch, self.next_document(), line));
    }

    /// The document that reports dropped events. The sender adds it to the next request.
    pub(crate) fn notice(&self, dropped: u64) -> Vec<u8> {
        use std::fmt::Write;
        let mut scratch = Scratch::default();
        scratch.fields.set(MESSAGE, |text| {
            write!(text, "{dropped} log lines were dropped: the queue for Elasticsearch was full")
        });
        scratch.fields.set("dropped", |text| write!(text, "{dropped}"));
        self.encoder.gather_event(&mut scratch, |_| false);
        let line = Line {
            at: SystemTime::now(),
            level: Level::WARN,
            logger: env!("CARGO_CRATE_NAME"),
            file: None,
            row: None,
            function: None,
            span: None,
            root: None,
        };
        self.encoder.entry(&mut scratch, self.next_document(), &line).to_vec()
    }

    fn accept<S>(&self, event: &Event<'_>, ctx: &Context<'_, S>, scratch: &mut Scratch)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        scratch.fields.clear();
        event.record(&mut scratch.fields);
        // Events of the crate `log` have their origin in fields.
        let of_log = event.normalized_metadata();
        let is_of_log = of_log.is_some();
        self.encoder.gather_event(scratch, |name| is_of_log && name.starts_with("log."));
        let (mut span_name, mut root) = (None, None);
        for span in ctx.event_scope(event).into_iter().flatten() {
            span_name.get_or_insert(span.name());
            if let Some(of_span) = span.extensions().get::<SpanFields>() {
                root = of_span.root.or(root);
                self.encoder.gather_span(scratch, &of_span.fields);
            }
        }
        let metadata = of_log.as_ref().unwrap_or_else(|| event.metadata());
        let line = Line {
            at: SystemTime::now(),
            level: *metadata.level(),
            logger: metadata.target(),
            file: metadata.file(),
            row: metadata.line(),
            function: metadata.module_path(),
            span: span_name,
            root,
        };
        self.queue.push(self.encoder.entry(scratch, self.next_document(), &line));
    }
}

impl<S> Layer<S> for ElasticLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let root = span.parent().is_none().then(|| self.intake.roots.fetch_add(1, Ordering::Relaxed));
        span.extensions_mut().replace(SpanFields { fields, root });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Formatted first: a value whose formatting logs would need the span's fields meanwhile.
        let mut recorded = Fields::default();
        values.record(&mut recorded);
        if let Some(of_span) = span.extensions_mut().get_mut::<SpanFields>() {
            of_span.fields.take_over(recorded);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let accepted = SCRATCH.try_with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => {
                self.intake.accept(event, &ctx, &mut scratch);
                true
            }
            Err(_) => false,
        });
        // The formatting of a value has logged itself, or the thread is about to end.
        if accepted != Ok(true) {
            self.intake.accept(event, &ctx, &mut Scratch::default());
        }
    }
}
