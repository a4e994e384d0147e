//! When the alerts of one recipient become a mail. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use crate::AlertsConfig;

/// How mails about alerts are limited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// What fires within this time of a mail becomes one mail.
    pub(crate) grouping: TimeDelta,
    /// Most mails to one recipient a day (UTC). The last one says that it is the last.
    pub(crate) mails_a_day: usize,
}

impl Limits {
    pub(crate) fn of(config: &AlertsConfig) -> Self {
        Self {
            grouping: TimeDelta::seconds(i64::from(config.grouping_seconds)),
            mails_a_day: config.mails_a_day as usize,
        }
    }
}

/// Most alerts of one mail; the rest becomes the next mail.
pub(crate) const MAX_ALERTS_A_MAIL: usize = 100;

/// What happens with the alerts that are owed to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// More may come until the time of the group is over, or the mail before it is sent.
    Wait,
    /// So many of them, the oldest, become a mail now.
    Mail {
        /// How many.
        alerts: usize,
        /// It is the last one of the day.
        is_last_of_day: bool,
    },
    /// None of them is sent: there were enough mails today.
    Suppress,
}

/// A mail about alerts to the same recipient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EarlierMail {
    pub(crate) created_at: DateTime<Utc>,
    /// Not sent yet, as its server is away.
    pub(crate) is_owed: bool,
}

/// Decides for one recipient. `mails` are those about alerts to that recipient, in any order; `owed` is how many alerts are owed, at
/// least one. While a mail is owed, what fires waits for it, so that an outage ends with one more mail and not with one for each
/// group. A mail that is dated after `now`, because a clock was set back, is not waited for once it is sent.
pub(crate) fn plan(limits: Limits, now: DateTime<Utc>, mails: &[EarlierMail], owed: usize) -> Plan {
    if mails.iter().any(|mail| mail.is_owed) {
        return Plan::Wait;
    }
    let times = || mails.iter().map(|mail| mail.created_at);
    let today = times().filter(|at| at.date_naive() == now.date_naive()).count();
    if today >= limits.mails_a_day {
        return Plan::Suppress;
    }
    let is_recent = |at: DateTime<Utc>| {
        let age = now - at;
        age >= TimeDelta::zero() && age < limits.grouping
    };
    if times().any(is_recent) {
        return Plan::Wait;
    }
    Plan::Mail { alerts: owed.min(MAX_ALERTS_A_MAIL), is_last_of_day: today + 1 == limits.mails_a_day }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { grouping: TimeDelta::seconds(60), mails_a_day: 20 };

    fn plan(now: DateTime<Utc>, mails: &[DateTime<Utc>], owed: usize) -> Plan {
        let mails: Vec<_> = mails.iter().map(|at| EarlierMail { created_at: *at, is_owed: false }).collect();
        super::plan(LIMITS, now, &mails, owed)
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        "2026-01-13T15:30:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::seconds(seconds)
    }

    #[test]
    fn the_first_mail_leaves_at_once_and_what_follows_within_a_minute_becomes_one() {
        assert_eq!(plan(at(0), &[], 1), Plan::Mail { alerts: 1, is_last_of_day: false });
        assert_eq!(plan(at(59), &[at(0)], 3), Plan::Wait);
        assert_eq!(plan(at(60), &[at(0)], 3), Plan::Mail { alerts: 3, is_last_of_day: false });
        assert_eq!(plan(at(60), &[], 500), Plan::Mail { alerts: 100, is_last_of_day: false });
    }

    #[test]
    fn the_twentieth_mail_of_a_day_is_the_last_one() {
        let hour = |hours: i64| at(-3_600 * hours);
        let mails: Vec<_> = (1..=15).map(hour).chain((0..5).map(|n| at(-600 * (n + 1)))).collect();
        assert_eq!(mails.len(), 20);
        assert_eq!(plan(at(0), &mails[1..], 1), Plan::Mail { alerts: 1, is_last_of_day: true });
        assert_eq!(plan(at(0), &mails, 1), Plan::Suppress);
        assert_eq!(plan(at(86_400), &mails, 1), Plan::Mail { alerts: 1, is_last_of_day: false });
    }

    #[test]
    fn what_fires_while_a_mail_waits_for_its_server_waits_for_the_mail() {
        let owed = EarlierMail { created_at: at(-7_200), is_owed: true };
        assert_eq!(super::plan(LIMITS, at(0), &[owed], 50), Plan::Wait);
        let sent = EarlierMail { is_owed: false, ..owed };
        assert_eq!(super::plan(LIMITS, at(0), &[sent], 50), Plan::Mail { alerts: 50, is_last_of_day: false });
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_mail() {
        assert_eq!(plan(at(0), &[at(3_600)], 1), Plan::Mail { alerts: 1, is_last_of_day: false });
    }
}
