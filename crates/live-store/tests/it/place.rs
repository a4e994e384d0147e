//! Where a contract test keeps its store.

use std::{path::PathBuf, sync::Arc};

use live_store::LiveStore;
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// An empty place of one adapter, removed with the value.
pub(crate) trait Place {
    /// Opens the store of this place: the same each time.
    async fn open(&self) -> Arc<dyn LiveStore>;
}

/// A file in a folder of its own.
pub(crate) struct SqlitePlace {
    folder: TempDir,
}

impl SqlitePlace {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data").join("live.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    /// Past the store, as another program would.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        let path = self.path();
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("opens")
    }
}

impl Place for SqlitePlace {
    async fn open(&self) -> Arc<dyn LiveStore> {
        live_store::open(&self.url()).await.expect("opens")
    }
}

/// A file that one process writes. Opening it again closes it first, as a process does that is started again.
pub(crate) struct AlonePlace {
    place: SqlitePlace,
    opened: tokio::sync::Mutex<Option<Arc<dyn LiveStore>>>,
}

impl AlonePlace {
    pub(crate) fn new() -> Self {
        Self { place: SqlitePlace::new(), opened: tokio::sync::Mutex::default() }
    }
}

impl Place for AlonePlace {
    async fn open(&self) -> Arc<dyn LiveStore> {
        let mut opened = self.opened.lock().await;
        if let Some(store) = opened.take() {
            store.close().await.expect("closes");
        }
        let store = live_store::open_alone(&self.place.url()).await.expect("opens");
        *opened = Some(Arc::clone(&store));
        store
    }
}
