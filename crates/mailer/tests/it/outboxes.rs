//! Mails as files, and back.

use std::{fs, os::unix::fs::PermissionsExt};

use mailer::{Mailer, Outbox, OutboxName};
use rstest::rstest;
use tempfile::TempDir;

use crate::samples::{letter, mail_to, time, to_url};

#[tokio::test]
async fn a_mail_in_the_outbox_has_its_headers_and_parts() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a").join("outbox");
    let mailer = Mailer::open(&to_url(&format!("file:{}", path.display()))).expect("accepted");
    let mut mail = mail_to("You@example.com", "digest:1:2026-01-13");
    mail.created_at = time("2026-01-13T15:30:00.214Z");
    mail.content.subject = "Grüße\r\nBcc: evil@example.com".to_owned();
    mailer.send(&mail).await.expect("sent");
    mailer.send(&mail).await.expect("the same file again");

    let outbox = Outbox::new(&path);
    let entries = outbox.newest(10).expect("a list");
    assert_eq!(entries.len(), 1);
    assert!(entries[0].name.as_str().starts_with("20260113T153000.214Z-"), "{:?}", entries[0].name);
    let read = outbox.read(&entries[0].name).expect("read").expect("there");
    assert_eq!(read.header("Subject"), "Grüße  Bcc: evil@example.com");
    assert_eq!(read.header("Bcc"), "", "a subject adds no header");
    assert_eq!(read.header("To"), "You@example.com");
    assert_eq!(read.header("From"), "Tape <tape@example.com>");
    assert_eq!(read.header("Date"), "Tue, 13 Jan 2026 15:30:00 +0000");
    assert_eq!(read.header("Auto-Submitted"), "auto-generated");
    assert_eq!(read.header("List-Unsubscribe"), "<https://example.com/unsubscribe?t=1>");
    assert_eq!(read.header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    let id = read.header("Message-ID");
    assert!(id.starts_with('<') && id.ends_with("@example.com>") && id.len() == 46, "{id}");
    assert_eq!(read.text.replace("\r\n", "\n"), mail.content.text);
    assert_eq!(read.html.as_ref().map(|html| html.replace("\r\n", "\n")), Some(mail.content.html.clone()));
    assert_eq!(read.images, mail.content.images);
    let html = read.standalone_html().expect("HTML");
    assert!(html.contains("src=\"data:image/png;base64,iVBORw==\""), "{html}");

    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join(entries[0].name.as_str()))), (0o700, 0o600));
    assert_eq!(fs::read_dir(&path).expect("a folder").count(), 1, "no temporary file is left");
}

#[tokio::test]
async fn the_newest_mails_come_first_and_a_list_is_bounded() {
    let folder = TempDir::new().expect("a folder");
    let outbox = Outbox::new(folder.path());
    assert_eq!(Outbox::new(folder.path().join("missing")).newest(10).expect("a list"), []);
    let mailer = Mailer::open(&to_url(&format!("file:{}", folder.path().display()))).expect("accepted");
    for second in [10, 30, 20] {
        let mut mail = mail_to("you@example.com", &format!("mail:{second}"));
        mail.created_at = time(&format!("2026-01-13T15:30:{second}Z"));
        mail.content.subject = second.to_string();
        mailer.send(&mail).await.expect("sent");
    }
    fs::write(folder.path().join("notes.txt"), "not a mail").expect("written");
    let subjects = |most| -> Vec<String> {
        let newest = outbox.newest(most).expect("a list");
        newest.iter().map(|entry| entry.mail.header("Subject").to_owned()).collect()
    };
    assert_eq!(subjects(10), ["30", "20", "10"]);
    assert_eq!(subjects(2), ["30", "20"]);
}

#[rstest]
#[case("../store.db")]
#[case("/etc/passwd")]
#[case("20260113T153000.214Z-../../../../../etc/passwd.eml")]
#[case("20260113T153000.214Z-0123456789abcdef0123456789abcdeF.eml")]
#[case("20260113T153000.214Z-0123456789abcdef0123456789abcdef.eml\0")]
#[case("")]
fn no_other_file_has_a_name(#[case] name: &str) {
    assert_eq!(OutboxName::parse(name), None);
}

#[tokio::test]
async fn mails_about_a_recording_do_not_go_to_a_mail_server() {
    let folder = TempDir::new().expect("a folder");
    // Nothing listens there: a mail that is sent fails.
    let settings = to_url("smtp://127.0.0.1:9?tls=none");
    let recorded = mailer::OwedMail { is_recorded: true, ..mail_to("you@example.com", "alerts:1") };
    let error = Mailer::open(&settings).expect("accepted").send(&recorded).await.expect_err("refused");
    assert!(
        matches!(&error, mailer::SendError::Refused(reason) if reason.contains("--mail-replays")),
        "{error:?}"
    );

    let with_outbox = settings.with_outbox(folder.path());
    Mailer::open(&with_outbox).expect("accepted").send(&recorded).await.expect("a file");
    assert_eq!(Outbox::new(folder.path()).newest(10).expect("a list").len(), 1);

    let with_replays = mailer::MailSettings { mail_replays: true, ..with_outbox };
    let error = Mailer::open(&with_replays).expect("accepted").send(&recorded).await.expect_err("no server");
    assert!(matches!(&error, mailer::SendError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn content_that_cannot_be_a_mail_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let mailer = Mailer::open(&to_url(&format!("file:{}", folder.path().display()))).expect("accepted");
    let mut mail = mail_to("you@example.com", "alerts:1");
    mail.content = letter().into_content();
    mail.content.images[0].cid = "a\r\nb".to_owned();
    let error = mailer.send(&mail).await.expect_err("refused");
    assert!(matches!(error, mailer::SendError::Refused(_)), "{error:?}");
}
