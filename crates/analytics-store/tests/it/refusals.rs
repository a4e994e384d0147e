//! Places that cannot be opened.

use analytics_store::{AnalyticsError, check, open};

async fn refusal(url: &str) -> AnalyticsError {
    match open(url).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_url_without_an_adapter_is_named_without_its_password() {
    for (url, reason) in [
        ("postgres://user:secret@host/db", "no adapter for `postgres:`"),
        ("analytics.db", "the scheme is missing"),
        ("sqlite:", "the path is missing"),
        ("mysql://user:secret@host:notaport/db", "port"),
    ] {
        let error = refusal(url).await;
        assert!(matches!(error, AnalyticsError::BadUrl { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(reason) && text.contains("ANALYTICS_URL") && !text.contains("secret"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_transient() {
    let error = refusal("mysql://user:secret@127.0.0.1:9/db").await;
    assert!(error.is_transient(), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_file_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    std::fs::write(&path, "not a database, but long enough to be read as a page. ".repeat(20)).unwrap();
    let error = refusal(&format!("sqlite:{}", path.display())).await;
    assert!(matches!(error, AnalyticsError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_check_reports_the_format_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/analytics.db");
    let url = format!("sqlite:{}", path.display());
    let found = check(&url).await.unwrap();
    assert_eq!((found.format, found.newest), (0, 1));
    assert!(found.found.contains("does not exist yet") && !path.exists(), "{found:?}");
    assert_eq!(found.folder.as_deref(), path.parent());

    open(&url).await.unwrap().close().await.unwrap();
    let found = check(&url).await.unwrap();
    assert_eq!((found.format, found.place.as_str()), (1, path.to_str().unwrap()));

    let other = folder.path().join("notes.db");
    std::fs::write(&other, "not a database, but long enough to be read as a page. ".repeat(20)).unwrap();
    let error = check(&format!("sqlite:{}", other.display())).await.unwrap_err().to_string();
    assert!(error.contains("notes.db") && error.contains("not a SQLite database"), "{error}");
    let error = check("mysql://user:secret@127.0.0.1:9/db").await.unwrap_err();
    assert!(error.is_transient() && !error.to_string().contains("secret"), "{error}");
}
