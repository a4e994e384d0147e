//! A day on the embedded default: a person registers, a move is mailed, the night is computed, and the digest has all of it. The
//! process is killed at random moments of it; the result is the same.
//!
//! The closes are those that AAPL had up to 2022-05-05, with SMA 20 and RSI 14 of TA-Lib. They are played as days of a pair, which
//! trades on every day, so that the test does not depend on the weekday.

use std::{
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use market::{AssetClass, newest_complete_day};
use rand::RngExt;
use reqwest::{header, redirect::Policy};
use serde_json::{Value, json};

use crate::process::{Running, output, stderr, wait_until};

const PERSON: &str = "jane@example.com";
const HOUSE: &str = "house@example.com";
const PASSWORD: &str = "a long and quiet river";
/// The day of the move.
const LAST: &str = "2022-05-05";
/// Open, high, low, close of the last two sessions.
const SESSIONS: [[f64; 4]; 2] = [
    [159.669_998, 166.479_996, 159.259_995, 166.020_004],
    [163.850_006, 164.080_002, 154.949_997, 156.770_004],
];
/// Days that are played: 250 closes are what RSI is computed from.
const DAYS: usize = 260;
const HEADLINE: &str = "Bitcoin falls with shares as rates rise";

/// A row of the reference.
struct Reference {
    close: f64,
    sma: f64,
    rsi: f64,
}

fn reference() -> Vec<Reference> {
    let text = include_str!("../../../../crates/indicators/tests/fixtures/AAPL.csv");
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let until: Vec<_> = rows.take_while(|cells| cells[0] <= LAST).collect();
    let number = |cell: &str| cell.parse().unwrap_or(f64::NAN);
    let row = |cells: &Vec<&str>| Reference {
        close: number(cells[3]),
        sma: number(cells[4]),
        rsi: number(cells[6]),
    };
    until[until.len() - DAYS..].iter().map(row).collect()
}

/// Lines of a recording.
#[derive(Default)]
struct Recording {
    lines: Vec<String>,
}

impl Recording {
    fn tick(&mut self, date: NaiveDate, time: &str, seq: usize, price: f64, [open, high, low]: [f64; 3]) {
        let time = date.and_time(time.parse::<NaiveTime>().unwrap()).and_utc();
        let tick = json!({
            "symbol": "BTC/USDT", "timestamp": time, "price": price, "volume": seq, "open": open, "high": high, "low": low,
            "change_percent": (price / open - 1.0) * 100.0, "source": "binance", "received_at": time, "seq": seq,
        });
        self.lines.push(tick.to_string());
    }

    fn write(&self, file: PathBuf) -> String {
        std::fs::write(&file, self.lines.join("\n") + "\n").unwrap();
        file.to_str().unwrap().to_owned()
    }
}

/// The recordings: the days before, and the last two sessions, of which the last ends with the newest complete day.
fn recordings(folder: &Path, rows: &[Reference], last: NaiveDate) -> (String, String) {
    let (mut before, mut sessions) = (Recording::default(), Recording::default());
    for (row, place) in rows.iter().zip(0..) {
        let date = last - Days::new((DAYS - 1 - place) as u64);
        let seq = 10 * place + 1;
        match place.checked_sub(DAYS - SESSIONS.len()) {
            None => before.tick(date, "12:00:00", seq, row.close, [row.close; 3]),
            Some(session) => {
                let [open, high, low, close] = SESSIONS[session];
                sessions.tick(date, "12:00:00", seq, open, [open, open, open]);
                sessions.tick(date, "18:00:00", seq + 1, high, [open, high, open]);
                // A minute before midnight, so that a digest of the same day has it at any hour.
                sessions.tick(date, "23:59:00", seq + 2, low, [open, high, low]);
                sessions.tick(date, "23:59:30", seq + 3, close, [open, high, low]);
            }
        }
    }
    (before.write(folder.join("before.jsonl")), sessions.write(folder.join("sessions.jsonl")))
}

/// A feed of one story, until the test ends.
fn feed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/feed.xml", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4_096];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let date = Utc::now().to_rfc2822();
            let body = format!(
                "<rss version=\"2.0\"><channel><title>Local Wire</title><item><title>{HEADLINE}</title>\
                 <link>https://news.example.com/bitcoin-falls</link><pubDate>{date}</pubDate></item></channel></rss>"
            );
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    url
}

/// The mails to an address, with unfolded headers and lines.
fn mails(outbox: &Path, to: &str) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(outbox) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    let mails = paths.filter(|path| path.extension().is_some_and(|end| end == "eml"));
    let texts = mails.map(|path| std::fs::read_to_string(path).unwrap());
    let unfolded = texts.map(|text| text.replace("=\r\n", "").replace("\r\n ", " "));
    unfolded.filter(|text| text.lines().any(|line| line.starts_with("To:") && line.contains(to))).collect()
}

fn with_subject(mails: &[String], part: &str) -> usize {
    mails
        .iter()
        .filter(|mail| mail.lines().any(|line| line.starts_with("Subject:") && line.contains(part)))
        .count()
}

/// Cookies by their name.
type Cookies = std::collections::BTreeMap<String, String>;

fn keep(cookies: &mut Cookies, response: &reqwest::Response) {
    for set in response.headers().get_all(header::SET_COOKIE) {
        let (pair, _) = set.to_str().unwrap().split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        cookies.insert(name.to_owned(), value.to_owned());
    }
}

