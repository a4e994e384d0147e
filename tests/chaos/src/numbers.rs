//! How large the faults are.

/// The numbers of a run; the short form takes minutes, the long one is what the promises are stated with.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Ticks of a fault.
    pub ticks: u64,
    /// Ticks a second; 0: as fast as the log takes them.
    pub rate: u32,
    /// How often something is killed.
    pub kills: u32,
    /// Between two rebalances, in seconds.
    pub rebalance_seconds: u64,
    /// How long a server is away, in seconds.
    pub outage_seconds: u64,
    /// How long the broker is away the second time, in seconds; past `message.timeout.ms`. 0: not again.
    pub long_outage_seconds: u64,
    /// After so long without a sign of life the group gives a member's partitions to others, in milliseconds.
    pub session_timeout_ms: u32,
}

impl Numbers {
    /// For every change.
    pub const SHORT: Self = Self {
        ticks: 40_000,
        rate: 2_500,
        kills: 5,
        rebalance_seconds: 3,
        outage_seconds: 10,
        long_outage_seconds: 0,
        session_timeout_ms: 2_000,
    };
    /// As the promises are stated.
    pub const LONG: Self = Self {
        ticks: 1_000_000,
        rate: 4_000,
        kills: 20,
        rebalance_seconds: 5,
        outage_seconds: 60,
        long_outage_seconds: 360,
        // The services' own.
        session_timeout_ms: 6_000,
    };
}

/// How long everything may take to be stored once the fault is over.
pub const SETTLE_SECONDS: u64 = 60;
/// How long a service may take until it is at work again once what it needs is back.
pub const RESUME_SECONDS: u64 = 10;
/// Most memory of a service, in MiB, whatever is away.
pub const MEMORY_CAP_MB: u64 = 256;
