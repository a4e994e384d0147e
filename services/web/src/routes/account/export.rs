//! Everything that is kept of a person, as JSON.

use alert_rules::AlertRule;
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use market::Symbol;
use serde::Serialize;

use super::{
    context::{Context, Failure},
    settings,
};
use crate::{account::rules, params::far_past};

#[derive(Serialize)]
struct Export {
    exported_at: DateTime<Utc>,
    user: UserJson,
    alert_rules: Vec<AlertRule>,
    sessions: Vec<SessionJson>,
    mails: Vec<MailJson>,
}

#[derive(Serialize)]
struct UserJson {
    id: String,
    email: String,
    confirmed_at: Option<DateTime<Utc>>,
    time_zone: &'static str,
    watch_list: Vec<Symbol>,
    threshold_percent: Option<f64>,
    mails_alerts: bool,
    digest: bool,
    digest_hour: u8,
    created_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct SessionJson {
    created_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Without its text, which may have the link of a token.
#[derive(Serialize)]
struct MailJson {
    subject: String,
    created_at: DateTime<Utc>,
    state: &'static str,
}

/// GET /account/export
pub(super) async fn export(context: Context) -> Response {
    let done = try_export(&context).await;
    context.answer(done)
}

async fn try_export(context: &Context) -> Result<Response, Failure> {
    let Some(user) = context.user().await? else { return Ok(settings::to_sign_in(context)) };
    let store = context.accounts().store();
    let sessions = store.sessions_of(user.id).await?;
    let mails = store.mails_to(&user.email, far_past()).await?;
    let export = Export {
        exported_at: Utc::now(),
        alert_rules: rules::exported(store, user.id).await?,
        sessions: sessions
            .into_iter()
            .map(|session| SessionJson {
                created_at: session.created_at,
                seen_at: session.seen_at,
                expires_at: session.expires_at,
            })
            .collect(),
        mails: mails
            .into_iter()
            .map(|stored| MailJson {
                subject: stored.mail.content.subject,
                created_at: stored.mail.created_at,
                state: stored.state.name(),
            })
            .collect(),
        user: UserJson {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            confirmed_at: user.confirmed_at,
            time_zone: user.time_zone.name(),
            threshold_percent: user.threshold.map(accounts::Threshold::percent),
            mails_alerts: user.mails_alerts,
            digest: user.digest.is_on,
            digest_hour: user.digest.hour.get(),
            created_at: user.created_at,
            watch_list: user.watch_list,
        },
    };
    let text = serde_json::to_vec_pretty(&export).map_err(|error| Failure::Problem(error.into()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"tapedeck-account.json\""),
    ];
    Ok((StatusCode::OK, headers, text).into_response())
}
