//! What live clients receive: of each subject its latest event only, in the order of change. Pure.
//!
//! Every event has a version, counted over all subjects, so that "what changed since" has an exact answer however long
//! a client was away, and costs what changed. An event is encoded once; all clients share its bytes.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use bytes::Bytes;
use market::Symbol;
use serde::Serialize;

use crate::{alert_notice::AlertNotice, candle_json::SymbolCandle, quote::Quote, sparkline::Sparkline};

/// Events by name, as clients choose them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateKind {
    /// The latest price.
    Quote,
    /// A one-minute candle, in progress or closed.
    Candle,
    /// The points of the day.
    Spark,
    /// The figures of `/system` changed. Carries none of them: a page that draws them reads them.
    Status,
    /// A house alert opened, of whatever symbol.
    Alert,
    /// The event log stopped or began to respond; every client receives it.
    Log,
}

impl UpdateKind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Quote, Self::Candle, Self::Spark, Self::Status, Self::Alert, Self::Log];

    /// The name of the event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Candle => "candle",
            Self::Spark => "spark",
            Self::Status => "status",
            Self::Alert => "alert",
            Self::Log => "log",
        }
    }
}

/// What changed; its later change replaces it.
#[derive(Debug)]
pub(crate) enum Change {
    Quote(Quote),
    OpenCandle(Symbol, SymbolCandle),
    ClosedCandle(Symbol, SymbolCandle),
    Spark(Symbol, Sparkline),
    Status,
    Alert(AlertNotice),
    /// Whether new prices can be read from the event log.
    Log {
        down: bool,
    },
}

/// Events of one subject replace each other. An open and a closed candle do not: a client that missed both gets both. Nor do alerts of
/// two kinds of rules, which one candle may open.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Quote(Symbol),
    OpenCandle(Symbol),
    ClosedCandle(Symbol),
    Spark(Symbol),
    Status,
    /// With the name of the kind of its rule.
    Alert(Symbol, &'static str),
    Log,
}

impl Subject {
    fn kind(self) -> UpdateKind {
        match self {
            Self::Quote(_) => UpdateKind::Quote,
            Self::OpenCandle(_) | Self::ClosedCandle(_) => UpdateKind::Candle,
            Self::Spark(_) => UpdateKind::Spark,
            Self::Status => UpdateKind::Status,
            Self::Alert(..) => UpdateKind::Alert,
            Self::Log => UpdateKind::Log,
        }
    }

    fn symbol(self) -> Option<Symbol> {
        match self {
            Self::Quote(symbol)
            | Self::OpenCandle(symbol)
            | Self::ClosedCandle(symbol)
            | Self::Spark(symbol) => Some(symbol),
            // Alerts are for every page, whatever symbols it shows.
            Self::Status | Self::Alert(..) | Self::Log => None,
        }
    }
}

impl Change {
    fn subject(&self) -> Subject {
        match self {
            Self::Quote(quote) => Subject::Quote(quote.symbol),
            Self::OpenCandle(symbol, _) => Subject::OpenCandle(*symbol),
            Self::ClosedCandle(symbol, _) => Subject::ClosedCandle(*symbol),
            Self::Spark(symbol, _) => Subject::Spark(*symbol),
            Self::Status => Subject::Status,
            Self::Alert(notice) => Subject::Alert(notice.symbol, notice.kind.name()),
            Self::Log { .. } => Subject::Log,
        }
    }

    fn to_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct SymbolSparkline<'a> {
            symbol: Symbol,
            #[serde(flatten)]
            sparkline: &'a Sparkline,
        }
        match self {
            Self::Quote(quote) => serde_json::to_string(quote),
            Self::OpenCandle(_, candle) | Self::ClosedCandle(_, candle) => serde_json::to_string(candle),
            Self::Spark(symbol, sparkline) => {
                serde_json::to_string(&SymbolSparkline { symbol: *symbol, sparkline })
            }
            Self::Status => Ok("{}".to_owned()),
            Self::Alert(notice) => serde_json::to_string(notice),
            Self::Log { down } => Ok(format!("{{\"down\":{down}}}")),
        }
    }
}

/// What one client wants.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// In order; empty: all symbols.
    symbols: Box<[Symbol]>,
    /// The same for candles, where they differ.
    candle_symbols: Option<Box<[Symbol]>>,
    /// By position in [`UpdateKind::ALL`].
    kinds: [bool; UpdateKind::ALL.len()],
}

impl Filter {
    /// Events of these kinds of these symbols; of all symbols where none are named.
    pub(crate) fn new(symbols: Vec<Symbol>, kinds: &[UpdateKind]) -> Self {
        let kinds = UpdateKind::ALL.map(|kind| kinds.contains(&kind));
        Self { symbols: in_order(symbols), candle_symbols: None, kinds }
    }

    /// Of candles only those of these symbols.
    pub(crate) fn with_candles_of(self, symbols: Vec<Symbol>) -> Self {
        Self { candle_symbols: Some(in_order(symbols)), ..self }
    }

    fn accepts(&self, subject: Subject) -> bool {
        let is_candle = subject.kind() == UpdateKind::Candle;
        let symbols = self.candle_symbols.as_ref().filter(|_| is_candle).unwrap_or(&self.symbols);
        let wants = |symbol| symbols.is_empty() || symbols.binary_search(&symbol).is_ok();
        let is_wanted = subject == Subject::Log || self.kinds[subject.kind() as usize];
        is_wanted && subject.symbol().is_none_or(wants)
    }
}

