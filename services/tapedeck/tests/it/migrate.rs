//! `tapedeck migrate`.

use crate::process::{output, stderr};

/// The output for the store at `url`.
fn migrated(url: &str) -> String {
    let ended = output(&["migrate", "--store", url]);
    assert!(ended.status.success(), "{}", stderr(&ended));
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

#[test]
fn a_store_is_created_and_not_changed_by_a_second_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let url = format!("sqlite:{}", path.display());
    let first = migrated(&url);
    assert!(first.contains(path.to_str().unwrap()) && first.contains("the format is now 1"), "{first}");
    assert!(migrated(&url).contains("nothing to change"));
}

#[test]
fn a_store_that_cannot_be_prepared_is_reported_with_the_setting_and_without_password() {
    let url = "mongodb://me:secret@127.0.0.1:1/x?serverSelectionTimeoutMS=200";
    let ended = output(&["migrate", "--store", url]);
    assert!(!ended.status.success());
    let error = stderr(&ended);
    assert!(error.contains("STORE_URL") && error.contains("127.0.0.1:1/x is unavailable"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}
