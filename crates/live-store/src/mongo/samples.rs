//! One document of each collection, as it is written.

use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, Interval, Source, Symbol, Tick, TickFields};
use mongodb::bson::{Bson, Document};
use rust_decimal::Decimal;

use super::{progress, rows};
use crate::{Checkpoint, StoredTick};

/// A tick, a bar, a checkpoint.
pub(super) fn documents() -> [Document; 3] {
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
        size: Some(one),
        change_percent: 0.5,
        source: Source::parse("binance").expect("a source"),
        received_at: time,
        seq: 1,
    };
    let tick = Tick::new(fields).expect("a tick");
    let row = StoredTick { tick, processed_at: time, partition: 0, offset: 1 };
    let tick = rows::encode_tick(&row, &tick.id()).expect("a document");
    let candle = Candle::new(CandleFields {
        symbol,
        interval: Interval::Minute,
        time,
        open: one,
        high: one,
        low: one,
        close: one,
        volume: Some(one),
        ticks: 1,
        source: "binance/ticks".parse().expect("a source"),
        is_final: true,
    })
    .expect("a candle");
    let checkpoint = Checkpoint {
        processor: "consumer".to_owned(),
        topic: "crypto-prices".to_owned(),
        partition: 0,
        next_offset: 1,
        state: "{}".to_owned(),
    };
    [
        Document::try_from(&tick).expect("a document"),
        inserted(&progress::candle_statement(&candle).expect("a statement")),
        inserted(&progress::checkpoint_statement(&checkpoint, 1, progress::Moves::Forward)),
    ]
}

/// What an upsert makes where nothing was.
fn inserted(statement: &mongodb::bson::RawDocumentBuf) -> Document {
    let statement = Document::try_from(statement).expect("a document");
    let filter = statement.get_document("q").expect("a filter");
    let update = statement.get_document("u").expect("an update");
    let mut made = Document::new();
    made.insert("_id", filter.get("_id").cloned().unwrap_or(Bson::Null));
    for operator in ["$set", "$setOnInsert"] {
        if let Ok(fields) = update.get_document(operator) {
            made.extend(fields.clone());
        }
    }
    made
}
