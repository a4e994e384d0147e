//! A rule: what is watched, for whom, and when it fires.

use std::{fmt, ops::Deref};

use chrono::TimeDelta;
use market::{Symbol, decimal_from_f64, decimal_to_f64};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most symbols of one rule that names its symbols.
pub const MAX_SYMBOLS: usize = 1_000;
/// Most recipients of one rule.
pub const MAX_RECIPIENTS: usize = 50;
/// Longest identity of a rule or user, in bytes.
const MAX_ID_BYTES: usize = 64;
/// Longest recipient, in bytes: of an address by RFC 5321.
const MAX_RECIPIENT_BYTES: usize = 254;
/// Longest cool-down, in minutes: a week.
const MAX_COOLDOWN_MINUTES: u32 = 7 * 24 * 60;
/// The owner of house rules, where owners are text.
const HOUSE: &str = "house";
/// Before the identity of a user, where owners are text.
const USER_PREFIX: &str = "user:";

/// Why something is no rule. Each names the field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidRule {
    /// An identity that is empty, too long, or has other characters.
    #[error("{field} `{value}` must have 1 to {MAX_ID_BYTES} of the characters A-Z, a-z, 0-9, - and _")]
    Id {
        /// The field.
        field: &'static str,
        /// The text, cut.
        value: String,
    },
    /// An owner that is neither the house nor a user.
    #[error("owner `{0}` must be `{HOUSE}` or begin with `{USER_PREFIX}`")]
    Owner(String),
    /// Revisions count from 1.
    #[error("revision must be at least 1")]
    Revision,
    /// A kind that is unknown.
    #[error("kind `{0}` must be one of change_from_open, volume_spike, above, below")]
    Kind(String),
    /// A threshold outside of what its kind allows.
    #[error("threshold {value} of {kind} must be {allowed}")]
    Threshold {
        /// The kind.
        kind: &'static str,
        /// The number.
        value: f64,
        /// The range, in words.
        allowed: &'static str,
    },
    /// No symbols or too many.
    #[error("symbols: {0} are named, and it must be 1 to {MAX_SYMBOLS}")]
    Symbols(usize),
    /// Too long.
    #[error("cooldown_minutes {0} must be at most {MAX_COOLDOWN_MINUTES}")]
    Cooldown(u32),
    /// Too many.
    #[error("recipients: {0} are named, at most {MAX_RECIPIENTS} are allowed")]
    Recipients(usize),
    /// An address that cannot be one.
    #[error("recipients: an address must have 1 to {MAX_RECIPIENT_BYTES} bytes and no control characters")]
    Recipient,
}

fn checked_id(field: &'static str, text: &str) -> Result<String, InvalidRule> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(allowed) {
        let value = text.chars().take(MAX_ID_BYTES).flat_map(char::escape_debug).collect();
        return Err(InvalidRule::Id { field, value });
    }
    Ok(text.to_owned())
}

/// The identity of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleId(String);

impl RuleId {
    /// Parses an identity: 1 to 64 of the characters A-Z, a-z, 0-9, - and _.
    ///
    /// # Errors
    /// [`InvalidRule::Id`].
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        checked_id("rule", text).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RuleId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The identity of a user. It is no address: alerts show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    /// Parses an identity: 1 to 64 of the characters A-Z, a-z, 0-9, - and _.
    ///
    /// # Errors
    /// [`InvalidRule::Id`].
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        checked_id("user", text).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For whom a rule watches. As text: `house`, or `user:` and the identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The installation: the rules of its operator.
    House,
    /// A person with an account.
    User(UserId),
}

