//! Real mail servers: one that keeps and shows mails, one that refuses on demand, one with TLS and a user. Fault 12.

use std::{env, fs, sync::Arc, time::Duration};

use live_store::LiveStore;
use mailer::{MailSettings, MailState, Mailer, OwedMail, SendError, run_sender};
use serde_json::Value;
use service_runtime::Runtime;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::samples::{mail_to, runtime, store, to_url, wait_for};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run `make test-servers`"))
}

/// A domain of its own for each test, because the servers count by address and keep all mails.
fn domain(test: &str) -> String {
    format!("{test}-{}.example.com", chrono::Utc::now().timestamp_micros())
}

fn settings(name: &str) -> MailSettings {
    to_url(&variable(name))
}

/// The mails that the refusing server took, to addresses of a domain.
fn taken(domain: &str) -> Vec<Value> {
    let text = fs::read_to_string(variable("SMTPFAULT_MAILS")).unwrap_or_default();
    let mails = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    mails.filter(|mail| mail["to"][0].as_str().is_some_and(|to| to.ends_with(domain))).collect()
}

fn message_id(mail: &Value) -> String {
    let message = mail["message"].as_str().expect("a message");
    let line = message.lines().find(|line| line.starts_with("Message-ID:")).expect("an id");
    line.trim().to_owned()
}

