//! From whom a request comes, for limits: the client's address, also behind a reverse proxy.

use std::{net::IpAddr, str::FromStr};

use axum::http::HeaderMap;

/// The header in which reverse proxies name the clients.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The network that limits apply to. Of IPv6 the first 64 bits: one client can have all addresses of such a network.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// An address, or all addresses with the same first bits: `10.0.0.7`, `172.16.0.0/12`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TrustedProxy {
    first: IpAddr,
    bits: u32,
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = text.trim().split_once('/').unwrap_or((text.trim(), ""));
        let wrong =
            || format!("`{text}` is no address and no network; write it such as 10.0.0.7 or 172.16.0.0/12");
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let length = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            "" => Some(length),
            bits => bits.parse().ok().filter(|bits| *bits <= length),
        };
        Ok(Self { first, bits: bits.ok_or_else(wrong)? })
    }
}

/// Reverse proxies, with commas; none where the text is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<TrustedProxy>);

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxy {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let difference = first.to_bits() ^ address.to_bits();
                difference.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let difference = first.to_bits() ^ address.to_bits();
                difference.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The network of the client of a request that came from `peer`. Where that is a trusted proxy, the client is the last address in
/// `X-Forwarded-For` that is none: what stands before it the client may have written itself.
pub(crate) fn client_network(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.0.iter().any(|proxy| proxy.contains(address));
    let mut client = peer;
    if is_trusted(peer) {
        let named = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let named: Vec<&str> = named.flat_map(|value| value.split(',')).map(str::trim).collect();
        for address in named.iter().rev() {
            let Ok(address) = address.parse() else { break };
            client = address;
            if !is_trusted(address) {
                break;
            }
        }
    }
    network(client)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn seen(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let trusted = trusted.join(", ").parse().expect("proxies");
        client_network(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_name_the_client() {
        assert_eq!(seen("203.0.113.7", &["198.51.100.1"], &[]), "203.0.113.7");
        assert_eq!(seen("172.20.0.1", &["198.51.100.1"], &["172.16.0.0/12"]), "198.51.100.1");
        assert_eq!(seen("172.32.0.1", &["198.51.100.1"], &["172.16.0.0/12"]), "172.32.0.1");
        assert_eq!(
            seen("10.0.0.1", &["6.6.6.6, 198.51.100.1"], &["10.0.0.1"]),
            "198.51.100.1",
            "6.6.6.6 is invented"
        );
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.0.0.9"], &["10.0.0.0/8"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["unknown"], &["10.0.0.1"]), "10.0.0.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["2001:db8:1:2:3::4"], &["10.0.0.1"]), "2001:db8:1:2::");
        assert_eq!(seen("fd00::1", &["198.51.100.1"], &["fd00::/8"]), "198.51.100.1");
        assert_eq!(
            seen("203.0.113.7", &["198.51.100.1"], &["0.0.0.0/0"]),
            "198.51.100.1",
            "every address is trusted, so the first"
        );
    }

    #[test]
    fn other_texts_are_no_proxies() {
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        for text in ["proxy", "10.0.0.0/33", "10.0.0.0/x", "10.0.0", "::/129"] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
    }
}
