//! Names in statuses and metrics that one crate reports and another one reads.

/// Services, by the names that their processes report.
pub mod service {
    /// Feeds to the event log.
    pub const PRODUCER: &str = "producer";
    /// The event log to the live store.
    pub const CONSUMER: &str = "consumer";
    /// Pages.
    pub const WEB: &str = "web";
    /// Applies alert rules to ticks, and mails what fires.
    pub const ALERTS: &str = "alerts";
    /// Aggregates past days.
    pub const BATCH: &str = "batch";
    /// Gathers news, and sends the digest.
    pub const NEWS: &str = "news";
    /// All services in one process.
    pub const ALL_IN_ONE: &str = "tapedeck";
    /// Those with a place of their own on the system page, or none; every other one is added to it when it reports.
    pub const WITH_NODES: [&str; 5] = [PRODUCER, CONSUMER, WEB, BATCH, ALL_IN_ONE];
}

/// Parts of processes.
pub mod component {
    /// The event log, as every process reaches it.
    pub const EVENT_LOG: &str = "event log";
    /// The live store, as the consumer reaches it.
    pub const LIVE_STORE: &str = "live store";
    /// The analytics store, as the pages reach it.
    pub const ANALYTICS_STORE: &str = "analytics store";
    /// The processor that stores ticks and builds candles.
    pub const CONSUMER: &str = "consumer";
    /// The reader of the live topics that the pages show.
    pub const LIVE_PRICES: &str = "live prices";
    /// The pages, which are served when they are loaded from the live store.
    pub const PAGES: &str = "pages";
    /// Log lines on their way to Elasticsearch, in a process that sends them there.
    pub const LOGS: &str = "logs";
    /// The night, as the batch runs it.
    pub const BATCH: &str = "batch";
    /// Removing what is past the retention.
    pub const RETENTION: &str = "retention";
    /// The disk of the data folder, in a process with embedded log or store.
    pub const DISK: &str = "disk";
    /// The name of a feed follows: `feed binance`.
    pub const FEED_PREFIX: &str = "feed ";
    /// The feed of invented prices.
    pub const SIMULATED_FEED: &str = "feed simulated";
    /// In the detail of [`SIMULATED_FEED`]; the reason follows, which pages show.
    pub const SIMULATED_BECAUSE: &str = "; prices are invented because ";
}

/// Metrics, by their names at `/metrics`. A status has the same under derived names, see [`per_second`](figure::per_second)
/// and [`quantile_ms`](figure::quantile_ms).
pub mod figure {
    /// Ticks that a feed received, by feed.
    pub const TICKS_RECEIVED: &str = "tapedeck_ticks_received_total";
    /// Ticks that are durable in the event log, by feed.
    pub const TICKS_PUBLISHED: &str = "tapedeck_ticks_published_total";
    /// Ticks that a feed dropped because its buffer was full, by feed.
    pub const TICKS_DROPPED: &str = "tapedeck_ticks_dropped_total";
    /// Ticks stored for the first time.
    pub const TICKS_STORED: &str = "tapedeck_ticks_stored_total";
    /// Records that could not be decoded.
    pub const DEAD_LETTERS: &str = "tapedeck_dead_letters_total";
    /// Candles closed from ticks.
    pub const CANDLES_CLOSED: &str = "tapedeck_candles_closed_total";
    /// From `received_at` to the acknowledgement of the event log, in seconds.
    pub const FEED_PUBLISHED: &str = "tapedeck_feed_published_seconds";
    /// From `received_at` to the acknowledgement of the live store, in seconds.
    pub const FEED_STORED: &str = "tapedeck_feed_stored_seconds";
    /// From `received_at` to the frame of the browser that showed the price, in seconds.
    pub const FEED_SCREEN: &str = "tapedeck_feed_screen_seconds";
    /// Records of a partition that the consumer has not stored and committed, by topic and partition.
    pub const LAG: &str = "tapedeck_lag_records";
    /// Records kept, by topic.
    pub const TOPIC_RECORDS: &str = "tapedeck_topic_records";
    /// Processor time of a process, in seconds.
    pub const PROCESS_CPU: &str = "process_cpu_seconds_total";
    /// Resident memory of a process, in bytes.
    pub const PROCESS_MEMORY: &str = "process_resident_memory_bytes";
    /// Open files and connections of a process.
    pub const PROCESS_FILES: &str = "process_open_fds";

    /// Size of the files in the data folder, in bytes.
    pub const DATA_BYTES: &str = "tapedeck_data_bytes";
    /// How many bytes they grow by in a day, at the rate of the last hours; 0 while it is unknown.
    pub const DATA_GROWTH: &str = "tapedeck_data_growth_bytes_per_day";
    /// Free space on the disk of the data folder, in bytes.
    pub const DISK_FREE: &str = "tapedeck_disk_free_bytes";

    /// Bytes on disk that hold rows and indexes of the live store.
    pub const STORE_BYTES: &str = "tapedeck_store_bytes";
    /// Bytes of the ticks that a day of the last week had on average; 0 while none is aggregated.
    pub const STORE_GROWTH: &str = "tapedeck_store_growth_bytes_per_day";
    /// When the last run of the batch ended, in seconds since 1970; 0: none.
    pub const BATCH_FINISHED: &str = "tapedeck_batch_finished_timestamp_seconds";
    /// 1 if the last run of the batch failed.
    pub const BATCH_FAILED: &str = "tapedeck_batch_failed";
    /// Rows that the last run of the batch wrote.
    pub const BATCH_ROWS: &str = "tapedeck_batch_rows_written";
    /// When the batch runs next, in seconds since 1970; 0: unknown.
    pub const BATCH_NEXT: &str = "tapedeck_batch_next_timestamp_seconds";

    /// The figure of a status with the rate of a counter: `tapedeck_ticks_stored_per_second`.
    pub fn per_second(counter: &str) -> String {
        format!("{}_per_second", counter.trim_end_matches("_total"))
    }

    /// The figure of a status with a quantile of latencies: `tapedeck_feed_stored_p99_ms`. `quantile` is `p50`, `p99` or
    /// `max`.
    pub fn quantile_ms(latency: &str, quantile: &str) -> String {
        format!("{}_{quantile}_ms", latency.trim_end_matches("_seconds"))
    }

    /// The figure of a status with the number of latencies: `tapedeck_feed_stored_count`.
    pub fn count(latency: &str) -> String {
        format!("{}_count", latency.trim_end_matches("_seconds"))
    }
}
