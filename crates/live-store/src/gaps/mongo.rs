//! Gaps in the collection `gaps`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Source, Symbol};
use mongodb::bson::{
    DateTime as BsonDate, Document, RawDocument, RawDocumentBuf, deserialize_from_slice, doc, rawdoc,
    serialize_to_raw_document_buf,
};
use serde::{Deserialize, Serialize};

use super::{Gap, GapCause, GapQuery, GapState, GapStore, MAX_GAPS, StateColumns};
use crate::{
    Result,
    mongo::{
        MongoStore,
        fields::{RowError, date, read_date},
        schema::Collection,
    },
};

const COLLECTION: &str = "gaps";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/gaps.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

/// The document of a gap, without its `_id`.
#[derive(Serialize, Deserialize)]
struct GapRow {
    source: String,
    symbol: String,
    begins_at: BsonDate,
    ends_at: BsonDate,
    cause: String,
    missing_trades: Option<i64>,
    detected_at: BsonDate,
    repaired_at: Option<BsonDate>,
    reason: Option<String>,
}

#[async_trait]
impl GapStore for MongoStore {
    async fn record_gaps(&self, gaps: &[Gap]) -> Result<()> {
        let statements = gaps.iter().map(statement).collect::<Result<Vec<_>, _>>();
        let statements = statements.map_err(|error| self.refused(format!("cannot record a gap: {error}")))?;
        // An identity that is taken is that of a repaired gap, which stays as it is.
        self.upsert("cannot record a gap", COLLECTION, &statements).await.map(drop)
    }

    async fn gaps(&self, query: &GapQuery) -> Result<Vec<Gap>> {
        let mut filter = Document::new();
        if let Some(symbol) = query.symbol {
            filter.insert("symbol", symbol.as_str());
        }
        if let Some(since) = query.since {
            filter.insert("ends_at", doc! { "$gte": date(since) });
        }
        if query.is_unrepaired {
            filter.insert("repaired_at", mongodb::bson::Bson::Null);
        }
        let found = self
            .find("cannot read gaps", COLLECTION, filter, |find| {
                find.sort(doc! { "begins_at": -1, "source": 1, "symbol": 1 }).limit(MAX_GAPS as i64)
            })
            .await?;
        self.decode(COLLECTION, &found, decode)
    }

    async fn prune_gaps(&self, before: DateTime<Utc>) -> Result<u64> {
        let filter = doc! { "ends_at": { "$lt": date(before) } };
        self.remove_in_steps(COLLECTION, &filter, &doc! { "begins_at": 1 }).await
    }
}

/// Matches a gap that is not repaired, or creates it.
fn statement(gap: &Gap) -> Result<RawDocumentBuf, RowError> {
    let state = StateColumns::from(&gap.state);
    let row = GapRow {
        source: gap.source.as_str().to_owned(),
        symbol: gap.symbol.as_str().to_owned(),
        begins_at: date(gap.from),
        ends_at: date(gap.to),
        cause: gap.cause.name().to_owned(),
        missing_trades: gap.missing_trades.map(u64::cast_signed),
        detected_at: date(gap.detected_at),
        repaired_at: state.repaired_at.map(date),
        reason: state.reason,
    };
    let id = format!("{}:{}:{}", gap.source, gap.symbol, gap.from.timestamp_millis());
    let row = serialize_to_raw_document_buf(&row)?;
    let unrepaired = rawdoc! { "_id": id.as_str(), "repaired_at": mongodb::bson::RawBson::Null };
    Ok(rawdoc! { "q": unrepaired, "u": { "$set": row }, "upsert": true })
}

fn decode(document: &RawDocument) -> Result<Gap, RowError> {
    let row: GapRow = deserialize_from_slice(document.as_bytes())?;
    let missing = row.missing_trades.map(i64::cast_unsigned);
    let repaired_at = row.repaired_at.map(|at| read_date("repaired_at", at)).transpose()?;
    Ok(Gap {
        source: Source::parse(&row.source)?,
        symbol: Symbol::parse(&row.symbol)?,
        from: read_date("begins_at", row.begins_at)?,
        to: read_date("ends_at", row.ends_at)?,
        cause: GapCause::parse(&row.cause)?,
        missing_trades: missing,
        detected_at: read_date("detected_at", row.detected_at)?,
        state: GapState::from(StateColumns { repaired_at, reason: row.reason }),
    })
}

#[cfg(test)]
fn sample() -> Document {
    let gap = Gap {
        source: Source::parse("binance").expect("a source"),
        symbol: Symbol::parse("BTC/USDT").expect("a symbol"),
        from: DateTime::UNIX_EPOCH,
        to: DateTime::UNIX_EPOCH,
        cause: GapCause::SkippedIds,
        missing_trades: Some(3),
        detected_at: DateTime::UNIX_EPOCH,
        state: GapState::Open,
    };
    crate::mongo::upserted(&[statement(&gap).expect("a statement")])
}
