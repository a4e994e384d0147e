//! The HELP line of every metric, by its name. A test keeps the list complete.

use metrics::{describe_counter, describe_gauge, describe_histogram};
use topics::names::figure;

const COUNTERS: &[(&str, &str)] = &[
    (figure::TICKS_RECEIVED, "Ticks that a feed received."),
    (figure::TICKS_PUBLISHED, "Ticks that are durable in the event log."),
    (figure::TICKS_DROPPED, "Ticks that a feed dropped because its buffer was full."),
    (figure::TICKS_STORED, "Ticks stored for the first time."),
    (figure::DEAD_LETTERS, "Records that could not be decoded."),
    (figure::CANDLES_CLOSED, "Candles closed from ticks, of all intervals."),
    ("tapedeck_ticks_late_total", "Ticks too late for their candle; they are stored."),
    ("tapedeck_candles_provider_total", "Candles that providers quoted and that are stored."),
    ("tapedeck_feed_errors_total", "Responses and frames of a venue that could not be used."),
    ("tapedeck_ticks_passed_over_total", "Ticks of a feed whose symbols another feed serves."),
    (
        "tapedeck_ticks_refused_total",
        "Ticks of a feed whose price no second one confirmed; they are dead letters.",
    ),
    ("tapedeck_gaps_detected_total", "Gaps of a feed that were detected."),
    ("tapedeck_gaps_repaired_total", "Gaps of a feed whose minutes were filled from its history."),
    ("tapedeck_feed_reconnects_total", "Connections to a venue that were opened again."),
    ("tapedeck_events_applied_total", "Events that a processor applied to its state."),
    ("tapedeck_events_redelivered_total", "Events that a processor received again after a restart."),
    ("tapedeck_events_duplicate_total", "Events that were published twice."),
    ("tapedeck_records_expired_total", "Records that the event log removed before they were read."),
    ("tapedeck_store_retries_total", "Writes to the live store that were tried again."),
    ("tapedeck_part_restarts_total", "Restarts of a part that a service can do without."),
    ("tapedeck_job_runs_finished_total", "Runs of a job that finished."),
    ("tapedeck_job_runs_failed_total", "Runs of a job that failed."),
    ("tapedeck_job_runs_missed_total", "Runs of a job that were due while no process ran it."),
    ("tapedeck_alerts_opened_total", "Alerts that opened."),
    ("tapedeck_alerts_closed_total", "Alerts that closed."),
    ("tapedeck_alert_mails_total", "Mails about alerts that became owed."),
    (
        "tapedeck_alert_deliveries_suppressed_total",
        "Deliveries of alerts that are in no mail: too many mails a day, no valid address, or not wanted any more.",
    ),
    ("tapedeck_alert_log_rows_total", "Rows of alert_log in the analytics store that were new or changed."),
    ("tapedeck_news_fetched_total", "Fetches of sources of news that succeeded."),
    ("tapedeck_news_fetches_failed_total", "Fetches of sources of news that failed."),
    ("tapedeck_news_stories_total", "New stories."),
    ("tapedeck_news_duplicates_total", "Articles that are a known story at another outlet."),
    (
        "tapedeck_news_skipped_total",
        "Articles that were left out: unusable, old, or about no watched symbol.",
    ),
    ("tapedeck_mails_sent_total", "Mails that a mail server took, or that were written to the outbox."),
    (
        "tapedeck_mails_refused_total",
        "Mails that a mail server refused for ever, or that the settings forbid.",
    ),
    ("tapedeck_mails_retried_total", "Tries to send a mail that failed and are repeated."),
    ("tapedeck_mails_expired_total", "Mails that were not sent in their time."),
    ("tapedeck_account_sign_ins_total", "Attempts to sign in, by outcome."),
    ("tapedeck_account_mails_total", "Mails about accounts that became owed, by kind."),
    ("tapedeck_http_requests_total", "HTTP requests, by method, route and status."),
    (crate::connections::CLOSED, "HTTP connections that the server closed or refused, by reason."),
    ("tapedeck_web_unreadable_total", "Records of the live topics that the pages could not read."),
    (
        "tapedeck_web_latency_refused_total",
        "Requests with screen latencies that were refused because of their number.",
    ),
    (
        "tapedeck_sse_polls_total",
        "Requests for events past the limit of live clients, each answered and ended.",
    ),
    ("tapedeck_web_hosts_refused_total", "Requests for a host that is not allowed (--web-allowed-hosts)."),
    (
        "tapedeck_web_log_probes_failed_total",
        "Queries of the event log for its topics and the lag that failed.",
    ),
    ("tapedeck_logs_accepted_total", "Log lines that were to be sent to Elasticsearch."),
    ("tapedeck_logs_indexed_total", "Log lines that Elasticsearch stored."),
    (
        "tapedeck_logs_already_there_total",
        "Log lines that an earlier request had stored, whose answer was lost.",
    ),
    ("tapedeck_logs_dead_lettered_total", "Log lines that Elasticsearch refused, in the dead-letter file."),
    (
        "tapedeck_logs_dropped_total",
        "Log lines lost on the way to Elasticsearch, because the queue was full.",
    ),
];

const GAUGES: &[(&str, &str)] = &[
    (crate::status::COMPONENT_UP, "1 while a component works, otherwise 0."),
    (crate::connections::CONNECTIONS, "Open HTTP connections."),
    ("tapedeck_sse_connections", "Open event streams of pages."),
    ("tapedeck_owed_mails", "Mails of the store that are not sent yet."),
    (figure::LAG, "Records of a partition that the consumer has not stored and committed."),
    (figure::TOPIC_RECORDS, "Records kept in a topic."),
    (figure::DATA_BYTES, "Size of the files in the data folder, in bytes."),
    (
        figure::DATA_GROWTH,
        "Growth of the files in the data folder in a day, in bytes; 0 while it is unknown.",
    ),
    ("tapedeck_logs_queued_bytes", "Log lines that wait for Elasticsearch, in bytes."),
    (figure::STORE_BYTES, "Bytes on disk that hold rows and indexes of the live store."),
    (figure::STORE_GROWTH, "Bytes of the ticks that a day of the last week had; 0 while none is aggregated."),
    (figure::BATCH_FINISHED, "When the last run of the batch ended, in seconds since 1970; 0: none."),
    (figure::BATCH_FAILED, "1 if the last run of the batch failed, otherwise 0."),
    (figure::BATCH_ROWS, "Rows that the last run of the batch wrote."),
    (figure::BATCH_NEXT, "When the batch runs next, in seconds since 1970; 0: unknown."),
    (figure::DISK_FREE, "Free space on the disk of the data folder, in bytes."),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    (
        figure::FEED_PUBLISHED,
        "From the receipt of a tick to the acknowledgement of the event log, in seconds.",
    ),
    (figure::FEED_STORED, "From the receipt of a tick to the acknowledgement of the live store, in seconds."),
    (
        figure::FEED_SCREEN,
        "From the receipt of a tick to the frame that showed it, as browsers measured it, in seconds.",
    ),
];

/// Gives every metric its description, whether it is used by this process or not.
pub(crate) fn describe() {
    for &(name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for &(name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for &(name, help) in HISTOGRAMS {
        describe_histogram!(name, help);
    }
}