impl Owner {
    /// Parses the text form.
    ///
    /// # Errors
    /// [`InvalidRule::Owner`], [`InvalidRule::Id`].
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        if text == HOUSE {
            return Ok(Self::House);
        }
        match text.strip_prefix(USER_PREFIX) {
            Some(id) => UserId::parse(id).map(Self::User),
            None => Err(InvalidRule::Owner(text.chars().take(40).flat_map(char::escape_debug).collect())),
        }
    }

    /// The house.
    pub fn is_house(&self) -> bool {
        matches!(self, Self::House)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::House => f.write_str(HOUSE),
            Self::User(id) => write!(f, "{USER_PREFIX}{id}"),
        }
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// When a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "KindFields", try_from = "KindFields")]
pub enum RuleKind {
    /// The price is at least so many percent above or below the open of the session; each direction is watched for itself.
    ChangeFromOpen {
        /// Percent, 0.01 to 1000.
        percent: f64,
    },
    /// The volume of a closed five-minute candle is above so many times its mean ([`crate::Baseline`]).
    VolumeSpike {
        /// A factor, 1 to 1000.
        multiplier: f64,
    },
    /// The price is at or above a level.
    Above {
        /// In the quote currency, above zero.
        price: Decimal,
    },
    /// The price is at or below a level.
    Below {
        /// In the quote currency, above zero.
        price: Decimal,
    },
}

/// A kind as it is stored: its name and a number.
#[derive(Serialize, Deserialize)]
struct KindFields {
    kind: String,
    threshold: f64,
}

impl From<RuleKind> for KindFields {
    fn from(kind: RuleKind) -> Self {
        Self { kind: kind.name().to_owned(), threshold: kind.threshold() }
    }
}

impl TryFrom<KindFields> for RuleKind {
    type Error = InvalidRule;

    fn try_from(KindFields { kind, threshold }: KindFields) -> Result<Self, InvalidRule> {
        Self::parse(&kind, threshold)
    }
}

impl RuleKind {
    /// From the name and the threshold.
    ///
    /// # Errors
    /// [`InvalidRule::Kind`], [`InvalidRule::Threshold`].
    pub fn parse(name: &str, threshold: f64) -> Result<Self, InvalidRule> {
        let price = || decimal_from_f64(threshold).unwrap_or_default();
        let kind = match name {
            "change_from_open" => Self::ChangeFromOpen { percent: threshold },
            "volume_spike" => Self::VolumeSpike { multiplier: threshold },
            "above" => Self::Above { price: price() },
            "below" => Self::Below { price: price() },
            _ => {
                let shown = name.chars().take(40).flat_map(char::escape_debug).collect();
                return Err(InvalidRule::Kind(shown));
            }
        };
        kind.check()?;
        Ok(kind)
    }

    /// `change_from_open`, `volume_spike`, `above`, `below`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChangeFromOpen { .. } => "change_from_open",
            Self::VolumeSpike { .. } => "volume_spike",
            Self::Above { .. } => "above",
            Self::Below { .. } => "below",
        }
    }

    /// Percent, factor or price.
    pub fn threshold(self) -> f64 {
        match self {
            Self::ChangeFromOpen { percent } => percent,
            Self::VolumeSpike { multiplier } => multiplier,
            Self::Above { price } | Self::Below { price } => decimal_to_f64(price),
        }
    }

    fn check(self) -> Result<(), InvalidRule> {
        let value = self.threshold();
        let (is_allowed, allowed) = match self {
            Self::ChangeFromOpen { .. } => ((0.01..=1000.0).contains(&value), "0.01 to 1000 percent"),
            Self::VolumeSpike { .. } => ((1.0..=1000.0).contains(&value), "1 to 1000"),
            Self::Above { .. } | Self::Below { .. } => {
                (value > 0.0 && value.is_finite(), "a price above zero")
            }
        };
        if is_allowed {
            return Ok(());
        }
        Err(InvalidRule::Threshold { kind: self.name(), value, allowed })
    }
}

/// Which symbols a rule watches. As JSON: a list; `null` for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Vec<Symbol>>", into = "Option<Vec<Symbol>>")]
pub enum WatchedSymbols {
    /// Every symbol that has ticks.
    All,
    /// These.
    Only(Vec<Symbol>),
}

impl From<Option<Vec<Symbol>>> for WatchedSymbols {
    fn from(symbols: Option<Vec<Symbol>>) -> Self {
        symbols.map_or(Self::All, Self::Only)
    }
}

