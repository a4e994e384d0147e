//! A house alert as live clients receive it, at the moment it opens. Pure.

use alert_rules::{AlertId, RuleKind};
use chrono::{DateTime, Utc};
use market::Symbol;
use serde::Serialize;
use topics::alert::AlertRecord;

/// A house alert that has opened. The record may repeat: clients tell notices apart by `id`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AlertNotice {
    id: AlertId,
    pub(crate) symbol: Symbol,
    /// As `kind` and `threshold`.
    #[serde(flatten)]
    pub(crate) kind: RuleKind,
    /// Percent with its sign, factor, or price.
    measure: f64,
    /// By the time of the tick: years ago where a recording is played.
    opened_at: DateTime<Utc>,
    /// Read from the log here. A client that joins receives the last notices, too: it shows those that are new.
    received_at: DateTime<Utc>,
    message: String,
    simulated: bool,
    recorded: bool,
}

impl AlertNotice {
    /// `None` for the alert of a person, which is on no page that others can open, and for one that has closed.
    pub(crate) fn of(record: AlertRecord, received_at: DateTime<Utc>) -> Option<Self> {
        let is_shown = record.owner.is_house() && record.closed_at.is_none();
        is_shown.then_some(Self {
            id: record.id,
            symbol: record.symbol,
            kind: record.kind,
            measure: record.measure,
            opened_at: record.opened_at,
            received_at,
            message: record.message,
            simulated: record.simulated,
            recorded: record.recorded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alert_rules::{Owner, RuleId, UserId};

    fn now() -> DateTime<Utc> {
        "2026-01-13T15:30:00Z".parse().expect("a time")
    }

    fn record() -> AlertRecord {
        AlertRecord {
            id: AlertId::of_text("house-change@1:AAPL:replay:7"),
            symbol: Symbol::parse("AAPL").expect("a symbol"),
            rule: RuleId::parse("house-change").expect("a rule"),
            revision: 1,
            owner: Owner::House,
            kind: RuleKind::ChangeFromOpen { percent: 5.0 },
            measure: -5.25,
            peak: -5.25,
            price: 94.75,
            opened_at: now(),
            closed_at: None,
            message: "AAPL is 5.25 % below its open".to_owned(),
            simulated: false,
            recorded: true,
        }
    }

    #[test]
    fn a_house_alert_that_opens_is_a_notice_without_the_rest_of_its_record() {
        let notice = AlertNotice::of(record(), now()).expect("a notice");
        insta::assert_snapshot!(
            serde_json::to_string(&notice).expect("JSON"),
            @r#"{"id":"house-change@1:AAPL:replay:7","symbol":"AAPL","kind":"change_from_open","threshold":5.0,"measure":-5.25,"opened_at":"2026-01-13T15:30:00Z","received_at":"2026-01-13T15:30:00Z","message":"AAPL is 5.25 % below its open","simulated":false,"recorded":true}"#
        );
    }

    #[test]
    fn the_alert_of_a_person_and_one_that_has_closed_are_none() {
        let person = Owner::User(UserId::parse("01J").expect("a user"));
        assert_eq!(AlertNotice::of(AlertRecord { owner: person, ..record() }, now()), None);
        assert_eq!(AlertNotice::of(AlertRecord { closed_at: Some(now()), ..record() }, now()), None);
    }
}
