//! A mail, settings, and a runtime.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::LiveStore;
use mailer::{
    Block, EmailAddress, InlineImage, Letter, MailId, MailSettings, MailState, OwedMail, Span, StoredMail,
};
use service_runtime::{Runtime, Status};
use tokio_util::sync::CancellationToken;

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub(crate) fn letter() -> Letter {
    Letter {
        subject: "AAPL +5.1 %".to_owned(),
        preview: "AAPL is at 274.35".to_owned(),
        title: "AAPL rose by 5.1 %".to_owned(),
        blocks: vec![
            Block::Paragraph(vec![
                Span::text("AAPL is at "),
                Span::strong("274.35"),
                Span::text(", "),
                Span::of_change("+5.1 %", 5.1),
                Span::text(" since the open – ein Gruß."),
            ]),
            Block::Image { cid: "day".to_owned(), alt: "The price of AAPL today".to_owned(), width_px: 560 },
        ],
        reason: "You receive this mail because you watch AAPL.".to_owned(),
        images: vec![InlineImage { cid: "day".to_owned(), png: [137, 80, 78, 71].into() }],
        unsubscribe: Some("https://example.com/unsubscribe?t=1".parse().expect("a URL")),
    }
}

pub(crate) fn mail_to(recipient: &str, id: &str) -> OwedMail {
    let now = Utc::now();
    OwedMail {
        id: MailId::parse(id).expect("an id"),
        recipient: EmailAddress::parse(recipient).expect("an address"),
        content: letter().into_content(),
        created_at: now,
        expires_at: now + TimeDelta::hours(24),
        is_recorded: false,
    }
}

pub(crate) fn to_url(url: &str) -> MailSettings {
    MailSettings {
        mail_url: Some(url.to_owned().into()),
        mail_from: Some("Tape <tape@example.com>".to_owned()),
        ..MailSettings::default()
    }
}

pub(crate) async fn store(folder: &Path) -> Arc<dyn LiveStore> {
    live_store::open(&format!("sqlite:{}", folder.join("store.db").display())).await.expect("a store")
}

pub(crate) async fn runtime(folder: &Path) -> Runtime {
    let log = event_log::open(&format!("sqlite:{}", folder.join("log.db").display())).await.expect("a log");
    Runtime { log, status: Status::new("alerts", "alerts-1", Utc::now()), shutdown: CancellationToken::new() }
}

/// Waits until the states fulfil a condition.
pub(crate) async fn wait_for(
    store: &dyn LiveStore,
    ids: &[MailId],
    what: &str,
    is_so: impl Fn(&[MailState]) -> bool,
) -> Vec<MailState> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let mails: Vec<StoredMail> = store.mails(ids).await.expect("read");
        let states: Vec<MailState> = mails.into_iter().map(|mail| mail.state).collect();
        if is_so(&states) {
            return states;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: {states:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
