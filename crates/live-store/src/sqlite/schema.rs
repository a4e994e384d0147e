//! The format of the file.

use sqlite_file::Format;

pub(crate) const FORMAT: Format = Format {
    // `TDLS`
    application_id: 0x5444_4c53,
    unmarked_table: None,
    name: "live store",
    steps: &[
        include_str!("../../../../schema/sqlite/live-store/0001_ticks_candles_checkpoints.sql"),
        include_str!("../../../../schema/sqlite/live-store/0002_checkpoint_owners.sql"),
        include_str!("../../../../schema/sqlite/live-store/0003_tick_size_unknown_volume.sql"),
        include_str!("../../../../schema/sqlite/live-store/0004_job_runs.sql"),
        include_str!("../../../../schema/sqlite/live-store/0005_mails.sql"),
        include_str!("../../../../schema/sqlite/live-store/0006_alerts.sql"),
        include_str!("../../../../schema/sqlite/live-store/0007_accounts.sql"),
        include_str!("../../../../schema/sqlite/live-store/0008_news.sql"),
        include_str!("../../../../schema/sqlite/live-store/0009_stale_days.sql"),
        include_str!("../../../../schema/sqlite/live-store/0010_alert_volume.sql"),
        include_str!("../../../../schema/sqlite/live-store/0011_key_calls.sql"),
        include_str!("../../../../schema/sqlite/live-store/0012_gaps_feed_circuits.sql"),
    ],
};
