//! A mail as bytes: RFC 5322 with MIME. The same mail is the same bytes, however often it is tried.

use std::time::SystemTime;

use lettre::{
    Address, Message,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use owed_mails::{EmailAddress, MailId, OwedMail};
use sha2::{Digest, Sha256};

use crate::sender_address::Sender;

/// So that no out-of-office reply is sent to it (RFC 3834).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
const LIST_UNSUBSCRIBE: HeaderName = HeaderName::new_from_ascii_str("List-Unsubscribe");
/// RFC 8058: one POST, without asking back.
const LIST_UNSUBSCRIBE_POST: HeaderName = HeaderName::new_from_ascii_str("List-Unsubscribe-Post");
/// Longest URL of `List-Unsubscribe`: a line of a mail has at most 998 characters.
const MAX_UNSUBSCRIBE_CHARS: usize = 900;
/// Bytes of the digest of an id that name a mail.
const KEY_BYTES: usize = 16;

/// What names a mail in its Message-ID and its file: a digest of its id, because an id has characters that neither takes.
pub(crate) fn key(id: &MailId) -> String {
    let digest = Sha256::digest(id.as_str());
    digest[..KEY_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a mail.
///
/// # Errors
/// Content that cannot be a mail, by its part.
pub(crate) fn encode(mail: &OwedMail, sender: &Sender) -> Result<Vec<u8>, String> {
    let (content, key) = (&mail.content, key(&mail.id));
    let date = SystemTime::from(mail.created_at).max(SystemTime::UNIX_EPOCH);
    let mut builder = Message::builder()
        .from(Mailbox::new(Some(sender.name.clone()), address(&sender.address)?))
        .to(Mailbox::new(None, address(&mail.recipient)?))
        .subject(one_line(&content.subject))
        .date(date)
        .message_id(Some(format!("<{key}@{}>", sender.address.domain())))
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()));
    if let Some(url) = &content.unsubscribe {
        if url.as_str().len() > MAX_UNSUBSCRIBE_CHARS {
            return Err(format!("its unsubscribe URL is longer than {MAX_UNSUBSCRIBE_CHARS} characters"));
        }
        // A URL is ASCII without spaces and line breaks.
        builder = builder
            .raw_header(HeaderValue::new(LIST_UNSUBSCRIBE, format!("<{url}>")))
            .raw_header(HeaderValue::new(LIST_UNSUBSCRIBE_POST, "List-Unsubscribe=One-Click".to_owned()));
    }
    let png = ContentType::parse("image/png").map_err(|error| error.to_string())?;
    let mut related = MultiPart::related()
        .boundary(format!("related-{key}"))
        .singlepart(SinglePart::html(content.html.clone()));
    for image in &content.images {
        let is_cid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if image.cid.is_empty() || !image.cid.bytes().all(is_cid) {
            return Err(format!(
                "the picture `{}` has no name of letters and digits",
                image.cid.escape_debug()
            ));
        }
        related = related
            .singlepart(Attachment::new_inline(image.cid.clone()).body(image.png.to_vec(), png.clone()));
    }
    let alternative = MultiPart::alternative()
        .boundary(format!("alternative-{key}"))
        .singlepart(SinglePart::plain(content.text.clone()))
        .multipart(related);
    Ok(builder.multipart(alternative).map_err(|error| error.to_string())?.formatted())
}

/// The same address as the mail library has it.
pub(crate) fn address(address: &EmailAddress) -> Result<Address, String> {
    address.as_str().parse().map_err(|error| format!("the address {}: {error}", address.masked()))
}

/// Without line breaks, so that no header can be added.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
