//! The settings of the news, and their commands.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use alert_rules::Owner;
use analytics_store::AnalyticsPassword;
use anyhow::Context;
use chrono_tz::Tz;
use clap::{Subcommand, ValueEnum};
use job_runner::Schedule;
use live_store::{AlphaVantageAccount, StoreSettings};
use mailer::{EmailAddress, MailSettings};
use market::Watchlist;
use service_runtime::{HELP_END, LogOutput, LogSettings, PublicAddress, SecretString};
use url::Url;

use crate::{digest::DigestReader, source::shown};

/// Exit codes, for `--help`.
pub const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 a source failed, or the store is unavailable; 2 wrong arguments.";

/// News of the watched symbols: feeds into stories of the live store.
///
/// Example: news --store mongodb://localhost/stock_market --watchlist AAPL,BTC/USDT run
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "news", version, after_help = HELP_END, after_long_help = EXIT_CODES)]
pub struct NewsArgs {
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// Symbols whose news are gathered [default: those of the store].
    #[arg(long, env = "WATCHLIST", value_name = "SYMBOLS", help_heading = "News", global = true)]
    pub watchlist: Option<Watchlist>,
    /// Where news come from.
    #[command(flatten)]
    pub news: NewsConfig,
    /// The account at Alpha Vantage.
    #[command(flatten)]
    pub alpha_vantage: AlphaVantageAccount,
    /// Addresses of the alerts, which get the digest unless --digest-recipients has others.
    #[arg(
        long,
        env = "ALERT_RECIPIENTS",
        default_value = "",
        value_name = "ADDRESSES",
        help_heading = "Digest",
        global = true,
        hide_default_value = true
    )]
    pub alert_recipients: Addresses,
    /// Analytics store, for the moves of the digest: mysql://[user[:password]@]host[:port][/database][?ssl-mode=...] or
    /// sqlite:PATH.
    #[arg(
        long = "analytics",
        env = "ANALYTICS_URL",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Digest"
    )]
    pub analytics_url: Option<SecretString>,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub analytics_password: AnalyticsPassword,
    /// The address of the pages.
    #[command(flatten)]
    pub public: PublicAddress,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
    /// What to do.
    #[command(subcommand)]
    pub command: ProgramCommand,
}

/// The commands of the program.
#[derive(Clone, Debug, Subcommand)]
pub enum ProgramCommand {
    /// Those that end by themselves.
    #[command(flatten)]
    Once(NewsCommand),
    /// Gather every half hour until the shutdown. The main process of a container.
    Schedule(Box<ProcessArgs>),
}

/// What a process needs that runs until it is stopped.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessArgs {
    /// The event log, which the health of this process is published to.
    #[command(flatten)]
    pub log: LogSettings,
    /// The mail server. Without one another service, such as the alerts, sends what is owed.
    #[command(flatten)]
    pub mail: MailSettings,
    /// Address of /healthz, /readyz and /metrics; 0.0.0.0:5006 makes them reachable from other machines.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5006",
        value_name = "ADDRESS:PORT",
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
}

impl NewsArgs {
    /// The settings with everything filled in.
    pub fn config(&self) -> NewsConfig {
        let (alert_recipients, public_url) = (self.alert_recipients.0.clone(), self.public.url());
        let digest = DigestConfig { alert_recipients, public_url, ..self.news.digest.clone() };
        let alpha_vantage = self.alpha_vantage.clone();
        NewsConfig { watchlist: self.watchlist.clone(), digest, alpha_vantage, ..self.news.clone() }
    }
}

/// The commands that end by themselves.
#[derive(Clone, Debug, Subcommand)]
pub enum NewsCommand {
    /// Gather once from all sources, and print what came of each. A source that failed before waits for its next try.
    Run,
    /// Send the digest of today to those who have not got it, whatever the hour; or print one. The running service sends it.
    Digest {
        /// Only that of this address, of an account or a recipient of the house [default: all recipients of the house; with
        /// --preview, the first].
        #[arg(long, value_name = "ADDRESS")]
        user: Option<EmailAddress>,
        /// Print the text of the mail, and send and record nothing.
        #[arg(long)]
        preview: bool,
        /// Wait at most so many seconds until it is sent.
        #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=600))]
        wait_seconds: u64,
    },
}

/// A provider of news without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// Yahoo Finance: headlines by symbol.
    Yahoo,
    /// Google News: a search for the names of the symbols.
    Google,
    /// None of them.
    None,
}

