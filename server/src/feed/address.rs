//! Addresses as providers write them: with a port, in brackets, or with one of the many ways to put a port
//! behind an IPv6 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in a text; `None` where there is none, which some write as `0.0.0.0`. An IPv4 address written as
/// IPv6 is IPv4.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let whole = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| bracketed(text))
        .or_else(|| with_port(text));
    whole
        .map(|ip| ip.to_canonical())
        .filter(|ip| !ip.is_unspecified())
}

/// `[2001:db8::1]` or `[2001:db8::1]:443`.
fn bracketed(text: &str) -> Option<IpAddr> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    let ip = inner
        .split('%')
        .next()
        .unwrap_or_default()
        .parse::<Ipv6Addr>()
        .ok()?;
    is_port.then_some(ip.into())
}

/// `192.0.2.1:443`, `2001:db8::1#443`, `2001:db8::1p443`, `2001:db8::1 port 443`, `2001:db8::1.443`.
fn with_port(text: &str) -> Option<IpAddr> {
    if let Some((ip, port)) = text.split_once(':')
        && let Ok(ip) = ip.parse::<Ipv4Addr>()
    {
        return is_port(port).then_some(ip.into());
    }
    [" port ", "#", "p", ".", "%"].iter().find_map(|mark| {
        let (ip, rest) = text.rsplit_once(mark)?;
        let ip = ip.trim().parse::<Ipv6Addr>().ok()?;
        (*mark == "%" || is_port(rest)).then_some(ip.into())
    })
}

fn is_port(text: &str) -> bool {
    text.trim().parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_trap_18_is_read() {
        for (text, expect) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:1234", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:1234", "2001:db8::1"),
            ("2001:db8::1#1234", "2001:db8::1"),
            ("2001:db8::1p1234", "2001:db8::1"),
            ("2001:db8::1 port 1234", "2001:db8::1"),
            ("2001:db8::1.1234", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(
                address(text).map(|ip| ip.to_string()).as_deref(),
                Some(expect),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "unknown",
            "192.0.2",
            "192.0.2.1:x",
            "0.0.0.0",
            "::",
            "192.0.2.1:99999",
            "[::1",
            "1.2.3.4.5",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
