//! The settings of the analytics store: flag, environment variable and manual at once.

use connection_url::{Password, PasswordError};
use secrecy::SecretString;

/// Where the analytics store is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Analytics store")]
pub struct AnalyticsSettings {
    /// Analytics store: mysql://[user:password@]host[:port][/database][?ssl-mode=...], the database stock_analytics unless
    /// named, or sqlite:PATH (one host only).
    #[arg(long = "analytics", env = "ANALYTICS_URL", value_name = "URL", hide_env_values = true)]
    pub analytics_url: SecretString,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub password: AnalyticsPassword,
}

impl AnalyticsSettings {
    /// The URL with its password.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL.
    pub fn url(&self) -> Result<SecretString, PasswordError> {
        self.password.fill(&self.analytics_url)
    }
}

/// The password of the analytics store.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Analytics store")]
pub struct AnalyticsPassword {
    /// Password for the user that the analytics store's URL names without one. Others on this machine see flags in the list of
    /// processes: prefer the variable or the file.
    #[arg(long, env = "ANALYTICS_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub analytics_password: Option<SecretString>,
    /// File with that password, such as /run/secrets/analytics_password; a final line end does not count.
    #[arg(long, env = "ANALYTICS_PASSWORD_FILE", value_name = "FILE")]
    pub analytics_password_file: Option<String>,
}

impl AnalyticsPassword {
    /// The URL with the password in it.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL.
    pub fn fill(&self, url: &SecretString) -> Result<SecretString, PasswordError> {
        let (password, file) = (self.analytics_password.as_ref(), self.analytics_password_file.as_deref());
        Password { password, file, prefix: "ANALYTICS" }.fill(url)
    }
}
