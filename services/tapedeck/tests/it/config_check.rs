//! `tapedeck config check`: what it finds, how it ends, and that it changes nothing.

use std::{fs, net::TcpListener, path::Path};

use serde_json::Value;

use crate::process::{Running, output, stderr};

/// The findings, and whether it ended well.
fn check(args: &[&str]) -> (Value, bool) {
    let mut all = vec!["config", "check", "--json", "--provider", "simulated"];
    all.extend_from_slice(args);
    let ended = output(&all);
    let text = String::from_utf8(ended.stdout.clone()).unwrap();
    let found = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", stderr(&ended)));
    (found, ended.status.success())
}

/// What was found about one thing: the verdict, and all that was said.
fn about(found: &Value, what: &str) -> (String, String) {
    let checks = found["checks"].as_array().unwrap();
    let one =
        checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("no {what}: {found}"));
    let text = |field: &str| one[field].as_str().unwrap().to_owned();
    (text("verdict"), format!("{} {}", text("found"), text("mend")))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_check_before_the_first_start_is_well_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (found, well) = check(&["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(well, "{found}");
    assert!(about(&found, "event log").1.contains("none yet"), "{found}");
    assert!(about(&found, "live store").1.contains("none yet"), "{found}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_check_beside_a_running_instance_sees_it_and_disturbs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let before = names(folder.path());
    let listen = running.url.trim_start_matches("http://").to_owned();
    let (found, well) = check(&["--listen", &listen, "--data", folder.path().to_str().unwrap()]);
    assert!(!well && about(&found, "address").0 == "wrong", "{found}");
    assert!(about(&found, "address").1.contains("--listen (LISTEN)"), "{found}");
    for what in ["event log", "topics", "group", "live store", "data folder"] {
        assert_eq!(about(&found, what).0, "ok", "{found}");
    }
    assert_eq!(names(folder.path()), before);
    assert!(running.interrupt().success());
}

#[test]
fn what_is_wrong_is_named_with_its_setting_and_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db"), "something else altogether, and long enough to be looked at")
        .unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = format!("kafka://me:secret@{}", nobody.local_addr().unwrap());
    let data = folder.path().to_str().unwrap();
    let args =
        ["--listen", "127.0.0.1:0", "--data", data, "--log", &log, "--store-password-file", "/no/such/file"];
    let (found, well) = check(&args);
    assert!(!well, "{found}");
    let (verdict, said) = about(&found, "event log");
    assert!(verdict == "wrong" && said.contains("LOG_URL"), "{found}");
    let (verdict, said) = about(&found, "live store");
    assert!(verdict == "wrong" && said.contains("store.db") && said.contains("STORE_URL"), "{found}");
    assert!(!found.to_string().contains("secret"), "{found}");
    let text =
        String::from_utf8(output(&["config", "check", "--log", "kafka://me@nowhere:1"]).stdout).unwrap();
    assert!(text.contains("LOG_PASSWORD_FILE") && text.contains("how to mend it"), "{text}");
}

#[test]
fn a_check_of_a_kafka_server_tries_only_what_it_is_told_to() {
    let Some(url) = crate::server_kafka::kafka() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let args =
        ["--listen", "127.0.0.1:0", "--data", data, "--log", &url, "--group", "nobody-reads-with-this"];
    let (found, well) = check(&args);
    assert!(well, "{found}");
    assert!(about(&found, "event log").1.contains("cluster"), "{found}");
    assert!(!found.to_string().contains("tapedeck-check"), "{found}");
    let (found, well) = check(&[&args[..], &["--probe"]].concat());
    assert!(well, "{found}");
    let (verdict, said) = about(&found, "publishing");
    assert!(verdict == "ok" && said.contains("0."), "{found}");
}
