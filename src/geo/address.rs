//! The address in `sourceIPAddress`, which may hold something else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of whoever made a request: of a list such as `192.0.2.10, 10.0.0.7`, the first one of the internet. None of a
/// service's name, and of addresses that are not of the internet.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let addresses = text
        .split(',')
        .filter_map(|part| part.trim().parse().ok())
        .map(unmapped);
    addresses.into_iter().find(is_of_the_internet)
}

/// An IPv4 address as such, also where it is written as an IPv6 address.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(address.into(), Into::into),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn is_of_the_internet(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_v4_of_the_internet(*address),
        IpAddr::V6(address) => is_v6_of_the_internet(*address),
    }
}

fn is_v4_of_the_internet(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    // Those that carriers give to several customers: 100.64.0.0/10.
    let is_shared = first == 100 && second & 0xc0 == 64;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || is_shared)
}

fn is_v6_of_the_internet(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_whoever_made_a_request_is_found() {
        for (text, expected) in [
            ("192.0.2.10", Some("192.0.2.10")),
            (" 192.0.2.10 ", Some("192.0.2.10")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("2001:0DB8:0::1", Some("2001:db8::1")),
            ("::ffff:192.0.2.10", Some("192.0.2.10")),
            ("192.0.2.10, 10.0.0.7", Some("192.0.2.10")),
            ("10.0.0.7,192.0.2.10", Some("192.0.2.10")),
            ("unknown, 192.0.2.10", Some("192.0.2.10")),
            ("10.0.0.7, 172.16.0.1", None),
            ("10.0.0.7", None),
            ("100.64.0.1", None),
            ("100.128.0.1", Some("100.128.0.1")),
            ("127.0.0.1", None),
            ("169.254.169.254", None),
            ("0.0.0.0", None),
            ("::1", None),
            ("fe80::1", None),
            ("fd00::1", None),
            ("::ffff:10.0.0.7", None),
            ("ec2.amazonaws.com", None),
            ("AWS Internal", None),
            ("192.0.2.010", None),
            ("192.0.2.10:443", None),
            ("***", None),
            ("", None),
        ] {
            let found = address(text.as_bytes()).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        assert_eq!(address(b"\xff"), None);
    }
}
