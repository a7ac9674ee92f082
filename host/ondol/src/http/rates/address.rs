//! The address that a request counts for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The bits of an IPv6 address that name a network: a client has all addresses of one.
const NETWORK_V6: u128 = u128::MAX << 64;

/// A client's address, or its network of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) struct Address(IpAddr);

impl Address {
    /// The address of a connection's other end; behind a trusted gateway, the rightmost entry of `X-Forwarded-For` that is no
    /// gateway's. Entries further left are the client's own word. None: gateways name no client, and must not be counted
    /// as one.
    pub(in crate::http) fn of(headers: &HeaderMap, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> Option<Self> {
        if !trusts(peer) {
            return Some(Self::network(peer));
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            // A gateway that does not know the address may write "unknown". What comes before is not its word.
            let address = parse(entry)?;
            if !trusts(address) {
                return Some(Self::network(address));
            }
        }
        None
    }

    fn network(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK_V6).into(),
        })
    }
}

/// An address, perhaps in brackets or with a port, as some gateways write it.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?.trim();
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use hyper::header::HeaderValue;

    use super::*;

    fn of(peer: &str, lines: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let trusts = |address: IpAddr| address.to_canonical().is_loopback() || address == IpAddr::from([10, 0, 0, 1]);
        Address::of(&headers, peer.parse().unwrap(), trusts).map(|address| address.0.to_string())
    }

    #[test]
    fn a_client_is_the_rightmost_that_no_gateway_is() {
        for (lines, client) in [
            (&[&b"192.0.2.7"[..]][..], Some("192.0.2.7")),
            (&[b"203.0.113.1, 192.0.2.7"], Some("192.0.2.7")),
            (&[b"203.0.113.1", b"192.0.2.7,10.0.0.1", b" 127.0.0.1 "], Some("192.0.2.7")),
            (&[b"192.0.2.7:4711"], Some("192.0.2.7")),
            (&[b"2001:db8:1:2:3:4:5:6"], Some("2001:db8:1:2::")),
            (&[b"[2001:db8:1:2::9]:80, [::1]"], Some("2001:db8:1:2::")),
            (&[b"::ffff:192.0.2.7"], Some("192.0.2.7")),
            (&[], None),
            (&[b"10.0.0.1, 127.0.0.1"], None),
        ] {
            assert_eq!(of("127.0.0.1", lines).as_deref(), client, "{lines:?}");
        }
    }

    #[test]
    fn what_stands_before_an_entry_that_is_no_address_does_not_count() {
        for last in [&b"unknown"[..], b"", b"_hidden", b"192.0.2.7 ,", b"192.0.2.256", b"\xff", b"127.0.0.1;"] {
            assert_eq!(of("127.0.0.1", &[b"203.0.113.1", last]), None, "{last:?}");
        }
    }

    #[test]
    fn a_peer_that_is_no_gateway_counts_itself() {
        assert_eq!(of("203.0.113.9", &[b"192.0.2.7"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(of("::ffff:203.0.113.9", &[]).as_deref(), Some("203.0.113.9"));
        assert_eq!(of("2001:db8::1", &[b"192.0.2.7"]).as_deref(), Some("2001:db8::"));
    }
}
