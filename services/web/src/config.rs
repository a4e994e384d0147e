//! The settings of the web service.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use analytics_store::AnalyticsPassword;
use live_store::StoreSettings;
use market::{Symbol, Watchlist};
use service_runtime::{HELP_END, LogOutput, LogSettings, PublicAddress, SecretString};

use url::Url;

use crate::{Registration, TrustedProxies, middleware::host::parse_host};

const DEFAULT_CONSUMER_GROUP: &str = "stock-consumer-group";
const DEFAULT_MAX_LIVE_CLIENTS: usize = 512;

/// Shows prices: pages, JSON under /v1, and live events.
///
/// Example: web --log kafka://localhost:9092 --store sqlite:data/store.db --listen 127.0.0.1:5000
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "web", version, after_help = HELP_END)]
pub struct WebArgs {
    /// The event log.
    #[command(flatten)]
    pub log: LogSettings,
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// Analytics store, which the batch writes and the dashboard shows: mysql://[user@]host[:port][/database] or sqlite:PATH. The right
    /// to read is enough.
    #[arg(
        long = "analytics",
        env = "ANALYTICS_URL",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Analytics store"
    )]
    pub analytics_url: Option<SecretString>,
    /// Its password, if the URL has none.
    #[command(flatten)]
    pub analytics_password: AnalyticsPassword,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
    /// Symbols shown on the board before their first price: AAPL,BTC/USDT.
    #[arg(long, env = "WATCHLIST", value_name = "SYMBOLS", help_heading = "Pages")]
    pub watchlist: Option<Watchlist>,
    /// Consumer group whose lag the system page shows.
    #[arg(long, env = "CONSUMER_GROUP", default_value = DEFAULT_CONSUMER_GROUP, value_name = "NAME", help_heading = "Pages")]
    pub consumer_group: String,
    /// The address of the pages.
    #[command(flatten)]
    pub public: PublicAddress,
    /// The pages' own settings.
    #[command(flatten)]
    pub web: WebConfig,
}

/// Where the pages are served, and what they show. The caller fills in what other services of the same process have a
/// flag for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Pages")]
pub struct WebConfig {
    /// Address of the pages, and of /healthz, /readyz and /metrics; 0.0.0.0:5000 admits other machines.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:5000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Most live clients at once; a browser with all its tabs is one. Further ones are served, too: they poll every 5 seconds.
    #[arg(long, env = "WEB_MAX_LIVE_CLIENTS", default_value_t = DEFAULT_MAX_LIVE_CLIENTS, value_name = "N")]
    pub web_max_live_clients: usize,
    /// Hosts besides localhost and the address of --listen that the pages may be requested for: prices.example,10.0.0.7. Needed
    /// behind a reverse proxy and under a name of this machine; others are refused, as a page of another site could otherwise
    /// read prices through its own name.
    #[arg(long, env = "WEB_ALLOWED_HOSTS", value_name = "HOSTS", value_delimiter = ',', value_parser = allowed_host)]
    pub web_allowed_hosts: Vec<String>,
    /// Who may register an account: open for all who can open the pages, closed for those whom `tapedeck user add` adds.
    #[arg(long, env = "REGISTRATION", value_enum, default_value_t)]
    pub registration: Registration,
    /// Reverse proxies whose X-Forwarded-For is believed: 10.0.0.7,172.16.0.0/12. Without this setting all readers behind a proxy share the
    /// limits of sign-ins and mails of one address.
    #[arg(long, env = "WEB_TRUSTED_PROXIES", value_name = "ADDRESSES", value_parser = TrustedProxies::from_str, default_value = "")]
    pub web_trusted_proxies: TrustedProxies,
    /// Where readers reach the pages.
    #[arg(skip = PublicAddress::default().url())]
    pub public_url: Url,
    /// Symbols shown on the board before their first price.
    #[arg(skip)]
    pub watchlist: Option<Watchlist>,
    /// Consumer group whose lag the system page shows.
    #[arg(skip = DEFAULT_CONSUMER_GROUP.to_owned())]
    pub consumer_group: String,
    /// URL of the analytics store, with its password.
    #[arg(skip)]
    pub analytics: Option<SecretString>,
    /// The prices are of the past, such as those of a demonstration: the dashboard shows a note.
    #[arg(skip)]
    pub is_historical: bool,
    /// Folder of mails that are written to files, shown at /outbox.
    #[arg(skip)]
    pub outbox: Option<PathBuf>,
}

impl WebArgs {
    /// The settings with everything filled in.
    ///
    /// # Errors
    /// A password of the analytics store that cannot be read or has no place in the URL.
    pub fn into_config(self) -> anyhow::Result<WebConfig> {
        let analytics = self.analytics_url.map(|url| self.analytics_password.fill(&url)).transpose()?;
        let Self { watchlist, consumer_group, .. } = self;
        Ok(WebConfig { watchlist, consumer_group, public_url: self.public.url(), analytics, ..self.web })
    }
}

impl WebConfig {
    /// Symbols shown on the board before their first price.
    pub(crate) fn watched(&self) -> &[Symbol] {
        self.watchlist.as_ref().map_or(&[], Watchlist::symbols)
    }
}

/// One of `--web-allowed-hosts`; empty where its variable is.
fn allowed_host(text: &str) -> Result<String, String> {
    match parse_host(text) {
        None if !text.trim().is_empty() => {
            Err("is no host; write its name or address alone, such as prices.example or 10.0.0.7".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}
