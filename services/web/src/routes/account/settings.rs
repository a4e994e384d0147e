//! The page of an account: what a person watches, and which mails come.

use accounts::{Digest, DigestHour, Threshold, User, parse_time_zone, parse_watch_list};
use askama::Template;
use axum::{http::StatusCode, response::Response};
use market::Symbol;

use super::{
    super::pages::Layout,
    context::{Context, Failure},
    form::{Field, Form, Posted},
};
use crate::{
    account::rules::{self, Level, MAX_LEVELS},
    format::TimeText,
    params::Params,
};

/// The page. Each section is a form of its own; one that was refused shows what was typed.
#[derive(Template)]
#[template(path = "account/account.html")]
pub(super) struct AccountPage<'a> {
    layout: Layout<'a>,
    token: String,
    email: String,
    since: String,
    /// What was stored before this page was loaded.
    saved: Option<&'static str>,
    watch_list: Field,
    mails_alerts: bool,
    threshold: Field,
    levels: Vec<Level>,
    level_symbol: Field,
    level_is_above: bool,
    level_price: Field,
    digest: Digest,
    digest_hour: Field,
    time_zone: Field,
    pub(super) current_password: Field,
    pub(super) new_password: Field,
    delete_password: Field,
}

impl<'a> AccountPage<'a> {
    pub(super) async fn load(context: &'a Context, user: &User) -> Result<Self, Failure> {
        let symbols: Vec<&str> = user.watch_list.iter().map(Symbol::as_str).collect();
        let threshold = user.threshold.map(|threshold| threshold.percent().to_string()).unwrap_or_default();
        Ok(Self {
            layout: context.layout(),
            token: context.form_token().expose(),
            email: user.email.as_str().to_owned(),
            since: user.created_at.minute(),
            saved: None,
            watch_list: Field::new(symbols.join(", ")),
            mails_alerts: user.mails_alerts,
            threshold: Field::new(threshold),
            levels: rules::levels(context.accounts().store(), user.id).await?,
            level_symbol: Field::default(),
            level_is_above: true,
            level_price: Field::default(),
            digest: user.digest,
            digest_hour: Field::new(user.digest.hour.get().to_string()),
            time_zone: Field::new(user.time_zone.name()),
            current_password: Field::default(),
            new_password: Field::default(),
            delete_password: Field::default(),
        })
    }
}

/// What a page shows behind a change, by the name in its address.
fn saved_text(name: &str) -> Option<&'static str> {
    match name {
        "confirmed" => Some("Your address is confirmed, and you are signed in."),
        "watch-list" => Some("The watch list is stored."),
        "alerts" => Some("The alerts are stored; they take effect within two seconds."),
        "levels" => Some("The price levels are stored; they take effect within two seconds."),
        "digest" => Some("The digest is stored."),
        "password" => Some("The password is changed. Every other browser is signed out."),
        _ => None,
    }
}

/// To the page for signing in, and from there to the account.
pub(super) fn to_sign_in(context: &Context) -> Response {
    context.redirect_with_session("/login", None)
}

/// GET /account
pub(super) async fn page(context: Context, params: Params) -> Response {
    let symbol = params.get("symbol").and_then(|text| Symbol::parse(text).ok());
    let done = async {
        let Some(user) = context.user().await? else {
            let next =
                symbol.map_or_else(|| "/account".to_owned(), |symbol| format!("/account?symbol={symbol}"));
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            return Ok(context.redirect_with_session(&format!("/login?next={next}"), None));
        };
        let mut page = AccountPage::load(&context, &user).await?;
        page.saved = params.get("saved").and_then(saved_text);
        if let Some(symbol) = symbol {
            page.level_symbol = Field::new(symbol.as_str());
        }
        context.page(StatusCode::OK, &page)
    };
    let done = done.await;
    context.answer(done)
}

/// The result of a section: stored, under the name for [`saved_text`], or what is wrong, on the page.
enum Section<'a> {
    Stored(&'static str),
    Refused(Box<AccountPage<'a>>),
}

fn section(context: &Context, done: Section<'_>) -> Result<Response, Failure> {
    match done {
        Section::Stored(name) => Ok(context.redirect(&format!("/account?saved={name}#{name}"))),
        Section::Refused(page) => context.page(StatusCode::UNPROCESSABLE_ENTITY, &*page),
    }
}

/// The forms of the page that change what a person chose.
#[derive(Clone, Copy)]
enum Change {
    WatchList,
    Alerts,
    AddLevel,
    RemoveLevel,
    Digest,
}

/// Answers a form of a section, of a person who is signed in.
async fn submit(Posted { context, form }: Posted, change: Change) -> Response {
    let done = async {
        let Some(user) = context.user().await? else { return Ok(to_sign_in(&context)) };
        let done = match change {
            Change::WatchList => store_watch_list(&context, &form, &user).await?,
            Change::Alerts => store_alerts(&context, &form, &user).await?,
            Change::AddLevel => store_level(&context, &form, &user).await?,
            Change::RemoveLevel => drop_level(&context, &form, &user).await?,
            Change::Digest => store_digest(&context, &form, &user).await?,
        };
        section(&context, done)
    };
    let done = done.await;
    context.answer(done)
}

/// POST /account/watch-list
pub(super) async fn watch_list(posted: Posted) -> Response {
    submit(posted, Change::WatchList).await
}

async fn store_watch_list<'a>(
    context: &'a Context,
    form: &Form,
    user: &User,
) -> Result<Section<'a>, Failure> {
    let (field, symbols) = Field::parse(form, "symbols", parse_watch_list);
    let Some(symbols) = symbols else {
        let mut page = AccountPage::load(context, user).await?;
        page.watch_list = field;
        return Ok(Section::Refused(Box::new(page)));
    };
    context.accounts().change_choices(user.id, |user| user.watch_list.clone_from(&symbols)).await?;
    Ok(Section::Stored("watch-list"))
}

