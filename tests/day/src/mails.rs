//! What the mails of the day must be.

use std::collections::BTreeSet;

use crate::{HEADLINE, SYMBOL};

/// Part of the subject of the mail about the move.
pub const MOVE: &str = "below its open";
/// Part of the subject of the digest.
pub const DIGEST: &str = "digest";
/// What the digest has: the story, the symbol with its move in percent, and the alert.
const DIGEST_PARTS: [&str; 4] = [HEADLINE, SYMBOL, "-4.32", MOVE];

/// Those of these messages (RFC 5322, parts in quoted-printable) that are to an address, with unfolded headers and lines; one of each
/// Message-ID: a mail whose sender was killed before it recorded the reply comes twice.
pub fn to_address(messages: impl IntoIterator<Item = String>, to: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let unfolded = messages.into_iter().map(|text| {
        let text = text.replace("\r\n", "\n");
        text.replace("=\n", "").replace("\n ", " ")
    });
    let has_address = |text: &String| text.lines().any(|line| line.starts_with("To:") && line.contains(to));
    let is_new = |text: &String| {
        let id = text.lines().find(|line| line.starts_with("Message-ID:")).unwrap_or_default();
        seen.insert(id.to_owned())
    };
    unfolded.filter(has_address).filter(is_new).collect()
}

/// How many of these mails have a subject with this part.
pub fn with_subject(mails: &[String], part: &str) -> usize {
    let has_part =
        |mail: &&String| mail.lines().any(|line| line.starts_with("Subject:") && line.contains(part));
    mails.iter().filter(has_part).count()
}

/// What is wrong with the mails to an address at the end of the day: one about the move and one digest, with all its parts, and the
/// mails of the registration.
pub fn mail_problems(to: &str, mails: &[String], registrations: usize) -> Vec<String> {
    let counts = [MOVE, DIGEST].map(|part| with_subject(mails, part));
    if counts != [1, 1] || mails.len() != 2 + registrations {
        let subjects: Vec<_> =
            mails.iter().filter_map(|mail| mail.lines().find(|line| line.starts_with("Subject:"))).collect();
        return vec![format!("{} mails to {to}: {subjects:?}", mails.len())];
    }
    let digest = mails.iter().find(|mail| mail.contains("Subject: Morning digest"));
    let Some(digest) = digest else { return vec![format!("the digest to {to} has another subject")] };
    let missing = DIGEST_PARTS.iter().filter(|part| !digest.contains(**part));
    missing.map(|part| format!("{part} is not in the digest to {to}:\n{digest}")).collect()
}
