//! Settings that all services share; each is flag, environment variable, default and manual at once.

use connection_url::Password;
use secrecy::SecretString;
use url::Url;

/// Where the event log is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Event log")]
pub struct LogSettings {
    /// Event log: kafka://host:9092[,host:9092], kafka+tls://user@host:9093?sasl=scram-sha-512&ca=/path/ca.pem (any of
    /// librdkafka's settings may follow as name=value), or sqlite:PATH for one process only.
    #[arg(long = "log", env = "LOG_URL", value_name = "URL", hide_env_values = true)]
    pub log_url: SecretString,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub password: LogPassword,
}

impl LogSettings {
    /// The URL with its password.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL.
    pub fn url(&self) -> anyhow::Result<SecretString> {
        self.password.fill(&self.log_url)
    }
}

/// The password of the event log.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Event log")]
pub struct LogPassword {
    /// Password for the user that the event log's URL names without one. Others on this machine see flags in the list of
    /// processes: prefer the variable or the file.
    #[arg(long, env = "LOG_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub log_password: Option<SecretString>,
    /// File with that password, such as /run/secrets/log_password; a final line end does not count.
    #[arg(long, env = "LOG_PASSWORD_FILE", value_name = "FILE")]
    pub log_password_file: Option<String>,
}

impl LogPassword {
    /// The URL with the password in it.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL.
    pub fn fill(&self, url: &SecretString) -> anyhow::Result<SecretString> {
        let (password, file) = (self.log_password.as_ref(), self.log_password_file.as_deref());
        Ok(Password { password, file, prefix: "LOG" }.fill(url)?)
    }
}

/// Where readers reach the pages without a setting.
const DEFAULT_PUBLIC_URL: &str = "http://localhost:5000";

/// Where readers reach the pages; for the links in mails. Shared by all services that send some. Global, so that the commands of news take
/// it before and after their names.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Mail")]
pub struct PublicAddress {
    /// Where readers reach the pages: the start of the links in mails. With https:// cookies are kept to TLS [default:
    /// http://localhost:5000, in one process that of --listen].
    #[arg(long, env = "PUBLIC_URL", value_name = "URL", global = true, value_parser = public_url)]
    pub public_url: Option<Url>,
}

fn public_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write https://prices.example.com"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("it begins with neither http:// nor https://".to_owned()),
    }
}

impl PublicAddress {
    /// The address, or `default` where none is set.
    pub fn or(self, default: Url) -> Self {
        Self { public_url: Some(self.public_url.unwrap_or(default)) }
    }

    /// The address.
    pub fn url(&self) -> Url {
        let default = || Url::parse(DEFAULT_PUBLIC_URL).expect("a constant that a test parses");
        self.public_url.clone().unwrap_or_else(default)
    }
}

/// Variables of earlier versions, and their names since then.
pub const RENAMED_VARIABLES: [(&str, &str); 2] = [
    ("BATCH_MAX_MESSAGES", "CONSUMER_BATCH_MAX_MESSAGES"),
    ("BATCH_MAX_AGE_MS", "CONSUMER_BATCH_MAX_AGE_MS"),
];

/// Variables that are set under the name of an earlier version, one message each. Without them a default would silently
/// apply: a shorter retention removes data.
pub fn renamed_variables() -> Vec<String> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let renamed = RENAMED_VARIABLES.iter().filter(|(before, _)| is_set(before));
    renamed.map(|(before, now)| format!("the variable {before} is now {now}; rename it")).collect()
}

/// The end of every help: what has no flag.
pub const HELP_END: &str = "\
Besides these: RUST_LOG chooses what is logged, such as info (the default), debug, or info,consumer=debug. Every flag \
takes precedence over its variable. Passwords belong in *_PASSWORD_FILE or *_PASSWORD, not into URLs. `tapedeck config check` \
reads the same variables and reports what is wrong with them.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_have_an_address_without_a_setting() {
        assert_eq!(PublicAddress::default().url().as_str(), "http://localhost:5000/");
    }
}
