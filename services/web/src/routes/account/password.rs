//! Forgotten and changed passwords.

use accounts::{OneTimeToken, Password, Secret, TokenPurpose, User};
use askama::Template;
use axum::{http::StatusCode, response::Response};
use chrono::Utc;
use owed_mails::EmailAddress;

use super::{
    super::pages::Layout,
    context::{Context, Failure, Message},
    form::{Field, Posted},
    register::choose_password,
    settings::{self, AccountPage},
};
use crate::params::Params;

#[derive(Template)]
#[template(path = "account/forgot.html")]
struct ForgotPage<'a> {
    layout: Layout<'a>,
    token: String,
    email: Field,
}

#[derive(Template)]
#[template(path = "account/reset.html")]
struct ResetPage<'a> {
    layout: Layout<'a>,
    token: String,
    secret: &'a str,
    email: String,
    password: Field,
}

/// GET /forgot
pub(super) async fn forgot_page(context: Context) -> Response {
    context.answer(show_forgot(&context, StatusCode::OK, Field::default()))
}

fn show_forgot(context: &Context, status: StatusCode, email: Field) -> Result<Response, Failure> {
    context
        .page(status, &ForgotPage { layout: context.layout(), token: context.form_token().expose(), email })
}

/// POST /forgot: the page is the same whether there is such an account.
pub(super) async fn forgot(Posted { context, form }: Posted) -> Response {
    let done = async {
        let (field, address) = Field::parse(&form, "email", EmailAddress::parse);
        let Some(address) = address else {
            return show_forgot(&context, StatusCode::UNPROCESSABLE_ENTITY, field);
        };
        context.accounts().forget_password(address, context.network).await?;
        let text = "If there is an account of that address, a mail with a link to choose a new password is on its way. The link is valid for one \
                    hour.";
        let message = Message { title: "Look into your mails", text, link: ("/login", "Sign in") };
        context.message(StatusCode::OK, message)
    };
    let done = done.await;
    context.answer(done)
}

/// GET /reset
pub(super) async fn reset_page(context: Context, params: Params) -> Response {
    let done = async {
        let secret = params.get("token").unwrap_or_default();
        match find(&context, secret).await? {
            Some((_, user)) => show_reset(&context, StatusCode::OK, secret, &user, Field::default()),
            None => outdated_link(&context),
        }
    };
    let done = done.await;
    context.answer(done)
}

/// POST /reset
pub(super) async fn reset(Posted { context, form }: Posted) -> Response {
    let done = async {
        let secret = form.text("token");
        let Some((token, user)) = find(&context, secret).await? else { return outdated_link(&context) };
        let (field, chosen) = choose_password(&form, user.email.as_str());
        let Some(chosen) = chosen else {
            return show_reset(&context, StatusCode::UNPROCESSABLE_ENTITY, secret, &user, field);
        };
        if !context.accounts().reset_password(&token, &user, chosen).await? {
            return outdated_link(&context);
        }
        Ok(context.redirect_with_session("/login?reset=done", None))
    };
    let done = done.await;
    context.answer(done)
}

async fn find(context: &Context, secret: &str) -> Result<Option<(OneTimeToken, User)>, Failure> {
    match secret.parse::<Secret>() {
        Ok(secret) => Ok(context.accounts().find_token(&secret, TokenPurpose::Reset, Utc::now()).await?),
        Err(_) => Ok(None),
    }
}

fn show_reset(
    context: &Context,
    status: StatusCode,
    secret: &str,
    user: &User,
    password: Field,
) -> Result<Response, Failure> {
    let (layout, token) = (context.layout(), context.form_token().expose());
    let email = user.email.as_str().to_owned();
    context.page(status, &ResetPage { layout, token, secret, email, password })
}

fn outdated_link(context: &Context) -> Result<Response, Failure> {
    let text = "The link was used already, is older than one hour, or is not of this installation. Ask for a new one.";
    let message = Message { title: "This link is not valid", text, link: ("/forgot", "Ask for a new link") };
    context.message(StatusCode::NOT_FOUND, message)
}

/// POST /account/password
pub(super) async fn change(Posted { context, form }: Posted) -> Response {
    let done = async {
        let Some(user) = context.user().await? else { return Ok(settings::to_sign_in(&context)) };
        let mut page = AccountPage::load(&context, &user).await?;
        if !context.accounts().is_password_of(&user, &form.secret("current"), context.network).await? {
            page.current_password = Field::wrong("this is not your password");
            return context.page(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
        match Password::choose(&form.secret("password"), user.email.as_str()) {
            Ok(chosen) => {
                let session = context.accounts().change_password(&user, chosen).await?;
                Ok(context.redirect_with_session("/account?saved=password#password", Some(&session)))
            }
            Err(error) => {
                page.new_password = Field::wrong(error);
                context.page(StatusCode::UNPROCESSABLE_ENTITY, &page)
            }
        }
    };
    let done = done.await;
    context.answer(done)
}
