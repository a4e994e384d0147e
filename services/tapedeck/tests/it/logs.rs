//! Log lines in Elasticsearch, and what must never be in them.

use std::{
    net::TcpListener,
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use service_runtime::LOG_DATA_STREAM;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::{
    batch::recording,
    kibana,
    process::{Running, output, output_in_time_with, server, stderr, tapedeck, wait_until},
};

/// Parts of all secrets of these tests, as they are and in percent-encoding.
const SECRETS: [&str; 2] = ["hush-7f3a", "hush%2D7f3a"];

/// What a query finds in the data stream, the newest first.
fn search(elastic: &str, query: &str) -> Vec<Value> {
    let body = json!({ "size": 1_000, "sort": [{ "@timestamp": "desc" }], "query": { "query_string": { "query": query } } });
    let ask = |path: &str, body: &Value| {
        let url = format!("{elastic}/{LOG_DATA_STREAM}/{path}");
        let done = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "30",
                &url,
                "-H",
                "content-type: application/json",
                "--data",
                &body.to_string(),
            ])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&done.stdout).unwrap_or_default()
    };
    ask("_refresh", &json!({}));
    let found = ask("_search", &body);
    let hits = found["hits"]["hits"].as_array().cloned().unwrap_or_default();
    hits.iter().map(|hit| hit["_source"].clone()).collect()
}

fn has_field(document: &Value, field: &str) -> bool {
    match field.strip_prefix("labels.") {
        Some(label) => document["labels"][label].is_string(),
        None => !document[field].is_null(),
    }
}

/// A night that fails for one symbol: an error with a symbol.
fn failing_night(elastic: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let file = recording(folder.path());
    assert!(output(&["replay", file.to_str().unwrap(), "--data", data]).status.success());
    assert!(output(&["batch", "run", "--date", "2021-01-29", "--data", data]).status.success());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{data}/analytics.db");
        let mut database = SqliteConnection::connect(&url).await.unwrap();
        let refuses = "CREATE TRIGGER refuses BEFORE INSERT ON daily_aggregates BEGIN SELECT RAISE(ABORT, 'as the test wants'); END";
        sqlx::query(refuses).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    });
    output(&["batch", "run", "--data", data, "--elasticsearch", elastic])
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_server_gets_the_log_lines_of_all_services_with_every_field_of_kibana() {
    let elastic = server("ELASTIC_URL");
    let setup = ["logs", "setup", "--elasticsearch", &elastic];
    assert!(output(&setup).status.success());
    let again = output(&setup);
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to change"), "{}", stderr(&again));

    let folder = TempDir::new().unwrap();
    let running = Running::start(
        folder.path(),
        &["--provider", "simulated", "--watchlist", "AAPL", "--elasticsearch", &elastic],
    );
    let pid = running.pid();
    let of_run =
        |query: &str| search(&elastic, &format!("process.pid:{pid} AND @timestamp:>now-10m AND ({query})"));
    for service in ["producer", "consumer", "web", "batch"] {
        wait_until(service, || !of_run(&format!("service.name:{service}")).is_empty());
    }
    let logs = || {
        let parts = running.get("/readyz");
        let part = parts.as_array()?.iter().find(|part| part["name"] == "logs")?.clone();
        (part["state"] == "up").then_some(())
    };
    wait_until("the part logs is up", || logs().is_some());
    assert!(running.interrupt().success());
    wait_until("what is logged at the end is found", || !of_run("message:stopping").is_empty());

    let errors = || search(&elastic, "@timestamp:>now-10m AND level:ERROR AND labels.symbol:AAPL");
    let is_expected = |error: &Value| {
        error["error.message"].as_str().is_some_and(|text| text.contains("as the test wants"))
    };
    // The end of a process waits for a few seconds for a server that is busy; what it gave up then it reports on stderr.
    wait_until("the error of a night is found", || {
        let night = failing_night(&elastic);
        assert!(!night.status.success());
        let has_given_up = stderr(&night).contains("have not reached Elasticsearch");
        if !has_given_up {
            wait_until("the error of this night is found", || errors().iter().any(is_expected));
        }
        !has_given_up
    });
    let (all, errors) = (search(&elastic, "@timestamp:>now-10m"), errors());
    for field in kibana::fields() {
        assert!(
            all.iter().chain(&errors).any(|document| has_field(document, &field)),
            "{field} is in no document"
        );
    }
}

#[test]
fn services_start_and_run_while_elasticsearch_is_away_or_silent_and_report_it() {
    // Accepts connections, and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), away] {
        let folder = TempDir::new().unwrap();
        let url = format!("http://{address}");
        let market = ["--provider", "simulated", "--watchlist", "AAPL", "--elasticsearch", &url];
        // Waits until it is ready.
        let running = Running::start(folder.path(), &market);
        let logs = || {
            let parts = running.get("/readyz");
            parts.as_array().unwrap().iter().find(|part| part["name"] == "logs").cloned().unwrap_or_default()
        };
        if address == away {
            wait_until("the part logs is down", || logs()["state"] == "down");
            let detail = logs()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(&url) && detail.contains("ELASTICSEARCH_URL"), "{detail}");
        }
        let metrics = || crate::process::get(&format!("{}/metrics", running.url)).unwrap();
        wait_until("lines are counted", || {
            metrics()
                .lines()
                .any(|line| line.starts_with("tapedeck_logs_accepted_total") && !line.ends_with(" 0"))
        });
        let begun = Instant::now();
        assert!(running.interrupt().success());
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
        let left = std::fs::read_to_string(folder.path().join("undelivered-logs.jsonl")).unwrap();
        assert!(left.lines().count() > 5 && left.contains("not sent before the end of the process"));
    }
}

