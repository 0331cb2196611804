//! Which addresses belong to the public Internet (IANA's special-purpose registries, RFC 6890).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The public ones of what a name came to, at least one.
pub(crate) fn public_only(found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let (public, others): (Vec<_>, Vec<_>) = found.partition(|address| is_public(address.ip()));
    match (public.is_empty(), others.first()) {
        (true, Some(other)) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is a private, local or reserved address, which is not allowed here",
                other.ip()
            ),
        )),
        _ => Ok(public),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // "This network", loopback, multicast, reserved and broadcast.
        (0 | 127 | 224.., _, _) => true,
        // Private networks (RFC 1918).
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Carriers' shared space (RFC 6598), link-local with the clouds' metadata services (RFC 3927).
        (100, 64..=127, _) | (169, 254, _) => true,
        // Protocol assignments, documentation, relays, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) => true,
        (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !reserved
}

/// Only 2000::/3 is given out. Addresses that carry an IPv4 address are as public as that one.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments with Teredo, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] => false,
        [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for address in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "169.253.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn private_local_and_reserved_addresses_are_not_even_inside_ipv6() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "198.19.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:0:1::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn what_is_not_public_is_left_out_and_alone_refused_by_its_address() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = [at("10.0.0.1:443"), at("1.1.1.1:443")];
        let left = public_only(mixed.into_iter()).unwrap();
        assert_eq!(left, [at("1.1.1.1:443")]);
        let error = public_only([at("[::1]:443")].into_iter()).unwrap_err();
        assert!(error.to_string().starts_with("::1 is a private"));
    }
}
