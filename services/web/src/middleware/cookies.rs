//! Cookies of a request.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

/// The value of a cookie, as sent; the first where a name is sent twice.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(known, value)| (known == name).then_some(value))
}

/// The colour scheme that the reader chose (cookie `theme`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// None chosen: the one of the reader's system.
    #[default]
    System,
    Dark,
    Light,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Dark, Self::Light];

    /// The value of `data-theme`; `None` for the system's.
    pub(crate) fn attribute(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Dark => Some("dark"),
            Self::Light => Some("light"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Theme {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(match cookie(&parts.headers, "theme") {
            Some("dark") => Self::Dark,
            Some("light") => Self::Light,
            _ => Self::System,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; mytheme=x;theme=dark ; b=2=3"));
        headers.append(header::COOKIE, HeaderValue::from_static("session=abc; theme=light"));
        let found = ["a", "theme", "b", "session", "them", ""].map(|name| cookie(&headers, name));
        assert_eq!(found, [Some("1"), Some("dark"), Some("2=3"), Some("abc"), None, None]);
    }
}
