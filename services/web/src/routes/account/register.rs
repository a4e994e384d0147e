//! Registering, and confirming the address.

use accounts::{Password, Secret, TokenPurpose, parse_time_zone, parse_watch_list};
use askama::Template;
use axum::{http::StatusCode, response::Response};
use chrono::Utc;
use chrono_tz::Tz;
use market::Symbol;
use owed_mails::EmailAddress;

use super::{
    super::pages::Layout,
    context::{Context, Failure, Message},
    form::{Field, Form, Posted},
};
use crate::{
    account::{Choices, NewAccount, Registration},
    params::Params,
};

/// Symbols of the watch list of this installation that the form suggests.
const SUGGESTED_SYMBOLS: usize = 20;

#[derive(Template)]
#[template(path = "account/register.html")]
struct RegisterPage<'a> {
    layout: Layout<'a>,
    token: String,
    email: Field,
    password: Field,
    symbols: Field,
    threshold: Field,
}

#[derive(Template)]
#[template(path = "account/confirm.html")]
struct ConfirmPage<'a> {
    layout: Layout<'a>,
    token: String,
    secret: &'a str,
    password: Field,
}

/// GET /register
pub(super) async fn page(context: Context) -> Response {
    context.answer(show(&context, StatusCode::OK, empty_fields(&context)))
}

type Fields = [Field; 4];

fn empty_fields(context: &Context) -> Fields {
    let mut watched: Vec<(&Symbol, &usize)> = context.app.watched.iter().collect();
    watched.sort_by_key(|(_, place)| **place);
    let symbols: Vec<&str> =
        watched.iter().take(SUGGESTED_SYMBOLS).map(|(symbol, _)| symbol.as_str()).collect();
    let threshold = accounts::Threshold::DEFAULT.percent().to_string();
    [Field::default(), Field::default(), Field::new(symbols.join(", ")), Field::new(threshold)]
}

fn show(context: &Context, status: StatusCode, fields: Fields) -> Result<Response, Failure> {
    if context.accounts().settings.registration == Registration::Closed {
        let text = "The operator of this installation adds accounts: ask for one. For operators: `tapedeck user add`, or REGISTRATION=open.";
        let link = ("/login", "Sign in");
        return context
            .message(StatusCode::FORBIDDEN, Message { title: "Registration is closed", text, link });
    }
    let [email, password, symbols, threshold] = fields;
    let (layout, token) = (context.layout(), context.form_token().expose());
    context.page(status, &RegisterPage { layout, token, email, password, symbols, threshold })
}

/// POST /register
pub(super) async fn submit(posted: Posted) -> Response {
    let done = try_submit(&posted).await;
    posted.context.answer(done)
}

async fn try_submit(Posted { context, form }: &Posted) -> Result<Response, Failure> {
    if context.accounts().settings.registration == Registration::Closed {
        return show(context, StatusCode::FORBIDDEN, Fields::default());
    }
    let (email, address) = Field::parse(form, "email", EmailAddress::parse);
    let (symbols, watch_list) = Field::parse(form, "symbols", parse_watch_list);
    let (threshold, change) = Field::parse(form, "threshold", accounts::Threshold::parse);
    let (password, chosen) = choose_password(form, form.text("email"));
    // Sent by a script, where there is one; the person can change it later.
    let time_zone = parse_time_zone(form.text("time_zone")).unwrap_or(Tz::UTC);
    let (Some(email_address), Some(watch_list), Some(threshold_percent), Some(chosen)) =
        (address, watch_list, change, chosen)
    else {
        return show(context, StatusCode::UNPROCESSABLE_ENTITY, [email, password, symbols, threshold]);
    };
    let choices = Choices { watch_list, threshold: threshold_percent, time_zone };
    let new = NewAccount { email: email_address, password: chosen, choices };
    context.accounts().register(new, context.network).await?;
    let text = "A mail is on its way to the address that you entered. Open the link in it within 48 hours to confirm the address; until \
                then no other mail is sent. Nothing arrives? Look into the folder for unwanted mails, or register once more.";
    context
        .message(StatusCode::OK, Message { title: "Look into your mails", text, link: ("/", "To the board") })
}

/// A new password of a form, for the account of an address.
pub(super) fn choose_password(form: &Form, address: &str) -> (Field, Option<Password>) {
    match Password::choose(&form.secret("password"), address.trim()) {
        Ok(password) => (Field::default(), Some(password)),
        Err(error) => (Field::wrong(error), None),
    }
}

/// GET /confirm: changes nothing, as programs that check links open it, too.
pub(super) async fn confirm_page(context: Context, params: Params) -> Response {
    let done = async {
        let secret = params.get("token").unwrap_or_default();
        match find(&context, secret).await? {
            Some(_) => show_confirm(&context, StatusCode::OK, secret, Field::default()),
            None => outdated_link(&context),
        }
    };
    let done = done.await;
    context.answer(done)
}

/// POST /confirm
pub(super) async fn confirm(posted: Posted) -> Response {
    let done = try_confirm(&posted).await;
    posted.context.answer(done)
}

async fn try_confirm(Posted { context, form }: &Posted) -> Result<Response, Failure> {
    let secret = form.text("token");
    let Some((token, user)) = find(context, secret).await? else { return outdated_link(context) };
    let (password, accounts) = (form.secret("password"), context.accounts());
    match accounts.confirm(&token, &user, &password, context.network, context.session).await? {
        Some(session) => Ok(context.redirect_with_session("/account?saved=confirmed", Some(&session))),
        None => {
            let wrong = Field::wrong("this is not the password of the registration");
            show_confirm(context, StatusCode::UNPROCESSABLE_ENTITY, secret, wrong)
        }
    }
}

async fn find(
    context: &Context,
    secret: &str,
) -> Result<Option<(accounts::OneTimeToken, accounts::User)>, Failure> {
    match secret.parse::<Secret>() {
        Ok(secret) => Ok(context.accounts().find_token(&secret, TokenPurpose::Confirm, Utc::now()).await?),
        Err(_) => Ok(None),
    }
}

fn show_confirm(
    context: &Context,
    status: StatusCode,
    secret: &str,
    password: Field,
) -> Result<Response, Failure> {
    let (layout, token) = (context.layout(), context.form_token().expose());
    context.page(status, &ConfirmPage { layout, token, secret, password })
}

fn outdated_link(context: &Context) -> Result<Response, Failure> {
    let text = "The link was used already, is older than 48 hours, was replaced by that of a newer mail, or is not of this installation. If you \
                confirmed your address before, sign in; otherwise sign in, too: a new link is then sent.";
    let message = Message { title: "This link is not valid", text, link: ("/login", "Sign in") };
    context.message(StatusCode::NOT_FOUND, message)
}
