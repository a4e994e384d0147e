//! Personal digests: what follows from an account. Pure.

use accounts::{MailKind, UnsubscribeToken, User};
use alert_rules::Owner;
use url::Url;

use super::DigestReader;

/// Why an account gets no digest of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoDigest {
    /// Any person can register any address: until it is confirmed, only the mail for that is sent to it.
    #[error("its account is not confirmed yet")]
    Unconfirmed,
    /// The person has switched it off, or unsubscribed.
    #[error("the digest is off in its account")]
    Off,
    /// There is nothing that it could be about.
    #[error("the watch list of its account is empty")]
    NoSymbols,
}

/// Why an account gets no digest of its own; `None`: it gets one.
pub(super) fn absence(user: &User) -> Option<NoDigest> {
    if !user.is_confirmed() {
        Some(NoDigest::Unconfirmed)
    } else if !user.digest.is_on {
        Some(NoDigest::Off)
    } else if user.watch_list.is_empty() {
        Some(NoDigest::NoSymbols)
    } else {
        None
    }
}

/// Whether the account decides alone what its address gets, also where the operator has the address among the recipients of the house:
/// its digest replaces that of the house, and whoever has unsubscribed gets neither. An account that is not confirmed decides nothing,
/// because any person can register any address; one without symbols leaves the digest of the house, which has all of them.
pub(super) fn decides_alone(user: &User) -> bool {
    matches!(absence(user), None | Some(NoDigest::Off))
}

/// The person of an account as a reader, whatever [`absence`] is.
///
/// # Errors
/// None for what a store has: identities and hours are checked before.
pub(super) fn reader_of(user: &User, public_url: &Url) -> anyhow::Result<DigestReader> {
    let owner = Owner::User(alert_rules::UserId::parse(&user.id.to_string())?);
    let (symbols, hour) = (user.watch_list.clone(), user.digest.hour.get());
    let unsubscribe = Some(UnsubscribeToken::new(user, MailKind::Digest).link(public_url));
    Ok(DigestReader::at_hour((user.email.clone(), owner), symbols, hour, user.time_zone, unsubscribe)?)
}

#[cfg(test)]
mod tests {
    use accounts::{Digest, DigestHour, PasswordHash};
    use chrono::DateTime;
    use mailer::EmailAddress;
    use market::Symbol;

    use super::*;

    fn user() -> User {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
        let hash = PasswordHash::parse(hash).unwrap();
        let email = EmailAddress::parse("ann@example.com").unwrap();
        let mut user = User::new(email, hash, DateTime::UNIX_EPOCH);
        user.confirmed_at = Some(DateTime::UNIX_EPOCH);
        user.watch_list = vec![Symbol::parse("AAPL").unwrap()];
        user
    }

    #[test]
    fn a_digest_is_for_confirmed_accounts_with_symbols_that_want_it() {
        let user = user();
        assert_eq!((absence(&user), decides_alone(&user)), (None, true));
        let off = User { digest: Digest { is_on: false, ..user.digest }, ..user.clone() };
        assert_eq!((absence(&off), decides_alone(&off)), (Some(NoDigest::Off), true));
        let empty = User { watch_list: Vec::new(), ..user.clone() };
        assert_eq!((absence(&empty), decides_alone(&empty)), (Some(NoDigest::NoSymbols), false));
        let open = User { confirmed_at: None, ..off };
        assert_eq!((absence(&open), decides_alone(&open)), (Some(NoDigest::Unconfirmed), false));
    }

    #[test]
    fn a_person_is_a_reader_with_the_choices_of_the_account() {
        let mut user = user();
        user.digest.hour = DigestHour::parse("7").unwrap();
        user.time_zone = chrono_tz::Asia::Tokyo;
        let url = "https://prices.example.com/tapedeck/?x=1#y".parse().unwrap();
        let reader = reader_of(&user, &url).unwrap();
        assert_eq!(reader.owner.to_string(), format!("user:{}", user.id));
        assert_eq!(reader.symbols.as_deref(), Some(&*user.watch_list));
        assert_eq!(reader.schedule.to_string(), "0 7 * * * Asia/Tokyo");
        let token = UnsubscribeToken::new(&user, MailKind::Digest);
        let link = format!("https://prices.example.com/tapedeck/unsubscribe?token={token}");
        assert_eq!(reader.unsubscribe.unwrap().as_str(), link);
        assert!(token.is_of(&user) && token.to_string().starts_with("digest."));
    }
}