/// Where news come from. Global, so that commands take it before and after their names. The caller fills in what other services of the same process have a flag for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "News")]
pub struct NewsConfig {
    /// Providers of news that need no key, with commas between; none for only those of --news-feeds.
    #[arg(
        global = true,
        id = "news-sources",
        long,
        env = "NEWS_SOURCES",
        value_enum,
        value_delimiter = ',',
        default_value = "yahoo,google",
        value_name = "NAMES"
    )]
    pub providers: Vec<Provider>,
    /// Addresses of RSS, Atom or JSON feeds, with commas between. Their stories are kept also where they are about no watched
    /// symbol.
    #[arg(
        global = true,
        id = "news-feeds",
        long,
        env = "NEWS_FEEDS",
        value_name = "URLS",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub feeds: Feeds,
    /// File with names of companies, which decide what a story is about: one line a symbol, such as
    /// `AAPL = Apple Inc, *Apple ; iphone, ipad ; !apple pie`. Its lines replace the built-in ones.
    #[arg(global = true, id = "news-aliases", long, env = "NEWS_ALIASES", value_name = "FILE")]
    pub aliases: Option<PathBuf>,
    /// Fetch feeds from private networks, too, such as one on this machine.
    #[arg(global = true, id = "news-allow-private", long, env = "NEWS_ALLOW_PRIVATE")]
    pub allow_private: bool,
    /// Between two requests to one host, in milliseconds.
    #[arg(global = true, id = "news-host-interval-ms", long, env = "NEWS_HOST_INTERVAL_MS", default_value_t = 1_000,
          value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub host_interval_ms: u64,
    /// Longest time for a response with its redirects, in milliseconds.
    #[arg(global = true, id = "news-timeout-ms", long, env = "NEWS_TIMEOUT_MS", default_value_t = 30_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(100..=300_000))]
    pub timeout_ms: u64,
    /// Where the headlines of Yahoo Finance are.
    #[arg(
        global = true,
        id = "news-yahoo-url",
        long,
        env = "NEWS_YAHOO_URL",
        default_value = "https://feeds.finance.yahoo.com",
        value_name = "URL"
    )]
    pub yahoo_url: Url,
    /// Where Google News is.
    #[arg(
        global = true,
        id = "news-google-url",
        long,
        env = "NEWS_GOOGLE_URL",
        default_value = "https://news.google.com",
        value_name = "URL"
    )]
    pub google_url: Url,
    /// Where Alpha Vantage is.
    #[arg(
        global = true,
        id = "news-alpha-vantage-url",
        long,
        env = "NEWS_ALPHA_VANTAGE_URL",
        default_value = "https://www.alphavantage.co",
        value_name = "URL"
    )]
    pub alpha_vantage_url: Url,
    /// The digest.
    #[command(flatten)]
    pub digest: DigestConfig,
    /// Symbols whose news are gathered; without them those of the store.
    #[arg(skip)]
    pub watchlist: Option<Watchlist>,
    /// The account at Alpha Vantage, whose news have sentiments. Its calls are shared with the prices.
    #[arg(skip)]
    pub alpha_vantage: AlphaVantageAccount,
}

/// The morning digest. Global, see [`NewsConfig`].
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Digest")]
pub struct DigestConfig {
    /// When the digest is sent to the recipients of the house, in cron syntax: minute, hour, day of month, month, day of week. A
    /// missed one is sent until noon, one of the afternoon for four hours. People choose their hour in their account.
    #[arg(
        global = true,
        id = "news-schedule",
        long,
        env = "NEWS_SCHEDULE",
        default_value = "0 8 * * *",
        value_name = "CRON"
    )]
    pub schedule: String,
    /// The time zone of the schedule: America/New_York.
    #[arg(
        global = true,
        id = "news-timezone",
        long,
        env = "NEWS_TIMEZONE",
        default_value = "UTC",
        value_name = "ZONE"
    )]
    pub timezone: Tz,
    /// Addresses that get the digest, with commas between them [default: those of ALERT_RECIPIENTS].
    #[arg(
        global = true,
        id = "digest-recipients",
        long,
        env = "DIGEST_RECIPIENTS",
        default_value = "",
        value_name = "ADDRESSES",
        hide_default_value = true
    )]
    pub recipients: Addresses,
    /// Those of the alerts.
    #[arg(skip)]
    pub alert_recipients: Vec<EmailAddress>,
    /// Where the pages are, for the links to unsubscribe.
    #[arg(skip = PublicAddress::default().url())]
    pub public_url: Url,
}

impl DigestConfig {
    /// The recipients of the house.
    ///
    /// # Errors
    /// A schedule that is no cron syntax, named with its setting.
    pub fn readers(&self) -> anyhow::Result<Vec<DigestReader>> {
        let of = || format!("--news-schedule (NEWS_SCHEDULE) `{}`", self.schedule);
        let schedule = Schedule::parse(&self.schedule, self.timezone).with_context(of)?;
        let addresses = match &self.recipients.0 {
            own if own.is_empty() => &self.alert_recipients,
            own => own,
        };
        let reader = |address: &EmailAddress| DigestReader {
            address: address.clone(),
            owner: Owner::House,
            symbols: None,
            schedule: schedule.clone(),
            zone: self.timezone,
            unsubscribe: None,
        };
        Ok(addresses.iter().map(reader).collect())
    }
}

/// E-mail addresses with commas between them, each once. May be empty, as [`Feeds`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<EmailAddress>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut addresses = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let address = EmailAddress::parse(part).map_err(|error| error.to_string())?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(Self(addresses))
    }
}

/// Addresses of feeds with commas between them. May be empty: a compose file passes on unset variables as empty ones.
#[derive(Clone, Default)]
pub struct Feeds(pub(crate) Vec<Url>);

/// Without what may be a key.
impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(shown)).finish()
    }
}

impl FromStr for Feeds {
    type Err = String;

    /// The reason has no part of an address: it may contain a key.
    fn from_str(text: &str) -> Result<Self, String> {
        let feeds = text.split(',').map(str::trim).filter(|feed| !feed.is_empty()).map(|feed| {
            let url = Url::parse(feed).map_err(|error| format!("one of them is no URL: {error}"))?;
            if ["http", "https"].contains(&url.scheme()) && url.has_host() {
                Ok(url)
            } else {
                Err("one of them is no address of a feed; write it as https://example.com/feed.xml"
                    .to_owned())
            }
        });
        feeds.collect::<Result<_, String>>().map(Self)
    }
}