fn held(cookies: &Cookies) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// Registers, confirms by the mail, and switches the digest on.
async fn register(running: &Running, outbox: &Path) {
    let http = service_runtime::http_client().redirect(Policy::none()).build().unwrap();
    let mut cookies = Cookies::new();
    let mut send = async |page: &str, path: &str, fields: &[(&str, &str)]| {
        let url = |path: &str| format!("{}{path}", running.url);
        let shown = http.get(url(page)).header(header::COOKIE, held(&cookies)).send().await.unwrap();
        keep(&mut cookies, &shown);
        let text = shown.text().await.unwrap();
        let (_, rest) = text.split_once("name=\"form_token\" value=\"").expect("a form");
        let token = rest.split('"').next().unwrap();
        let fields: Vec<_> = fields.iter().copied().chain([("form_token", token)]).collect();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let request =
            http.post(url(path)).header(header::COOKIE, held(&cookies)).header(header::ORIGIN, &running.url);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let response = request.send().await.unwrap();
        keep(&mut cookies, &response);
        assert!(response.status().as_u16() < 400, "{path}: {}", response.status());
    };
    let fields = [("email", PERSON), ("password", PASSWORD), ("symbols", "BTC/USDT"), ("threshold", "5")];
    send("/register", "/register", &fields).await;
    wait_until("the mail to confirm is in the outbox", || !mails(outbox, PERSON).is_empty());
    let mail = mails(outbox, PERSON).remove(0).replace("=3D", "=");
    let token = mail.split_once("token=").expect("a link").1;
    let token: String =
        token.chars().take_while(|sign| sign.is_ascii_alphanumeric() || "-_.".contains(*sign)).collect();
    send(&format!("/confirm?token={token}"), "/confirm", &[("token", &token), ("password", PASSWORD)]).await;
    send("/account", "/account/digest", &[("digest", "on"), ("hour", "8"), ("time_zone", "UTC")]).await;
}

fn tapedeck(args: &[&str], data: &str) -> String {
    let done = output(&[args, &["--data", data]].concat());
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &stderr(&done);
    assert!(done.status.success(), "{args:?}: {text}");
    text
}

fn near(found: &Value, expected: f64, tolerance: f64) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() < tolerance, "{found} and not {expected}");
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
    let last = newest_complete_day(AssetClass::Crypto, Utc::now());
    // In the first minutes of a day the digest of yesterday would be that of the day before.
    let complete: DateTime<Utc> =
        (last + Days::new(2)).and_time(NaiveTime::MIN).and_utc() + TimeDelta::minutes(10);
    if Utc::now() >= complete - TimeDelta::minutes(12) {
        std::thread::sleep((complete - Utc::now()).to_std().unwrap_or_default());
    }
    let last = newest_complete_day(AssetClass::Crypto, Utc::now());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (outbox, path) = (data.join("outbox"), data.to_str().unwrap());
    let rows = reference();
    let (before, sessions) = recordings(folder.path(), &rows, last);
    tapedeck(&["replay", &before], path);

    // A person registers while the pages show the days before.
    let running = Running::start(&data, &["--provider", "replay", "--alert-recipients", HOUSE]);
    runtime.block_on(register(&running, &outbox));
    running.kill_9();

    // The sessions are played: the move is mailed once to the person and once to the house.
    let play = ["--provider", "replay", "--replay-file", &sessions, "--replay-speed", "max"];
    let running = killed_at_random(&data, &[&play[..], &["--alert-recipients", HOUSE]].concat());
    for to in [PERSON, HOUSE] {
        wait_until(to, || with_subject(&mails(&outbox, to), "below its open") > 0);
    }
    let list = || tapedeck(&["alerts", "list"], path);
    wait_until("every delivery is recorded", || list().matches(" sent ").count() == 2);

    // The night.
    wait_until("all ticks are stored", || {
        let ticks = running.get("/v1/ticks?symbol=BTC-USDT&limit=1000");
        ticks["ticks"].as_array().is_some_and(|ticks| ticks.len() == DAYS + 3 * SESSIONS.len())
    });
    tapedeck(&["batch", "run"], path);
    let found = running.get("/v1/aggregates?symbol=BTC-USDT&limit=2");
    let found = found["aggregates"].as_array().unwrap_or_else(|| panic!("{found}")).clone();
    assert_eq!(found.len(), 2, "{found:?}");
    for (row, expected) in found.iter().zip(&rows[DAYS - 2..]) {
        assert_eq!(row["close_price"].as_f64(), Some(expected.close), "{row}");
        near(&row["sma_20"], expected.sma, 1e-6);
        near(&row["rsi_14"], expected.rsi, 1e-4);
    }

    // The news and the digest.
    let feed = feed();
    let gathered = tapedeck(&["news", "run", "--news-feeds", &feed, "--news-allow-private"], path);
    assert!(running.get("/v1/news?symbol=BTC-USDT").to_string().contains(HEADLINE), "{gathered}");
    for to in [PERSON, HOUSE] {
        let digest = ["news", "digest", "--user", to, "--alert-recipients", HOUSE];
        tapedeck(&digest, path);
        tapedeck(&digest, path);
        wait_until("the digest is in the outbox", || with_subject(&mails(&outbox, to), "digest") > 0);
    }
    assert!(running.interrupt().success());
    for (to, others) in [(PERSON, 1), (HOUSE, 0)] {
        let mails = mails(&outbox, to);
        let counts = [with_subject(&mails, "below its open"), with_subject(&mails, "digest")];
        assert_eq!((counts, mails.len()), ([1, 1], 2 + others), "{to}: {mails:#?}");
        let digest = mails.iter().find(|mail| mail.contains("Subject: Morning digest")).unwrap();
        for part in [HEADLINE, "BTC/USDT", "-4.32", "below its open"] {
            assert!(digest.contains(part), "{part} is not in the digest to {to}:\n{digest}");
        }
    }
}
