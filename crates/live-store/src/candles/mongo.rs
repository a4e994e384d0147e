//! Candles in the collection `candles`.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, Symbol, decimal_to_f64};
use mongodb::bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, raw::cstr, rawdoc};

use super::{CandleQuery, CandleStore, limit};
use crate::{
    PruneRange, Result,
    mongo::{
        MongoStore,
        fields::{RowError, append_time, decimal, field, optional_decimal, text, time, unexpected, unsigned},
        schema::Collection,
        times::{Moment, TimeFields},
    },
};

const COLLECTION: &str = "candles";
const OPEN_TIME: TimeFields = TimeFields::new("time", "time_us");
const STORED_AT: TimeFields = TimeFields::new("stored_at", "stored_at_us");

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/candles.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl CandleStore for MongoStore {
    async fn write_candles(&self, candles: &[Candle]) -> Result<()> {
        let mut statements = Vec::with_capacity(candles.len());
        for candle in last_of_each(candles) {
            let statement = statement(candle)
                .map_err(|error| self.refused(format!("cannot store the candle {}: {error}", candle.id())))?;
            statements.push(statement);
        }
        let taken = self.upsert("cannot store candles", COLLECTION, &statements).await?;
        self.refuse_taken(COLLECTION, taken.len())
    }

    async fn candles(&self, query: &CandleQuery) -> Result<Vec<Candle>> {
        let rows = limit(query) as u32;
        let mut filter = doc! { "symbol": query.symbol.as_str(), "interval": query.interval.as_str() };
        filter.extend(OPEN_TIME.between(Moment::range_end(query.from), Moment::range_end(query.to)));
        let found = self
            .find("cannot read candles", COLLECTION, filter, |find| {
                find.sort(doc! { "time": -1, "time_us": -1, "source": -1 })
                    .limit(i64::from(rows))
                    .batch_size(rows)
            })
            .await?;
        let mut candles = self.decode(COLLECTION, &found, decode)?;
        candles.reverse();
        Ok(candles)
    }

    async fn candle_symbols(&self) -> Result<Vec<Symbol>> {
        self.symbols_in(COLLECTION).await
    }

    async fn oldest_minute(&self, symbol: Symbol, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let (from, end) = (Moment::range_end(from), Moment::range_end(DateTime::<Utc>::MAX_UTC));
        let mut filter = doc! { "symbol": symbol.as_str(), "interval": "1m" };
        filter.extend(OPEN_TIME.between(from, end));
        self.first_minute(filter).await
    }

    async fn prune_candles(&self, range: &PruneRange) -> Result<u64> {
        let [from, to, stored] = [range.from, range.to, range.stored_before].map(Moment::range_end);
        let minutes = doc! { "interval": "1m", "time": { "$gte": from.date(), "$lte": to.date() } };
        let mut stored_later = doc! { "symbol": range.symbol.as_str() };
        stored_later.extend(minutes.clone());
        stored_later
            .extend(doc! { "$and": [OPEN_TIME.between(from, to), { "$nor": [STORED_AT.before(stored)] }] });
        if self.first_minute(stored_later).await?.is_some() {
            return Ok(0);
        }
        let mut conditions = minutes;
        conditions.extend(doc! { "$and": [OPEN_TIME.between(from, to), STORED_AT.before(stored)] });
        self.remove_of_symbol(COLLECTION, range.symbol, conditions, &doc! { "time": 1 }).await
    }
}

impl MongoStore {
    /// The open time of the oldest minute that the filter lets through.
    async fn first_minute(&self, filter: Document) -> Result<Option<DateTime<Utc>>> {
        let found = self
            .find("cannot read candles", COLLECTION, filter, |find| {
                find.projection(doc! { "time": 1, "time_us": 1 })
                    .sort(doc! { "time": 1, "time_us": 1 })
                    .limit(1)
            })
            .await?;
        let times = self.decode(COLLECTION, &found, |document| time(document, "time", "time_us"))?;
        Ok(times.into_iter().next())
    }
}

/// Replaces all of the candle but the time when it was first stored.
fn statement(candle: &Candle) -> Result<RawDocumentBuf, RowError> {
    let mut first_stored = RawDocumentBuf::new();
    append_time(&mut first_stored, cstr!("stored_at"), cstr!("stored_at_us"), Utc::now())?;
    Ok(rawdoc! {
        "q": { "_id": id(candle) },
        "u": { "$set": encode(candle)?, "$setOnInsert": first_stored },
        "upsert": true,
    })
}

/// Statements of one command may run in any order, so that of one identity only the last may be among them.
fn last_of_each(candles: &[Candle]) -> Vec<&Candle> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(candles.len());
    let mut last: Vec<&Candle> = Vec::with_capacity(candles.len());
    for candle in candles {
        let place = *places.entry(id(candle)).or_insert(last.len());
        match last.get_mut(place) {
            Some(slot) => *slot = candle,
            None => last.push(candle),
        }
    }
    last
}

/// The document of a candle, without the time when it was first stored.
fn encode(candle: &Candle) -> Result<RawDocumentBuf, RowError> {
    let mut to = RawDocumentBuf::new();
    to.append(cstr!("symbol"), candle.symbol.as_str());
    to.append(cstr!("interval"), candle.interval.as_str());
    append_time(&mut to, cstr!("time"), cstr!("time_us"), candle.time)?;
    to.append(cstr!("open"), decimal_to_f64(candle.open));
    to.append(cstr!("high"), decimal_to_f64(candle.high));
    to.append(cstr!("low"), decimal_to_f64(candle.low));
    to.append(cstr!("close"), decimal_to_f64(candle.close));
    // A null, not a missing field: it replaces a volume that was stored before.
    match candle.volume {
        Some(volume) => to.append(cstr!("volume"), decimal_to_f64(volume)),
        None => to.append(cstr!("volume"), RawBsonRef::Null),
    }
    to.append(cstr!("ticks"), candle.ticks.cast_signed());
    to.append(cstr!("source"), candle.source.to_string());
    to.append(cstr!("final"), candle.is_final);
    Ok(to)
}

/// `source:symbol:interval:open time in seconds`; of an open time between two seconds, which no interval of ours has,
/// with the microseconds behind it.
fn id(candle: &Candle) -> String {
    match candle.time.timestamp_subsec_micros() {
        0 => candle.id(),
        micros => format!("{}.{micros:06}", candle.id()),
    }
}

/// A candle from its document.
fn decode(document: &RawDocument) -> Result<Candle, RowError> {
    Ok(Candle::new(CandleFields {
        symbol: text(document, "symbol", Symbol::parse)?,
        interval: text(document, "interval", str::parse)?,
        time: time(document, "time", "time_us")?,
        open: decimal(document, "open")?,
        high: decimal(document, "high")?,
        low: decimal(document, "low")?,
        close: decimal(document, "close")?,
        volume: optional_decimal(document, "volume")?,
        ticks: unsigned(document, "ticks")?,
        source: text(document, "source", str::parse)?,
        is_final: match field(document, "final")? {
            RawBsonRef::Boolean(is_final) => is_final,
            other => return Err(unexpected("final", "a boolean", other)),
        },
    })?)
}

/// A document as it is written where none was.
#[cfg(test)]
fn sample() -> mongodb::bson::Document {
    let one = rust_decimal::Decimal::ONE;
    let candle = Candle::new(CandleFields {
        symbol: Symbol::parse("BTC/USDT").expect("a symbol"),
        interval: market::Interval::Minute,
        time: "2026-01-13T15:30:00Z".parse().expect("a time"),
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
    crate::mongo::upserted(&[statement(&candle).expect("a statement")])
}
