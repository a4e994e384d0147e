//! An alert: one episode, with the deliveries that are owed for it.

use std::fmt;

use chrono::{DateTime, Utc};
use market::{Source, Symbol, Tick};
use serde::{Deserialize, Serialize};

use crate::{AlertRule, Owner, RuleId, RuleKind, message};

/// `rule@revision:symbol:opening tick`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(String);

impl AlertId {
    /// An episode that opens with a tick.
    pub(crate) fn of_tick(rule: &AlertRule, tick: &Tick) -> Self {
        Self(format!("{}:{}:{}:{}", rule.revision_id(), tick.symbol, tick.source, tick.seq))
    }

    /// An episode that opens with a closed five-minute candle: its open time stands for the tick, because the tick that closes a
    /// candle may be another one when ticks are read again.
    pub(crate) fn of_candle(
        rule: &AlertRule,
        symbol: Symbol,
        source: Source,
        open_time: DateTime<Utc>,
    ) -> Self {
        Self(format!("{}:{symbol}:{source}:5m:{}", rule.revision_id(), open_time.timestamp()))
    }

    /// An identity that was read.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tick that opened an episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpeningTick {
    /// Its feed.
    pub source: Source,
    /// Its number.
    pub seq: u64,
    /// Its price, in the quote currency.
    pub price: f64,
    /// The open of its session (crypto: of the last 24 h), in the quote currency.
    pub open: f64,
    /// The cumulative volume that it quotes, in shares or base currency.
    pub volume: f64,
}

impl OpeningTick {
    pub(crate) fn of(tick: &Tick) -> Self {
        Self {
            source: tick.source,
            seq: tick.seq,
            price: market::decimal_to_f64(tick.price),
            open: market::decimal_to_f64(tick.open),
            volume: market::decimal_to_f64(tick.volume),
        }
    }

    /// Distance from the open, in percent.
    pub fn change_percent(&self) -> f64 {
        (self.price - self.open) / self.open * 100.0
    }
}

/// One episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its identity.
    #[serde(rename = "_id")]
    pub id: AlertId,
    /// Its rule.
    pub rule: RuleId,
    /// The revision of the rule under which it opened.
    pub revision: u64,
    /// The owner of the rule.
    pub owner: Owner,
    /// The symbol.
    pub symbol: Symbol,
    /// What the rule watches, with its threshold.
    #[serde(flatten)]
    pub kind: RuleKind,
    /// The measure that opened it: percent with its sign, factor, or price.
    pub measure: f64,
    /// The furthest measure so far; of an open episode that of its opening.
    pub peak: f64,
    /// The tick that opened it.
    pub tick: OpeningTick,
    /// The volume of the five-minute candle that opened it, in shares or base currency; `None` for rules about prices.
    #[serde(default)]
    pub candle_volume: Option<f64>,
    /// When it opened, by the tick's own time.
    pub opened_at: DateTime<Utc>,
    /// When it closed, by the tick's own time; `None` while it is open.
    pub closed_at: Option<DateTime<Utc>>,
    /// What happened, in one sentence.
    pub message: String,
    /// The price is invented.
    pub is_simulated: bool,
    /// The price comes from a recording that was played.
    pub is_recorded: bool,
    /// One for each recipient.
    pub deliveries: Vec<Delivery>,
}

/// What opens an alert, beside its rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) tick: &'a Tick,
    pub(crate) measure: f64,
    pub(crate) volume: Option<(f64, f64)>,
    pub(crate) is_recorded: bool,
}

impl Alert {
    pub(crate) fn open(id: AlertId, rule: &AlertRule, opening: Opening<'_>) -> Self {
        let Opening { tick, measure, volume, is_recorded } = opening;
        let message = message::of(rule.kind, tick, measure, volume);
        let owed = |recipient: &String| Delivery { recipient: recipient.clone(), state: DeliveryState::Owed };
        Self {
            id,
            rule: rule.id.clone(),
            revision: rule.revision,
            owner: rule.owner.clone(),
            symbol: tick.symbol,
            kind: rule.kind,
            measure,
            peak: measure,
            tick: OpeningTick::of(tick),
            candle_volume: volume.map(|(volume, _)| volume),
            opened_at: tick.timestamp,
            closed_at: None,
            message,
            is_simulated: tick.source.is_simulated(),
            is_recorded,
            deliveries: rule.recipients.iter().map(owed).collect(),
        }
    }

    /// Closes it, unless it is closed. Whether that changed it.
    pub fn close(&mut self, closed_at: DateTime<Utc>, peak: f64) -> bool {
        if self.closed_at.is_some() {
            return false;
        }
        (self.closed_at, self.peak) = (Some(closed_at), peak);
        true
    }

    /// Whether a delivery is not finished.
    pub fn is_pending(&self) -> bool {
        self.deliveries.iter().any(|delivery| !delivery.state.is_final())
    }
}

/// What is owed to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The address.
    pub recipient: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: DeliveryState,
}

/// How far a delivery is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    /// In no mail yet.
    Owed,
    /// Part of a mail that is not sent yet.
    InMail {
        /// The mail.
        mail: String,
    },
    /// Sent.
    Sent {
        /// The mail.
        mail: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// The mail server refused it for good.
    Refused {
        /// The mail.
        mail: String,
        /// When.
        at: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// Not sent until it was too late.
    Expired {
        /// The mail.
        mail: String,
        /// When.
        at: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// Never put into a mail.
    Suppressed {
        /// When.
        at: DateTime<Utc>,
        /// Why.
        reason: String,
    },
}

impl DeliveryState {
    /// Nothing more will happen.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Owed | Self::InMail { .. })
    }

    /// `owed`, `in_mail`, `sent`, `refused`, `expired`, `suppressed`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::InMail { .. } => "in_mail",
            Self::Sent { .. } => "sent",
            Self::Refused { .. } => "refused",
            Self::Expired { .. } => "expired",
            Self::Suppressed { .. } => "suppressed",
        }
    }

    /// Why it was not sent.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused { reason, .. } | Self::Expired { reason, .. } | Self::Suppressed { reason, .. } => {
                Some(reason)
            }
            Self::Owed | Self::InMail { .. } | Self::Sent { .. } => None,
        }
    }

    /// When it came to its end.
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Owed | Self::InMail { .. } => None,
            Self::Sent { at, .. }
            | Self::Refused { at, .. }
            | Self::Expired { at, .. }
            | Self::Suppressed { at, .. } => Some(*at),
        }
    }
}
