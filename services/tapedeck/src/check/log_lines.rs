//! Checks where log lines go.

use service_runtime::{LOG_DATA_STREAM, LogOutput, LogServerCheck, TemplateState, check_log_server};

use super::report::Report;

const WHAT: &str = "log lines";
const FIX: &str = "check --elasticsearch (ELASTICSEARCH_URL), ELASTICSEARCH_PASSWORD, ELASTICSEARCH_PASSWORD_FILE and \
                   ELASTICSEARCH_API_KEY; services run without it, and log to stderr";

/// Checks that Elasticsearch responds and admits the user, and whether its index template and data stream are there; changes nothing.
pub(super) async fn log_lines(report: &mut Report, output: &LogOutput) {
    let LogServerCheck { place, version, template, has_data_stream } = match check_log_server(output).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let found = "on stderr; set ELASTICSEARCH_URL to send them to Elasticsearch as well";
            return report.ok(WHAT, found);
        }
        Err(error) => return report.wrong(WHAT, format!("{error:#}"), FIX),
    };
    let version = version.map_or(String::new(), |version| format!(" {version}"));
    let stream = match has_data_stream {
        Some(true) => "is there",
        Some(false) => "is created with the first log line",
        None => "is not shown to this user",
    };
    let found = format!("{place}: Elasticsearch{version}; the data stream {LOG_DATA_STREAM} {stream}");
    match template {
        TemplateState::Current => report.ok(WHAT, format!("{found}, its index template is there")),
        TemplateState::Other => report.warn(
            WHAT,
            format!("{found}, its index template is of another version"),
            "every service updates it when it starts, or `tapedeck logs setup`; the user needs the right to",
        ),
        TemplateState::Missing => report.warn(
            WHAT,
            format!("{found}, its index template is missing"),
            "every service creates it when it starts, or `tapedeck logs setup`; the user needs the right to",
        ),
        TemplateState::NotReadable => report.warn(
            WHAT,
            format!("{found}, its index template is not shown to this user"),
            "run `tapedeck logs setup` once as a user with the right manage_index_templates",
        ),
    }
}
