//! Places that cannot be opened or written, and their errors.

use std::{
    os::unix::{fs::MetadataExt, fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    sync::Arc,
};

use live_store::{LiveStore, LiveStoreError, TickOutcome};
use rstest::rstest;
use sqlx::AssertSqlSafe;

use crate::{
    place::{Place, SqlitePlace},
    samples::{all_ticks, tick, ticks},
};

async fn refused(url: &str) -> LiveStoreError {
    match live_store::open(url).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[rstest]
#[case::nothing("", "scheme is missing")]
#[case::no_scheme("data/live.db", "scheme is missing")]
#[case::no_path("sqlite:", "path is missing")]
#[case::no_path_either("sqlite://", "path is missing")]
#[case::memory("sqlite::memory:", "keeps nothing")]
#[case::parameter("sqlite:x.db?mode=ro", "only parameter is max_mb")]
#[case::bound("sqlite:x.db?max_mb=0", "max_mb must be")]
#[case::bound_no_number("sqlite:x.db?max_mb=much", "max_mb must be")]
#[case::other("mysql://me:secret@host/x", "no adapter for `mysql:`")]
#[case::opaque("mysql:me:secret@host", "no adapter for `mysql:`")]
#[case::at_in_a_parameter("mysql://host/x?password=a@secret&b=1", "`mysql://...`")]
#[case::question_mark("mysql://me:sec?ret@host/x", "`mysql://...`")]
#[case::no_scheme_and_a_parameter("host?password=secret://x", "scheme is missing")]
#[case::opaque_question_mark("mysql:me:sec?ret@host", "no adapter for `mysql:`")]
#[tokio::test]
async fn a_url_that_names_no_store_is_refused_without_its_password(#[case] url: &str, #[case] reason: &str) {
    let error = refused(url).await;
    assert!(matches!(&error, LiveStoreError::BadUrl { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(!format!("{error} {error:?}").contains("sec"), "{error:?}");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let place = SqlitePlace::new();
    drop(place.open().await);
    sqlx::query("PRAGMA user_version = 99").execute(&mut place.raw().await).await.expect("changed");
    let error = refused(&place.url()).await;
    let is_newer = matches!(error, LiveStoreError::NewerFormat { found: 99, known, .. } if known < 99);
    assert!(is_newer, "{error}");
    assert!(error.to_string().contains("upgrade"), "{error}");
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut place.raw().await).await.expect("read");
    assert_eq!(version, 99);
}

#[rstest]
#[case::with_a_table("CREATE TABLE mine (x)")]
#[case::with_a_version("PRAGMA user_version = 1")]
#[case::with_an_owner("PRAGMA application_id = 12345")]
#[tokio::test]
async fn somebody_elses_database_is_refused_and_left_alone(#[case] sql: &'static str) {
    let place = SqlitePlace::new();
    sqlx::query(sql).execute(&mut place.raw().await).await.expect("made");
    let error = refused(&place.url()).await;
    assert!(error.to_string().contains("is a database, but no live store"), "{error}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'realtime_prices'")
        .fetch_one(&mut place.raw().await)
        .await
        .expect("read");
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = SqlitePlace::new();
    drop(place.raw().await);
    let text = "just a text, and long enough for a header ".repeat(100);
    std::fs::write(place.path(), &text).expect("written");
    let error = refused(&place.url()).await;
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("is not a SQLite database"), "{error}");
    assert_eq!(std::fs::read_to_string(place.path()).expect("read"), text);
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_and_a_file_in_place_of_the_folder_are_refused() {
    let place = SqlitePlace::new();
    drop(place.raw().await);
    let folder = place.path().parent().expect("a folder").to_owned();
    let error = refused(&format!("sqlite:{}", folder.display())).await;
    assert!(error.to_string().contains("cannot be opened"), "{error}");
    let error = refused(&format!("sqlite:{}/below/live.db", place.path().display())).await;
    assert!(error.to_string().contains("cannot create the folder"), "{error}");
}

/// The size of the file is bounded, which SQLite reports as a full disk: the same code, the same moment.
#[tokio::test]
async fn on_a_full_disk_a_batch_is_stored_whole_or_not_at_all() {
    let place = SqlitePlace::new();
    let small = live_store::open(&format!("{}?max_mb=1", place.url())).await.expect("opens");
    let mut stored = 0;
    let error = loop {
        match small.write_ticks(&ticks(stored..stored + 700)).await {
            Ok(outcomes) => assert_eq!(outcomes, vec![TickOutcome::New; 700]),
            Err(error) => break error,
        }
        stored += 700;
        assert!(stored < 100_000, "a megabyte never fills");
    };
    assert!(matches!(&error, LiveStoreError::DiskFull { .. }), "{error}");
    assert!(error.is_transient());
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(all_ticks(&*small, "AAPL", 5000).await, ticks(0..stored));
    let again = small.write_ticks(&ticks(stored..stored + 700)).await.expect_err("still full");
    assert!(matches!(&again, LiveStoreError::DiskFull { .. }), "{again}");
    let again = small.write_ticks(&ticks(0..10)).await.expect("nothing new needs no space");
    assert!(again.iter().all(|outcome| matches!(outcome, TickOutcome::Redelivered(_))), "{again:?}");
    drop(small);
    // There is room again.
    let store = place.open().await;
    let batch = ticks(stored..stored + 700);
    assert_eq!(store.write_ticks(&batch).await.expect("stored"), vec![TickOutcome::New; 700]);
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await, ticks(0..stored + 700));
}

#[tokio::test]
async fn while_another_process_writes_a_write_is_unavailable_and_reading_goes_on() {
    let place = SqlitePlace::new();
    let store = place.open().await;
    store.write_ticks(&ticks(0..5)).await.expect("stored");
    let mut other = place.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("the lock");
    let error = store.write_ticks(&[tick(5)]).await.expect_err("busy");
    assert!(matches!(&error, LiveStoreError::Unavailable { .. }), "{error}");
    assert!(error.is_transient());
    assert_eq!(all_ticks(&*store, "AAPL", 10).await, ticks(0..5));
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("released");
    assert_eq!(store.write_ticks(&[tick(5)]).await.expect("free"), [TickOutcome::New]);
}

#[tokio::test]
async fn a_reader_that_never_ends_does_not_stop_the_writer() {
    let place = SqlitePlace::new();
    let store = place.open().await;
    store.write_ticks(&ticks(0..5)).await.expect("stored");
    let mut other = place.raw().await;
    sqlx::query("BEGIN").execute(&mut other).await.expect("begun");
    let count = "SELECT count(*) FROM realtime_prices";
    let before: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut other).await.expect("read");
    store.write_ticks(&ticks(5..20_000)).await.expect("stored");
    let during: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut other).await.expect("read");
    assert_eq!((before, during), (5, 5), "it sees what it saw");
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await.len(), 20_000);
}

