//! `tapedeck mail test`: sends one mail with the settings of `run`, and reports the result.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use chrono::{TimeDelta, Utc};
use mailer::{Block, EmailAddress, Letter, MailId, MailSettings, Mailer, OwedMail};

use crate::{
    data_dir::{folder, outbox},
    output::print_line,
};

/// Of a mail that is sent at once and only once; the field needs a time.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MailCommand {
    /// Send a test mail to an address, and report whether the mail server took it. Exits with 1 if it did not.
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// The address: me@example.com.
    address: EmailAddress,
    /// Data folder, whose outbox takes the mail where no mail server is set [default: data].
    #[arg(long, env = "DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    mail: MailSettings,
}

pub(crate) async fn mail(command: MailCommand) -> anyhow::Result<()> {
    let MailCommand::Test(TestArgs { address, data, mail }) = command;
    let mailer = Mailer::open(&mail.with_outbox(&outbox(&folder(data.as_deref()))))?;
    let place = mailer.place();
    let now = Utc::now();
    let letter = Letter {
        subject: "Tapedeck can send mails".to_owned(),
        preview: "The settings of the mail server work.".to_owned(),
        title: "Tapedeck can send mails".to_owned(),
        blocks: vec![Block::paragraph("The settings of the mail server work. There is nothing else to do.")],
        reason: "You receive this mail because the command `tapedeck mail test` was run.".to_owned(),
        images: Vec::new(),
        unsubscribe: None,
    };
    let mail = OwedMail {
        id: MailId::parse(format!("test:{}", now.timestamp_micros()))?,
        recipient: address.clone(),
        content: letter.into_content(),
        created_at: now,
        expires_at: now + LIFETIME,
        is_recorded: false,
    };
    let sent = mailer.send(&mail).await;
    sent.map_err(|error| anyhow!(error)).with_context(|| format!("the mail to {address} was not sent"))?;
    print_line(format_args!("sent to {address} through {place}"))
}
