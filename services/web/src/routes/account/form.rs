//! Forms as they are sent, and their fields as they are shown again.

use accounts::Secret;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::Response,
};
use secrecy::SecretString;

use super::{
    super::App,
    context::{Context, Message},
};

/// The field of the token in every form.
const TOKEN_FIELD: &str = "form_token";

/// A form that was sent from a page of ours by the same browser.
pub(super) struct Posted {
    pub(super) context: Context,
    pub(super) form: Form,
}

impl FromRequest<App> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let context = Context::from_request_parts(&mut parts, app).await?;
        let refuse = |status, title, text| {
            let link = ("/account", "To your account");
            context.answer(context.message(status, Message { title, text, link }))
        };
        let body = match Bytes::from_request(Request::from_parts(parts, body), app).await {
            Ok(body) => body,
            Err(rejected) if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let text = "The fields of the form have more text than this page accepts, which is 16 kB together. Nothing was stored.";
                return Err(refuse(rejected.status(), "The form is too large", text));
            }
            Err(rejected) => {
                return Err(refuse(rejected.status(), "The form was not received", "Send it again."));
            }
        };
        let form = Form::parse(&body);
        let is_ours = |token: Secret| token.matches(&context.form_token());
        if !form.text(TOKEN_FIELD).parse().is_ok_and(is_ours) {
            let text = "The form is from before you signed in or out, or cookies are switched off. Nothing was stored: load the page again, \
                        and repeat it.";
            return Err(refuse(StatusCode::FORBIDDEN, "The form is outdated", text));
        }
        Ok(Self { context, form })
    }
}

/// The fields of a form; of a name that occurs twice the first.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// The text of a field; empty where it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(super) fn secret(&self, name: &str) -> SecretString {
        self.text(name).into()
    }

    /// Whether a box is ticked: browsers leave out those that are not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// A field of a page: what was typed, and what is wrong with it.
#[derive(Default)]
pub(super) struct Field {
    pub(super) value: String,
    pub(super) error: Option<String>,
}

impl Field {
    pub(super) fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), error: None }
    }

    /// Only what is wrong with it: a password is never sent back.
    pub(super) fn wrong(error: impl std::fmt::Display) -> Self {
        Self { value: String::new(), error: Some(sentence(&error.to_string())) }
    }

    /// Parses the field; keeps the text, and the reason where it cannot be parsed.
    pub(super) fn parse<T, E: std::fmt::Display>(
        form: &Form,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> (Self, Option<T>) {
        let value = form.text(name).to_owned();
        match parse(&value) {
            Ok(parsed) => (Self { value, error: None }, Some(parsed)),
            Err(error) => (Self { value, ..Self::wrong(error) }, None),
        }
    }
}

/// A reason as a sentence.
fn sentence(reason: &str) -> String {
    let mut characters = reason.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_the_first_of_two_fields_and_survives_any_bytes() {
        let form = Form::parse(b"a=1&a=2&b=%FF%00+x&c");
        assert_eq!((form.text("a"), form.text("b"), form.text("missing")), ("1", "\u{fffd}\0 x", ""));
        assert!(form.has("c") && !form.has("d"));
    }

    #[test]
    fn a_field_that_cannot_be_parsed_keeps_its_text() {
        let form = Form::parse(b"hour=25");
        let (field, parsed) = Field::parse(&form, "hour", accounts::DigestHour::parse);
        assert_eq!((field.value.as_str(), parsed), ("25", None));
        assert_eq!(field.error.as_deref(), Some("The hour must be a whole number from 0 to 23."));
    }
}
