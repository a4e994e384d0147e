//! Tokens in the unsubscribe links of mails. They do not expire, and follow from a key of the user, so that every mail has the
//! same link and the store keeps nothing for each mail.

use std::{fmt, str::FromStr};

use url::Url;

use crate::{Secret, User, UserId};

/// The parameter of a link that has the token.
const TOKEN: &str = "token";

/// A kind of mail that a person can unsubscribe from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailKind {
    /// Mails about alerts.
    Alerts,
    /// The morning digest.
    Digest,
}

impl MailKind {
    /// `alerts` or `digest`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Digest => "digest",
        }
    }
}

/// The token of a user for a kind of mail: `alerts.<user>.<64 hexadecimal digits>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeToken {
    /// The kind of mail.
    pub kind: MailKind,
    /// Whose mails.
    pub user: UserId,
    proof: Secret,
}

impl UnsubscribeToken {
    /// The token for the mails of a kind to a user.
    pub fn new(user: &User, kind: MailKind) -> Self {
        Self { kind, user: user.id, proof: proof(user, kind) }
    }

    /// The page to unsubscribe, below the public URL, which may have a path of its own. One POST to it ends the mails (RFC 8058).
    pub fn link(&self, public_url: &Url) -> Url {
        let mut url = public_url.clone();
        url.set_path(&format!("{}/unsubscribe", public_url.path().trim_end_matches('/')));
        url.set_fragment(None);
        url.query_pairs_mut().clear().append_pair(TOKEN, &self.to_string());
        url
    }

    /// The token of a link that [`UnsubscribeToken::link`] made.
    ///
    /// # Errors
    /// [`NotAnUnsubscribeToken`].
    pub fn of_link(link: &Url) -> Result<Self, NotAnUnsubscribeToken> {
        let token = link.query_pairs().find(|(name, _)| name == TOKEN);
        token.ok_or(NotAnUnsubscribeToken)?.1.parse()
    }

    /// Whether the user receives mails of its kind.
    pub fn is_wanted_by(&self, user: &User) -> bool {
        match self.kind {
            MailKind::Alerts => user.mails_alerts,
            MailKind::Digest => user.digest.is_on,
        }
    }

    /// Whether this installation issued it for this user.
    pub fn is_of(&self, user: &User) -> bool {
        self.user == user.id && self.proof.matches(&proof(user, self.kind))
    }
}

fn proof(user: &User, kind: MailKind) -> Secret {
    user.unsubscribe_key.derive(&format!("unsubscribe:{}", kind.as_str()))
}

impl fmt::Display for UnsubscribeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.kind.as_str(), self.user, self.proof.expose())
    }
}

/// The text is no unsubscribe token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no token of an unsubscribe link; it may have been cut: copy the whole link of the mail")]
pub struct NotAnUnsubscribeToken;

impl FromStr for UnsubscribeToken {
    type Err = NotAnUnsubscribeToken;

    fn from_str(text: &str) -> Result<Self, NotAnUnsubscribeToken> {
        let mut parts = text.splitn(3, '.');
        let (Some(kind), Some(user), Some(proof)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotAnUnsubscribeToken);
        };
        let kinds = [MailKind::Alerts, MailKind::Digest];
        let kind = kinds.into_iter().find(|known| known.as_str() == kind).ok_or(NotAnUnsubscribeToken)?;
        let user = user.parse().map_err(|_| NotAnUnsubscribeToken)?;
        let proof = proof.parse().map_err(|_| NotAnUnsubscribeToken)?;
        Ok(Self { kind, user, proof })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::tests::user;

    #[test]
    fn a_token_is_for_one_user_one_kind_and_one_installation() {
        let (mine, mut elsewhere) = (user(), user());
        elsewhere.id = mine.id;
        let token = UnsubscribeToken::new(&mine, MailKind::Digest);
        let read: UnsubscribeToken = token.to_string().parse().expect("a token");
        assert_eq!(read, token);
        assert!(read.is_of(&mine));
        assert!(!read.is_of(&elsewhere), "another installation has another key");
        let base = "https://prices.example.com/tapedeck/".parse().expect("a URL");
        assert_eq!(UnsubscribeToken::of_link(&token.link(&base)).expect("a link"), token);
        assert!(UnsubscribeToken::of_link(&base).is_err());
        let other_kind: UnsubscribeToken =
            token.to_string().replacen("digest", "alerts", 1).parse().expect("a token");
        assert!(!other_kind.is_of(&mine));
    }

    #[test]
    fn other_texts_are_refused() {
        let token = UnsubscribeToken::new(&user(), MailKind::Alerts).to_string();
        for text in [
            "",
            "alerts",
            "alerts.x.y",
            &token[..token.len() - 1],
            &format!("{token}0"),
            &token.to_uppercase(),
        ] {
            assert!(text.parse::<UnsubscribeToken>().is_err(), "{text}");
        }
    }
}
