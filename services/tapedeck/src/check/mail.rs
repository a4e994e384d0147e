//! Checks where mails go.

use std::path::Path;

use mailer::{MailSettings, Mailer};

use super::{
    place::{folder, writable},
    report::Report,
};
use crate::data_dir::outbox;

/// Connects to the mail server and logs in, or checks the folder; sends nothing.
pub(super) async fn mail(report: &mut Report, settings: &MailSettings, data: &Path) {
    let fix =
        "check MAIL_URL (--mail-url), MAIL_PASSWORD and MAIL_FROM; `tapedeck mail test ADDRESS` sends one";
    let default = outbox(data);
    let settings = settings.clone().with_outbox(&default);
    let (mailer, outbox) = match Mailer::open(&settings).and_then(|mailer| Ok((mailer, settings.outbox()?))) {
        Ok(opened) => opened,
        Err(error) => return report.wrong("mail", error.to_string(), fix),
    };
    match outbox {
        // Its disk is that of the data folder, which is checked by itself.
        Some(path) if path == default => match writable(&path) {
            Ok(_) => report.ok("mail", format!("files in {}; set MAIL_URL to send mails", path.display())),
            Err(reason) => report.wrong("mail", reason, "make it writable, or set MAIL_URL (--mail-url)"),
        },
        Some(path) => folder(report, "mail", &path, "choose another with MAIL_URL=file:DIR"),
        None => match mailer.check().await {
            Ok(()) => report.ok("mail", format!("{} accepts connections", mailer.place())),
            Err(error) => report.wrong("mail", error.to_string(), fix),
        },
    }
}
