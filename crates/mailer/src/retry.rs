//! When a mail is tried again. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use owed_mails::{MAX_REASON_CHARS, MailState};

/// Wait after the first failed try of a mail; doubled by each further one, up to the longest.
const RETRY_MIN_MS: i64 = 1_000;
/// See [`RETRY_MIN_MS`].
const RETRY_MAX_MS: i64 = 15 * 60_000;
/// Longest wait between two tries to reach a mail server that is away.
const PROBE_MAX_MS: i64 = 60_000;

/// The wait after so many failures, of which the last just happened. `jitter`, from 0 to 1, shortens it by up to a half, so that
/// what failed together is not tried together.
fn wait(failures: u32, max_ms: i64, jitter: f64) -> TimeDelta {
    let doubled = RETRY_MIN_MS.saturating_mul(1_i64 << failures.saturating_sub(1).min(30));
    let milliseconds = doubled.min(max_ms) as f64 * (1.0 - jitter.clamp(0.0, 1.0) / 2.0);
    TimeDelta::milliseconds(milliseconds as i64)
}

/// The wait before a mail server is tried again that was unavailable so many times in a row.
pub(crate) fn probe_wait(failures: u32, jitter: f64) -> TimeDelta {
    wait(failures, PROBE_MAX_MS, jitter)
}

/// The state of a mail after a try that failed at `now` and may be repeated: `attempts` before it.
pub(crate) fn after_failure(
    attempts: u32,
    reason: &str,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    jitter: f64,
) -> MailState {
    let attempts = attempts.saturating_add(1);
    let next = now + wait(attempts, RETRY_MAX_MS, jitter);
    // Tried at its end at the latest, where it is found to be expired.
    let next_try_at = next.min(expires_at.max(now));
    MailState::Owed { attempts, next_try_at, last_error: Some(clipped(reason)) }
}

/// The state of a mail that was found due at `now`, if its time is over.
pub(crate) fn expired(
    last_error: Option<&str>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Option<MailState> {
    let reason = last_error.unwrap_or("no mail server was available in its time");
    (now >= expires_at).then(|| MailState::Expired { at: now, reason: clipped(reason) })
}

/// As much of a reason as is kept.
pub(crate) fn clipped(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-01-13T15:30:00Z".parse().expect("a time")
    }

    fn next_try(attempts: u32, jitter: f64) -> DateTime<Utc> {
        match after_failure(attempts, "451 busy", now(), now() + TimeDelta::hours(24), jitter) {
            MailState::Owed { attempts: after, next_try_at, last_error } => {
                assert_eq!((after, last_error.as_deref()), (attempts.saturating_add(1), Some("451 busy")));
                next_try_at
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn waits_double_from_a_second_to_a_quarter_of_an_hour() {
        let waits: Vec<i64> =
            (0..12).map(|attempts| (next_try(attempts, 0.0) - now()).num_seconds()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(next_try(u32::MAX, 0.0), now() + TimeDelta::minutes(15));
        assert_eq!(next_try(0, 1.0), now() + TimeDelta::milliseconds(500));
        assert_eq!(probe_wait(1, 0.0), TimeDelta::seconds(1));
        assert_eq!(probe_wait(50, 0.0), TimeDelta::seconds(60));
    }

    #[test]
    fn the_last_try_is_at_the_end_of_its_time_and_then_it_expires() {
        let expires_at = now() + TimeDelta::seconds(10);
        let state = after_failure(9, "451 busy", now(), expires_at, 0.0);
        let MailState::Owed { next_try_at, last_error, .. } = state else { panic!("{state:?}") };
        assert_eq!(next_try_at, expires_at);
        assert_eq!(expired(last_error.as_deref(), expires_at - TimeDelta::milliseconds(1), expires_at), None);
        let reason = "451 busy".to_owned();
        assert_eq!(
            expired(last_error.as_deref(), expires_at, expires_at),
            Some(MailState::Expired { at: expires_at, reason })
        );
    }

    #[test]
    fn a_long_reason_is_clipped() {
        assert_eq!(clipped(&"ä".repeat(5_000)).chars().count(), MAX_REASON_CHARS);
    }
}
