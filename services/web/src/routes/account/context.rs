//! What the pages of accounts share: who asks, and how pages and failures are answered.

use std::net::IpAddr;

use accounts::{Secret, SecretHash, User};
use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use chrono::Utc;
use service_runtime::ClientAddress;

use super::super::{App, pages::Layout};
use crate::{
    account::{AccountError, Accounts},
    client_network::client_network,
    middleware::{
        session_cookie::{SecretCookie, form_token},
        viewer::Viewer,
    },
    problem::Problem,
};

/// The browser that asks.
pub(super) struct Context {
    pub(super) app: App,
    viewer: Viewer,
    visitor: Secret,
    is_new_visitor: bool,
    /// Of the session in the cookie, which may have ended.
    pub(super) session: Option<SecretHash>,
    /// For limits.
    pub(super) network: IpAddr,
}

/// Why a request has another answer than its page.
pub(super) enum Failure {
    Account(AccountError),
    Problem(Problem),
}

impl<E: Into<AccountError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Account(error.into())
    }
}

#[derive(Template)]
#[template(path = "account/message.html")]
struct MessagePage<'a> {
    layout: Layout<'a>,
    message: Message<'a>,
}

/// A page of one message, and where to go on.
pub(super) struct Message<'a> {
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) link: (&'a str, &'a str),
}

impl Context {
    pub(super) fn accounts(&self) -> &Accounts {
        &self.app.accounts
    }

    pub(super) fn layout(&self) -> Layout<'_> {
        Layout::new(&self.app, self.viewer, "account")
    }

    /// What the tokens in the forms of this browser are.
    pub(super) fn form_token(&self) -> Secret {
        form_token(&self.visitor, self.session)
    }

    /// Who is signed in.
    pub(super) async fn user(&self) -> Result<Option<User>, AccountError> {
        match self.session {
            Some(session) => self.accounts().user_of_session(session, Utc::now()).await,
            None => Ok(None),
        }
    }

    fn is_secure(&self) -> bool {
        self.accounts().settings.is_secure()
    }

    /// A page. A browser without the visitor's cookie gets it, as the forms of the page need it.
    pub(super) fn page(&self, status: StatusCode, page: &impl Template) -> Result<Response, Failure> {
        let page = page.render().map_err(|error| Failure::Problem(error.into()))?;
        let mut response = (status, [(header::VARY, "Cookie")], Html(page)).into_response();
        if self.is_new_visitor {
            let cookie = SecretCookie::Visitor.set(Some(&self.visitor), self.is_secure());
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    pub(super) fn message(&self, status: StatusCode, message: Message<'_>) -> Result<Response, Failure> {
        self.page(status, &MessagePage { layout: self.layout(), message })
    }

    /// To another page, which the browser loads with GET.
    #[expect(clippy::unused_self, reason = "one of the responses of this context")]
    pub(super) fn redirect(&self, to: &str) -> Response {
        // Paths of this program, or checked by `local_path`.
        let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
    }

    /// To another page, signed in with this secret, or signed out.
    pub(super) fn redirect_with_session(&self, to: &str, secret: Option<&Secret>) -> Response {
        let mut response = self.redirect(to);
        let cookie = SecretCookie::Session.set(secret, self.is_secure());
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }

    /// The response, or the page for a failure.
    pub(super) fn answer(&self, done: Result<Response, Failure>) -> Response {
        let error = match done {
            Ok(response) => return response,
            Err(Failure::Problem(problem)) => return problem.into_response(),
            Err(Failure::Account(error)) => error,
        };
        let (status, title, text, retry_seconds) = describe(&error);
        let message = Message { title, text: &text, link: ("/", "To the board") };
        let mut response = match self.message(status, message) {
            Ok(response) => response,
            Err(_) => Problem::from_status(status, &text).into_response(),
        };
        if retry_seconds > 0 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_seconds));
        }
        response
    }

    fn read(app: &App, viewer: Viewer, headers: &HeaderMap, peer: IpAddr) -> Self {
        let settings = &app.accounts.settings;
        let visitor = SecretCookie::Visitor.read(headers, settings.is_secure());
        let session = SecretCookie::Session.read(headers, settings.is_secure());
        Self {
            app: app.clone(),
            viewer,
            is_new_visitor: visitor.is_none(),
            visitor: visitor.unwrap_or_else(Secret::generate),
            session: session.map(|secret| secret.hash()),
            network: client_network(peer, headers, &settings.trusted_proxies),
        }
    }
}

/// Status, title and text of the page for an error, and after how many seconds to try again.
fn describe(error: &AccountError) -> (StatusCode, &'static str, String, u64) {
    match error {
        AccountError::Throttled(throttled) => {
            let minutes = throttled.minutes();
            let text = format!("Too many attempts were made. Try again in {minutes} min.");
            (StatusCode::TOO_MANY_REQUESTS, "Too many attempts", text, minutes * 60)
        }
        AccountError::Conflict => {
            let text = "The account was changed by another page at the same time. Load the page again, and repeat the change.";
            (StatusCode::CONFLICT, "Changed at the same time", text.to_owned(), 0)
        }
        AccountError::Store(_)
        | AccountError::OtherStore(_)
        | AccountError::Rule(_)
        | AccountError::Hash(_)
        | AccountError::Busy => {
            tracing::warn!(%error, "a request about an account failed");
            let text = "Accounts are not available at present; the log of this service has the reason. Try again shortly.";
            (StatusCode::SERVICE_UNAVAILABLE, "Not available now", text.to_owned(), 5)
        }
    }
}

impl FromRequestParts<App> for Context {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let viewer = match Viewer::from_request_parts(parts, app).await {
            Ok(viewer) => viewer,
            Err(never) => match never {},
        };
        let Some(ClientAddress(peer)) = parts.extensions.get().copied() else {
            tracing::error!("a request has no address of its client");
            return Err(Problem::unavailable("the address of the client is not known").into_response());
        };
        Ok(Self::read(app, viewer, &parts.headers, peer))
    }
}

/// A path of this host to return to behind a sign-in; others would lead readers of a link to another site.
pub(super) fn local_path(text: &str) -> Option<&str> {
    let is_local = text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= 500
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_local.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_host_are_returned_to() {
        assert_eq!(local_path("/account?symbol=BTC/USDT"), Some("/account?symbol=BTC/USDT"));
        for text in [
            "",
            "account",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nset-cookie: x",
        ] {
            assert_eq!(local_path(text), None, "{text}");
        }
    }
}
