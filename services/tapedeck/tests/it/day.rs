//! A day on the embedded default (`tests/day`): a person registers, a move is mailed, the night is computed, and the digest has all of
//! it. The process is killed at random moments of it; the result is the same.

use std::{path::Path, time::Duration};

use day::{
    Browser, DIGEST, HOUSE, MOVE, PERSON, Recordings, TICKS, feed, later_hour, mail_problems, row_problems,
    to_address, with_subject,
};
use rand::RngExt;

use crate::process::{Running, output, stderr, wait_until};

/// The mails to an address in the outbox.
fn mails(outbox: &Path, to: &str) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(outbox) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let mails = paths.filter(|path| path.extension().is_some_and(|end| end == "eml"));
    to_address(mails.map(|path| std::fs::read_to_string(path).unwrap()), to)
}

/// Registers, confirms by the mail, and switches the digest on.
async fn register(running: &Running, outbox: &Path) {
    let mut browser = Browser::new(&running.url).unwrap();
    browser.register().await.unwrap();
    wait_until("the mail to confirm is in the outbox", || !mails(outbox, PERSON).is_empty());
    browser.confirm(&mails(outbox, PERSON)[0]).await.unwrap();
}

fn tapedeck(args: &[&str], data: &str) -> String {
    let done = output(&[args, &["--data", data]].concat());
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &stderr(&done);
    assert!(done.status.success(), "{args:?}: {text}");
    text
}

/// Kills the process after up to a second and starts it again, several times; then the day goes on.
fn killed_at_random(data: &Path, args: &[&str]) -> Running {
    for _ in 0..3 {
        let running = Running::start(data, args);
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..1_000)));
        running.kill_9();
    }
    Running::start(data, args)
}

#[test]
fn a_day_from_registering_to_the_digest_is_right_also_when_the_process_is_killed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (outbox, path) = (data.join("outbox"), data.to_str().unwrap());
    let Recordings { before, sessions, rows } = Recordings::write(folder.path()).unwrap();
    tapedeck(&["replay", before.to_str().unwrap()], path);

    // A person registers while the pages show the days before.
    let schedule = format!("0 {} * * *", later_hour());
    let house = ["--alert-recipients", HOUSE, "--news-schedule", &schedule];
    let running = Running::start(&data, &[&["--provider", "replay"], &house[..]].concat());
    runtime.block_on(register(&running, &outbox));
    running.kill_9();

    // The sessions are played: the move is mailed once to the person and once to the house.
    let play = ["--provider", "replay", "--replay-file", sessions.to_str().unwrap(), "--replay-speed", "max"];
    let running = killed_at_random(&data, &[&play[..], &house].concat());
    for to in [PERSON, HOUSE] {
        wait_until(to, || with_subject(&mails(&outbox, to), MOVE) > 0);
    }
    let list = || tapedeck(&["alerts", "list"], path);
    wait_until("every delivery is recorded", || list().matches(" sent ").count() == 2);

    // The night.
    wait_until("all ticks are stored", || {
        let ticks = running.get("/v1/ticks?symbol=BTC-USDT&limit=1000");
        ticks["ticks"].as_array().is_some_and(|ticks| ticks.len() == TICKS)
    });
    tapedeck(&["batch", "run"], path);
    let found = running.get("/v1/aggregates?symbol=BTC-USDT&limit=2");
    assert_eq!(row_problems(&found, &rows), [""; 0]);

    // The news and the digest.
    let feed = feed().unwrap();
    let gathered = tapedeck(&["news", "run", "--news-feeds", &feed, "--news-allow-private"], path);
    assert!(running.get("/v1/news?symbol=BTC-USDT").to_string().contains(day::HEADLINE), "{gathered}");
    for to in [PERSON, HOUSE] {
        let digest = ["news", "digest", "--user", to, "--alert-recipients", HOUSE];
        tapedeck(&digest, path);
        tapedeck(&digest, path);
        wait_until("the digest is in the outbox", || with_subject(&mails(&outbox, to), DIGEST) > 0);
    }
    assert!(running.interrupt().success());
    for (to, registrations) in [(PERSON, 1), (HOUSE, 0)] {
        assert_eq!(mail_problems(to, &mails(&outbox, to), registrations), [""; 0]);
    }
}
