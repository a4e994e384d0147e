//! The two cookies of accounts. The session's has the secret of a person who is signed in; the visitor's, which every browser gets with its
//! first form, has the secret that the tokens in forms follow from.
//!
//! Where readers reach the pages by TLS only, their names begin with `__Host-`: then no other host, no subdomain and no page without TLS
//! can set them.

use accounts::{Secret, SecretHash};
use axum::http::{HeaderMap, HeaderValue};

use super::cookies::cookie;

pub(crate) const SESSION: &str = "session";
pub(crate) const SECURE_SESSION: &str = "__Host-session";
const VISITOR: &str = "visitor";
const SECURE_VISITOR: &str = "__Host-visitor";
/// A session ends in the store; the cookie is kept by the browser for as long as one can last.
const SESSION_SECONDS: u32 = 90 * 24 * 60 * 60;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretCookie {
    Session,
    Visitor,
}

impl SecretCookie {
    fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Self::Session, false) => SESSION,
            (Self::Session, true) => SECURE_SESSION,
            (Self::Visitor, false) => VISITOR,
            (Self::Visitor, true) => SECURE_VISITOR,
        }
    }

    /// The secret that a request has; `None` also where its cookie has something else.
    pub(crate) fn read(self, headers: &HeaderMap, is_secure: bool) -> Option<Secret> {
        cookie(headers, self.name(is_secure))?.parse().ok()
    }

    /// The value of `Set-Cookie`; without a secret the browser forgets the cookie.
    pub(crate) fn set(self, secret: Option<&Secret>, is_secure: bool) -> HeaderValue {
        let value = secret.map(Secret::expose).unwrap_or_default();
        let age = match (self, secret) {
            (_, None) => "; Max-Age=0".to_owned(),
            (Self::Session, Some(_)) => format!("; Max-Age={SESSION_SECONDS}"),
            // Until the browser is closed.
            (Self::Visitor, Some(_)) => String::new(),
        };
        let secure = if is_secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}", self.name(is_secure));
        // Digits and the constants above.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// The token of the forms of a browser. It also follows from the session, so that those of before a sign-in are not valid behind it.
pub(crate) fn form_token(visitor: &Secret, session: Option<SecretHash>) -> Secret {
    match session {
        Some(session) => visitor.derive(&format!("form:{session}")),
        None => visitor.derive("form"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn with_tls_the_cookies_are_bound_to_the_host() {
        let secret = Secret::generate();
        let text = |cookie: SecretCookie, secret, is_secure| {
            cookie
                .set(secret, is_secure)
                .to_str()
                .expect("a text")
                .replace(&Secret::expose(&secret.cloned().unwrap_or_else(Secret::generate)), "SECRET")
        };
        assert_eq!(
            text(SecretCookie::Session, Some(&secret), true),
            "__Host-session=SECRET; Path=/; HttpOnly; SameSite=Lax; Max-Age=7776000; Secure"
        );
        assert_eq!(
            text(SecretCookie::Visitor, Some(&secret), false),
            "visitor=SECRET; Path=/; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            text(SecretCookie::Session, None, false),
            "session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn a_cookie_is_read_under_its_name_only() {
        let secret = Secret::generate();
        let value = HeaderValue::from_str(&format!("session={}; __Host-visitor=x", secret.expose()))
            .expect("a value");
        let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
        assert_eq!(SecretCookie::Session.read(&headers, false), Some(secret));
        assert_eq!(SecretCookie::Session.read(&headers, true), None);
        assert_eq!(SecretCookie::Visitor.read(&headers, true), None);
    }

    #[test]
    fn the_token_of_forms_differs_by_browser_and_session() {
        let (visitor, session) = (Secret::generate(), Secret::generate());
        let tokens = [
            form_token(&visitor, None),
            form_token(&visitor, Some(session.hash())),
            form_token(&session, None),
        ];
        assert!(!tokens[0].matches(&tokens[1]) && !tokens[0].matches(&tokens[2]));
        assert!(tokens[1].matches(&form_token(&visitor, Some(session.hash()))));
    }
}
