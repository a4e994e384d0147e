//! Passwords that are given beside their URL.

use std::fs;

use connection_url::{Password, lacks_password};
use secrecy::{ExposeSecret, SecretString};

/// With the lifetime of a test, which is that of the process.
fn given(password: &str) -> Password<'static> {
    let password = Box::leak(Box::new(SecretString::from(password)));
    Password { password: Some(password), file: None, prefix: "LOG" }
}

fn in_file(file: &str) -> Password<'_> {
    Password { password: None, file: Some(file), prefix: "LOG" }
}

fn filled(password: Password<'_>, url: &str) -> String {
    password.fill(&url.into()).unwrap().expose_secret().to_owned()
}

fn refused(password: Password<'_>, url: &str) -> String {
    format!("{:#}", anyhow::Error::from(password.fill(&url.into()).unwrap_err()))
}

#[test]
fn a_password_goes_into_the_url_whatever_is_in_it() {
    let url = "kafka+tls://me@one:9093,two:9093?sasl=scram-sha-512&ca=/ca@home.pem";
    assert_eq!(
        filled(given("p@s:/?# w%ö"), url),
        "kafka+tls://me:p%40s%3A%2F%3F%23%20w%25%C3%B6@one:9093,two:9093?sasl=scram-sha-512&ca=/ca@home.pem"
    );
    assert_eq!(filled(given("word"), "kafka://me:@host:9092"), "kafka://me:word@host:9092");
    assert_eq!(
        filled(Password { prefix: "STORE", ..given("word") }, "mongodb://me@one/prices?replicaSet=a"),
        "mongodb://me:word@one/prices?replicaSet=a"
    );
}

#[test]
fn a_password_file_counts_without_its_last_line_end_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let path = file.to_str().unwrap();
    for (content, password) in [("word\n", "word"), ("word\r\n", "word"), (" word \n\n", "%20word%20%0A")] {
        fs::write(&file, content).unwrap();
        assert_eq!(filled(in_file(path), "kafka://me@host:9092"), format!("kafka://me:{password}@host:9092"));
    }
}

#[test]
fn a_password_file_that_is_none_is_named_with_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let url = "kafka://me@host:9092";
    for (file, reason) in [
        (folder.path().join("absent").to_str().unwrap().to_owned(), "cannot open"),
        (folder.path().to_str().unwrap().to_owned(), "cannot read"),
        (write("empty", b""), "is empty"),
        (write("line", b"\n"), "is empty"),
        (write("binary", b"\xff\xfe"), "cannot read"),
        (write("large", &[b'a'; 5_000]), "more than 4096"),
    ] {
        let message = refused(in_file(&file), url);
        assert!(
            message.contains(&format!("LOG_PASSWORD_FILE={file}")) && message.contains(reason),
            "{message}"
        );
    }
}

#[test]
fn passwords_that_do_not_fit_are_refused_and_never_shown() {
    let message = refused(given("secret"), "kafka://host:9092");
    assert!(message.contains("LOG_URL names no user") && message.contains("LOG_PASSWORD"), "{message}");
    let message = refused(given("secret"), "kafka://me:secret@host:9092");
    assert!(message.contains("LOG_URL has a password") && !message.contains("secret"), "{message}");
    let both = Password { file: Some("/secret"), ..given("secret") };
    assert!(refused(both, "kafka://me@host:9092").contains("both set"));
    assert!(!format!("{:?}", given("secret")).contains("secret"));
}

#[test]
fn without_a_password_a_url_stays_as_it_is() {
    for url in ["sqlite:data/log.db", "sqlite:///data/log.db", "kafka://host:9092", "kafka://me:word@host"] {
        assert_eq!(filled(Password { password: None, file: None, prefix: "LOG" }, url), url);
    }
    // Set and empty, as a compose file passes on what is not set.
    let empty = Password { file: Some(""), ..given("") };
    assert_eq!(filled(empty, "kafka://host:9092"), "kafka://host:9092");
    // The embedded log has no users; the environment may be meant for another.
    assert_eq!(filled(given("word"), "sqlite:data/log.db"), "sqlite:data/log.db");
}

#[test]
fn a_url_that_lacks_a_password_is_distinguished_from_one_that_needs_none() {
    for url in ["mongodb://me@host/x", "mongodb://me:@host", "mongodb+srv://me@host/x?w=1"] {
        assert!(lacks_password(&url.into()), "{url}");
    }
    for url in
        ["mongodb://host/x?appName=a@b", "mongodb://me:word@host", "mongodb://@host", "sqlite://me@x", "data"]
    {
        assert!(!lacks_password(&url.into()), "{url}");
    }
}
