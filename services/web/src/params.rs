//! Query parameters; every refusal names the parameter and the reason.

use std::{convert::Infallible, str::FromStr};

use analytics_store::RowQuery;
use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use market::Symbol;

use crate::problem::Problem;

/// Most symbols that one request may name.
const MAX_SYMBOLS: usize = 1_000;

/// The parameters of a request, decoded, in their order.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Refuses what is not in `known`, and what is given twice: a mistyped `from` must not pass for no `from`.
    pub(crate) fn allow(self, known: &[&str]) -> Result<Self, Problem> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let reason = match known {
                    [] => "is not known here; this takes none".to_owned(),
                    _ => format!("is not known here; use {}", known.join(", ")),
                };
                return Err(Problem::parameter(name, reason));
            }
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::parameter(name, "is given more than once"));
            }
        }
        Ok(self)
    }

    /// The value; `None` when absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.trim())
            .filter(|v| !v.is_empty())
    }

    /// One symbol, required.
    pub(crate) fn symbol(&self) -> Result<Symbol, Problem> {
        let text = self.get("symbol").ok_or_else(|| Problem::parameter("symbol", "is missing"))?;
        Symbol::parse(text).map_err(|error| Problem::parameter("symbol", error))
    }

    /// `symbols`: a list without repeats; empty when absent.
    pub(crate) fn symbols(&self) -> Result<Vec<Symbol>, Problem> {
        self.symbols_in("symbols")
    }

    /// A list of symbols without repeats; empty when absent.
    pub(crate) fn symbols_in(&self, name: &str) -> Result<Vec<Symbol>, Problem> {
        let mut symbols = Vec::new();
        for text in self.get(name).unwrap_or_default().split(',').filter(|text| !text.trim().is_empty()) {
            let symbol = Symbol::parse(text).map_err(|error| Problem::parameter(name, error))?;
            if !symbols.contains(&symbol) {
                symbols.push(symbol);
            }
            if symbols.len() > MAX_SYMBOLS {
                return Err(Problem::parameter(name, format!("names more than {MAX_SYMBOLS} symbols")));
            }
        }
        Ok(symbols)
    }

    /// A value of a type whose parser has its own reasons to refuse.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        self.get(name).map(|text| text.parse().map_err(|error| Problem::parameter(name, error))).transpose()
    }

    /// A number of rows.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else {
            return Ok(default);
        };
        match text.parse::<usize>() {
            Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
            _ => Err(Problem::parameter("limit", format!("must be a whole number from 1 to {max}"))),
        }
    }

    /// `from` and `to`: everything when absent.
    pub(crate) fn range(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
        let from = self.time("from")?.unwrap_or_else(far_past);
        let to = self.time("to")?.unwrap_or_else(far_future);
        if from > to {
            return Err(Problem::parameter("from", "is after `to`"));
        }
        Ok((from, to))
    }

    /// `from` and `to` of rows by date: everything when absent.
    pub(crate) fn dates(&self) -> Result<(NaiveDate, NaiveDate), Problem> {
        let all = RowQuery::newest(None, 1);
        let from = self.date("from")?.unwrap_or(all.from);
        let to = self.date("to")?.unwrap_or(all.to);
        if from > to {
            return Err(Problem::parameter("from", "is after `to`"));
        }
        Ok((from, to))
    }

    /// A date.
    pub(crate) fn date(&self, name: &str) -> Result<Option<NaiveDate>, Problem> {
        let all = RowQuery::newest(None, 1);
        let parse = |text: &str| {
            let date = text.parse().ok().filter(|date| (all.from..=all.to).contains(date));
            date.ok_or_else(|| Problem::parameter(name, "is not a date; write it as 2026-01-13"))
        };
        self.get(name).map(parse).transpose()
    }

    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let time = parse_time(text).filter(|time| (far_past()..=far_future()).contains(time));
        let reason = "is not a time between the years 1 and 9999; write it as RFC 3339: 2026-01-13T15:30:00Z";
        time.map(Some).ok_or_else(|| Problem::parameter(name, reason))
    }
}

/// Earlier than every price.
pub(crate) fn far_past() -> DateTime<Utc> {
    // The first second of the year 1.
    DateTime::from_timestamp(-62_135_596_800, 0).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Later than everything that can be stored.
pub(crate) fn far_future() -> DateTime<Utc> {
    // The last second of the year 9999.
    DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// RFC 3339; without zone it is UTC, a date alone is its midnight. A `+` that arrived unescaped reads as a space.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    zoned(text)
        .or_else(|| zoned(&text.replacen(' ', "+", 1)))
        .or_else(|| text.parse::<NaiveDateTime>().ok().map(|time| time.and_utc()))
        .or_else(|| {
            text.parse::<NaiveDate>().ok().and_then(|date| date.and_hms_opt(0, 0, 0)).map(|t| t.and_utc())
        })
}
