//! `tapedeck config check`: its findings, its exit code, and that it changes nothing.

use std::{fs, net::TcpListener, path::Path};

use serde_json::Value;

use crate::process::{Running, output, server, stderr, tapedeck, wait_until};

/// The findings, and whether the exit code is 0.
pub(crate) fn check(args: &[&str]) -> (Value, bool) {
    let mut all = vec!["config", "check", "--json", "--provider", "simulated"];
    all.extend_from_slice(args);
    let ended = output(&all);
    let text = String::from_utf8(ended.stdout.clone()).unwrap();
    let found = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", stderr(&ended)));
    (found, ended.status.success())
}

/// One finding: the verdict, and its texts.
pub(crate) fn about(found: &Value, what: &str) -> (String, String) {
    let checks = found["checks"].as_array().unwrap();
    let one =
        checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("no {what}: {found}"));
    let text = |field: &str| one[field].as_str().unwrap().to_owned();
    (text("verdict"), format!("{} {}", text("found"), text("fix")))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_check_before_the_first_start_succeeds_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (found, succeeded) = check(&["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(succeeded, "{found}");
    assert!(about(&found, "event log").1.contains("does not exist yet"), "{found}");
    for what in ["live store", "analytics"] {
        assert!(about(&found, what).1.contains("does not exist yet"), "{found}");
    }
    assert!(about(&found, "mail").1.contains("set MAIL_URL to send mails"), "{found}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_check_beside_a_running_instance_reports_it_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let before = names(folder.path());
    let listen = running.url.trim_start_matches("http://").to_owned();
    let (found, succeeded) = check(&["--listen", &listen, "--data", folder.path().to_str().unwrap()]);
    assert!(succeeded && about(&found, "address").0 == "warn", "{found}");
    assert!(about(&found, "address").1.contains("--listen (LISTEN)"), "{found}");
    for what in ["event log", "topics", "group", "live store", "data folder", "analytics", "mail"] {
        assert_eq!(about(&found, what).0, "ok", "{found}");
    }
    assert_eq!(names(folder.path()), before);
    assert!(running.interrupt().success());
}

#[test]
fn a_log_that_the_store_was_not_filled_from_is_reported_with_both_settings() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
        let ticks = || running.get("/v1/ticks?symbol=AAPL")["ticks"].as_array().map_or(0, Vec::len);
        wait_until("ticks are stored", || ticks() > 0);
        assert!(running.interrupt().success());
    }
    let [first, second] = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    let (found, succeeded) = check(&["--listen", "127.0.0.1:0", "--data", first]);
    assert!(succeeded && about(&found, "checkpoints").0 == "ok", "{found}");
    let log = format!("sqlite:{second}/log.db");
    let (found, succeeded) = check(&["--listen", "127.0.0.1:0", "--data", first, "--log", &log]);
    let (verdict, text) = about(&found, "checkpoints");
    assert!(succeeded && verdict == "warn", "{found}");
    assert!(text.contains("--log (LOG_URL)") && text.contains("--store (STORE_URL)"), "{text}");
}

#[test]
fn an_address_in_use_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // Not a service: it closes the connection without a response.
    let listen = taken.local_addr().unwrap().to_string();
    let closing = std::thread::spawn(move || taken.accept().map(drop));
    let (found, succeeded) = check(&["--listen", &listen, "--data", folder.path().to_str().unwrap()]);
    closing.join().unwrap().unwrap();
    let (verdict, text) = about(&found, "address");
    assert!(!succeeded && verdict == "wrong" && text.contains("--listen (LISTEN)"), "{found}");
}

#[test]
fn a_broker_without_a_response_and_a_foreign_file_are_reported_with_their_setting() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db"), "not a database, and long enough to have the size of a header")
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = format!("kafka://me:secret@{}", silent.local_addr().unwrap());
    let data = folder.path().to_str().unwrap();
    let (found, succeeded) = check(&["--listen", "127.0.0.1:0", "--data", data, "--log", &log]);
    assert!(!succeeded, "{found}");
    let (verdict, text) = about(&found, "event log");
    assert!(verdict == "wrong" && text.contains("--log (LOG_URL)"), "{found}");
    let (verdict, text) = about(&found, "live store");
    assert!(
        verdict == "wrong" && text.contains("store.db") && text.contains("--store (STORE_URL)"),
        "{found}"
    );
    assert!(!found.to_string().contains("secret"), "{found}");
}

#[test]
fn a_broker_and_a_store_that_are_unavailable_are_reported_with_their_setting() {
    // Bound and released: no process listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = format!("kafka://127.0.0.1:{port}");
    let store = format!("mongodb://me:secret@127.0.0.1:{port}/prices?serverSelectionTimeoutMS=300");
    let (found, succeeded) = check(&["--listen", "127.0.0.1:0", "--log", &log, "--store", &store]);
    assert!(!succeeded, "{found}");
    for (what, setting) in [("event log", "--log (LOG_URL)"), ("live store", "--store (STORE_URL)")] {
        let (verdict, text) = about(&found, what);
        assert!(verdict == "wrong" && text.contains(setting), "{found}");
        assert!(text.contains(&port.to_string()), "{found}");
    }
    assert!(!found.to_string().contains("secret"), "{found}");
}

