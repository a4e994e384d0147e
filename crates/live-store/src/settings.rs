//! The settings of the live store: flag, environment variable and manual at once.

use connection_url::{Password, PasswordError};
use secrecy::SecretString;

/// Where the live store is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Live store")]
pub struct StoreSettings {
    /// Live store: mongodb://[user:password@]host[:port][/database][?tls=true&tlsCAFile=PATH&...], the database
    /// stock_market unless named, or sqlite:PATH (one host only).
    #[arg(long = "store", env = "STORE_URL", value_name = "URL", hide_env_values = true)]
    pub store_url: SecretString,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub password: StorePassword,
}

impl StoreSettings {
    /// The URL with its password.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL.
    pub fn url(&self) -> Result<SecretString, PasswordError> {
        self.password.fill(&self.store_url)
    }
}

/// The password of the live store.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Live store")]
pub struct StorePassword {
    /// Password for the user that the live store's URL names without one. Others on this machine see flags in the list of
    /// processes: prefer the variable or the file.
    #[arg(long, env = "STORE_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub store_password: Option<SecretString>,
    /// File with that password, such as /run/secrets/store_password; a final line end does not count.
    #[arg(long, env = "STORE_PASSWORD_FILE", value_name = "FILE")]
    pub store_password_file: Option<String>,
}

impl StorePassword {
    /// The URL with the password in it.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL.
    pub fn fill(&self, url: &SecretString) -> Result<SecretString, PasswordError> {
        let (password, file) = (self.store_password.as_ref(), self.store_password_file.as_deref());
        Password { password, file, prefix: "STORE" }.fill(url)
    }
}
