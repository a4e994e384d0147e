//! The account at Alpha Vantage, whose calls prices and news share: one key and one set of limits for both.

use secrecy::{ExposeSecret, SecretString};

use super::{KeyId, KeyLimits};

/// In place of a key: there is none. A compose file passes on a variable that is not set with a default, which is not empty.
const NO_KEY: &str = "none";
/// A free account has 25 calls a day and 5 a minute.
const PRICE_CALLS: u32 = 20;
const NEWS_CALLS: u32 = 5;
const CALLS_PER_MINUTE: u32 = 5;

/// A key of Alpha Vantage, and what its account allows. Global, so that commands take it before and after their names.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Alpha Vantage")]
pub struct AlphaVantageAccount {
    /// Key of Alpha Vantage, for prices (--provider alpha_vantage) and for news with sentiments; none for no key. Its calls are
    /// counted in the live store.
    #[arg(global = true, long, env = "ALPHA_VANTAGE_KEY", value_name = "KEY", hide_env_values = true)]
    pub alpha_vantage_key: Option<SecretString>,
    /// Calls a UTC day for prices. With those for news they are what the account allows: 25 of a free one.
    #[arg(global = true, long, env = "ALPHA_VANTAGE_PRICE_CALLS", default_value_t = PRICE_CALLS, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub alpha_vantage_price_calls: u32,
    /// Calls a UTC day for news.
    #[arg(global = true, long, env = "ALPHA_VANTAGE_NEWS_CALLS", default_value_t = NEWS_CALLS, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub alpha_vantage_news_calls: u32,
    /// Calls within any 60 seconds, for prices and news together: 5 of a free account.
    #[arg(global = true, long, env = "ALPHA_VANTAGE_CALLS_PER_MINUTE", default_value_t = CALLS_PER_MINUTE, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub alpha_vantage_calls_per_minute: u32,
}

/// Without a key.
impl Default for AlphaVantageAccount {
    fn default() -> Self {
        Self {
            alpha_vantage_key: None,
            alpha_vantage_price_calls: PRICE_CALLS,
            alpha_vantage_news_calls: NEWS_CALLS,
            alpha_vantage_calls_per_minute: CALLS_PER_MINUTE,
        }
    }
}

impl AlphaVantageAccount {
    /// The key, if one is set.
    pub fn key(&self) -> Option<&SecretString> {
        let is_key = |key: &&SecretString| {
            let key = key.expose_secret().trim();
            !key.is_empty() && key != NO_KEY
        };
        self.alpha_vantage_key.as_ref().filter(is_key)
    }

    /// How the ledger names the key.
    pub fn key_id(key: &SecretString) -> KeyId {
        KeyId::of("alpha_vantage", key)
    }

    /// The limits of the key.
    pub fn limits(&self) -> KeyLimits {
        KeyLimits {
            per_minute: self.alpha_vantage_calls_per_minute,
            prices_per_day: self.alpha_vantage_price_calls,
            news_per_day: self.alpha_vantage_news_calls,
        }
    }
}
