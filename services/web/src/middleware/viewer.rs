//! What a page depends on besides its data: few values, so that pages that show nothing personal can be made once for many readers.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{
    cookies::{Theme, cookie},
    session_cookie::{SECURE_SESSION, SESSION},
};

/// A reader of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Viewer {
    pub(crate) theme: Theme,
    /// The browser has the cookie of a session, which may have ended: enough for the link in the header, and nothing else.
    pub(crate) has_session: bool,
}

impl Viewer {
    /// How many there are.
    pub(crate) const COUNT: usize = 2 * Theme::ALL.len();

    /// From 0 to [`Self::COUNT`].
    pub(crate) fn index(self) -> usize {
        self.theme as usize + if self.has_session { Theme::ALL.len() } else { 0 }
    }
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let has_session = [SESSION, SECURE_SESSION].iter().any(|name| cookie(&parts.headers, name).is_some());
        Ok(Self { theme: Theme::from_request_parts(parts, state).await?, has_session })
    }
}
