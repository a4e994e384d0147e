use std::{fs, net::TcpListener, path::Path};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::process::{Running, output, output_in_time, stderr, tapedeck};

/// Runs `tapedeck` with arguments that must be refused, and returns what it said.
fn refused(args: &[&str]) -> String {
    let ended = output_in_time(args);
    assert!(!ended.status.success(), "{args:?} was accepted");
    let said = stderr(&ended);
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn run<'a>(data: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["run", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    args.extend_from_slice(more);
    args
}

/// A variable that no longer counts would leave a default in its place: a shorter retention removes data.
#[test]
fn a_variable_of_an_earlier_version_is_refused_with_its_present_name() {
    let folder = tempfile::tempdir().unwrap();
    for (before, now) in service_runtime::RENAMED_VARIABLES {
        let mut command = tapedeck();
        let ended = command
            .args(run(folder.path(), &["--provider", "simulated"]))
            .env(before, "365")
            .output()
            .unwrap();
        let error = stderr(&ended);
        assert!(!ended.status.success() && error.contains(before) && error.contains(now), "{error}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(&run(folder.path(), &["--provider", "bloomberg"]));
    assert!(said.contains("bloomberg") && said.contains("simulated"), "{said}");
    let said = refused(&run(folder.path(), &["--watchlist", "AAPL,$$$"]));
    assert!(said.contains("$$$") && said.contains("--watchlist"), "{said}");
    let said = refused(&run(folder.path(), &["--provider", "simulated", "--simulated-rate", "2000000"]));
    assert!(said.contains("--simulated-rate"), "{said}");
    let said = refused(&run(folder.path(), &["--provider", "replay"]));
    assert!(said.contains("--replay-file"), "{said}");
    let said = refused(&["tail", "not a symbol"]);
    assert!(said.contains("neither a stock"), "{said}");
    let said = refused(&run(folder.path(), &["--provider", "simulated", "--store", "mysql://nowhere/x"]));
    assert!(said.contains("--store") && said.contains("mysql"), "{said}");
    let said =
        refused(&run(folder.path(), &["--provider", "simulated", "--log", "amqp://me:secret@nowhere"]));
    assert!(said.contains("--log") && !said.contains("secret"), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&[
        "run",
        "--provider",
        "simulated",
        "--listen",
        &address,
        "--data",
        folder.path().to_str().unwrap(),
    ]);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_folder_in_use_is_named_with_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let said = refused(&run(folder.path(), &["--provider", "simulated"]));
    assert!(said.contains("in use by another instance") && said.contains(&running.url), "{said}");
}

#[test]
fn dead_letters_are_sent_again_only_where_there_are_some_and_nobody_else_writes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let said = refused(&["topics", "--data", data, "redeliver"]);
    assert!(said.contains("in use"), "{said}");
    assert!(running.interrupt().success());
    for topic in ["nowhere.dlq", "stock-prices"] {
        let said = refused(&["topics", "--data", data, "redeliver", topic]);
        assert!(said.contains(&format!("`{topic}`")), "{said}");
    }
    let done = output(&["topics", "--data", data, "redeliver", "stock-prices.dlq"]);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "stock-prices.dlq: 0 sent back into stock-prices\n");
    let mistyped = folder.path().join("nowhere.db");
    let said = refused(&["topics", "--log", &format!("sqlite:{}", mistyped.display()), "redeliver"]);
    assert!(said.contains("nowhere.db") && !mistyped.exists(), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // Not even root makes folders there.
    let said = refused(&run(Path::new("/proc/tapedeck"), &["--provider", "simulated"]));
    assert!(said.contains("/proc/tapedeck") && said.contains("--data"), "{said}");
}

#[test]
fn a_host_without_certificates_can_ask_an_instance() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let address = running.url.trim_start_matches("http://");
    let asked = tapedeck().args(["health", "--listen", address]).env("SSL_CERT_FILE", "/dev/null").output();
    let answer = asked.unwrap();
    assert!(answer.status.success(), "{}", stderr(&answer));
}

#[test]
fn data_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    assert!(running.interrupt().success());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for file in ["store.db", "log.db"] {
        let path = folder.path().join(file);
        let before = runtime.block_on(exchange_format(&path, 9_999));
        let said = refused(&run(folder.path(), &["--provider", "simulated"]));
        assert!(said.contains(file) && said.contains("newer version"), "{said}");
        runtime.block_on(exchange_format(&path, before));
    }
}

/// Sets the format number of a database, and returns the one it had.
async fn exchange_format(path: &Path, format: i64) -> i64 {
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let before = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut database).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("PRAGMA user_version = {format}")))
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    before
}

#[test]
fn real_and_invented_prices_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    assert!(running.interrupt().success());
    let file = folder.path().join("ticks.jsonl");
    fs::write(&file, "").unwrap();
    let said = refused(&["replay", file.to_str().unwrap(), "--data", folder.path().to_str().unwrap()]);
    assert!(said.contains("simulated") && said.contains("--data"), "{said}");
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_understood_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let said = refused(&["replay", "/nowhere/ticks.csv", "--data", data.to_str().unwrap()]);
    assert!(said.contains("/nowhere/ticks.csv"), "{said}");
    let file = folder.path().join("prose.txt");
    fs::write(&file, "It was a dark and stormy night.\n").unwrap();
    let said = refused(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(said.contains("prose.txt"), "{said}");
}

#[test]
fn questions_without_an_instance_say_how_to_start_one() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = refused(&["status", "--url", &format!("http://{free}")]);
    assert!(said.contains("tapedeck run"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let said = refused(&["topics", "--data", folder.path().to_str().unwrap()]);
    assert!(said.contains("no event log"), "{said}");
}

#[test]
fn a_full_disk_ends_it_with_a_clear_message_and_with_room_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // The log may not grow past 2 MB, as if the disk ended there.
    let log = format!("sqlite:{}?max_bytes=2000000", folder.path().join("log.db").display());
    let market = ["--provider", "simulated", "--watchlist", "AAPL,MSFT"];
    let small = ["--simulated-rate", "20000", "--log", &log];
    let ended = output_in_time(&run(&data, &[&market[..], &small].concat()));
    let said = stderr(&ended);
    assert!(!ended.status.success());
    assert!(said.contains("no space left on the disk") && said.contains("log.db"), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    let roomy = format!("sqlite:{}", folder.path().join("log.db").display());
    let running = Running::start(&data, &[&market[..], &["--log", &roomy]].concat());
    let ticks = || running.get("/v1/ticks?symbol=AAPL&limit=1000")["ticks"].as_array().map_or(0, Vec::len);
    crate::process::wait_until("what was in the log is stored", || ticks() > 100);
    assert!(running.interrupt().success());
}