/// POST /account/alerts
pub(super) async fn alerts(posted: Posted) -> Response {
    submit(posted, Change::Alerts).await
}

async fn store_alerts<'a>(context: &'a Context, form: &Form, user: &User) -> Result<Section<'a>, Failure> {
    let (field, threshold) = Field::parse(form, "threshold", Threshold::parse);
    let mails_alerts = form.has("mails_alerts");
    let Some(threshold) = threshold else {
        let mut page = AccountPage::load(context, user).await?;
        (page.threshold, page.mails_alerts) = (field, mails_alerts);
        return Ok(Section::Refused(Box::new(page)));
    };
    let change = |user: &mut User| (user.threshold, user.mails_alerts) = (threshold, mails_alerts);
    context.accounts().change_choices(user.id, change).await?;
    Ok(Section::Stored("alerts"))
}

/// POST /account/levels
pub(super) async fn add_level(posted: Posted) -> Response {
    submit(posted, Change::AddLevel).await
}

async fn store_level<'a>(context: &'a Context, form: &Form, user: &User) -> Result<Section<'a>, Failure> {
    let (mut symbol_field, symbol) = Field::parse(form, "symbol", Symbol::parse);
    let (price_field, price) = Field::parse(form, "price", rules::parse_price);
    let direction = match form.text("direction") {
        "above" => Some(true),
        "below" => Some(false),
        _ => None,
    };
    let is_above = direction.unwrap_or(true);
    if direction.is_none() {
        symbol_field.error = Some("The direction must be above or below.".to_owned());
    } else if let (Some(symbol), Some(price)) = (symbol, price) {
        if rules::add_level(context.accounts().store(), user, symbol, is_above, price).await? {
            return Ok(Section::Stored("levels"));
        }
        symbol_field.error =
            Some(format!("You have {MAX_LEVELS} price levels, the most that are kept: remove one first."));
    }
    let mut page = AccountPage::load(context, user).await?;
    (page.level_symbol, page.level_price, page.level_is_above) = (symbol_field, price_field, is_above);
    Ok(Section::Refused(Box::new(page)))
}

/// POST /account/levels/remove
pub(super) async fn remove_level(posted: Posted) -> Response {
    submit(posted, Change::RemoveLevel).await
}

async fn drop_level<'a>(context: &'a Context, form: &Form, user: &User) -> Result<Section<'a>, Failure> {
    rules::remove_level(context.accounts().store(), user.id, form.text("level")).await?;
    Ok(Section::Stored("levels"))
}

/// POST /account/digest
pub(super) async fn digest(posted: Posted) -> Response {
    submit(posted, Change::Digest).await
}

async fn store_digest<'a>(context: &'a Context, form: &Form, user: &User) -> Result<Section<'a>, Failure> {
    let (hour_field, hour) = Field::parse(form, "hour", DigestHour::parse);
    let (zone_field, zone) = Field::parse(form, "time_zone", parse_time_zone);
    let is_on = form.has("digest");
    let (Some(hour), Some(zone)) = (hour, zone) else {
        let mut page = AccountPage::load(context, user).await?;
        (page.digest_hour, page.time_zone, page.digest.is_on) = (hour_field, zone_field, is_on);
        return Ok(Section::Refused(Box::new(page)));
    };
    let change = |user: &mut User| (user.digest, user.time_zone) = (Digest { is_on, hour }, zone);
    context.accounts().change_choices(user.id, change).await?;
    Ok(Section::Stored("digest"))
}

/// POST /account/delete
pub(super) async fn delete(Posted { context, form }: Posted) -> Response {
    let done = async {
        let Some(user) = context.user().await? else { return Ok(to_sign_in(&context)) };
        if !context.accounts().is_password_of(&user, &form.secret("current"), context.network).await? {
            let mut page = AccountPage::load(&context, &user).await?;
            page.delete_password = Field::wrong("this is not your password");
            return context.page(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
        context.accounts().remove(&user).await?;
        Ok(context.redirect_with_session("/login?deleted=1", None))
    };
    let done = done.await;
    context.answer(done)
}
