//! The mails about accounts.

use accounts::{OneTimeToken, Secret, User};
use chrono::{DateTime, TimeDelta, Utc};
use mailer::{Block, Letter, Span};
use owed_mails::{MailId, OwedMail};
use url::Url;

/// How long a notice is tried to be sent.
const NOTICE_LIFETIME: TimeDelta = TimeDelta::days(1);
/// Characters of the hash of a token in the identity of its mail.
const HASH_CHARACTERS: usize = 16;

const NOT_YOU: &str = "You did not ask for this? Then ignore this mail: nothing happens without the link.";

/// The link to confirm an address.
pub(super) fn confirm(base: &Url, user: &User, secret: &Secret, token: &OneTimeToken) -> OwedMail {
    let blocks = vec![
        Block::paragraph(
            "One step is missing: confirm that this address is yours. You need the password that you chose.",
        ),
        Block::Button { label: "Confirm the address".to_owned(), url: link(base, "/confirm", secret) },
        Block::note(format!("The link is valid once, for 48 hours. {NOT_YOU}")),
    ];
    let letter = letter("Confirm your address", "You registered an account", blocks, base);
    mail(of_token("confirm", token), user, letter, token.created_at, token.expires_at)
}

/// The link to choose a new password. The same for an address that is not confirmed, which it confirms.
pub(super) fn reset(base: &Url, user: &User, secret: &Secret, token: &OneTimeToken) -> OwedMail {
    let (title, label) = if user.is_confirmed() {
        ("Choose a new password", "Choose a new password")
    } else {
        ("Confirm your address and choose a password", "Confirm, and choose a password")
    };
    let blocks = vec![
        Block::paragraph("A new password was asked for on the page for forgotten passwords."),
        Block::Button { label: label.to_owned(), url: link(base, "/reset", secret) },
        Block::note(format!("The link is valid once, for one hour. {NOT_YOU}")),
    ];
    let letter = letter(title, "A new password was asked for", blocks, base);
    mail(of_token("reset", token), user, letter, token.created_at, token.expires_at)
}

/// For the owner of an account whose address was registered again; at most one an hour.
pub(super) fn already_registered(base: &Url, user: &User, now: DateTime<Utc>) -> OwedMail {
    let page = |path| join(base, path);
    let blocks = vec![
        Block::paragraph(
            "Your address was just entered on the page to register. It has an account already; nothing was changed.",
        ),
        Block::Button { label: "Sign in".to_owned(), url: page("/login") },
        Block::Paragraph(vec![
            Span::text("You do not know the password any more? "),
            Span::Link { text: "Choose a new one".to_owned(), url: page("/forgot") },
            Span::text("."),
        ]),
        Block::note(
            "It was not you? Then an address was mistyped, or a stranger tried whether you have an account. The page did not show it.",
        ),
    ];
    let letter = letter("You have an account already", "Your address was registered again", blocks, base);
    let id = format!("registered:{}:{}", user.id, now.timestamp() / 3_600);
    mail(id, user, letter, now, now + NOTICE_LIFETIME)
}

/// For the owner, whoever changed the password.
pub(super) fn password_changed(base: &Url, user: &User, now: DateTime<Utc>) -> OwedMail {
    let blocks = vec![
        Block::paragraph("The password of your account was changed, and every browser was signed out."),
        Block::Paragraph(vec![
            Span::text("It was not you? "),
            Span::Link { text: "Choose a new password".to_owned(), url: join(base, "/forgot") },
            Span::text(" at once."),
        ]),
    ];
    let letter =
        letter("Your password was changed", "The password of your account was changed", blocks, base);
    mail(format!("password:{}:{}", user.id, user.revision), user, letter, now, now + NOTICE_LIFETIME)
}

fn letter(title: &str, preview: &str, blocks: Vec<Block>, base: &Url) -> Letter {
    let host = base.host_str().unwrap_or_default();
    Letter {
        subject: format!("{title} \u{b7} Tapedeck"),
        preview: format!("{preview} at {host}."),
        title: title.to_owned(),
        blocks,
        reason: format!("You receive this mail because your address was entered at {host}."),
        images: Vec::new(),
        unsubscribe: None,
    }
}

fn mail(
    id: String,
    user: &User,
    letter: Letter,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> OwedMail {
    OwedMail {
        id: MailId::parse(id).expect("a kind, an identity and digits are visible ASCII"),
        recipient: user.email.clone(),
        content: letter.into_content(),
        created_at,
        expires_at,
        is_recorded: false,
    }
}

/// A repetition of the same token is the same mail.
fn of_token(kind: &str, token: &OneTimeToken) -> String {
    format!("{kind}:{}:{:.HASH_CHARACTERS$}", token.user, token.hash.to_string())
}

fn link(base: &Url, path: &str, secret: &Secret) -> Url {
    let mut url = join(base, path);
    url.query_pairs_mut().append_pair("token", &secret.expose());
    url
}

/// A page below the public URL, which may have a path of its own.
fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use accounts::{PasswordHash, TokenPurpose};
    use owed_mails::EmailAddress;

    use super::*;

    fn user() -> User {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
        let email = EmailAddress::parse("jane@example.com").expect("an address");
        User::new(email, PasswordHash::parse(hash).expect("a hash"), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn the_mail_to_confirm_has_the_link_in_both_parts() {
        let (base, user, secret) =
            (Url::parse("https://prices.example/desk/").expect("a URL"), user(), Secret::generate());
        let token = OneTimeToken::issue(&secret, TokenPurpose::Confirm, user.id, DateTime::UNIX_EPOCH);
        let mail = confirm(&base, &user, &secret, &token);
        let link = format!("https://prices.example/desk/confirm?token={}", secret.expose());
        assert!(mail.content.html.contains(&link) && mail.content.text.contains(&link));
        assert_eq!(mail.expires_at, token.expires_at);
        assert_eq!(mail.id, confirm(&base, &user, &secret, &token).id);
        assert!(!mail.id.as_str().contains(&secret.expose()[..8]), "the identity is in logs");
        insta::assert_snapshot!(mail.content.text.replace(&secret.expose(), "SECRET"));
    }

    #[test]
    fn a_notice_about_a_second_registration_is_sent_once_an_hour() {
        let (base, user) = (Url::parse("http://localhost:5000").expect("a URL"), user());
        let at =
            |minutes| already_registered(&base, &user, DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)).id;
        assert_eq!(at(0), at(59));
        assert_ne!(at(0), at(60));
    }
}
