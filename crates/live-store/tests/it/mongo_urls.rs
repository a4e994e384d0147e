//! URLs of no MongoDB, and servers that cannot be reached: the errors, and the secrets that they leave out.

use std::net::TcpListener;

use live_store::LiveStoreError;
use rstest::rstest;

async fn refused(url: &str) -> LiveStoreError {
    match live_store::open(url).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[rstest]
#[case::no_host("mongodb://", "")]
#[case::odd_port("mongodb://me:secret@host:port/x", "port")]
#[case::setting("mongodb://me:secret@host/x?w=secret&journal=much", "journal")]
#[case::no_value("mongodb://me:secret@host/x?tls", "key=value")]
#[case::raw_password("mongodb://me:sec@secret@a,b", "URL encoded")]
#[case::raw_percent("mongodb://me:sec%ret@host/x", "%")]
#[case::slash("mongodb://me:sec/ret@host/x", "")]
#[case::database("mongodb://me:secret@host/a.b", "no name of a database")]
#[case::unacknowledged("mongodb://me:secret@host/x?w=0", "w=0 would lose ticks")]
#[case::no_patience("mongodb://me:secret@host/x?socketTimeoutMS=1", "socketTimeoutMS must be from")]
#[case::certificate("mongodb://me:secret@host/x?tlsCertificateKeyFilePassword=secret&tls=maybe", "")]
#[case::at_in_a_setting("mongodb://host/x?tlsCertificateKeyFilePassword=a@secret&journal=much", "")]
#[case::at_behind_in_a_setting("mongodb://host/x?tlsCertificateKeyFilePassword=secret@a&journal=much", "")]
#[case::question_mark("mongodb://me:12?secret@host/x", "")]
#[case::question_mark_and_value("mongodb://me:12?secret=a@host/x", "")]
#[case::question_mark_behind("mongodb://me:secret?a@host/x", "")]
#[case::hash("mongodb://me:secret#secret@host/x", "")]
#[tokio::test]
async fn a_url_that_cannot_be_read_is_refused_without_its_password(#[case] url: &str, #[case] reason: &str) {
    let error = refused(url).await;
    assert!(matches!(&error, LiveStoreError::BadUrl { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(!format!("{error} {error:?}").contains("sec"), "{error:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named() {
    let url =
        "mongodb://me:secret@127.0.0.1:1/x?tls=true&tlsCAFile=/nowhere/ca.pem&serverSelectionTimeoutMS=200";
    let error = refused(url).await.to_string();
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[rstest]
#[case::named("stock_market_2")]
#[case::unnamed("")]
#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable(#[case] database: &str) {
    // Bound and closed: no process listens there.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let url = format!("mongodb://me:secret@127.0.0.1:{port}/{database}?serverSelectionTimeoutMS=300");
    let error = refused(&url).await;
    assert!(matches!(&error, LiveStoreError::Unavailable { .. }), "{error}");
    assert!(error.is_transient());
    let text = error.to_string();
    let database = if database.is_empty() { "stock_market" } else { database };
    assert!(text.contains(&format!("mongodb://127.0.0.1:{port}/{database} is unavailable")), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_is_named_without_what_may_be_the_end_of_a_password() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let url = format!("mongodb://127.0.0.1:{port}/x?appName=a@secret&serverSelectionTimeoutMS=300");
    let error = refused(&url).await;
    assert!(error.to_string().contains("mongodb://.../x is unavailable"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_cluster_that_the_name_service_does_not_know_is_unavailable() {
    let error = refused("mongodb+srv://me:secret@cluster.invalid/x").await;
    assert!(matches!(&error, LiveStoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("cluster.invalid"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
