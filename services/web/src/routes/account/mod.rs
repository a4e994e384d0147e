//! The pages of accounts. What they do is in `crate::account`.

mod context;
mod export;
mod form;
mod password;
mod register;
mod settings;
mod sign_in;
mod unsubscribe;

use axum::{
    Router,
    routing::{get, post},
};

use super::App;

/// Pages and forms. Every write needs the origin of this host, see the caller.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/register", get(register::page).post(register::submit))
        .route("/confirm", get(register::confirm_page).post(register::confirm))
        .route("/login", get(sign_in::page).post(sign_in::submit))
        .route("/logout", post(sign_in::sign_out))
        .route("/forgot", get(password::forgot_page).post(password::forgot))
        .route("/reset", get(password::reset_page).post(password::reset))
        .route("/account", get(settings::page))
        .route("/account/watch-list", post(settings::watch_list))
        .route("/account/alerts", post(settings::alerts))
        .route("/account/levels", post(settings::add_level))
        .route("/account/levels/remove", post(settings::remove_level))
        .route("/account/digest", post(settings::digest))
        .route("/account/password", post(password::change))
        .route("/account/delete", post(settings::delete))
        .route("/account/export", get(export::export))
}

/// What mail clients write to by themselves (RFC 8058), without an origin and without a cookie: the token in the link is the permission.
pub(super) fn open_router() -> Router<App> {
    Router::new().route("/unsubscribe", get(unsubscribe::page).post(unsubscribe::unsubscribe))
}
