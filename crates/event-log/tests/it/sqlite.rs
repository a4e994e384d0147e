//! Tests of the embedded log only.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use event_log::{Event, EventLogError, NewRecord, Retention, StartAt, TopicPartition, TopicSpec, open};
use sqlx::{Connection, SqliteConnection};

use crate::{
    child,
    fixture::Fixture,
    steps::{DEADLINE, numbered, numbers, publish, record, spec, take, text, topic},
};

fn url_of(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn failure_of(url: &str) -> EventLogError {
    open(url).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn an_invalid_url_is_refused_with_a_reason() {
    for (url, reason) in [
        ("sqlite::memory:", "keeps nothing"),
        ("sqlite:", "path is missing"),
        ("sqlite:x.db?speed=11", "max_mb"),
        ("sqlite:x.db?max_mb=much", "max_mb"),
        ("postgres://me:secret@host/db?password=secret", "no adapter"),
        ("nonsense", "no adapter"),
        ("kafka:me:secret@host", "//"),
        ("kafka://me:sec?ret/secret@host:9092", "no host:port"),
        ("amqp://host/x?password=a@secret&b=1", "no adapter"),
        ("amqp://me:secret?a@host/x", "amqp://..."),
        ("secret@host", "no adapter"),
        ("host?password=secret:1", "no adapter"),
    ] {
        let error = failure_of(url).await;
        assert!(matches!(error, EventLogError::BadUrl { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains("secret"), "{message}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_missing_folder_is_created() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a/b/log.db");
    let fixture = Fixture::at(url_of(&path));
    let log = fixture.open().await?;
    publish(&*log, &topic(&fixture, &*log, 1).await?, numbered(0..1)).await?;
    assert!(path.exists());
    Ok(())
}

#[tokio::test]
async fn a_second_instance_fails_because_the_log_is_in_use() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let log = fixture.open().await?;
    let error = failure_of(&fixture.url).await;
    assert!(matches!(error, EventLogError::Locked { .. }), "{error}");
    // Another process fails in the same way.
    let report = child::run("open", &[("EVENT_LOG_URL", &fixture.url)])?;
    assert!(report.contains("in use by another instance"), "{report}");
    drop(log);
    fixture.open().await?;
    Ok(())
}

/// The part of the child process: opens the log and prints the result.
pub(crate) async fn open_and_report() -> anyhow::Result<()> {
    match open(&std::env::var("EVENT_LOG_URL")?).await {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused: {error:?}: {error}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_not_changed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await?;
    // The application id is `TDEL`.
    let later = "CREATE TABLE later (x); PRAGMA user_version = 7; PRAGMA application_id = 0x5444454c";
    sqlx::raw_sql(later).execute(&mut connection).await?;
    connection.close().await?;
    let before = std::fs::read(&path)?;
    let error = failure_of(&url_of(&path)).await;
    assert!(matches!(error, EventLogError::NewerFormat { found: 7, known: 2, .. }), "{error}");
    assert_eq!(std::fs::read(&path)?, before);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_and_not_changed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.db");
    std::fs::write(&path, "a diary, not a database. ".repeat(100))?;
    let before = std::fs::read(&path)?;
    let error = failure_of(&url_of(&path)).await;
    assert!(matches!(error, EventLogError::Storage { .. }), "{error}");
    assert!(error.to_string().contains("log.db"), "{error}");
    assert_eq!(std::fs::read(&path)?, before);
    Ok(())
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_not_changed() -> anyhow::Result<()> {
    const OTHERS: [&str; 2] = [
        "CREATE TABLE notes (x)",
        // A live store.
        "CREATE TABLE realtime_prices (x); PRAGMA user_version = 4; PRAGMA application_id = 0x54444c53",
    ];
    let folder = tempfile::tempdir()?;
    for (number, script) in OTHERS.into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.db"));
        let mut connection =
            SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await?;
        sqlx::raw_sql(script).execute(&mut connection).await?;
        connection.close().await?;
        let before = std::fs::read(&path)?;
        let error = failure_of(&url_of(&path)).await;
        assert!(error.to_string().contains("is a database, but no event log"), "{error}");
        assert!(event_log::open_for_reading(&url_of(&path)).await.is_err());
        assert_eq!(std::fs::read(&path)?, before);
    }
    Ok(())
}

#[tokio::test]
async fn a_file_from_before_the_application_id_is_opened() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let log = fixture.open().await?;
    let topic = topic(&fixture, &*log, 1).await?;
    publish(&*log, &topic, numbered(0..3)).await?;
    drop(log);
    let mut connection = SqliteConnection::connect(&fixture.url).await?;
    sqlx::raw_sql("PRAGMA application_id = 0; DROP TABLE log_identity").execute(&mut connection).await?;
    connection.close().await?;
    let partition = TopicPartition { topic: topic.as_str().into(), partition: 0 };
    assert_eq!(fixture.open().await?.read(&partition, 0, 10).await?.len(), 3);
    Ok(())
}

/// In a child process of an unprivileged user, as root may write everywhere.
#[cfg(unix)]
#[tokio::test]
async fn a_read_only_folder_is_refused_with_its_path() -> anyhow::Result<()> {
    use std::os::unix::{fs::MetadataExt, fs::PermissionsExt, process::CommandExt};
    const UNPRIVILEGED: u32 = 65_534;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let read_only = folder.path().join("read-only");
    std::fs::create_dir(&read_only)?;
    let path = read_only.join("log.db");
    let mut command = child::command("open")?;
    if std::fs::metadata(folder.path())?.uid() == 0 {
        // That user may have no access to the folder of this binary.
        let copy = folder.path().join("it");
        std::fs::copy(std::env::current_exe()?, &copy)?;
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = std::process::Command::new(copy);
        command.args(arguments).envs(environment).uid(UNPRIVILEGED).gid(UNPRIVILEGED).current_dir("/");
    }
    std::fs::set_permissions(&read_only, std::fs::Permissions::from_mode(0o555))?;
    let output = command.env("EVENT_LOG_URL", url_of(&path)).output()?;
    std::fs::set_permissions(&read_only, std::fs::Permissions::from_mode(0o755))?;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("refused: Storage"), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("log.db: Permission denied"), "{report}");
    Ok(())
}

fn large(number: usize) -> NewRecord {
    record("key", &format!("{number:06}{}", "x".repeat(20_000)))
}

#[tokio::test]
async fn on_a_full_disk_records_wait_until_there_is_space() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Simulates a disk of 2 MiB.
    let fixture = Fixture::at(format!("{}?max_mb=2", url_of(&folder.path().join("log.db"))));
    let log = fixture.open().await?;
    let name = fixture.name("topic");
    let spec = TopicSpec { retention: Retention::For(Duration::from_secs(2)), ..spec(&name, 1) };
    log.ensure_topics(&[spec]).await?;
    let publisher = log.publisher()?;
    // Twice as much as there is space for, one batch after the other.
    let (sender, topic_name) = (Arc::clone(&publisher), name.clone());
    let publishing = tokio::spawn(async move {
        let mut offsets = Vec::new();
        for first in (0..200).step_by(10) {
            let records = (first..first + 10).map(large).collect();
            let stored = sender.send(&topic_name, records).await?.durable().await?;
            offsets.extend(stored.iter().map(|position| position.offset));
        }
        anyhow::Ok(offsets)
    });
    let started = Instant::now();
    let error = loop {
        ensure!(started.elapsed() < DEADLINE, "the disk never became full");
        match log.topics().await {
            Err(error) => break error,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert!(matches!(error, EventLogError::DiskFull { .. }) && error.is_transient(), "{error}");
    assert!(error.to_string().contains("no space left on the disk of"), "{error}");
    // What is stored can be read meanwhile.
    let partition = TopicPartition { topic: name.as_str().into(), partition: 0 };
    let kept = log.read(&partition, 0, 10_000).await?;
    assert_eq!(kept.len() % 10, 0, "a part of a batch was stored");
    // Retention frees space, and all that waited is stored, in order.
    let offsets = tokio::time::timeout(DEADLINE, publishing).await???;
    assert_eq!(offsets, (0..200).collect::<Vec<u64>>());
    let read = log.read(&partition, 199, 1).await?;
    assert!(text(&read[0].payload).starts_with("000199"));
    assert!(log.topics().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_log_that_is_closed_on_a_full_disk_ends_with_that_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fixture = Fixture::at(format!("{}?max_mb=1", url_of(&folder.path().join("log.db"))));
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 1).await?;
    let publisher = log.publisher()?;
    let receipt = publisher.send(&name, (0..100).map(large).collect()).await?;
    let started = Instant::now();
    while log.topics().await.is_ok() {
        ensure!(started.elapsed() < DEADLINE, "the disk never became full");
        tokio::task::yield_now().await;
    }
    log.close().await?;
    assert!(matches!(receipt.durable().await, Err(EventLogError::DiskFull { .. })));
    assert!(matches!(log.ensure_topics(&[spec("another", 1)]).await, Err(EventLogError::Closed)));
    Ok(())
}

#[tokio::test]
async fn a_copy_of_the_file_of_a_closed_log_is_whole() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (path, copy) = (folder.path().join("log.db"), folder.path().join("copy.db"));
    let fixture = Fixture::at(url_of(&path));
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 1).await?;
    for first in (0..100).step_by(5) {
        publish(&*log, &name, numbered(first..first + 5)).await?;
    }
    let mut subscription = log.subscribe("group", &[&name]).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, 100).await?;
    subscription.commit(messages.into_iter().filter_map(|message| message.handle).collect()).await?;
    log.close().await?;
    assert!(!folder.path().join("log.db.recent").exists(), "the journal is left");
    std::fs::copy(&path, &copy)?;
    let copied = event_log::open_for_reading(&url_of(&copy)).await?;
    let partition = TopicPartition { topic: name.as_str().into(), partition: 0 };
    assert_eq!(copied.read(&partition, 0, 1_000).await?.len(), 100);
    assert_eq!(copied.lag("group", &[&name]).await?[0].committed, Some(100));
    Ok(())
}

#[tokio::test]
async fn small_records_move_from_the_journal_into_the_file_and_stay_readable_in_order() -> anyhow::Result<()>
{
    let fixture = Fixture::sqlite()?;
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 2).await?;
    let publisher = log.publisher()?;
    let payload = |number: usize| format!("{number:06}{}", "x".repeat(1_000));
    // Several times what the journal holds.
    let mut receipts = Vec::new();
    for number in 0..4_000 {
        receipts
            .push(publisher.send(&name, vec![record(&(number % 7).to_string(), &payload(number))]).await?);
        if number % 10 == 9 {
            for receipt in receipts.drain(..) {
                receipt.durable().await?;
            }
        }
    }
    let readers = [Arc::clone(&log), event_log::open_for_reading(&fixture.url).await?];
    for reader in readers {
        let mut found = Vec::new();
        for partition in 0..2 {
            let partition = TopicPartition { topic: name.as_str().into(), partition };
            let end = reader.topics().await?[0].partitions[partition.partition as usize].1;
            let mut next = 0;
            while next < end {
                for message in reader.read(&partition, next, 500).await? {
                    assert_eq!(message.position.offset, next);
                    found.push(text(&message.payload)[..6].parse::<usize>()?);
                    next += 1;
                }
            }
        }
        found.sort_unstable();
        assert_eq!(found, (0..4_000).collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_format_1_is_opened() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 1).await?;
    publish(&*log, &name, (0..3).map(large).collect()).await?;
    log.close().await?;
    let mut connection = SqliteConnection::connect(&fixture.url).await?;
    sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut connection).await?;
    connection.close().await?;
    let log = fixture.open().await?;
    publish(&*log, &name, numbered(3..4)).await?;
    let partition = TopicPartition { topic: name.as_str().into(), partition: 0 };
    assert_eq!(log.read(&partition, 0, 10).await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_removed_while_it_is_in_use_takes_no_records() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.db");
    let fixture = Fixture::at(url_of(&path));
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 1).await?;
    std::fs::remove_file(&path)?;
    let receipt = log.publisher()?.send(&name, numbered(0..1)).await?;
    let error = receipt.durable().await.unwrap_err();
    assert!(error.to_string().contains("was removed or replaced while it was in use"), "{error}");
    assert!(!error.is_transient());
    assert!(log.topics().await.is_err());
    Ok(())
}

