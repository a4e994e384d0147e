//! The settings of the alerts.

use std::net::SocketAddr;

use live_store::StoreSettings;
use mailer::{EmailAddress, MailSettings};
use service_runtime::{HELP_END, LogFormat, LogSettings};
use url::Url;

/// Reads ticks from the event log, applies alert rules to them, and sends a mail for what fires.
///
/// Example: alerts --log kafka://localhost:9092 --store mongodb://localhost/stock_market --mail-url smtp://localhost:1025
/// --alert-recipients ops@example.com. Start more of them, and they share the partitions.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "alerts", version, after_help = HELP_END)]
pub struct AlertsArgs {
    /// The event log.
    #[command(flatten)]
    pub log: LogSettings,
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// The mail server.
    #[command(flatten)]
    pub mail: MailSettings,
    /// Where /healthz, /readyz and /metrics answer; 0.0.0.0:5005 lets other machines ask.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5005",
        value_name = "ADDRESS:PORT",
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t, help_heading = "This process")]
    pub log_format: LogFormat,
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
        value_delimiter = ',',
        value_name = "ADDRESS",
        value_parser = recipient
    )]
    pub recipients: Vec<EmailAddress>,
    /// Address of the pages, for the links in mails.
    #[arg(id = "public-url", long, env = "PUBLIC_URL", default_value = "http://localhost:5000", value_name = "URL")]
    pub public_url: Url,
    /// Send mails about replayed recordings to the mail server, too. Without it they go to a file outbox only.
    #[arg(id = "mail-replays", long, env = "MAIL_REPLAYS")]
    pub mail_replays: bool,
    /// Consumer group; its members share the partitions.
    #[arg(id = "alerts-group", long, env = "ALERTS_GROUP", default_value = "alerts-group", value_name = "NAME")]
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

fn recipient(text: &str) -> Result<EmailAddress, String> {
    EmailAddress::parse(text.trim()).map_err(|error| error.to_string())
}