/// Set in the child: the store's URL.
const CHILD: &str = "LIVE_STORE_TEST_READ_ONLY";
const NAME: &str = "sqlite_refusals::a_read_only_folder_or_file_is_refused_in_words";
/// The user `nobody`: root may write anywhere, so a test run by root opens it in a process of another user.
const NOBODY: u32 = 65_534;

#[test]
fn a_read_only_folder_or_file_is_refused_in_words() {
    if let Ok(url) = std::env::var(CHILD) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        println!("\nanswer: {}", runtime.block_on(try_writing(&url)));
        return;
    }
    let place = SqlitePlace::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store: Arc<dyn LiveStore> = runtime.block_on(place.open());
    runtime.block_on(store.write_ticks(&ticks(0..5))).expect("stored");
    drop(store);
    drop(runtime);
    let file = place.path();
    let folder = file.parent().expect("a folder");
    let top = folder.parent().expect("a folder");
    allow(top, 0o755);
    allow(folder, 0o555);
    allow(&file, 0o444);
    for (url, words) in [
        (place.url(), ["read-only", "cannot be opened"].as_slice()),
        (format!("sqlite:{}/new.db", folder.display()), &["cannot be opened"]),
        (format!("sqlite:{}/new/live.db", folder.display()), &["cannot create the folder"]),
    ] {
        let answer = ask_child(top, &url);
        assert!(words.iter().any(|words| answer.contains(words)), "{url}: {answer}");
    }
    // So that it can be removed.
    allow(folder, 0o755);
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

async fn try_writing(url: &str) -> String {
    let store = match live_store::open(url).await {
        Ok(store) => store,
        Err(error) => return error.to_string(),
    };
    store
        .write_ticks(&[tick(99)])
        .await
        .map_or_else(|error| error.to_string(), |_| "it was written".to_owned())
}

/// The error in a process without special rights.
fn ask_child(folder: &Path, url: &str) -> String {
    // A copy, where everybody can reach it.
    let program = folder.join("test");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().expect("this test"), &program).expect("copied");
        allow(&program, 0o755);
    }
    let mut command = Command::new(&program);
    command.args(["--exact", NAME, "--nocapture"]).env(CHILD, url).current_dir(folder);
    if std::fs::metadata(&program).expect("the copy").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("answer: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}
