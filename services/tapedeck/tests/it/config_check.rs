//! `tapedeck config check`: what it finds, how it ends, and that it changes nothing.

use std::{fs, net::TcpListener, path::Path};

use serde_json::Value;

use crate::process::{Running, output, server, stderr, tapedeck, wait_until};

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
    assert!(well && about(&found, "address").0 == "warn", "{found}");
    assert!(about(&found, "address").1.contains("--listen (LISTEN)"), "{found}");
    for what in ["event log", "topics", "group", "live store", "data folder"] {
        assert_eq!(about(&found, what).0, "ok", "{found}");
    }
    assert_eq!(names(folder.path()), before);
    assert!(running.interrupt().success());
}

#[test]
fn a_log_that_the_store_was_not_filled_from_is_named_with_both_settings() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
        let ticks = || running.get("/v1/ticks?symbol=AAPL")["ticks"].as_array().map_or(0, Vec::len);
        wait_until("something of the log is stored", || ticks() > 0);
        assert!(running.interrupt().success());
    }
    let [ours, another] = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    let (found, well) = check(&["--listen", "127.0.0.1:0", "--data", ours]);
    assert!(well && about(&found, "checkpoints").0 == "ok", "{found}");
    let log = format!("sqlite:{another}/log.db");
    let (found, well) = check(&["--listen", "127.0.0.1:0", "--data", ours, "--log", &log]);
    let (verdict, said) = about(&found, "checkpoints");
    assert!(well && verdict == "warn", "{found}");
    assert!(said.contains("--log (LOG_URL)") && said.contains("--store (STORE_URL)"), "{said}");
}

#[test]
fn an_address_that_somebody_else_has_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody answers there: it hangs up on the question who it is.
    let listen = taken.local_addr().unwrap().to_string();
    let hanging_up = std::thread::spawn(move || taken.accept().map(drop));
    let (found, well) = check(&["--listen", &listen, "--data", folder.path().to_str().unwrap()]);
    hanging_up.join().unwrap().unwrap();
    let (verdict, said) = about(&found, "address");
    assert!(!well && verdict == "wrong" && said.contains("--listen (LISTEN)"), "{found}");
}

#[test]
fn what_does_not_answer_and_files_of_somebody_else_are_named_with_their_setting() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db"), "something else altogether, and long enough to be looked at")
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = format!("kafka://me:secret@{}", silent.local_addr().unwrap());
    let data = folder.path().to_str().unwrap();
    let (found, well) = check(&["--listen", "127.0.0.1:0", "--data", data, "--log", &log]);
    assert!(!well, "{found}");
    let (verdict, said) = about(&found, "event log");
    assert!(verdict == "wrong" && said.contains("--log (LOG_URL)"), "{found}");
    let (verdict, said) = about(&found, "live store");
    assert!(
        verdict == "wrong" && said.contains("store.db") && said.contains("--store (STORE_URL)"),
        "{found}"
    );
    assert!(!found.to_string().contains("secret"), "{found}");
}

#[test]
fn a_broker_and_a_store_that_are_not_there_are_named_with_their_setting() {
    // Bound and let go: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = format!("kafka://127.0.0.1:{port}");
    let store = format!("mongodb://me:secret@127.0.0.1:{port}/prices?serverSelectionTimeoutMS=300");
    let (found, well) = check(&["--listen", "127.0.0.1:0", "--log", &log, "--store", &store]);
    assert!(!well, "{found}");
    for (what, setting) in [("event log", "--log (LOG_URL)"), ("live store", "--store (STORE_URL)")] {
        let (verdict, said) = about(&found, what);
        assert!(verdict == "wrong" && said.contains(setting), "{found}");
        assert!(said.contains(&port.to_string()), "{found}");
    }
    assert!(!found.to_string().contains("secret"), "{found}");
}

#[test]
fn urls_and_files_that_are_of_no_use_are_named_with_their_setting() {
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
        let (found, well) = check(&all);
        let (verdict, said) = about(&found, what);
        assert!(!well && verdict == "wrong", "{found}");
        assert!(said.contains(named) && !found.to_string().contains("secret"), "{found}");
    }
}

