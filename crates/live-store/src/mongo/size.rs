//! How large the database is.

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};

use super::{MongoStore, command::integer, schema::raw};
use crate::{Result, SizeStore, StoreSize, TICK_BYTES};

#[async_trait]
impl SizeStore for MongoStore {
    async fn size(&self) -> Result<StoreSize> {
        let command = raw(self, &doc! { "dbStats": 1, "freeStorage": 1 })?;
        let reply = self.try_run("cannot read the size", command).await?;
        match reply.ok().as_ref().and_then(reported) {
            Some(size) => Ok(size),
            None => self.estimate().await,
        }
    }
}

impl MongoStore {
    /// For a server that reports no size, or not to this user.
    async fn estimate(&self) -> Result<StoreSize> {
        let command = raw(self, &doc! { "count": "realtime_prices" })?;
        let what = "cannot count the ticks";
        let reply = self.try_run(what, command).await?;
        let reply = reply.map_err(|(_, reason)| self.refused(format!("{what}: {reason}")))?;
        let bytes = number(&reply, "n").unwrap_or(0) * TICK_BYTES;
        Ok(StoreSize { bytes, row_bytes: bytes, is_estimate: true })
    }
}

/// The size in a reply to `dbStats`; `None` where it has none.
fn reported(reply: &Document) -> Option<StoreSize> {
    let free = |name| number(reply, name).unwrap_or(0);
    let used = number(reply, "storageSize")? + number(reply, "indexSize")?;
    let bytes = used.saturating_sub(free("freeStorageSize") + free("indexFreeStorageSize"));
    let row_bytes = number(reply, "dataSize")?;
    (bytes > 0 && row_bytes > 0).then_some(StoreSize { bytes, row_bytes, is_estimate: false })
}

/// A number of bytes; servers return integers and doubles.
fn number(reply: &Document, name: &str) -> Option<u64> {
    match reply.get(name)? {
        Bson::Double(number) => Some(number.max(0.0) as u64),
        other => integer(Some(other)).and_then(|number| u64::try_from(number).ok()),
    }
}
