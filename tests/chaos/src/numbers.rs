//! Parameters of the faults.

/// Parameters of a run: a short form of a few minutes, and a long form with the numbers of the guarantees.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Number of ticks of a fault.
    pub ticks: u64,
    /// Ticks per second; 0: as fast as possible.
    pub rate: u32,
    /// Number of kills.
    pub kills: u32,
    /// Interval between two rebalances, in seconds.
    pub rebalance_seconds: u64,
    /// Length of an outage of a server, in seconds.
    pub outage_seconds: u64,
    /// Length of the second outage of the broker, in seconds, beyond librdkafka's default `message.timeout.ms`; 0: none.
    pub long_outage_seconds: u64,
    /// Number of alert rules.
    pub alert_rules: u64,
    /// How often each of them fires.
    pub alert_flaps: u64,
    /// Session timeout of the consumers' group, in milliseconds.
    pub session_timeout_ms: u32,
}

impl Numbers {
    /// For each change.
    pub const SHORT: Self = Self {
        ticks: 40_000,
        rate: 2_500,
        kills: 5,
        rebalance_seconds: 3,
        outage_seconds: 10,
        long_outage_seconds: 0,
        alert_rules: 30,
        alert_flaps: 20,
        session_timeout_ms: 2_000,
    };
    /// As in the guarantees.
    pub const LONG: Self = Self {
        ticks: 1_000_000,
        rate: 4_000,
        kills: 20,
        rebalance_seconds: 5,
        outage_seconds: 60,
        long_outage_seconds: 360,
        alert_rules: 1_000,
        alert_flaps: 100,
        // As in the services.
        session_timeout_ms: 6_000,
    };
}

/// How long storing everything may take after the fault, in seconds.
pub const SETTLE_SECONDS: u64 = 60;
/// How long a service may take to continue after an outage, in seconds.
pub const RESUME_SECONDS: u64 = 10;
/// Memory limit of a service, in MiB, also during outages.
pub const MEMORY_CAP_MB: u64 = 256;
