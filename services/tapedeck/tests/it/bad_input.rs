use std::{fs, net::TcpListener, path::Path};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::process::{Running, output, output_in_time, stderr, tapedeck};

/// Runs `tapedeck` with arguments that must be refused. Returns its stderr.
fn refused(args: &[&str]) -> String {
    let ended = output_in_time(args);
    assert!(!ended.status.success(), "{args:?} was accepted");
    let error = stderr(&ended);
    assert!(!error.contains("panicked"), "{error}");
    error
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
fn invalid_flags_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&run(folder.path(), &["--provider", "bloomberg"]));
    assert!(error.contains("bloomberg") && error.contains("simulated"), "{error}");
    let error = refused(&run(folder.path(), &["--watchlist", "AAPL,$$$"]));
    assert!(error.contains("$$$") && error.contains("--watchlist"), "{error}");
    let error = refused(&run(folder.path(), &["--provider", "simulated", "--simulated-rate", "2000000"]));
    assert!(error.contains("--simulated-rate"), "{error}");
    let error = refused(&run(folder.path(), &["--provider", "replay", "--replay-file", "/no/such.csv"]));
    assert!(error.contains("/no/such.csv"), "{error}");
    let error = refused(&["tail", "not a symbol"]);
    assert!(error.contains("neither a stock"), "{error}");
    let error = refused(&run(folder.path(), &["--provider", "simulated", "--store", "mysql://nowhere/x"]));
    assert!(error.contains("--store") && error.contains("mysql"), "{error}");
    let error =
        refused(&run(folder.path(), &["--provider", "simulated", "--log", "amqp://me:secret@nowhere"]));
    assert!(error.contains("--log") && !error.contains("secret"), "{error}");
}

#[test]
fn a_port_in_use_is_refused_with_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = refused(&[
        "run",
        "--provider",
        "simulated",
        "--listen",
        &address,
        "--data",
        folder.path().to_str().unwrap(),
    ]);
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_folder_in_use_is_refused_with_the_address_of_its_instance() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let error = refused(&run(folder.path(), &["--provider", "simulated"]));
    assert!(error.contains("in use by another instance") && error.contains(&running.url), "{error}");
}

#[test]
fn dead_letters_are_redelivered_only_from_an_existing_topic_of_an_unused_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let error = refused(&["topics", "--data", data, "redeliver"]);
    assert!(error.contains("in use"), "{error}");
    assert!(running.interrupt().success());
    for topic in ["nowhere.dlq", "stock-prices"] {
        let error = refused(&["topics", "--data", data, "redeliver", topic]);
        assert!(error.contains(&format!("`{topic}`")), "{error}");
    }
    let done = output(&["topics", "--data", data, "redeliver", "stock-prices.dlq"]);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "stock-prices.dlq: 0 redelivered to stock-prices\n");
    let mistyped = folder.path().join("nowhere.db");
    let error = refused(&["topics", "--log", &format!("sqlite:{}", mistyped.display()), "redeliver"]);
    assert!(error.contains("nowhere.db") && !mistyped.exists(), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_its_path() {
    // Not even root can create folders there.
    let error = refused(&run(Path::new("/proc/tapedeck"), &["--provider", "simulated"]));
    assert!(error.contains("/proc/tapedeck") && error.contains("--data"), "{error}");
}

#[test]
fn a_host_without_certificates_can_check_an_instance() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    let address = running.url.trim_start_matches("http://");
    let checked = tapedeck().args(["health", "--listen", address]).env("SSL_CERT_FILE", "/dev/null").output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn data_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    assert!(running.interrupt().success());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for file in ["store.db", "log.db"] {
        let path = folder.path().join(file);
        let before = runtime.block_on(exchange_format(&path, 9_999));
        let error = refused(&run(folder.path(), &["--provider", "simulated"]));
        assert!(error.contains(file) && error.contains("newer version"), "{error}");
        runtime.block_on(exchange_format(&path, before));
    }
}

/// Sets the format number of a database. Returns the earlier one.
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
fn real_and_simulated_prices_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &["--provider", "simulated", "--watchlist", "AAPL"]);
    assert!(running.interrupt().success());
    let file = folder.path().join("ticks.csv");
    fs::write(&file, "symbol,price,seq\nAAPL,261.05,1\n").unwrap();
    let error = refused(&["replay", file.to_str().unwrap(), "--data", folder.path().to_str().unwrap()]);
    assert!(error.contains("simulated") && error.contains("--data"), "{error}");
}

#[test]
fn a_file_that_is_missing_or_cannot_be_parsed_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let error = refused(&["replay", "/nowhere/ticks.csv", "--data", data.to_str().unwrap()]);
    assert!(error.contains("/nowhere/ticks.csv"), "{error}");
    let file = folder.path().join("prose.txt");
    fs::write(&file, "It was a dark and stormy night.\n").unwrap();
    let error = refused(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(error.contains("prose.txt: this is no recording"), "{error}");
    let file = folder.path().join("no symbol.csv");
    fs::write(&file, "Date,Open,High,Low,Close,Volume\n2024-09-11,1,2,1,2,30\n").unwrap();
    let error = refused(&["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert!(error.contains("no symbol.csv") && error.contains("--symbol"), "{error}");
    assert!(!data.exists(), "{} was created", data.display());
}

#[test]
fn commands_without_an_instance_fail_with_the_command_that_starts_one() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refused(&["status", "--url", &format!("http://{free}")]);
    assert!(error.contains("tapedeck run"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&["topics", "--data", folder.path().to_str().unwrap()]);
    assert!(error.contains("no event log"), "{error}");
}

#[test]
fn on_a_full_disk_the_process_waits_shows_the_reason_and_with_space_it_continues() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Limits the log to 4 MiB, as a full disk would.
    let log = format!("sqlite:{}?max_mb=4", folder.path().join("log.db").display());
    let market = ["--provider", "simulated", "--watchlist", "AAPL,MSFT"];
    let running =
        Running::start(&data, &[&market[..], &["--simulated-rate", "20000", "--log", &log]].concat());
    crate::process::wait_until("the process is not ready", || running.try_get("/readyz").is_none());
    let page = || crate::process::get(&format!("{}/system", running.url)).unwrap_or_default();
    crate::process::wait_until("the page has the reason", || page().contains("no space left on the disk"));
    running.kill_9();

    let roomy = format!("sqlite:{}", folder.path().join("log.db").display());
    let running = Running::start(&data, &[&market[..], &["--log", &roomy]].concat());
    let ticks = || running.get("/v1/ticks?symbol=AAPL&limit=1000")["ticks"].as_array().map_or(0, Vec::len);
    crate::process::wait_until("the ticks of the log are stored", || ticks() > 100);
    assert!(running.interrupt().success());
}
