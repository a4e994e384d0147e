//! `tapedeck config check` on the servers beside log and store: analytics store, mail server, Elasticsearch, feeds.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
};

use serde_json::{Value, json};
use service_runtime::LOG_DATA_STREAM;
use tokio::runtime::Runtime;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::{
    config_check::{about, check},
    process::{output, server, tapedeck},
};

/// The findings of a check in a folder of its own, and whether the exit code is 0. No secret is in them.
fn check_of(args: &[&str]) -> (Value, bool) {
    let folder = tempfile::tempdir().unwrap();
    let own = ["--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()];
    let (found, succeeded) = check(&[&own[..], args].concat());
    assert!(!found.to_string().contains("hush"), "{found}");
    (found, succeeded)
}

/// Asserts that one finding is wrong, and names each part.
fn wrong(args: &[&str], what: &str, parts: &[&str]) {
    let (found, succeeded) = check_of(args);
    let (verdict, text) = about(&found, what);
    assert!(!succeeded && verdict == "wrong", "{found}");
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Bound and released: no process listens there.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn an_analytics_store_is_checked_and_neither_created_nor_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("analytics.db");
    let url = format!("sqlite:{}", file.display());
    let (found, succeeded) = check_of(&["--analytics", &url]);
    assert!(succeeded && about(&found, "analytics").0 == "ok", "{found}");
    assert!(!file.exists());

    fs::write(&file, "not a database, and long enough to have the size of a header of one".repeat(4))
        .unwrap();
    wrong(&["--analytics", &url], "analytics", &["analytics.db", "ANALYTICS_URL"]);
    let away = nowhere();
    let url = format!("mysql://me:hush@{away}/x");
    wrong(&["--analytics", &url], "analytics", &[&away, "unavailable", "--analytics (ANALYTICS_URL)"]);
    wrong(
        &["--analytics", "redis://me:hush@host/x"],
        "analytics",
        &["no adapter for `redis:`", "ANALYTICS_URL"],
    );
    let args = ["--analytics", "mysql://me@host/x", "--analytics-password-file", "/no/such"];
    wrong(&args, "analytics", &["ANALYTICS_PASSWORD_FILE=/no/such"]);
}

#[test]
#[ignore = "needs a MySQL server, which MYSQL_URL names: `make test-servers`"]
fn an_analytics_server_reports_its_version_and_refuses_other_users() {
    let url = server("MYSQL_URL");
    let (found, _) = check_of(&["--analytics", &url]);
    assert!(about(&found, "analytics").1.contains("MySQL"), "{found}");
    let (_, place) = url.split_once('@').unwrap();
    let refused = format!("mysql://tapedeck:hush@{place}");
    wrong(&["--analytics", &refused], "analytics", &["Access denied", "ANALYTICS_PASSWORD"]);
}

/// A mail server that greets with `greeting`, offers nothing, and ends after one connection. Its address.
fn greets(greeting: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        write!(stream, "{greeting}\r\n").unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        for line in lines {
            let reply = if line.starts_with("QUIT") { "221 bye" } else { "250 mail.example.com" };
            if write!(stream, "{reply}\r\n").is_err() {
                break;
            }
        }
    });
    address
}

#[test]
fn a_mail_server_that_cannot_be_used_is_reported_with_its_setting() {
    let from = ["--mail-from", "me@example.com"];
    let of = |url: &str, parts: &[&str]| {
        let args = [&["--mail-url", url], &from[..]].concat();
        wrong(&args, "mail", &[parts, &["MAIL_URL"]].concat());
    };
    let away = nowhere();
    of(&format!("smtp://me:hush@{away}"), &[&away, "cannot be reached"]);
    of(&format!("smtp://{}", greets("220 mail.example.com")), &["offers no STARTTLS"]);
    of(&format!("smtp://{}?tls=none", greets("554 no service here")), &["554"]);
    of(&format!("smtp://me:hush@{}?tls=opportunistic", greets("220 mail")), &["does not accept the user"]);
    of("smtp://me@host", &["MAIL_PASSWORD"]);
    of("ftp://me:hush@host", &["ftp"]);
    let (found, succeeded) =
        check_of(&[&["--mail-url", &*format!("smtp://{}?tls=none", greets("220 mail"))], &from[..]].concat());
    assert!(succeeded && about(&found, "mail").1.contains("accepts connections"), "{found}");
}

#[test]
#[ignore = "needs a mail server with STARTTLS and a user (SMTPFAULT_TLS_URL): `make test-servers`"]
fn a_mail_server_that_refuses_the_password_is_reported_without_it() {
    let (url, from) = (server("SMTPFAULT_TLS_URL"), "me@example.com");
    let args = ["--mail-url", &url, "--mail-from", from, "--mail-password"];
    wrong(
        &[&args[..], &["hush"]].concat(),
        "mail",
        &["does not accept the user and password", "MAIL_PASSWORD"],
    );
    let (found, succeeded) = check_of(&[&args[..], &["not-a-secret"]].concat());
    assert!(succeeded && about(&found, "mail").0 == "ok", "{found}");
}

#[test]
fn a_folder_of_mails_that_cannot_be_written_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let url = format!("file:{}", file.display());
    wrong(&["--mail-url", &url], "mail", &["cannot be written", "MAIL_URL=file:DIR"]);

    // That of the data folder. The user root may write everywhere, so that a file takes its place.
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("outbox"), "").unwrap();
    fs::set_permissions(data.join("outbox"), fs::Permissions::from_mode(0o400)).unwrap();
    let (found, succeeded) = check(&["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    let (verdict, text) = about(&found, "mail");
    assert!(!succeeded && verdict == "wrong" && text.contains("MAIL_URL"), "{found}");
}

/// A server with these answers, by path.
fn serving(answers: Vec<(String, ResponseTemplate)>) -> (Runtime, MockServer) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        for (at, answer) in answers {
            Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&server).await;
        }
        server
    });
    (runtime, server)
}

