//! The table `alert_log`.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use market::Symbol;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::cell::{BadRow, CellReader, Cells, Kind, Row, Table};

/// An alert and what became of its delivery to one recipient. The key is (`alert_id`, `recipient`); the database numbers the rows
/// (`id`) for readers outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertLogRow {
    /// The alert in `alert_history`.
    pub alert_id: String,
    /// What was traded.
    pub symbol: Symbol,
    /// The kind of its rule.
    pub kind: String,
    /// The price at which it fired, in the quote currency.
    #[serde(serialize_with = "super::number")]
    pub price: Decimal,
    /// The change that fired it, in percent; `None` for other kinds.
    pub change_pct: Option<f64>,
    /// The volume that fired it, in shares or base currency; `None` for other kinds.
    #[serde(serialize_with = "super::optional_number")]
    pub volume: Option<Decimal>,
    /// The threshold that was crossed, in the unit of its kind.
    pub threshold: f64,
    /// The address of the recipient.
    pub recipient: String,
    /// What became of the delivery.
    pub status: AlertLogStatus,
    /// What the mail states about the alert; for a delivery that failed with the reason.
    pub message: String,
    /// When it fired. The same for all rows of one alert.
    pub triggered_at: DateTime<Utc>,
    /// When the mail was sent.
    pub sent_at: Option<DateTime<Utc>>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertLogStatus {
    /// The mail server accepted the mail.
    Sent,
    /// The mail server refused it for good.
    Refused,
    /// Not sent: above the limit of mails a day, or the recipient does not want it.
    Suppressed,
    /// Given up after the last retry.
    Expired,
}

impl AlertLogStatus {
    const ALL: [Self; 4] = [Self::Sent, Self::Refused, Self::Suppressed, Self::Expired];

    /// `sent`, `refused`, `suppressed` or `expired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for AlertLogStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AlertLogStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

impl Row for AlertLogRow {
    const TABLE: Table = Table {
        name: "alert_log",
        columns: &[
            ("alert_id", Kind::Text),
            ("symbol", Kind::Text),
            ("kind", Kind::Text),
            ("price", Kind::Decimal),
            ("change_pct", Kind::Double),
            ("volume", Kind::Decimal),
            ("threshold", Kind::Double),
            ("recipient", Kind::Text),
            ("status", Kind::Text),
            ("message", Kind::Text),
            ("triggered_at", Kind::Time),
            ("sent_at", Kind::Time),
        ],
        key: &["alert_id", "recipient"],
        order: &["triggered_at", "alert_id", "recipient"],
        ignored: None,
    };

    fn cells(&self) -> Cells {
        Cells::default()
            .text(&self.alert_id)
            .text(self.symbol)
            .text(&self.kind)
            .decimal(self.price)
            .double(self.change_pct)
            .decimal(self.volume)
            .double(self.threshold)
            .text(&self.recipient)
            .text(self.status)
            .text(&self.message)
            .time(self.triggered_at)
            .time(self.sent_at)
    }

    fn read(cells: &mut CellReader) -> Result<Self, BadRow> {
        Ok(Self {
            alert_id: cells.text()?,
            symbol: cells.symbol()?,
            kind: cells.text()?,
            price: cells.decimal()?,
            change_pct: cells.optional_double()?,
            volume: cells.optional_decimal()?,
            threshold: cells.double()?,
            recipient: cells.text()?,
            status: cells.parsed("sent, refused, suppressed or expired")?,
            message: cells.text()?,
            triggered_at: cells.time()?,
            sent_at: cells.optional_time()?,
        })
    }
}
