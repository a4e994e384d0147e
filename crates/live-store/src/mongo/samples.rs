//! One document of each collection, as it is written.

use chrono::{DateTime, Utc};
use market::{Candle, Interval, Source, Symbol, Tick, TickFields};
use mongodb::bson::{Bson, Document, rawdoc};
use rust_decimal::Decimal;

use super::{progress, rows};
use crate::{
    Checkpoint, StoredTick,
    checkpoints::mongo::{claim_command, save_statement},
};

/// A tick, a bar, a checkpoint.
pub(crate) fn documents() -> [Document; 3] {
    let time: DateTime<Utc> = "2026-01-13T15:30:00.214007Z".parse().expect("a time");
    let symbol = Symbol::parse("BTC/USDT").expect("a symbol");
    let one = Decimal::ONE;
    let fields = TickFields {
        symbol,
        timestamp: time,
        price: one,
        volume: one,
        open: one,
        high: one,
        low: one,
        change_percent: 0.5,
        source: Source::parse("binance").expect("a source"),
        received_at: time,
        seq: 1,
    };
    let tick = Tick::new(fields).expect("a tick");
    let row = StoredTick { tick, processed_at: time, partition: 0, offset: 1 };
    let tick = rows::encode_tick(&row, &tick.id()).expect("a document");
    let candle = Candle {
        symbol,
        interval: Interval::Minute,
        time,
        open: one,
        high: one,
        low: one,
        close: one,
        volume: one,
        ticks: 1,
        source: "binance/ticks".parse().expect("a source"),
        is_final: true,
    };
    [
        Document::try_from(&tick).expect("a document"),
        inserted(&progress::candle_statement(&candle).expect("a statement")),
        saved_checkpoint(time),
    ]
}

/// What an upsert makes where nothing was.
fn inserted(statement: &mongodb::bson::RawDocumentBuf) -> Document {
    let statement = Document::try_from(statement).expect("a document");
    let filter = statement.get_document("q").expect("a filter");
    let update = statement.get_document("u").expect("an update");
    let mut made = Document::new();
    made.insert("_id", filter.get("_id").cloned().unwrap_or(Bson::Null));
    apply(update, &mut made);
    made
}

fn apply(update: &Document, made: &mut Document) {
    for operator in ["$inc", "$setOnInsert", "$set"] {
        if let Ok(fields) = update.get_document(operator) {
            made.extend(fields.clone());
        }
    }
}

/// A checkpoint that was claimed, then saved.
fn saved_checkpoint(time: DateTime<Utc>) -> Document {
    let checkpoint = Checkpoint {
        processor: "consumer".to_owned(),
        topic: "crypto-prices".to_owned(),
        partition: 0,
        generation: 1,
        next_offset: 1,
        log_identity: Some("a topic".to_owned()),
        caught_up_at: Some(time),
        state: "{}".to_owned(),
    };
    let claim = claim_command("consumer", "crypto-prices", 0, &rawdoc! {});
    let claim = Document::try_from(&claim).expect("a document");
    let save = save_statement(&checkpoint).expect("a statement");
    let save = Document::try_from(&save).expect("a document");
    let mut made = Document::new();
    made.insert("_id", claim.get_document("query").expect("a query").get("_id").cloned());
    apply(claim.get_document("update").expect("an update"), &mut made);
    apply(save.get_document("u").expect("an update"), &mut made);
    made
}
