//! Unsubscribing by the link of a mail: by a mail client with one POST (RFC 8058), or by a person on a page. GET changes nothing.

use accounts::{MailKind, UnsubscribeToken, User};
use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{
    super::pages::Layout,
    context::{Context, Failure, Message},
};
use crate::params::Params;

#[derive(Template)]
#[template(path = "account/unsubscribe.html")]
struct UnsubscribePage<'a> {
    layout: Layout<'a>,
    /// The token of the link.
    link_token: String,
    what: &'static str,
}

fn what(kind: MailKind) -> &'static str {
    match kind {
        MailKind::Alerts => "mails about alerts",
        MailKind::Digest => "the morning digest",
    }
}

/// GET /unsubscribe
pub(super) async fn page(context: Context, params: Params) -> Response {
    let done = async {
        match find(&context, &params).await? {
            Some((token, _)) => {
                let (layout, what, link_token) = (context.layout(), what(token.kind), token.to_string());
                context.page(StatusCode::OK, &UnsubscribePage { layout, link_token, what })
            }
            None => other_link(&context),
        }
    };
    let done = done.await;
    context.answer(done)
}

/// POST /unsubscribe, with the token in the address, as the header of the mail has it.
pub(super) async fn unsubscribe(context: Context, params: Params) -> Response {
    let done = async {
        let Some((token, user)) = find(&context, &params).await? else { return other_link(&context) };
        let end = |user: &mut User| match token.kind {
            MailKind::Alerts => user.mails_alerts = false,
            MailKind::Digest => user.digest.is_on = false,
        };
        context.accounts().change_choices(user.id, end).await?;
        let text = format!(
            "You do not receive {} any more. Your account has the switch to receive them again.",
            what(token.kind)
        );
        let message = Message { title: "Unsubscribed", text: &text, link: ("/account", "To your account") };
        context.message(StatusCode::OK, message)
    };
    let done = done.await;
    context.answer(done)
}

async fn find(context: &Context, params: &Params) -> Result<Option<(UnsubscribeToken, User)>, Failure> {
    let Ok(token) = params.get("token").unwrap_or_default().parse::<UnsubscribeToken>() else {
        return Ok(None);
    };
    let user = context.accounts().store().user(token.user).await?;
    Ok(user.filter(|user| token.is_of(user)).map(|user| (token, user)))
}

fn other_link(context: &Context) -> Result<Response, Failure> {
    let text = "The link is not of this installation, was cut when it was copied, or its account was deleted. Nothing was changed. Sign in to \
                choose your mails.";
    let message = Message { title: "This link is not valid", text, link: ("/account", "To your account") };
    context.message(StatusCode::NOT_FOUND, message)
}
