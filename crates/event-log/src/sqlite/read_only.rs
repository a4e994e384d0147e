//! Reads the file from another process, whether or not a service has it open. Takes no lock and changes nothing.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use tokio::sync::Mutex;

use super::{
    catalog::Catalog,
    file_url, journal, reader, store,
    store::{Files, Offsets},
};
use crate::{
    EventLog, EventLogError, LogAdmin, LogDescription, Message, PartitionLag, Publisher, Result,
    Subscription, TopicInfo, TopicPartition, TopicSpec,
};

/// The file, opened read-only. Topics and bounds are read at each call, as a service may be writing.
struct ReadOnlyLog {
    files: Files,
    connection: Mutex<SqliteConnection>,
}

/// Opens the file of `rest`, the part of the URL after `sqlite:`. It must exist.
pub(crate) async fn open(rest: &str) -> Result<Arc<dyn EventLog>> {
    let (files, connection) = store::open_for_reading(&file_url(rest)?).await?;
    Ok(Arc::new(ReadOnlyLog { files, connection: Mutex::new(connection) }))
}

impl ReadOnlyLog {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.load().await?.0)
    }

    /// The topics and the committed offsets of the groups.
    async fn load(&self) -> Result<(Catalog, HashMap<String, Offsets>)> {
        let (files, mut connection) = (&self.files, self.connection.lock().await);
        let identity = store::find_identity(files, &mut connection).await?;
        // The journal first: what is moved from it into the file meanwhile is then in both.
        let entries = match &identity {
            Some(identity) => journal::read(files.path(), identity).map_err(|error| {
                EventLogError::Storage { path: files.shown(), reason: format!("its journal: {error}") }
            })?,
            None => Vec::new(),
        };
        let catalog = store::load_topics(files, &mut connection).await?;
        let mut offsets = store::load_offsets(files, &mut connection, &catalog).await?;
        store::replay(entries, &catalog, &mut offsets);
        Ok((catalog, offsets))
    }

    fn read_only<T>(&self) -> Result<T> {
        let reason = "the log was opened read-only".to_owned();
        Err(EventLogError::Storage { path: self.files.shown(), reason })
    }
}

#[async_trait]
impl LogAdmin for ReadOnlyLog {
    async fn ensure_topics(&self, _specs: &[TopicSpec]) -> Result<()> {
        self.read_only()
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(self.catalog().await?.infos())
    }

    async fn describe(&self) -> Result<LogDescription> {
        Ok(self.catalog().await?.describe(self.files.shown()))
    }

    async fn probe(&self) -> Result<DateTime<Utc>> {
        self.read_only()
    }
}

#[async_trait]
impl EventLog for ReadOnlyLog {
    /// Empty if the file was created before logs had identities and no service has opened it since.
    async fn identities(&self, topics: &[&str]) -> Result<BTreeMap<String, String>> {
        let identity = store::find_identity(&self.files, &mut *self.connection.lock().await).await?;
        let of_file =
            |identity: String| topics.iter().map(move |topic| ((*topic).to_owned(), identity.clone()));
        Ok(identity.into_iter().flat_map(of_file).collect())
    }

    async fn bounds(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>> {
        self.catalog().await?.bounds(topics)
    }

    fn publisher(&self) -> Result<Arc<dyn Publisher>> {
        self.read_only()
    }

    async fn subscribe(&self, _group: &str, _topics: &[&str]) -> Result<Box<dyn Subscription>> {
        self.read_only()
    }

    async fn read(&self, partition: &TopicPartition, offset: u64, max: usize) -> Result<Vec<Message>> {
        reader::read_from(self.catalog().await?.partition(partition)?, &self.files, offset, max).await
    }

    async fn lag(&self, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>> {
        let (catalog, mut offsets) = self.load().await?;
        let offsets = offsets.remove(group);
        let committed =
            |partition: &TopicPartition| offsets.as_ref().and_then(|known| known.get(partition).copied());
        let partitions = catalog.partitions_of(topics)?;
        Ok(partitions.iter().map(|partition| partition.lag(committed(&partition.id))).collect())
    }
}
