//! Limits the measurements of screen latencies that are accepted: anybody who can open a page can send invented ones. Pure.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::client_network::network;

/// Limits apply to each span of so many milliseconds.
const SPAN_MS: u64 = 5_000;
/// Most measurements from one address in a span. A page sends at most 200; browsers behind a reverse proxy share its address.
const MAX_OF_ADDRESS: u32 = 400;
/// Most measurements of all addresses in a span.
const MAX_OF_ALL: u32 = 20_000;
/// Most addresses of which measurements are accepted in a span, so that the table stays bounded.
const MAX_ADDRESSES: usize = 1_024;

/// What was accepted in the current span.
#[derive(Debug, Default)]
pub(crate) struct LatencyLimit(Mutex<Option<Span>>);

#[derive(Debug)]
struct Span {
    begun: Instant,
    accepted: u32,
    of_address: HashMap<IpAddr, u32>,
}

impl LatencyLimit {
    /// Counts so many more measurements of a client; `false`, and nothing counted, where they are past a limit.
    pub(crate) fn admit(&self, address: IpAddr, measurements: u32, now: Instant) -> bool {
        let mut span = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over =
            |span: &Span| now.saturating_duration_since(span.begun) >= Duration::from_millis(SPAN_MS);
        if span.as_ref().is_none_or(is_over) {
            *span = Some(Span { begun: now, accepted: 0, of_address: HashMap::new() });
        }
        let Some(span) = span.as_mut() else { return false };
        let client = network(address);
        if span.of_address.len() >= MAX_ADDRESSES && !span.of_address.contains_key(&client) {
            return false;
        }
        let accepted = span.of_address.entry(client).or_default();
        let (of_address, of_all) = (*accepted + measurements, span.accepted + measurements);
        if of_address > MAX_OF_ADDRESS || of_all > MAX_OF_ALL {
            return false;
        }
        (*accepted, span.accepted) = (of_address, of_all);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_adds_a_bounded_number_of_measurements_and_takes_none_from_others() {
        let (limit, start) = (LatencyLimit::default(), Instant::now());
        let [one, other] = ["2001:db8::1", "10.0.0.1"].map(|text| text.parse().expect("an address"));
        let same_network = "2001:db8::ffff".parse().expect("an address");
        assert!(limit.admit(one, 300, start));
        assert!(!limit.admit(one, 101, start));
        assert!(limit.admit(same_network, 100, start));
        assert!(!limit.admit(same_network, 1, start));
        assert!(limit.admit(other, 400, start));
        assert!(limit.admit(one, 400, start + Duration::from_millis(SPAN_MS)), "in the next span");
    }

    #[test]
    fn all_clients_together_are_limited_and_so_is_the_table_of_addresses() {
        let (limit, start) = (LatencyLimit::default(), Instant::now());
        let address = |n: u32| IpAddr::V4(n.into());
        let accepted = (0..100).filter(|n| limit.admit(address(*n), 400, start)).count();
        assert_eq!(accepted, 50);
        let limit = LatencyLimit::default();
        let accepted = (0..5_000).filter(|n| limit.admit(address(*n), 1, start)).count();
        assert_eq!(accepted, MAX_ADDRESSES);
    }
}
