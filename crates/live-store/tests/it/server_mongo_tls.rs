//! The way to a MongoDB, encrypted: who is trusted, who is not, and which setting is to blame.

use std::path::PathBuf;

use live_store::LiveStoreError;
use tempfile::TempDir;

use crate::{
    mongo_place::MongoPlace,
    samples::{everything, ticks},
    tls_wire::{Authority, TlsWire},
};

/// So that a server that is refused does not take five seconds to be given up.
const IMPATIENT: &str = "serverSelectionTimeoutMS=700";

/// A database behind an encrypted port, and files of an authority that signed its certificate and of another one.
struct Behind {
    place: MongoPlace,
    folder: TempDir,
    wire: TlsWire,
}

impl Behind {
    async fn new(asks_for_certificates: bool) -> Self {
        let place = MongoPlace::new();
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, other) = (Authority::new("ours"), Authority::new("another"));
        ours.write(&folder.path().join("ca.pem"));
        other.write(&folder.path().join("other.pem"));
        ours.write_client(&folder.path().join("client.pem"));
        other.write_client(&folder.path().join("stranger.pem"));
        let clients = asks_for_certificates.then_some(&ours);
        let wire = TlsWire::before(place.address(), &ours, clients).await;
        Self { place, folder, wire }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database under this host name, with these settings; `{}` in them stands for the folder of the files.
    fn url(&self, host: &str, settings: &str) -> String {
        let settings = settings.replace("{}", &self.folder.path().display().to_string());
        let (port, database) = (self.wire.port, self.place.database());
        format!("mongodb://{host}:{port}/{database}?{IMPATIENT}&{settings}")
    }

    async fn works(&self, settings: &str) {
        let store = live_store::open(&self.url("localhost", settings)).await.expect("opens");
        store.write_ticks(&ticks(0..10)).await.expect("written");
        let page = store.ticks(&everything("AAPL", 100)).await;
        assert_eq!(page.expect("read").ticks.len(), 10);
    }

    async fn refusal(&self, host: &str, settings: &str) -> LiveStoreError {
        match live_store::open(&self.url(host, settings)).await {
            Ok(_) => panic!("{host} with {settings} was trusted"),
            Err(error) => error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_certificate_of_the_right_authority_is_trusted_and_of_no_other() {
    let behind = Behind::new(false).await;
    behind.works("tls=true&tlsCAFile={}/ca.pem").await;

    for settings in ["tls=true&tlsCAFile={}/other.pem", "tls=true"] {
        let error = behind.refusal("localhost", settings).await;
        assert!(matches!(error, LiveStoreError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("tlsCAFile of STORE_URL is not the authority"), "{error}");
    }
    let error = behind.refusal("127.0.0.1", "tls=true&tlsCAFile={}/ca.pem").await.to_string();
    assert!(error.contains("made out to other names"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_port_that_is_encrypted_and_a_url_that_is_not_are_told_apart() {
    let behind = Behind::new(false).await;
    let error = behind.refusal("localhost", "tls=false").await.to_string();
    assert!(error.contains("; it closed the connection"), "{error}");

    let plain = format!("mongodb://{}/x?tls=true&{IMPATIENT}", behind.place.address());
    let Err(error) = live_store::open(&plain).await else { panic!("TLS to a plain port") };
    assert!(error.to_string().contains("tls=true"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let behind = Behind::new(true).await;
    behind.works("tls=true&tlsCAFile={}/ca.pem&tlsCertificateKeyFile={}/client.pem").await;

    for certificate in ["", "&tlsCertificateKeyFile={}/stranger.pem"] {
        let error =
            behind.refusal("localhost", &format!("tls=true&tlsCAFile={{}}/ca.pem{certificate}")).await;
        assert!(error.to_string().contains("tlsCertificateKeyFile of STORE_URL"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn files_without_certificates_are_named_with_their_setting() {
    let behind = Behind::new(false).await;
    std::fs::write(behind.file("empty.pem"), "").expect("written");
    for (settings, named) in [
        ("tls=true&tlsCAFile={}/empty.pem", "tlsCAFile="),
        ("tls=true&tlsCAFile={}/nowhere.pem", "tlsCAFile="),
        ("tls=true&tlsCAFile={}/ca.pem&tlsCertificateKeyFile={}/ca.pem", "tlsCertificateKeyFile="),
        ("tls=true&tlsCAFile={}/ca.pem&tlsCertificateKeyFile={}/nowhere.pem", "tlsCertificateKeyFile="),
    ] {
        let error = behind.refusal("localhost", settings).await;
        assert!(matches!(error, LiveStoreError::BadUrl { .. }), "{error}");
        assert!(error.to_string().contains(named), "{settings}: {error}");
    }
}