fn in_order(mut symbols: Vec<Symbol>) -> Box<[Symbol]> {
    symbols.sort_unstable();
    symbols.dedup();
    symbols.into()
}

/// The latest event of each subject.
pub(crate) struct Updates {
    /// Names this life of the process: versions count from 1 in each.
    boot: String,
    version: u64,
    events: BTreeMap<u64, (Subject, Bytes)>,
    latest: HashMap<Subject, u64>,
}

/// Events for one client, in order.
pub(crate) struct Batch {
    /// Complete events in the format of server-sent events.
    pub(crate) frames: Vec<Bytes>,
    /// The client has everything up to this version.
    pub(crate) version: u64,
}

impl Updates {
    pub(crate) fn new(boot: String) -> Self {
        Self { boot, version: 0, events: BTreeMap::new(), latest: HashMap::new() }
    }

    /// Names this life of the process.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// Version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Encodes a change under a new version.
    pub(crate) fn push(&mut self, change: &Change) {
        let data = match change.to_json() {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(%error, "an event could not be encoded");
                return;
            }
        };
        let subject = change.subject();
        self.version += 1;
        let (boot, version, kind) = (&self.boot, self.version, subject.kind().as_str());
        let frame = Bytes::from(format!("id: {boot}-{version}\nevent: {kind}\ndata: {data}\n\n"));
        if let Some(replaced) = self.latest.insert(subject, version) {
            self.events.remove(&replaced);
        }
        self.events.insert(version, (subject, frame));
    }

    /// The version in an event's id, where this very process gave it.
    pub(crate) fn version_of(&self, event_id: &str) -> Option<u64> {
        let (boot, version) = event_id.rsplit_once('-')?;
        let version = version.parse().ok()?;
        (boot == self.boot && version <= self.version).then_some(version)
    }

    /// The first `max` accepted events after `version`.
    pub(crate) fn after(&self, version: u64, filter: &Filter, max: usize) -> Batch {
        let newer = self.events.range((Bound::Excluded(version), Bound::Unbounded));
        let mut accepted = newer.filter(|(_, (subject, _))| filter.accepts(*subject));
        let mut batch = Batch { frames: Vec::new(), version };
        for (version, (_, frame)) in accepted.by_ref().take(max) {
            batch.frames.push(frame.clone());
            batch.version = *version;
        }
        if batch.frames.len() < max {
            batch.version = self.version;
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        Symbol::parse(text).expect("a symbol")
    }

    fn spark(name: &str, close: f64) -> Change {
        let sparkline = Sparkline { point_seconds: 60, last_point: 1, closes: vec![close] };
        Change::Spark(symbol(name), sparkline)
    }

    fn text(batch: &Batch) -> String {
        batch.frames.iter().map(|frame| String::from_utf8_lossy(frame)).collect()
    }

    #[test]
    fn a_later_change_replaces_the_earlier_one_of_its_subject() {
        let mut updates = Updates::new("boot".to_owned());
        for change in [spark("AAPL", 1.0), spark("MSFT", 2.0), spark("AAPL", 3.0), Change::Status] {
            updates.push(&change);
        }
        let all = Filter::new(Vec::new(), &UpdateKind::ALL);
        insta::assert_snapshot!(text(&updates.after(0, &all, 10)), @r#"
        id: boot-2
        event: spark
        data: {"symbol":"MSFT","point_seconds":60,"last_point":1,"closes":[2.0]}

        id: boot-3
        event: spark
        data: {"symbol":"AAPL","point_seconds":60,"last_point":1,"closes":[3.0]}

        id: boot-4
        event: status
        data: {}
        "#);
        assert_eq!(updates.events.len(), 3);
        assert!(updates.after(4, &all, 10).frames.is_empty());
    }

    #[test]
    fn a_client_takes_what_it_wants_in_pieces_and_misses_nothing() {
        let mut updates = Updates::new("boot".to_owned());
        for n in 0..10 {
            updates.push(&spark(if n % 2 == 0 { "AAPL" } else { "BTC/USDT" }, f64::from(n)));
            updates.push(&spark(&format!("S{n}"), f64::from(n)));
            updates.push(&Change::Status);
        }
        let filter =
            Filter::new(vec![symbol("BTC/USDT"), symbol("S3"), symbol("AAPL")], &[UpdateKind::Spark]);
        let (mut version, mut seen) = (0, Vec::new());
        loop {
            let batch = updates.after(version, &filter, 2);
            if batch.frames.is_empty() {
                assert_eq!(batch.version, updates.version());
                break;
            }
            seen.push(batch.frames.len());
            version = batch.version;
        }
        assert_eq!(seen, [2, 1], "S3, then the latest of AAPL and BTC/USDT");
    }

    #[test]
    fn every_client_receives_whether_the_log_responds() {
        let mut updates = Updates::new("boot".to_owned());
        updates.push(&Change::Log { down: true });
        updates.push(&Change::Log { down: false });
        let filter = Filter::new(vec![symbol("AAPL")], &[UpdateKind::Candle]);
        let expected = "id: boot-2\nevent: log\ndata: {\"down\":false}\n\n";
        assert_eq!(text(&updates.after(0, &filter, 10)), expected);
    }

    #[test]
    fn only_ids_of_this_process_resume() {
        let mut updates = Updates::new("boot".to_owned());
        updates.push(&Change::Status);
        assert_eq!(updates.version_of("boot-1"), Some(1));
        assert_eq!(updates.version_of("boot-0"), Some(0));
        for other in ["boot-2", "other-1", "boot", "boot-", "-1", ""] {
            assert_eq!(updates.version_of(other), None, "{other}");
        }
    }
}
