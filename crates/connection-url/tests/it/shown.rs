//! No message shows a password, however malformed its URL is.

use connection_url::without_credentials;

#[test]
fn a_place_is_shown_without_user_password_and_settings() {
    for (url, shown) in [
        ("sqlite:data/store.db?max_mb=1", "sqlite:data/store.db"),
        ("sqlite:///data/log.db", "sqlite:///data/log.db"),
        ("kafka+tls://me:secret@one:9093,two:9093?ca=/ca.pem", "kafka+tls://one:9093,two:9093"),
        ("mongodb://me:secret@host/x?w=secret", "mongodb://host/x"),
        ("mongodb://me:sec@secret@host/x", "mongodb://host/x"),
    ] {
        assert_eq!(without_credentials(url), shown);
    }
}

#[test]
fn of_a_malformed_url_everything_that_may_be_a_password_is_left_out() {
    for (url, shown) in [
        ("kafka://host:9092?sasl.password=a@secret&x=1", "kafka://..."),
        ("mongodb://me:secret?secret@host/x", "mongodb://..."),
        ("mongodb://me:secret#secret@host/x", "mongodb://..."),
        ("mongodb://me:sec/ret@host/x", "mongodb://host/x"),
        ("kafka:me:secret@host", "host"),
        ("secret:x@host", "host"),
        ("host?password=secret://x", "host"),
        ("host?password=secret:1", "host"),
        ("secret@host\n", "host\\n"),
    ] {
        assert_eq!(without_credentials(url), shown, "{url}");
    }
}
