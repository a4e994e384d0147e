//! A database of its own for each test, on the server that the environment names.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use chrono::Utc;
use live_store::LiveStore;
use mongodb::{Client, Database};

use crate::place::Place;

/// A database that is dropped with the value.
pub(crate) struct MongoPlace {
    url: String,
    database: String,
}

impl MongoPlace {
    /// On the server of `MONGO_URL`. Tests that need it are ignored, unless they are asked for.
    pub(crate) fn new() -> Self {
        Self::named_by("MONGO_URL")
    }

    /// On MongoDB itself, which `MONGODB_URI` names. No package registry has it, so that `make test-servers` cannot start it.
    pub(crate) fn real() -> Self {
        Self::named_by("MONGODB_URI")
    }

    /// On the FerretDB of `FERRETDB_URL`, which takes minutes to build: only `make test-servers-strict` has it.
    pub(crate) fn ferretdb() -> Self {
        Self::named_by("FERRETDB_URL")
    }

    fn named_by(variable: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server"));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("test_{}_{}_{count}", Utc::now().timestamp_millis(), process::id());
        Self { url: with_database(&server, &database), database }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `host:port` of the server.
    pub(crate) fn address(&self) -> String {
        let (_, rest) = self.url.split_once("://").expect("a URL");
        let hosts = rest.split('/').next().expect("a host");
        hosts.rsplit('@').next().and_then(|hosts| hosts.split(',').next()).expect("a host").to_owned()
    }

    /// The same database behind a port of this machine.
    pub(crate) fn url_through(&self, port: u16, settings: &str) -> String {
        format!(
            "{}&{settings}&directConnection=true",
            self.url.replace(&self.address(), &format!("127.0.0.1:{port}"))
        )
    }

    /// The same database as another user, whose account is in `users`.
    pub(crate) fn url_as(&self, user: &str, password: &str, users: &str) -> String {
        format!("mongodb://{user}:{password}@{}/{}?authSource={users}", self.address(), self.database)
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Past the store, as another program would.
    pub(crate) async fn raw(&self) -> Database {
        Client::with_uri_str(&self.url).await.expect("connects").database(&self.database)
    }
}

impl Place for MongoPlace {
    async fn open(&self) -> Arc<dyn LiveStore> {
        live_store::open(&self.url).await.expect("opens")
    }
}

impl Drop for MongoPlace {
    fn drop(&mut self) {
        let (url, database) = (self.url.clone(), self.database.clone());
        // A runtime of its own: that of the test is in the middle of dropping this value.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                Client::with_uri_str(url).await?.database(&database).drop().await?;
                anyhow::Ok(())
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("the database {} was left behind: {error:#}", self.database);
        }
    }
}

/// The server's URL with another database. A user that stands in it belongs where it said, or to `admin`.
fn with_database(server: &str, database: &str) -> String {
    let (place, parameters) = server.split_once('?').unwrap_or((server, ""));
    let (scheme, hosts) = place.split_once("://").expect("a URL");
    let hosts = hosts.split('/').next().unwrap_or(hosts);
    let mut parameters: Vec<&str> = parameters.split('&').filter(|pair| !pair.is_empty()).collect();
    if hosts.contains('@') && !parameters.iter().any(|pair| pair.starts_with("authSource=")) {
        parameters.push("authSource=admin");
    }
    parameters.push("appName=live-store-tests");
    format!("{scheme}://{hosts}/{database}?{}", parameters.join("&"))
}
