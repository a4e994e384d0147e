//! Where log lines go: settings of every service.

use anyhow::bail;
use connection_url::Password;
use secrecy::{ExposeSecret, SecretString};

use crate::LogFormat;

/// Where log lines go besides stderr, and how they look there.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log lines")]
pub struct LogOutput {
    /// Format of the log lines on stderr.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
    /// Elasticsearch that log lines are sent to as well, into the data stream stock-system-logs: http://host:9200 or
    /// https://user@host:9200; none: nowhere. Services run without it while it is away.
    #[arg(long, env = "ELASTICSEARCH_URL", value_name = "URL", hide_env_values = true, global = true)]
    pub elasticsearch: Option<SecretString>,
    /// Password for the user that this URL names without one. Others on this machine see flags in the list of processes: prefer the
    /// variable or the file.
    #[arg(
        long,
        env = "ELASTICSEARCH_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        global = true
    )]
    pub elasticsearch_password: Option<SecretString>,
    /// File with that password, such as /run/secrets/elasticsearch_password; a final line end does not count.
    #[arg(long, env = "ELASTICSEARCH_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub elasticsearch_password_file: Option<String>,
    /// API key instead of a user, as Elasticsearch encodes it.
    #[arg(long, env = "ELASTICSEARCH_API_KEY", value_name = "KEY", hide_env_values = true, global = true)]
    pub elasticsearch_api_key: Option<SecretString>,
    /// Days after which Elasticsearch deletes log lines; counts for a data stream that is created after it was set.
    #[arg(long, env = "ELASTICSEARCH_RETENTION_DAYS", hide_short_help = true, default_value_t = 30, value_name = "DAYS", global = true,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub elasticsearch_retention_days: u32,
    /// Log lines that wait for Elasticsearch take at most so much memory, in MiB; what does not fit is dropped and counted.
    #[arg(long, env = "ELASTICSEARCH_QUEUE_MAX_MB", hide_short_help = true, default_value_t = 32, value_name = "MIB", global = true,
          value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub elasticsearch_queue_max_mb: u32,
    /// At most so many log lines wait for Elasticsearch.
    #[arg(long, env = "ELASTICSEARCH_QUEUE_MAX_LINES", hide_short_help = true, default_value_t = 100_000, value_name = "LINES", global = true,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub elasticsearch_queue_max_lines: u32,
    /// File for log lines that Elasticsearch refuses, or that are not sent before the end, of at most 16 MiB; without it they are
    /// dropped and counted [default: undelivered-logs.jsonl in the data folder of `tapedeck run`, none for a single service].
    #[arg(long, env = "ELASTICSEARCH_DEAD_LETTERS", value_name = "FILE", global = true)]
    pub elasticsearch_dead_letters: Option<String>,
}

impl LogOutput {
    /// The same with a dead-letter file, unless one is set.
    #[must_use]
    pub fn or_dead_letters(mut self, file: &std::path::Path) -> Self {
        let is_set = self.elasticsearch_dead_letters.as_ref().is_some_and(|file| !file.is_empty());
        if !is_set {
            self.elasticsearch_dead_letters = Some(file.display().to_string());
        }
        self
    }

    /// The URL of Elasticsearch with its password; `None` without one. An empty text counts as `none`: a compose file passes on unset
    /// variables as empty ones.
    ///
    /// # Errors
    /// A password that cannot be read or has no place in the URL, and a password beside a key.
    pub(crate) fn elasticsearch_url(&self) -> anyhow::Result<Option<SecretString>> {
        let is_set = |url: &&SecretString| !matches!(url.expose_secret(), "" | "none");
        let Some(url) = self.elasticsearch.as_ref().filter(is_set) else {
            return Ok(None);
        };
        let password = Password {
            password: self.elasticsearch_password.as_ref(),
            file: self.elasticsearch_password_file.as_deref(),
            prefix: "ELASTICSEARCH",
        };
        let filled = password.fill(url)?;
        if self.api_key().is_some() && connection_url::has_user(&filled) {
            bail!("ELASTICSEARCH_URL names a user and ELASTICSEARCH_API_KEY is set; keep one of them");
        }
        Ok(Some(filled))
    }

    pub(crate) fn api_key(&self) -> Option<&SecretString> {
        self.elasticsearch_api_key.as_ref().filter(|key| !key.expose_secret().is_empty())
    }
}
