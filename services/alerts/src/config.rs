//! The settings of the alerts.

use std::{net::SocketAddr, str::FromStr};

use alert_rules::MAX_RECIPIENTS;
use analytics_store::AnalyticsSettings;
use live_store::StoreSettings;
use mailer::{EmailAddress, MailSettings};
use service_runtime::{HELP_END, LogOutput, LogSettings, PublicAddress};

/// Reads ticks from the event log, applies alert rules to them, and sends a mail for what fires.
///
/// Example: alerts --log kafka://localhost:9092 --store mongodb://localhost/stock_market --analytics
/// mysql://localhost/stock_analytics --mail-url smtp://localhost:1025 --alert-recipients ops@example.com. Start more of them, and they share the partitions.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "alerts", version, after_help = HELP_END)]
pub struct AlertsArgs {
    /// The event log.
    #[command(flatten)]
    pub log: LogSettings,
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// The analytics store.
    #[command(flatten)]
    pub analytics: AnalyticsSettings,
    /// The mail server.
    #[command(flatten)]
    pub mail: MailSettings,
    /// The address of the pages.
    #[command(flatten)]
    pub public: PublicAddress,
    /// Where /healthz, /readyz and /metrics answer; 0.0.0.0:5005 lets other machines ask.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5005",
        value_name = "ADDRESS:PORT",
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
    /// The alerts' own settings.
    #[command(flatten)]
    pub alerts: AlertsConfig,
}

/// The rules of the house, and where its alerts go.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Alerts")]
pub struct AlertsConfig {
    /// Alert for every symbol whose price is so many percent above or below the open of its session.
    #[arg(id = "price-change-threshold", long, env = "PRICE_CHANGE_THRESHOLD", default_value_t = 5.0, value_name = "PERCENT",
          value_parser = percent)]
    pub price_change_percent: f64,
    /// Alert for every symbol that trades more than so many times its usual volume in five minutes: that at the same time of day in
    /// the last 20 sessions; of the last 50 candles while there are fewer than five sessions.
    #[arg(id = "volume-threshold-multiplier", long, env = "VOLUME_THRESHOLD_MULTIPLIER", default_value_t = 2.0, value_name = "TIMES",
          value_parser = multiplier)]
    pub volume_multiplier: f64,
    /// Addresses that these alerts are mailed to, with commas between them. Without any, alerts are stored and shown only.
    #[arg(
        id = "alert-recipients",
        long,
        env = "ALERT_RECIPIENTS",
        default_value = "",
        value_name = "ADDRESSES"
    )]
    pub recipients: Recipients,
    /// What fires within so many seconds of a mail to the same recipient becomes one mail.
    #[arg(id = "alerts-grouping-seconds", long, env = "ALERTS_GROUPING_SECONDS", default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub grouping_seconds: u32,
    /// Most mails about alerts to one recipient a day (UTC); the last one says that it is the last.
    #[arg(id = "alerts-mails-a-day", long, env = "ALERTS_MAILS_A_DAY", default_value_t = 20, value_name = "MAILS",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub mails_a_day: u32,
    /// Consumer group; its members share the partitions.
    #[arg(
        id = "alerts-group",
        long,
        env = "ALERTS_GROUP",
        default_value = "alerts-group",
        value_name = "NAME"
    )]
    pub group: String,
}

fn percent(text: &str) -> Result<f64, String> {
    within(text, 0.01..=1000.0, "a percentage from 0.01 to 1000")
}

fn multiplier(text: &str) -> Result<f64, String> {
    within(text, 1.0..=1000.0, "a factor from 1 to 1000")
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>, what: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("it must be {what}")),
    }
}

/// Addresses with commas between them. May be empty: a compose file passes on unset variables as empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients(pub Vec<EmailAddress>);

impl FromStr for Recipients {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut addresses: Vec<EmailAddress> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let address = EmailAddress::parse(part).map_err(|error| error.to_string())?;
            if addresses.iter().all(|known| known.key() != address.key()) {
                addresses.push(address);
            }
        }
        if addresses.len() > MAX_RECIPIENTS {
            return Err(format!(
                "{} addresses are named, at most {MAX_RECIPIENTS} are allowed",
                addresses.len()
            ));
        }
        Ok(Self(addresses))
    }
}