impl From<WatchedSymbols> for Option<Vec<Symbol>> {
    fn from(symbols: WatchedSymbols) -> Self {
        match symbols {
            WatchedSymbols::All => None,
            WatchedSymbols::Only(symbols) => Some(symbols),
        }
    }
}

impl WatchedSymbols {
    /// Whether a symbol is among them.
    pub fn contain(&self, symbol: Symbol) -> bool {
        match self {
            Self::All => true,
            Self::Only(symbols) => symbols.contains(&symbol),
        }
    }
}

/// A rule's fields, open for filling in; [`AlertRule::new`] checks them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleFields {
    /// Its identity, which stays when it is changed.
    #[serde(rename = "_id")]
    pub id: RuleId,
    /// For whom it watches.
    pub owner: Owner,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// What it watches.
    pub symbols: WatchedSymbols,
    /// When it fires.
    #[serde(flatten)]
    pub kind: RuleKind,
    /// After an episode has opened, the next one opens so many minutes later at the earliest.
    pub cooldown_minutes: u32,
    /// Rules that are not active open nothing.
    pub is_active: bool,
    /// Addresses that a mail is owed to for each alert. What is no address is refused by the delivery.
    pub recipients: Vec<String>,
}

/// A checked rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RuleFields", into = "RuleFields")]
pub struct AlertRule(RuleFields);

impl AlertRule {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`InvalidRule`], with the field that is wrong.
    pub fn new(fields: RuleFields) -> Result<Self, InvalidRule> {
        fields.kind.check()?;
        if fields.revision == 0 || i64::try_from(fields.revision).is_err() {
            return Err(InvalidRule::Revision);
        }
        if let WatchedSymbols::Only(symbols) = &fields.symbols
            && !(1..=MAX_SYMBOLS).contains(&symbols.len())
        {
            return Err(InvalidRule::Symbols(symbols.len()));
        }
        if fields.cooldown_minutes > MAX_COOLDOWN_MINUTES {
            return Err(InvalidRule::Cooldown(fields.cooldown_minutes));
        }
        if fields.recipients.len() > MAX_RECIPIENTS {
            return Err(InvalidRule::Recipients(fields.recipients.len()));
        }
        let is_possible = |recipient: &String| {
            (1..=MAX_RECIPIENT_BYTES).contains(&recipient.len()) && !recipient.chars().any(char::is_control)
        };
        if !fields.recipients.iter().all(is_possible) {
            return Err(InvalidRule::Recipient);
        }
        Ok(Self(fields))
    }

    /// The fields, to change and check again.
    pub fn into_fields(self) -> RuleFields {
        self.0
    }

    /// The cool-down.
    pub fn cooldown(&self) -> TimeDelta {
        TimeDelta::minutes(i64::from(self.cooldown_minutes))
    }

    /// `rule@revision`.
    pub fn revision_id(&self) -> String {
        format!("{}@{}", self.id, self.revision)
    }

    /// Whether an episode of `other`, an earlier or later revision, continues under this one: only who receives the alerts, the
    /// symbols and the cool-down may differ. A changed threshold begins anew.
    pub fn continues(&self, kind: RuleKind) -> bool {
        self.kind == kind
    }

    /// The same rule but for its revision.
    pub fn is_same_but_for_revision(&self, other: &Self) -> bool {
        let with_revision_of_other = RuleFields { revision: other.revision, ..self.0.clone() };
        with_revision_of_other == other.0
    }
}

impl Deref for AlertRule {
    type Target = RuleFields;

    fn deref(&self) -> &RuleFields {
        &self.0
    }
}

impl TryFrom<RuleFields> for AlertRule {
    type Error = InvalidRule;

    fn try_from(fields: RuleFields) -> Result<Self, InvalidRule> {
        Self::new(fields)
    }
}

impl From<AlertRule> for RuleFields {
    fn from(rule: AlertRule) -> Self {
        rule.0
    }
}