/// A sender at work.
struct Sending {
    store: Arc<dyn LiveStore>,
    runtime: Runtime,
    sender: JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Sending {
    async fn begin(settings: &MailSettings, mails: &[OwedMail]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (store, runtime) = (store(folder.path()).await, runtime(folder.path()).await);
        for mail in mails {
            store.add_mail(mail).await.expect("stored");
        }
        let mailer = Mailer::open(settings).expect("accepted");
        let sender = tokio::spawn(run_sender(store.clone() as _, mailer, runtime.clone()));
        Self { store, runtime, sender, _folder: folder }
    }

    async fn wait(&self, mail: &OwedMail, what: &str, is_so: impl Fn(&MailState) -> bool) -> MailState {
        let ids = [mail.id.clone()];
        wait_for(&*self.store, &ids, what, |states| is_so(&states[0])).await.remove(0)
    }

    async fn end(self) {
        self.runtime.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.sender).await;
        ended.expect("ends").expect("no panic").expect("done");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a mail server that shows its mails (SMTP_URL, MAILDEV_URL): `make test-servers`"]
async fn a_mail_arrives_whole() {
    let to = format!("you@{}", domain("whole"));
    let mail = mail_to(&to, "digest:1:2026-01-13");
    Mailer::open(&settings("SMTP_URL")).expect("accepted").send(&mail).await.expect("sent");
    let url = format!("{}/email", variable("MAILDEV_URL"));
    service_runtime::install_tls();
    let all: Vec<Value> = reqwest::get(url).await.expect("replies").json().await.expect("JSON");
    let found = all.iter().find(|found| found["to"][0]["address"] == to.as_str()).expect("it arrived");
    assert_eq!(found["subject"], "AAPL +5.1 %");
    assert_eq!(found["from"][0]["address"], "tape@example.com");
    assert!(found["text"].as_str().is_some_and(|text| text.contains("ein Gruß")), "{found}");
    assert!(found["html"].as_str().is_some_and(|html| html.contains("274.35")), "{found}");
    assert_eq!(found["attachments"].as_array().map(Vec::len), Some(1), "the picture: {found}");
    assert_eq!(found["headers"]["list-unsubscribe-post"], "List-Unsubscribe=One-Click");
    assert_eq!(found["headers"]["auto-submitted"], "auto-generated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a mail server that refuses on demand (SMTPFAULT_URL): `make test-servers`"]
async fn each_mail_is_retried_or_refused_by_itself() {
    let domain = domain("faults");
    let mail = |local: &str| mail_to(&format!("{local}@{domain}"), &format!("fault:{local}"));
    let [busy, full, gone, spam, closing, dropped, good] =
        ["451-x2", "data-452-x1", "550", "data-554", "421", "drop", "good"].map(mail);
    let all = [&busy, &full, &gone, &spam, &closing, &dropped, &good].map(Clone::clone);
    let sending = Sending::begin(&settings("SMTPFAULT_URL"), &all).await;
    let is_sent = |state: &MailState| matches!(state, MailState::Sent { .. });
    for mail in [&good, &busy, &full] {
        sending.wait(mail, mail.id.as_str(), is_sent).await;
    }
    for (mail, code) in [(&gone, "550"), (&spam, "554")] {
        let state = sending.wait(mail, code, MailState::is_final).await;
        assert!(matches!(&state, MailState::Refused { reason, .. } if reason.contains(code)), "{state:?}");
    }
    for mail in [&closing, &dropped] {
        let is_retried =
            |state: &MailState| matches!(state, MailState::Owed { attempts, .. } if *attempts >= 2);
        sending.wait(mail, mail.id.as_str(), is_retried).await;
    }
    sending.end().await;
    assert_eq!(taken(&domain).len(), 3, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a mail server that refuses on demand (SMTPFAULT_URL): `make test-servers`"]
async fn a_connection_that_breaks_after_the_final_dot_costs_one_more_mail_with_the_same_message_id() {
    let domain = domain("dot");
    let mail = mail_to(&format!("data-drop-x1@{domain}"), "alerts:1");
    let sending = Sending::begin(&settings("SMTPFAULT_URL"), std::slice::from_ref(&mail)).await;
    sending.wait(&mail, "sent in the end", |state| matches!(state, MailState::Sent { .. })).await;
    sending.end().await;
    let taken = taken(&domain);
    assert_eq!(taken.len(), 2);
    assert_eq!(message_id(&taken[0]), message_id(&taken[1]));
    assert_eq!(taken[0]["message"], taken[1]["message"], "the same bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a mail server that refuses on demand (SMTPFAULT_URL): `make test-servers`"]
async fn after_an_outage_every_mail_is_sent_once() {
    let domain = domain("outage");
    let mails: Vec<_> =
        (0..12).map(|number| mail_to(&format!("you-{number}@{domain}"), &format!("mail:{number}"))).collect();
    // A port on which nothing listens yet.
    let port =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let settings = to_url(&format!("smtp://127.0.0.1:{port}?tls=none"));
    let sending = Sending::begin(&settings, &mails).await;
    let is_down = || {
        let status = sending.runtime.status.snapshot(chrono::Utc::now());
        status.components.iter().any(|part| part.name == "mail" && part.detail.contains("cannot be reached"))
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_down() {
        assert!(tokio::time::Instant::now() < deadline, "the outage is not reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let server = variable("SMTPFAULT_URL");
    let server = server.trim_start_matches("smtp://").split('?').next().expect("an address").to_owned();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the same port");
    let forward = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.expect("the server");
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    for mail in &mails {
        sending.wait(mail, "sent", |state| matches!(state, MailState::Sent { .. })).await;
    }
    sending.end().await;
    forward.abort();
    assert_eq!(taken(&domain).len(), mails.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a mail server that refuses on demand (SMTPFAULT_URL): `make test-servers`"]
async fn a_server_without_tls_gets_nothing_where_tls_is_asked_for() {
    let url = variable("SMTPFAULT_URL").replace("?tls=none", "");
    let domain = domain("tls");
    let mail = mail_to(&format!("you@{domain}"), "mail:1");
    // The server offers STARTTLS with a certificate that is not trusted, or none: in either case nothing is sent.
    let error = Mailer::open(&to_url(&url)).expect("accepted").send(&mail).await.expect_err("refused");
    assert!(matches!(&error, SendError::Unavailable(reason) if reason.contains("MAIL_URL")), "{error:?}");
    let maildev = variable("SMTP_URL").replace("?tls=none", "");
    let error = Mailer::open(&to_url(&maildev)).expect("accepted").send(&mail).await.expect_err("refused");
    assert!(matches!(&error, SendError::Unavailable(reason) if reason.contains("MAIL_URL")), "{error:?}");
    assert_eq!(taken(&domain).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a mail server with STARTTLS and a user (SMTPFAULT_TLS_URL): `make test-servers`"]
async fn a_user_is_authenticated_over_tls_and_a_wrong_password_uses_up_no_mail() {
    let mail = mail_to(&format!("you@{}", domain("auth")), "mail:1");
    let with = |password: &str| MailSettings {
        mail_password: Some(password.to_owned().into()),
        ..settings("SMTPFAULT_TLS_URL")
    };
    let mailer = Mailer::open(&with("not-a-secret")).expect("accepted");
    mailer.check().await.expect("logged in");
    mailer.send(&mail).await.expect("sent");
    mailer.send(&mail).await.expect("on the same connection");
    let error =
        Mailer::open(&with("wrong-password")).expect("accepted").send(&mail).await.expect_err("refused");
    assert!(matches!(&error, SendError::Unavailable(reason) if reason.contains("535")), "{error:?}");
    assert!(!error.to_string().contains("wrong-password"), "{error}");
}
