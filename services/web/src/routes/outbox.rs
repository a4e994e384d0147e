//! The outbox: mails that were written to files instead of being sent, with their HTML in a frame of its own.

use std::io;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::header,
    response::{Html, IntoResponse, Response},
};
use mailer::{Outbox, OutboxEntry, OutboxName, ReadMail};

use super::{App, pages::Layout};
use crate::{middleware::viewer::Viewer, problem::Problem};

/// Mails in the list.
const SHOWN: usize = 200;
/// Of a page with a mail: the frame is from this host. The rest is that of every page.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";
/// Of the HTML of a mail: no script, nothing from another host, no form. Its links open in a new tab.
const MAIL_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
    frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox";

#[derive(Template)]
#[template(path = "outbox.html")]
struct ListPage<'a> {
    layout: Layout<'a>,
    folder: String,
    mails: Vec<OutboxEntry>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage<'a> {
    layout: Layout<'a>,
    name: OutboxName,
    mail: ReadMail,
}

/// GET /outbox
pub(crate) async fn list(State(app): State<App>, viewer: Viewer) -> Result<Response, Problem> {
    let outbox = outbox_of(&app)?;
    let folder = outbox.folder().display().to_string();
    let mails = read(move || outbox.newest(SHOWN)).await?;
    let page = ListPage { layout: Layout::new(&app, viewer, "outbox"), folder, mails };
    Ok(([(header::VARY, "Cookie")], Html(page.render()?)).into_response())
}

/// GET /outbox/{name}
pub(crate) async fn mail(
    State(app): State<App>,
    Path(name): Path<String>,
    viewer: Viewer,
) -> Result<Response, Problem> {
    let (name, mail) = find(&app, &name).await?;
    let page = MailPage { layout: Layout::new(&app, viewer, "outbox"), name, mail };
    let headers = [(header::VARY, "Cookie"), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    Ok((headers, Html(page.render()?)).into_response())
}

/// GET /outbox/{name}/html
pub(crate) async fn html(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let (_, mail) = find(&app, &name).await?;
    let html =
        mail.standalone_html().ok_or_else(|| Problem::not_found("the mail has no HTML part".to_owned()))?;
    let headers = [(header::CONTENT_SECURITY_POLICY, MAIL_POLICY), (header::X_FRAME_OPTIONS, "SAMEORIGIN")];
    Ok((headers, Html(html)).into_response())
}

fn outbox_of(app: &App) -> Result<Outbox, Problem> {
    let missing = || {
        Problem::not_found("mails go to a mail server here; with MAIL_URL=file:DIR they are shown".to_owned())
    };
    app.outbox.clone().ok_or_else(missing)
}

async fn find(app: &App, name: &str) -> Result<(OutboxName, ReadMail), Problem> {
    let outbox = outbox_of(app)?;
    let missing = || Problem::not_found("there is no such mail in the outbox".to_owned());
    let name = OutboxName::parse(name).ok_or_else(missing)?;
    let wanted = name.clone();
    let found = read(move || outbox.read(&wanted)).await?;
    Ok((name, found.ok_or_else(missing)?))
}

/// Reads files on a thread that may block.
async fn read<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        tracing::warn!(%error, "the outbox could not be read");
        Problem::unavailable("the outbox cannot be read; the log of this service has the reason")
    })
}
