//! Gaps of the feeds, as `/system` and `/v1/system` show them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{Gap, GapQuery, GapState, LiveStore, MAX_GAPS};
use serde::Serialize;

use crate::format;

/// Gaps that ended within so many days are counted.
const DAYS: i64 = 7;
/// The newest ones are listed.
const LISTED: usize = 10;
/// A store that does not answer does not delay the page.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The gaps of the last days.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GapFigures {
    /// How many days are counted.
    pub(crate) days: i64,
    /// How many there were, at most a thousand.
    pub(crate) detected: usize,
    /// How many of them are not repaired.
    pub(crate) unrepaired: usize,
    /// The newest ones, newest first.
    pub(crate) newest: Vec<GapRow>,
}

/// One gap.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GapRow {
    pub(crate) source: String,
    pub(crate) symbol: String,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
    pub(crate) cause: &'static str,
    /// `None` where the venue's ids do not show it.
    pub(crate) missing_trades: Option<u64>,
    pub(crate) repaired_at: Option<DateTime<Utc>>,
    /// Why it is not repaired.
    pub(crate) reason: Option<String>,
}

impl GapFigures {
    /// Those of the store; `None`, with a log line, where it does not answer.
    pub(crate) async fn read(store: &dyn LiveStore, now: DateTime<Utc>) -> Option<Self> {
        let query = GapQuery { since: Some(now - TimeDelta::days(DAYS)), ..GapQuery::default() };
        match tokio::time::timeout(TIMEOUT, store.gaps(&query)).await {
            Ok(Ok(gaps)) => Some(Self::of(&gaps)),
            Ok(Err(error)) => {
                tracing::debug!(reason = %error, "the gaps could not be read");
                None
            }
            Err(_) => {
                tracing::debug!("the gaps could not be read in time");
                None
            }
        }
    }

    fn of(gaps: &[Gap]) -> Self {
        let unrepaired = gaps.iter().filter(|gap| !matches!(gap.state, GapState::Repaired { .. }));
        Self {
            days: DAYS,
            detected: gaps.len(),
            unrepaired: unrepaired.count(),
            newest: gaps.iter().take(LISTED).map(GapRow::of).collect(),
        }
    }

    /// `12`, `1000 or more`.
    pub(crate) fn count(&self) -> String {
        if self.detected >= MAX_GAPS { format!("{MAX_GAPS} or more") } else { self.detected.to_string() }
    }
}

impl GapRow {
    fn of(gap: &Gap) -> Self {
        let (repaired_at, reason) = match &gap.state {
            GapState::Open => (None, None),
            GapState::Repaired { at } => (Some(*at), None),
            GapState::Unrepaired { reason } => (None, Some(reason.clone())),
        };
        Self {
            source: gap.source.to_string(),
            symbol: gap.symbol.to_string(),
            from: gap.from,
            to: gap.to,
            cause: gap.cause.name(),
            missing_trades: gap.missing_trades,
            repaired_at,
            reason,
        }
    }

    /// `38 s`.
    pub(crate) fn length(&self) -> String {
        format::span(self.to - self.from)
    }

    /// `3 trades`, or unknown.
    pub(crate) fn missing(&self) -> String {
        match self.missing_trades {
            Some(1) => "1 trade".to_owned(),
            Some(count) => format!("{} trades", format::compact(count as f64)),
            None => format::UNKNOWN.to_owned(),
        }
    }

    /// What became of it.
    pub(crate) fn outcome(&self) -> &str {
        match (&self.repaired_at, &self.reason) {
            (Some(_), _) => "repaired",
            (None, Some(reason)) => reason,
            (None, None) => "open",
        }
    }
}

#[cfg(test)]
mod tests {
    use live_store::GapCause;
    use market::{Source, Symbol};

    use super::*;

    #[test]
    fn gaps_are_counted_and_the_newest_are_listed() {
        let gap = |seconds: i64, state: GapState| Gap {
            source: Source::parse("binance").expect("a source"),
            symbol: Symbol::parse("BTC/USDT").expect("a symbol"),
            from: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
            to: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds + 38),
            cause: GapCause::Disconnect,
            missing_trades: Some(1),
            detected_at: DateTime::UNIX_EPOCH,
            state,
        };
        let mut gaps: Vec<Gap> =
            (0..20).rev().map(|n| gap(n * 60, GapState::Repaired { at: DateTime::UNIX_EPOCH })).collect();
        gaps[1].state = GapState::Open;
        gaps[2].state = GapState::Unrepaired { reason: "the venue has no history".to_owned() };
        let figures = GapFigures::of(&gaps);
        assert_eq!((figures.count().as_str(), figures.unrepaired, figures.newest.len()), ("20", 2, LISTED));
        let outcomes: Vec<&str> = figures.newest.iter().take(3).map(GapRow::outcome).collect();
        assert_eq!(outcomes, ["repaired", "open", "the venue has no history"]);
        let newest = figures.newest.first().expect("one");
        assert_eq!((newest.length().as_str(), newest.missing().as_str()), ("38 s", "1 trade"));
    }
}
