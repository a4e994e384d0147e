use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::StoredTick;
use market::{Source, Symbol, Tick, TickFields};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::{
    crash::{logged, stored, total, url},
    process::{Running, output, server, stderr, tapedeck, wait_until},
};

/// Fills four files of an archive.
const TICKS: u64 = 200_000;

fn tick(n: u64) -> StoredTick {
    let symbol = ["AAPL", "BTC/USDT", "MSFT"][(n % 3) as usize];
    let timestamp = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::milliseconds(n as i64);
    let price = Decimal::new(26_105 + (n % 97) as i64, 2);
    let fields = TickFields {
        symbol: Symbol::parse(symbol).unwrap(),
        timestamp,
        price,
        volume: Decimal::from(1_000 + n),
        open: price,
        high: price,
        low: price,
        size: None,
        change_percent: 0.25,
        source: Source::parse("yahoo").unwrap(),
        received_at: timestamp,
        seq: n,
    };
    StoredTick { tick: Tick::new(fields).unwrap(), processed_at: timestamp, partition: 0, offset: n }
}

/// A data folder whose store has this number of ticks.
async fn filled(folder: &Path, ticks: u64) -> PathBuf {
    let data = folder.join("data");
    let store = live_store::open(&url(&data, "store.db")).await.unwrap();
    let mut next = 0;
    while next < ticks {
        let end = ticks.min(next + 10_000);
        let batch: Vec<_> = (next..end).map(tick).collect();
        store.write_ticks(&batch).await.unwrap();
        next = end;
    }
    data
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command that must succeed. Returns its stdout.
fn succeed(args: &[&str]) -> String {
    let output = output(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail. Returns its stderr.
fn refused(args: &[&str]) -> String {
    let output: Output = output(args);
    let error = stderr(&output);
    assert!(!output.status.success(), "{args:?} was accepted");
    assert!(!error.contains("panicked"), "{error}");
    error
}

fn start(args: &[&str]) -> Child {
    tapedeck().args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for `condition` or the end of the process, and kills it.
fn kill_9_when(mut child: Child, what: &str, mut condition: impl FnMut() -> bool) {
    wait_until(what, || condition() || child.try_wait().unwrap().is_some());
    // It may have ended already.
    let _ = child.kill();
    child.wait().unwrap();
}

fn totals(archive: &Path) -> Value {
    let manifest: Value = serde_json::from_slice(&fs::read(archive.join("manifest.json")).unwrap()).unwrap();
    manifest["totals"].clone()
}

/// How many files an export has finished.
fn finished(archive: &Path) -> usize {
    fs::read_to_string(archive.join("export.jsonl")).map_or(0, |text| text.lines().count().saturating_sub(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_killed_repeatedly_equals_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = filled(folder.path(), TICKS).await;
    let whole = folder.path().join("whole");
    succeed(&["export", text(&whole), "--data", text(&data)]);

    let killed = folder.path().join("killed");
    let args = ["export", text(&killed), "--data", text(&data)];
    // Before the first file, and then after each further one.
    kill_9_when(start(&args), "the export has started", || killed.exists());
    for files in 1..4 {
        kill_9_when(start(&args), "another file is finished", || finished(&killed) >= files);
    }
    let last = output(&args);
    // It may have finished before it was killed.
    assert!(last.status.success() || stderr(&last).contains("finished export"), "{}", stderr(&last));
    assert_eq!(totals(&killed), totals(&whole));
    assert_eq!(totals(&killed)["ticks"], TICKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_repeatedly_stores_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = filled(folder.path(), TICKS).await;
    let archive = folder.path().join("archive");
    succeed(&["export", text(&archive), "--data", text(&data)]);

    let other = folder.path().join("other");
    let args = ["import", text(&archive), "--data", text(&other)];
    let store = live_store::open(&url(&other, "store.db")).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let newest = || {
        tokio::task::block_in_place(|| runtime.block_on(store.latest_ticks()))
            .map_or(0, |newest| newest.iter().map(|row| row.tick.seq + 1).max().unwrap_or(0))
    };
    for _ in 0..5 {
        let before = newest();
        kill_9_when(start(&args), "more is stored", || newest() > before);
    }
    let last = succeed(&args);
    assert!(last.contains("already stored"), "{last}");
    let again = succeed(&args);
    assert!(again.contains("200,000: 0 new, 200,000 already stored"), "{again}");

    let (before, after) = (all(&url(&data, "store.db")).await, all(&url(&other, "store.db")).await);
    assert_eq!((before.len() as u64, after.len() as u64), (TICKS, TICKS));
    assert!(before == after, "the ticks differ");
    // And into a third store, by one command.
    let third = folder.path().join("third");
    succeed(&["copy", text(&other), text(&third)]);
    succeed(&["export", text(&folder.path().join("third-archive")), "--data", text(&third)]);
    assert_eq!(totals(&folder.path().join("third-archive"))["sha256"], totals(&archive)["sha256"]);
}

async fn all(url: &str) -> Vec<crate::crash::Identity> {
    let mut all = stored(url).await;
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_was_interrupted_can_be_continued() {
    let folder = tempfile::tempdir().unwrap();
    let data = filled(folder.path(), TICKS).await;
    let archive = folder.path().join("archive");
    let args = ["export", text(&archive), "--data", text(&data)];
    let child = tapedeck().args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the export has started", || {
        archive.join("export.jsonl").exists() || archive.join("manifest.json").exists()
    });
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    if !ended.status.success() {
        assert!(stderr(&ended).contains("run the same command again"), "{}", stderr(&ended));
        let early = refused(&["import", text(&archive), "--data", text(&folder.path().join("other"))]);
        assert!(early.contains("was not finished"), "{early}");
        succeed(&args);
    }
    assert_eq!(totals(&archive)["ticks"], TICKS);
}

/// With the same log the consumer stores every tick once in the new store, with and without its checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_continues_in_the_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    let log = url(folder.path(), "log.db");
    let market = [
        "--provider",
        "simulated",
        "--simulated-rate",
        "2000",
        "--simulated-seed",
        "5",
        "--watchlist",
        "AAPL,BTC/USDT",
    ];
    let running = Running::start(&old, &[&market[..], &["--log", &log]].concat());
    wait_until("ticks are stored", || total(&running, "tapedeck_ticks_stored_total") > 2_000.0);
    // The log has ticks that are not in the store yet.
    running.kill_9();

    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    succeed(&["copy", text(&old), text(&with), "--checkpoints"]);
    succeed(&["copy", text(&old), text(&without)]);
    let error = refused(&["copy", text(&old), text(&with), "--checkpoints", "--symbols", "AAPL"]);
    assert!(error.contains("leave out --checkpoints"), "{error}");
    for data in [&with, &without] {
        let running = Running::start(data, &[&market[..], &["--log", &log]].concat());
        wait_until("ticks are stored", || total(&running, "tapedeck_ticks_stored_total") > 0.0);
        assert!(running.interrupt().success());
        let (logged, stored) = (logged(&log).await, stored(&url(data, "store.db")).await);
        let in_log: BTreeSet<_> = logged.iter().collect();
        let in_store: BTreeSet<_> = stored.iter().collect();
        assert_eq!(in_store.len(), stored.len(), "no tick is stored twice");
        assert_eq!(in_log, in_store, "{}", data.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_or_import_that_is_impossible_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data = filled(folder.path(), 100).await;
    let (archive, other) = (folder.path().join("archive"), folder.path().join("other"));
    let export = |more: &[&str]| {
        let target = folder.path().join("refused");
        refused(&[&["export", text(&target), "--data", text(&data)], more].concat())
    };
    assert!(export(&["--symbols", "NVDA"]).contains("no rows of NVDA"));
    assert!(export(&["--from", "2026-02-01", "--to", "2026-01-01"]).contains("is not before --to"));
    assert!(export(&["--from", "soon"]).contains("2026-01-31"));
    assert!(export(&["--store", "sqlite:/nowhere/store.db"]).contains("no store at /nowhere/store.db"));
    assert!(!folder.path().join("refused").exists(), "nothing was written");
    let nothing = refused(&["export", text(&archive), "--data", text(&other)]);
    assert!(nothing.contains("there is no store in") && !other.exists(), "{nothing}");

    let import = |more: &[&str]| refused(&[&["import", text(&archive)], more].concat());
    assert!(import(&["--data", text(&other)]).contains("holds no export"));
    succeed(&["export", text(&archive), "--data", text(&data)]);
    assert!(refused(&["export", text(&archive), "--data", text(&data)]).contains("finished export"));
    assert!(import(&["--data", "/proc/tapedeck"]).contains("/proc/tapedeck"));
    let secret = import(&["--store", "mysql://me:secret@nowhere/x"]);
    assert!(secret.contains("mysql") && !secret.contains("secret"), "{secret}");
    assert!(refused(&["copy", text(&data), text(&data)]).contains("the same store"));

    // The target is full at first.
    let small = format!("sqlite:{}?max_mb=1", folder.path().join("small/store.db").display());
    let large = folder.path().join("large");
    let crowded = filled(&folder.path().join("crowded"), 20_000).await;
    succeed(&["export", text(&large), "--data", text(&crowded)]);
    let full = refused(&["import", text(&large), "--store", &small]);
    assert!(full.contains("no space left"), "{full}");
    let then = succeed(&["import", text(&large), "--data", text(&folder.path().join("small"))]);
    assert!(then.contains("20,000: "), "{then}");

    // One file is damaged; the others are imported on request.
    let day = fs::read_dir(archive.join("ticks")).unwrap().next().unwrap().unwrap().path();
    let packed = fs::read(&day).unwrap();
    fs::write(&day, &packed[..packed.len() / 2]).unwrap();
    let damaged = import(&["--data", text(&other)]);
    assert!(damaged.contains("is damaged") && damaged.contains(".jsonl.zst"), "{damaged}");
    let skipped = import(&["--data", text(&other), "--skip-damaged"]);
    assert!(skipped.contains("1 files were skipped"), "{skipped}");
    fs::write(&day, packed).unwrap();
    assert!(succeed(&["import", text(&archive), "--data", text(&other)]).contains("100: 100 new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_and_real_prices_are_never_stored_together() {
    let folder = tempfile::tempdir().unwrap();
    let real = filled(folder.path(), 100).await;
    let archive = folder.path().join("archive");
    succeed(&["export", text(&archive), "--data", text(&real)]);

    let simulated = folder.path().join("simulated-prices");
    // At this rate the store writes its ticks into the file every second.
    let market = ["--provider", "simulated", "--watchlist", "AAPL", "--simulated-rate", "5000"];
    let running = Running::start(&simulated, &market);
    let busy = refused(&["import", text(&archive), "--data", text(&simulated)]);
    assert!(busy.contains("in use by another instance"), "{busy}");
    wait_until("ticks are stored", || total(&running, "tapedeck_ticks_stored_total") > 5_000.0);
    // An export does not disturb the instance.
    let live = folder.path().join("live");
    succeed(&["export", text(&live), "--data", text(&simulated)]);
    assert!(totals(&live)["ticks"].as_u64().unwrap() > 0);
    assert!(running.interrupt().success());
    let store = url(&simulated, "store.db");
    for target in [["--data", text(&simulated)], ["--store", &store]] {
        let error = refused(&[&["import", text(&archive)], &target[..]].concat());
        assert!(error.contains("never share a"), "{error}");
    }
    assert!(refused(&["copy", text(&simulated), text(&real)]).contains("never share a"));

    // Under another file name there is no mark of the folder; the kind of prices follows from the rows.
    let renamed = url(folder.path(), "renamed.db");
    succeed(&["copy", text(&simulated), &renamed]);
    let error = refused(&["import", text(&archive), "--store", &renamed]);
    assert!(error.contains("the target holds simulated prices"), "{error}");

    // A copy of simulated prices marks its folder.
    let copied = folder.path().join("copied");
    succeed(&["copy", text(&simulated), text(&copied)]);
    assert_eq!(fs::read_to_string(copied.join("prices")).unwrap().trim(), "simulated");
}

/// Runs a copy that must fail, with the password in a variable. Returns its stderr.
fn refused_with(password: &str, source: &str, target: &str) -> String {
    let copy = tapedeck().args(["copy", source, target]).env("STORE_PASSWORD", password).output().unwrap();
    let error = stderr(&copy);
    assert!(!copy.status.success() && !error.contains("panicked"), "{error}");
    assert!(!error.contains(password), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_uses_the_password_for_the_url_that_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = filled(folder.path(), 10).await;
    let data = text(&data);
    let lacks = "mongodb://me@127.0.0.1:1/x?serverSelectionTimeoutMS=200";
    let file = ["--store-password-file", "/no/such"];
    for sides in [[data, lacks], [lacks, data], [lacks, "mongodb://me:word@127.0.0.1:1/y"]] {
        let error = refused(&[&["copy"], &sides[..], &file[..]].concat());
        assert!(error.contains("STORE_PASSWORD_FILE=/no/such"), "{error}");
    }
    assert!(refused_with("geheim", lacks, data).contains("127.0.0.1:1/x is unavailable"));

    // The other URL has its own password, or needs none.
    let has = lacks.replace("me@", "me:word@");
    let error = refused_with("geheim", &has, &lacks.replace("/x", "/y"));
    assert!(error.contains("127.0.0.1:1/x is unavailable"), "{error}");
    let error = refused_with("geheim", data, &has);
    assert!(error.contains("the store to write to") && error.contains("keep one of them"), "{error}");
    let error = refused_with("geheim", &lacks.replace("me@", ""), data);
    assert!(error.contains("the store to read from") && error.contains("names no user"), "{error}");
    // The variable may be set for other commands.
    let other = text(&folder.path().join("other")).to_owned();
    let copy = tapedeck().args(["copy", data, &other]).env("STORE_PASSWORD", "geheim").output().unwrap();
    assert!(copy.status.success(), "{}", stderr(&copy));
}

/// The stand-in for MongoDB has no users: every login is refused, and a connection without one is accepted.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_copy_signs_in_to_a_server_with_the_password_of_the_variable() {
    let mongo = server("MONGO_URL");
    let folder = tempfile::tempdir().unwrap();
    let data = filled(folder.path(), 10).await;
    let named = mongo.replace("mongodb://", "mongodb://unknown@") + "/copied";
    for (source, target) in [(text(&data), &*named), (&*named, text(&data))] {
        let error = refused_with("geheim", source, target);
        assert!(error.contains("login failed"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_an_empty_store_fails_and_names_the_folder_that_has_data() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("data");
    let simulated = filled(folder.path(), 10).await.join("store.db");
    // The file alone is whole once it is closed.
    live_store::open(&url(&empty, "store.db")).await.unwrap().close().await.unwrap();
    // The store of simulated prices, beside an empty one of real prices.
    fs::create_dir_all(empty.join("simulated")).unwrap();
    fs::rename(simulated, empty.join("simulated/store.db")).unwrap();
    live_store::open(&url(&empty, "store.db")).await.unwrap().close().await.unwrap();
    let archive = folder.path().join("archive");
    let error = refused(&["export", text(&archive), "--data", text(&empty)]);
    let named = format!("--data {}", empty.join("simulated").display());
    assert!(error.contains("has no ticks and no candles") && error.contains(&named), "{error}");
    assert!(!archive.exists(), "an empty archive was written");
    succeed(&["export", text(&archive), "--data", text(&empty), "--allow-empty"]);
    let of_unknown = ["--data", text(&empty), "--symbols", "NOPE", "--allow-empty"];
    succeed(&[&["export", text(&folder.path().join("unknown"))], &of_unknown[..]].concat());
    succeed(&["export", text(&folder.path().join("full")), "--data", text(&empty.join("simulated"))]);
    let none = folder.path().join("none");
    let simulated = empty.join("simulated");
    let error = refused(&["export", text(&none), "--data", text(&simulated), "--to", "2001-01-01"]);
    assert!(error.contains("no row of") && error.contains("--allow-empty"), "{error}");
}

/// A copy of the files of an instance that was stopped is a backup.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_stop_copies_of_the_files_alone_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let running = Running::start(&data, &["--provider", "simulated", "--watchlist", "AAPL,BTC/USDT"]);
    wait_until("ticks are stored", || {
        let ticks = running.get("/v1/ticks?symbol=AAPL&limit=20");
        ticks["ticks"].as_array().is_some_and(|ticks| ticks.len() >= 20)
    });
    assert!(running.interrupt().success());
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["log.db", "store.db"] {
        fs::copy(data.join(file), copy.join(file)).unwrap();
    }
    let in_log: BTreeSet<_> = logged(&url(&copy, "log.db")).await.into_iter().collect();
    let in_store: BTreeSet<_> = stored(&url(&copy, "store.db")).await.into_iter().collect();
    assert!(in_log.len() >= 20, "{}", in_log.len());
    assert_eq!(in_store, in_log);
}
