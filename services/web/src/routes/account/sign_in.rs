//! Signing in and out.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use owed_mails::EmailAddress;

use super::{
    super::pages::Layout,
    context::{Context, Failure, Message, local_path},
    form::{Field, Posted},
};
use crate::{
    account::{Registration, SignIn},
    params::Params,
};

#[derive(Template)]
#[template(path = "account/login.html")]
struct LoginPage<'a> {
    layout: Layout<'a>,
    token: String,
    /// Where to go on.
    next: &'a str,
    /// What was done before.
    notice: Option<&'static str>,
    may_register: bool,
    email: Field,
    password: Field,
}

/// GET /login
pub(super) async fn page(context: Context, params: Params) -> Response {
    let next = params.get("next").and_then(local_path).unwrap_or("/account");
    let done = async {
        if context.user().await?.is_some() {
            return Ok(context.redirect(next));
        }
        let notice = if params.get("reset").is_some() {
            Some("The new password is set. Sign in with it.")
        } else if params.get("deleted").is_some() {
            Some(
                "Your account is deleted, with its watch list, rules and sessions. Alerts and mails that were sent are kept as long as all \
                 others.",
            )
        } else {
            None
        };
        show(&context, StatusCode::OK, next, notice, [Field::default(), Field::default()])
    };
    let done = done.await;
    context.answer(done)
}

fn show(
    context: &Context,
    status: StatusCode,
    next: &str,
    notice: Option<&'static str>,
    [email, password]: [Field; 2],
) -> Result<Response, Failure> {
    let (layout, token) = (context.layout(), context.form_token().expose());
    let may_register = context.accounts().settings.registration == Registration::Open;
    context.page(status, &LoginPage { layout, token, next, notice, may_register, email, password })
}

/// POST /login
pub(super) async fn submit(posted: Posted) -> Response {
    let done = try_submit(&posted).await;
    posted.context.answer(done)
}

async fn try_submit(Posted { context, form }: &Posted) -> Result<Response, Failure> {
    let next = local_path(form.text("next")).unwrap_or("/account");
    let (email, address) = Field::parse(form, "email", EmailAddress::parse);
    let Some(address) = address else {
        return show(context, StatusCode::UNPROCESSABLE_ENTITY, next, None, [email, Field::default()]);
    };
    let password = form.secret("password");
    match context.accounts().sign_in(&address, &password, context.network, context.session).await? {
        SignIn::SignedIn(secret) => Ok(context.redirect_with_session(next, Some(&secret))),
        SignIn::Wrong => {
            let wrong = Field::wrong("the address or the password is wrong");
            show(context, StatusCode::UNPROCESSABLE_ENTITY, next, None, [email, wrong])
        }
        SignIn::Unconfirmed => {
            let text = "The password is right, but the address is not confirmed yet. A mail with a link for that is on its way, at most three an \
                        hour; open the newest one.";
            let message = Message { title: "Confirm your address first", text, link: ("/", "To the board") };
            context.message(StatusCode::FORBIDDEN, message)
        }
    }
}

/// POST /logout
pub(super) async fn sign_out(Posted { context, .. }: Posted) -> Response {
    let done = async {
        if let Some(session) = context.session {
            context.accounts().sign_out(session).await?;
        }
        Ok(context.redirect_with_session("/", None))
    };
    let done = done.await;
    context.answer(done)
}