fn with_json(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

#[test]
fn elasticsearch_is_checked_with_its_template_and_data_stream() {
    let root = || ("/".to_owned(), with_json(json!({ "version": { "number": "9.1.0" } })));
    let at_template = format!("/_index_template/{LOG_DATA_STREAM}");
    let template = |template: Value| {
        (at_template.clone(), with_json(json!({ "index_templates": [{ "index_template": template }] })))
    };
    let current = tracing_elastic::template(LOG_DATA_STREAM, 30);
    let stream = || (format!("/_data_stream/{LOG_DATA_STREAM}"), with_json(json!({})));
    let forbidden = || ResponseTemplate::new(403);
    for (answers, expected, parts) in [
        (vec![root(), template(current), stream()], "ok", ["9.1.0", "is there, its index template is there"]),
        (vec![root()], "warn", ["is created with the first log line", "logs setup"]),
        (vec![root(), template(json!({})), stream()], "warn", ["of another version", "logs setup"]),
        (
            vec![root(), (at_template.clone(), forbidden())],
            "warn",
            ["is not shown to this user", "manage_index_templates"],
        ),
    ] {
        let (_runtime, server) = serving(answers);
        let (found, succeeded) = check_of(&["--elasticsearch", &server.uri()]);
        let (verdict, text) = about(&found, "log lines");
        assert!(succeeded && verdict == expected, "{found}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
    }
    let (_runtime, other) = serving(vec![("/".to_owned(), ResponseTemplate::new(200).set_body_string("Hi"))]);
    wrong(
        &["--elasticsearch", &other.uri()],
        "log lines",
        &["not as Elasticsearch does", "ELASTICSEARCH_URL"],
    );
}

#[test]
fn an_elasticsearch_that_refuses_or_is_away_is_reported_without_the_secret() {
    let refusing =
        ResponseTemplate::new(401).set_body_json(json!({ "error": { "reason": "me:hush is wrong" } }));
    let (_runtime, server) = serving(vec![("/".to_owned(), refusing)]);
    let place = server.address().to_string();
    let refused = ["does not accept the user and password", &place, "ELASTICSEARCH_PASSWORD"];
    wrong(&["--elasticsearch", &format!("http://me:hush@{place}")], "log lines", &refused);
    let key = ["--elasticsearch", &server.uri(), "--elasticsearch-api-key", "hush"];
    wrong(&key, "log lines", &["the API key", "ELASTICSEARCH_API_KEY"]);
    let away = nowhere();
    let url = format!("http://me:hush@{away}");
    wrong(&["--elasticsearch", &url], "log lines", &[&away, "ELASTICSEARCH_URL"]);
    wrong(&["--elasticsearch", "ftp://me:hush@host"], "log lines", &["http", "ELASTICSEARCH_URL"]);
}

#[test]
#[ignore = "needs Elasticsearch (ELASTIC_URL)"]
fn a_real_elasticsearch_is_ok_once_it_is_set_up() {
    let url = server("ELASTIC_URL");
    assert!(output(&["logs", "setup", "--elasticsearch", &url]).status.success());
    let (found, succeeded) = check_of(&["--elasticsearch", &url]);
    let (verdict, text) = about(&found, "log lines");
    assert!(succeeded && verdict == "ok" && text.contains("its index template is there"), "{found}");
}

#[test]
fn each_feed_is_fetched_once_and_a_failing_one_is_named() {
    let item = "<item><title>A story</title><link>https://a.example/1</link></item>";
    let rss = format!("<rss version=\"2.0\"><channel><title>The Feed</title>{item}</channel></rss>");
    let page = ResponseTemplate::new(200).set_body_string("<!doctype html><html>Sign in</html>");
    let good = ResponseTemplate::new(200).set_body_string(rss);
    let (runtime, server) = serving(vec![("/good".to_owned(), good), ("/page".to_owned(), page)]);
    let at = |path: &str| format!("{}{path}", server.uri());
    let place = server.address().to_string();
    let paced = ["--news-allow-private", "--news-host-interval-ms", "0", "--news-feeds"];
    let (found, succeeded) = check_of(&[&paced[..], &[&*at("/good")]].concat());
    assert!(succeeded && about(&found, "news feeds").1.contains("1 of 1 respond"), "{found}");

    let feeds = [at("/good"), at("/page?key=hush"), at("/none")].join(",");
    let (found, succeeded) = check_of(&[&paced[..], &[&*feeds]].concat());
    assert!(!succeeded, "{found}");
    let text = found.to_string();
    for part in ["1 of 3 respond", "/page: the response is a web page", "/none answered 404", "NEWS_FEEDS"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let requests = runtime.block_on(server.received_requests()).unwrap();
    assert_eq!(requests.iter().filter(|request| request.url.path() == "/page").count(), 1);

    let private = ["--news-feeds", &at("/good")];
    wrong(&private, "news feeds", &[&place, "private network", "NEWS_ALLOW_PRIVATE"]);
    wrong(&["--news-schedule", "eight"], "digest", &["eight", "NEWS_SCHEDULE"]);
}

#[test]
fn a_refused_address_of_a_feed_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tapedeck();
    command.args(["config", "check", "--provider", "simulated", "--listen", "127.0.0.1:0"]);
    let variables = [("NEWS_FEEDS", "ftp://host/feed?key=hush"), ("DATA", folder.path().to_str().unwrap())];
    let done = command.envs(variables).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("--news-feeds (NEWS_FEEDS)") && text.contains("no address of a feed"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}