#[tokio::test]
async fn expired_records_are_deleted_except_the_newest_batch() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let name = fixture.name("topic");
    {
        let log = fixture.open().await?;
        let spec = TopicSpec { retention: Retention::For(Duration::from_millis(300)), ..spec(&name, 1) };
        log.ensure_topics(&[spec]).await?;
        for number in 0..100 {
            // Each in a batch of its own.
            publish(&*log, &name, vec![large(number)]).await?;
        }
        let mut subscription = log.subscribe("slow", &[&name]).await?;
        let started = Instant::now();
        while log.topics().await?[0].partitions[0] != (99, 100) {
            ensure!(started.elapsed() < DEADLINE, "nothing expired: {:?}", log.topics().await?);
            tokio::task::yield_now().await;
        }
        let messages = take(&mut *subscription, StartAt::Offset(5), 1).await?;
        assert_eq!(messages[0].position.offset, 99, "expired records are skipped");
    }
    let log = fixture.open().await?;
    assert_eq!(log.topics().await?[0].partitions[0], (99, 100));
    assert_eq!(publish(&*log, &name, vec![large(100)]).await?[0].offset, 100);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_far_behind_reads_the_file_in_order() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 1).await?;
    let publisher = log.publisher()?;
    // Far more than the log keeps in memory.
    let mut receipts = Vec::new();
    for first in (0..2000).step_by(20) {
        receipts.push(publisher.send(&name, (first..first + 20).map(large).collect()).await?);
    }
    for receipt in receipts {
        receipt.durable().await?;
    }
    let mut subscription = log.subscribe("group", &[&name]).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, 2000).await?;
    let partition = &messages[0].position.topic_partition;
    let mut read = 3;
    loop {
        let page = log.read(partition, read, 5000).await?;
        let Some(last) = page.last() else { break };
        let offsets: Vec<_> = page.iter().map(|message| message.position.offset).collect();
        assert_eq!(offsets, (read..=last.position.offset).collect::<Vec<_>>());
        read = last.position.offset + 1;
    }
    assert_eq!(read, 2000);
    assert_eq!(log.read(partition, 0, 150).await?.len(), 150);
    let offsets: Vec<_> = messages.iter().map(|message| message.position.offset).collect();
    assert_eq!(offsets, (0..2000).collect::<Vec<_>>());
    assert!(messages.iter().enumerate().all(|(n, message)| text(&message.payload)[..6].parse() == Ok(n)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_wakes_when_something_is_published() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let log = fixture.open().await?;
    let name = topic(&fixture, &*log, 1).await?;
    let mut subscription = log.subscribe("group", &[&name]).await?;
    let partition = crate::steps::assigned(&mut *subscription, 1).await?.remove(0);
    subscription.start(&[(partition, StartAt::End)]).await?;
    // Without the wake-up the call would take ten minutes, longer than the deadline.
    let reading = tokio::spawn(async move { subscription.next(10, Duration::from_mins(10)).await });
    publish(&*log, &name, numbered(0..1)).await?;
    let Event::Messages(messages) = tokio::time::timeout(DEADLINE, reading).await??? else {
        anyhow::bail!("no messages");
    };
    assert_eq!(numbers(&messages), BTreeSet::from([0]));
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() -> anyhow::Result<()> {
    let fixture = Fixture::sqlite()?;
    let mut acknowledged: BTreeSet<usize> = BTreeSet::new();
    for round in 0..4_usize {
        let mut child = child::command("publish-until-killed")?
            .env("EVENT_LOG_URL", &fixture.url)
            .env("EVENT_LOG_FIRST", (round * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut lines = 0;
        for line in output.lines() {
            let Some(number) = line?.strip_prefix("durable ").and_then(|number| number.parse().ok()) else {
                continue;
            };
            acknowledged.insert(number);
            lines += 1;
            // While it publishes; lines that it prints before it ends are counted as well.
            if lines == 300 + 170 * round {
                child.kill()?;
            }
        }
        child.wait()?;
        ensure!(lines > 0, "round {round}: the child published nothing");
    }
    let log = fixture.open().await?;
    let topics = log.topics().await?;
    let stored: u64 = topics[0].partitions.iter().map(|(start, end)| end - start).sum();
    let names = [topics[0].name.as_str()];
    let mut subscription = log.subscribe("checker", &names).await?;
    let messages = take(&mut *subscription, StartAt::Beginning, stored as usize).await?;
    let found = numbers(&messages);
    assert_eq!(found.len(), messages.len(), "a record was stored twice");
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    Ok(())
}

/// The part of the child process: publishes batches and prints the durable numbers, until it is killed.
pub(crate) async fn publish_until_killed() -> anyhow::Result<()> {
    let first: usize = std::env::var("EVENT_LOG_FIRST")?.parse()?;
    let log = open(&std::env::var("EVENT_LOG_URL")?).await?;
    log.ensure_topics(&[spec("crash", 3)]).await?;
    let publisher = log.publisher()?;
    let started = Instant::now();
    let mut number = first;
    while started.elapsed() < DEADLINE {
        let numbers = number..number + 7;
        number += 7;
        let records = numbers.clone().map(|number| NewRecord {
            key: Some(Bytes::from((number % 11).to_string())),
            ..record("", &number.to_string())
        });
        publisher.send("crash", records.collect()).await?.durable().await?;
        let mut out = std::io::stdout().lock();
        for number in numbers {
            writeln!(out, "durable {number}")?;
        }
        out.flush()?;
    }
    anyhow::bail!("the process was not killed in time")
}