#[test]
fn settings_of_elasticsearch_that_cannot_work_are_refused_with_their_name() {
    let refused = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = tapedeck();
        command.args(["logs", "setup"]).args(args).envs(variables.iter().copied());
        let done = command.output().unwrap();
        assert!(!done.status.success(), "{args:?}");
        let error = stderr(&done);
        assert!(!SECRETS.iter().any(|secret| error.contains(secret)), "{error}");
        error
    };
    let error = refused(&[], &[]);
    assert!(error.contains("ELASTICSEARCH_URL") && error.contains("http://localhost:9200"), "{error}");
    let error = refused(&["--elasticsearch", "ftp://me:hush-7f3a@host"], &[]);
    assert!(error.contains("ELASTICSEARCH_URL") && error.contains("http"), "{error}");
    let error = refused(&["--elasticsearch", "http://host"], &[("ELASTICSEARCH_PASSWORD", "hush-7f3a")]);
    assert!(error.contains("names no user") && error.contains("ELASTICSEARCH_PASSWORD"), "{error}");
    let error =
        refused(&["--elasticsearch", "http://me@host"], &[("ELASTICSEARCH_PASSWORD_FILE", "/no/such")]);
    assert!(error.contains("ELASTICSEARCH_PASSWORD_FILE=/no/such"), "{error}");
    let error = refused(&["--elasticsearch", "http://me:x@host"], &[("ELASTICSEARCH_API_KEY", "hush-7f3a")]);
    assert!(error.contains("keep one of them"), "{error}");
    let error = refused(&["--elasticsearch", "http://host"], &[("ELASTICSEARCH_API_KEY", "hush-7f3a\nx")]);
    assert!(error.contains("API key"), "{error}");
}

/// Command lines that fail, or end, with a secret in each setting that takes one, and in places where it does not belong.
fn secretive() -> Vec<Vec<String>> {
    let secret = "hush-7f3a";
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = [
        format!("topics --log kafka://me:{secret}@{nowhere}?socket.timeout.ms=1000"),
        format!("topics --log kafka://me@{nowhere} --log-password {secret}"),
        format!("topics --log amqp://me:{secret}@{nowhere}"),
        format!("migrate --store mongodb://me:{secret}@{nowhere}/x?serverSelectionTimeoutMS=500"),
        format!(
            "migrate --store mongodb://me@{nowhere}/x?serverSelectionTimeoutMS=500 --store-password {secret}"
        ),
        format!("migrate --store mongodb://me:{secret}"),
        format!("migrate --store mysql://me:{secret}@{nowhere}/x"),
        format!("batch status --data /nowhere --analytics mysql://me:{secret}@{nowhere}/x"),
        format!("batch status --data /nowhere --analytics redis://me:{secret}@{nowhere}/x"),
        format!("logs setup --elasticsearch http://me:{secret}@{nowhere}"),
        format!("logs setup --elasticsearch http://me@{nowhere} --elasticsearch-password {secret}"),
        format!("logs setup --elasticsearch http://{nowhere} --elasticsearch-api-key {secret}"),
        format!(
            "run --listen 127.0.0.1:0 --data /proc/none --provider simulated --elasticsearch http://me:{secret}@{nowhere}"
        ),
        format!(
            "run --listen 127.0.0.1:0 --data /proc/none --provider simulated --store mongodb://me:{secret}@{nowhere}/x"
        ),
        format!("config check --provider simulated --analytics mysql://me:{secret}@{nowhere}/x"),
        format!(
            "config check --provider simulated --mail-url smtp://me:{secret}@{nowhere}?tls=opportunistic"
        ),
        format!(
            "config check --provider simulated --news-feeds http://me:{secret}@{nowhere}/feed?key={secret}"
        ),
        format!(
            "config check --provider simulated --elasticsearch http://{nowhere} --elasticsearch-api-key {secret}"
        ),
        format!(
            "config check --provider simulated --log kafka://me:{secret}@{nowhere}?socket.timeout.ms=1000"
        ),
        format!(
            "config check --provider simulated --store mongodb://me:{secret}@{nowhere}/x?serverSelectionTimeoutMS=500"
        ),
    ];
    lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

#[test]
fn no_secret_of_any_setting_is_on_stderr_or_stdout_or_in_documents() {
    let folder = TempDir::new().unwrap();
    // What Elasticsearch would get: the documents that are left at the end of each process.
    let documents = folder.path().join("documents.jsonl");
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let elastic = format!("http://me:{}@{nowhere}", SECRETS[0]);
    let variables = [
        ("RUST_LOG", "trace"),
        ("ELASTICSEARCH_URL", &*elastic),
        ("ELASTICSEARCH_DEAD_LETTERS", documents.to_str().unwrap()),
    ];
    let check = |what: &str, text: &str| {
        for secret in SECRETS {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{what}: {}", line.unwrap_or_default());
        }
    };
    for line in secretive() {
        let args: Vec<&str> = line.iter().map(String::as_str).collect();
        let done = output_in_time_with(&args, &variables);
        let text = stderr(&done) + &String::from_utf8_lossy(&done.stdout);
        assert!(!text.is_empty(), "{line:?} prints nothing");
        check(&format!("{line:?}"), &text);
    }
    let text = std::fs::read_to_string(&documents).unwrap();
    assert!(text.contains("\"document\":"), "no process has left a document");
    check("documents", &text);
}