#[test]
fn invalid_urls_and_files_are_reported_with_their_setting() {
    for (args, what, named) in [
        (["--log", "amqp://me:secret@nowhere", "", ""], "event log", "--log (LOG_URL)"),
        (["--store", "mysql://me:secret@nowhere/x", "", ""], "live store", "--store (STORE_URL)"),
        (["--log", "kafka://me@nowhere:1", "", ""], "event log", "LOG_PASSWORD_FILE"),
        (
            ["--log", "kafka://me@nowhere:1", "--log-password-file", "/no/such"],
            "event log",
            "LOG_PASSWORD_FILE=/no/such",
        ),
        (
            ["--store", "mongodb://me@nowhere", "--store-password-file", "/no/such"],
            "live store",
            "STORE_PASSWORD_FILE=/no/such",
        ),
        (["--log", "kafka+tls://nowhere:1?ca=/no/such.pem", "", ""], "event log", "ca=/no/such.pem"),
        (
            ["--store", "mongodb://nowhere/x?tls=true&tlsCAFile=/no/such.pem", "", ""],
            "live store",
            "tlsCAFile=/no/such.pem",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec!["--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()];
        all.extend(args.into_iter().filter(|arg| !arg.is_empty()));
        let (found, succeeded) = check(&all);
        let (verdict, text) = about(&found, what);
        assert!(!succeeded && verdict == "wrong", "{found}");
        assert!(text.contains(named) && !found.to_string().contains("secret"), "{found}");
    }
}

/// The text output of `config check` with these variables, and its exit code.
fn text_output(variables: &[(&str, &str)], args: &[&str]) -> (String, Option<i32>) {
    let ended = tapedeck()
        .args(["config", "check", "--provider", "simulated", "--listen", "127.0.0.1:0"])
        .args(args)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (
        String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap(),
        ended.status.code(),
    )
}

#[test]
fn variables_that_cannot_be_parsed_are_reported_and_the_rest_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let variables = [("WATCHLIST", "AAPL,$$$"), ("RETENTION_DAYS", "for ever"), ("DATA", data)];
    let (text, code) = text_output(&variables, &[]);
    assert_eq!(code, Some(1), "{text}");
    for part in ["$$$", "--watchlist (WATCHLIST)", "for ever", "--retention-days (RETENTION_DAYS)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("ok     data folder"), "{text}");
    // An invalid flag is a usage error.
    let (text, code) = text_output(&[], &["--watchlist", "AAPL,$$$"]);
    assert!(code == Some(2) && text.contains("--watchlist"), "{text}");
}

#[test]
fn each_check_that_succeeds_has_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (text, code) = text_output(&[("DATA", folder.path().to_str().unwrap())], &[]);
    assert_eq!(code, Some(0), "{text}");
    for what in [
        "address",
        "prices",
        "data folder",
        "event log",
        "live store",
        "analytics",
        "mail",
        "news feeds",
        "log lines",
    ] {
        let is_line = |line: &&str| line.strip_prefix("ok     ").is_some_and(|line| line.starts_with(what));
        assert_eq!(text.lines().filter(is_line).count(), 1, "{what}: {text}");
    }
}

#[test]
#[ignore = "needs Kafka and MongoDB servers, which KAFKA_SASL_URL and MONGO_URL name: `make test-servers`"]
fn wrong_passwords_of_the_servers_are_reported_and_the_right_one_is_read_from_its_file() {
    let (log, password) = (server("KAFKA_SASL_URL"), server("KAFKA_SASL_PASSWORD"));
    let mongo = server("MONGO_URL");
    let store = mongo.replace("mongodb://", "mongodb://unknown@") + "/prices";
    let variables = [
        ("LOG_URL", &*log),
        ("STORE_URL", &*store),
        ("LOG_PASSWORD", "geheim-1"),
        ("STORE_PASSWORD", "geheim-2"),
    ];
    let (text, code) = text_output(&variables, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("wrong  event log") && text.contains("LOG_PASSWORD_FILE"), "{text}");
    assert!(text.contains("wrong  live store") && text.contains("STORE_PASSWORD_FILE"), "{text}");
    assert!(!text.contains("geheim"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log_password");
    fs::write(&file, format!("{password}\n")).unwrap();
    let variables = [
        ("LOG_URL", &*log),
        ("LOG_PASSWORD_FILE", file.to_str().unwrap()),
        ("DATA", folder.path().to_str().unwrap()),
    ];
    let (text, code) = text_output(&variables, &[]);
    assert!(code == Some(0) && text.contains("ok     event log"), "{text}");
    assert!(text.contains("warn   encryption") && text.contains("kafka+tls://"), "{text}");
}

#[test]
#[ignore = "needs Kafka and MongoDB servers, which KAFKA_URL and MONGO_URL name: `make test-servers`"]
fn a_check_of_servers_reports_each_and_a_database_that_is_not_prepared() {
    let (log, mongo) = (server("KAFKA_URL"), server("MONGO_URL"));
    let store = format!("{mongo}/config_check_{}", std::process::id());
    let variables = [("LOG_URL", &*log), ("STORE_URL", &*store)];
    let (text, code) = text_output(&variables, &[]);
    assert!(code == Some(0) && text.contains("ok     event log"), "{text}");
    assert!(text.contains("warn   live store") && text.contains("not prepared yet"), "{text}");
    assert!(text.contains("STORE_URL names another database"), "{text}");

    let migrated = output(&["migrate", "--store", &store]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    let (text, code) = text_output(&variables, &[]);
    assert!(code == Some(0) && text.contains("ok     live store"), "{text}");
}

#[test]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
fn a_check_of_a_kafka_server_publishes_only_with_probe() {
    let url = server("KAFKA_URL");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--data", data, "--log", &url, "--consumer-group", "unused-group"];
    let (found, succeeded) = check(&args);
    assert!(succeeded, "{found}");
    assert!(about(&found, "event log").1.contains("cluster"), "{found}");
    assert!(!found.to_string().contains("tapedeck-check"), "{found}");
    let (found, succeeded) = check(&[&args[..], &["--probe"]].concat());
    assert!(succeeded, "{found}");
    let (verdict, text) = about(&found, "publishing");
    assert!(verdict == "ok" && text.contains("0."), "{found}");
}