/// `config check` in words, with variables, and how it ended.
fn in_words(variables: &[(&str, &str)], args: &[&str]) -> (String, Option<i32>) {
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
fn variables_that_cannot_be_read_are_named_and_the_rest_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let variables = [("WATCHLIST", "AAPL,$$$"), ("CONSUMER_RETENTION_DAYS", "for ever"), ("DATA", data)];
    let (said, code) = in_words(&variables, &[]);
    assert_eq!(code, Some(1), "{said}");
    for part in
        ["$$$", "--watchlist (WATCHLIST)", "for ever", "--consumer-retention-days (CONSUMER_RETENTION_DAYS)"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("ok     data folder"), "{said}");
    // A flag is in front of whoever typed it.
    let (said, code) = in_words(&[], &["--watchlist", "AAPL,$$$"]);
    assert!(code == Some(2) && said.contains("--watchlist"), "{said}");
}

#[test]
fn each_thing_that_is_well_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (said, code) = in_words(&[("DATA", folder.path().to_str().unwrap())], &[]);
    assert_eq!(code, Some(0), "{said}");
    for what in ["address", "prices", "data folder", "event log", "live store"] {
        let its = |line: &&str| line.strip_prefix("ok     ").is_some_and(|line| line.starts_with(what));
        assert_eq!(said.lines().filter(its).count(), 1, "{what}: {said}");
    }
}

#[test]
#[ignore = "needs Kafka and MongoDB servers, which KAFKA_SASL_URL and MONGO_URL name: `make test-servers`"]
fn passwords_for_the_servers_that_are_wrong_are_named_and_the_right_one_is_found_in_its_file() {
    let (log, password) = (server("KAFKA_SASL_URL"), server("KAFKA_SASL_PASSWORD"));
    let mongo = server("MONGO_URL");
    let store = mongo.replace("mongodb://", "mongodb://nobody@") + "/prices";
    let variables = [
        ("LOG_URL", &*log),
        ("STORE_URL", &*store),
        ("LOG_PASSWORD", "geheim-1"),
        ("STORE_PASSWORD", "geheim-2"),
    ];
    let (said, code) = in_words(&variables, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("wrong  event log") && said.contains("LOG_PASSWORD_FILE"), "{said}");
    assert!(said.contains("wrong  live store") && said.contains("STORE_PASSWORD_FILE"), "{said}");
    assert!(!said.contains("geheim"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log_password");
    fs::write(&file, format!("{password}\n")).unwrap();
    let variables = [
        ("LOG_URL", &*log),
        ("LOG_PASSWORD_FILE", file.to_str().unwrap()),
        ("DATA", folder.path().to_str().unwrap()),
    ];
    let (said, code) = in_words(&variables, &[]);
    assert!(code == Some(0) && said.contains("ok     event log"), "{said}");
    assert!(said.contains("warn   encryption") && said.contains("kafka+tls://"), "{said}");
}

#[test]
#[ignore = "needs Kafka and MongoDB servers, which KAFKA_URL and MONGO_URL name: `make test-servers`"]
fn a_check_of_servers_that_are_well_says_so_of_each_and_names_a_database_that_is_not_prepared() {
    let (log, mongo) = (server("KAFKA_URL"), server("MONGO_URL"));
    let store = format!("{mongo}/config_check_{}", std::process::id());
    let variables = [("LOG_URL", &*log), ("STORE_URL", &*store)];
    let (said, code) = in_words(&variables, &[]);
    assert!(code == Some(0) && said.contains("ok     event log"), "{said}");
    assert!(said.contains("warn   live store") && said.contains("not prepared yet"), "{said}");
    assert!(said.contains("STORE_URL names another database"), "{said}");

    let migrated = output(&["migrate", "--store", &store]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    let (said, code) = in_words(&variables, &[]);
    assert!(code == Some(0) && said.contains("ok     live store"), "{said}");
}

#[test]
#[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
fn a_check_of_a_kafka_server_tries_only_what_it_is_told_to() {
    let url = server("KAFKA_URL");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
        "--log",
        &url,
        "--consumer-group",
        "nobody-reads-with-this",
    ];
    let (found, well) = check(&args);
    assert!(well, "{found}");
    assert!(about(&found, "event log").1.contains("cluster"), "{found}");
    assert!(!found.to_string().contains("tapedeck-check"), "{found}");
    let (found, well) = check(&[&args[..], &["--probe"]].concat());
    assert!(well, "{found}");
    let (verdict, said) = about(&found, "publishing");
    assert!(verdict == "ok" && said.contains("0."), "{found}");
}
