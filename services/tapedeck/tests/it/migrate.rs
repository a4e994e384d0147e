//! `tapedeck migrate`.

use crate::process::{output, stderr};

/// What it said of the store at `url`.
fn migrated(url: &str) -> String {
    let ended = output(&["migrate", "--store", url]);
    assert!(ended.status.success(), "{}", stderr(&ended));
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

#[test]
fn a_store_is_made_and_found_as_it_should_be_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let url = format!("sqlite:{}", path.display());
    let first = migrated(&url);
    assert!(first.contains(path.to_str().unwrap()) && first.contains("the format is now 1"), "{first}");
    assert!(migrated(&url).contains("nothing to change"));
}

#[test]
fn a_store_that_cannot_be_prepared_names_the_setting_and_no_password() {
    let url = "mongodb://me:secret@127.0.0.1:1/x?serverSelectionTimeoutMS=200";
    let ended = output(&["migrate", "--store", url]);
    assert!(!ended.status.success());
    let said = stderr(&ended);
    assert!(said.contains("STORE_URL") && said.contains("127.0.0.1:1/x is unavailable"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
