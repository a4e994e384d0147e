//! Which settings are accepted, and the errors of those that are refused.

use mailer::{MailSettings, Mailer};
use rstest::rstest;

use crate::samples::to_url;

fn of(pairs: &[(&str, &str)]) -> MailSettings {
    let mut settings = MailSettings::default();
    for (name, value) in pairs {
        let value = (*value).to_owned();
        match *name {
            "MAIL_URL" => settings.mail_url = Some(value.into()),
            "MAIL_PASSWORD" => settings.mail_password = Some(value.into()),
            "MAIL_FROM" => settings.mail_from = Some(value),
            "SMTP_SERVER" => settings.smtp_server = Some(value),
            "SMTP_PORT" => settings.smtp_port = Some(value),
            "EMAIL_SENDER" => settings.email_sender = Some(value),
            "EMAIL_PASSWORD" => settings.email_password = Some(value.into()),
            other => panic!("{other}"),
        }
    }
    settings
}

#[rstest]
#[case::user_of_the_url(&[("MAIL_URL", "smtp://me@example.com:se%2Fcret@mail.example.com")], "mail.example.com:587")]
#[case::first_byte(&[("MAIL_URL", "smtps://mail.example.com"), ("MAIL_FROM", "me@example.com")], "mail.example.com:465")]
#[case::without_tls(&[("MAIL_URL", "smtp://mailpit:1025?tls=none"), ("EMAIL_SENDER", "Me <me@example.com>")], "mailpit:1025")]
#[case::password_beside(&[("MAIL_URL", "smtp://me%40example.com@mail.example.com"), ("MAIL_PASSWORD", "a/b?c#d@e")], "mail.example.com:587")]
#[case::older(&[("SMTP_SERVER", "smtp.gmail.com"), ("SMTP_PORT", "587"), ("EMAIL_SENDER", "me@gmail.com"), ("EMAIL_PASSWORD", "app pass")], "smtp.gmail.com:587")]
#[case::both_agree(&[("MAIL_URL", "smtp://mail.example.com"), ("SMTP_SERVER", "Mail.example.com"), ("SMTP_PORT", "587"), ("EMAIL_SENDER", "me@example.com")], "mail.example.com:587")]
#[case::unset_variables_of_compose(&[("MAIL_URL", "smtp://mailpit:1025?tls=none"), ("SMTP_SERVER", ""), ("SMTP_PORT", ""), ("EMAIL_PASSWORD", ""), ("MAIL_FROM", "me@example.com")], "mailpit:1025")]
#[case::password_on_this_host(&[("MAIL_URL", "smtp://me:secret@127.0.0.1:1026?tls=none"), ("MAIL_FROM", "me@example.com")], "127.0.0.1:1026")]
#[case::address_of_version_6(&[("MAIL_URL", "smtp://[::1]:25?tls=opportunistic"), ("MAIL_FROM", "me@example.com")], "[::1]:25")]
fn these_settings_are_accepted(#[case] given: &[(&str, &str)], #[case] place: &str) {
    assert_eq!(Mailer::open(&of(given)).expect("accepted").place(), place);
}

#[rstest]
#[case::nothing(&[], "set MAIL_URL")]
#[case::no_sender(&[("MAIL_URL", "smtp://mail.example.com")], "set MAIL_FROM")]
#[case::other_scheme(&[("MAIL_URL", "http://mail.example.com")], "use smtp://HOST")]
#[case::no_scheme(&[("MAIL_URL", "me:secret@mail.example.com")], "use smtp://HOST")]
#[case::setting(&[("MAIL_URL", "smtp://mail.example.com?tls=perhaps")], "none of starttls, opportunistic, none")]
#[case::unknown_setting(&[("MAIL_URL", "smtp://mail.example.com?colour=secret")], "there is no setting")]
#[case::no_password(&[("MAIL_URL", "smtp://me@mail.example.com")], "MAIL_PASSWORD")]
#[case::two_passwords(&[("MAIL_URL", "smtp://me:secret@mail.example.com"), ("MAIL_PASSWORD", "secret2")], "keep one of them")]
#[case::readable_password(&[("MAIL_URL", "smtp://me:secret@mail.example.com?tls=none"), ("MAIL_FROM", "me@example.com")], "without TLS")]
#[case::other_server(&[("MAIL_URL", "smtp://mail.example.com"), ("SMTP_SERVER", "smtp.gmail.com")], "MAIL_URL and SMTP_SERVER are both set and differ")]
#[case::outbox_and_server(&[("MAIL_URL", "file:mails"), ("SMTP_SERVER", "smtp.gmail.com")], "MAIL_URL and SMTP_SERVER")]
#[case::other_port(&[("MAIL_URL", "smtp://mail.example.com"), ("SMTP_SERVER", "mail.example.com"), ("SMTP_PORT", "25")], "MAIL_URL and SMTP_PORT")]
#[case::other_sender(&[("MAIL_URL", "smtps://mail.example.com"), ("MAIL_FROM", "me@example.com"), ("EMAIL_SENDER", "you@example.com")], "MAIL_FROM and EMAIL_SENDER")]
#[case::bad_sender(&[("MAIL_URL", "smtps://mail.example.com"), ("MAIL_FROM", "me at example.com")], "MAIL_FROM (--mail-from) `me at example.com`")]
#[case::bad_port(&[("SMTP_SERVER", "mail.example.com"), ("SMTP_PORT", "mail")], "SMTP_PORT (--smtp-port) `mail`")]
#[case::bad_ca(&[("MAIL_URL", "smtp://mail.example.com?ca=/does/not/exist"), ("MAIL_FROM", "me@example.com")], "cannot read ca=/does/not/exist")]
#[case::no_folder(&[("MAIL_URL", "file:")], "the folder is missing")]
fn these_settings_are_refused_by_their_names(#[case] given: &[(&str, &str)], #[case] expected: &str) {
    let error = Mailer::open(&of(given)).expect_err("refused").to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn no_password_is_shown() {
    let settings = to_url("smtps://me:pass%20phrase@mail.example.com");
    let mailer = Mailer::open(&settings).expect("accepted");
    let shown = format!("{settings:?} {mailer:?}");
    assert!(!shown.contains("phrase"), "{shown}");
}
