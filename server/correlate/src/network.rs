//! Networks that the operator names: offices, and where the company's VPN goes out.
//!
//! Whoever signs in from one is in a usual place, also for the first time: the person who visits another office, and
//! everybody on the day the VPN goes out somewhere else. Their machine is judged as ever, so that an attacker inside
//! still stands out by it.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Named networks that are looked at; further ones are left out.
pub const NETWORKS_MAX: usize = 1_000;

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamedNetwork {
    /// Any address in it.
    pub address: IpAddr,
    /// Leading bits that are the same for all of it; more than the address has count as all of them.
    pub bits: u8,
}

impl NamedNetwork {
    /// Whether an address is in it. IPv4 inside of IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.bits));
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.bits));
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Whether an address is in any of them.
pub(crate) fn is_named(networks: &[NamedNetwork], address: Option<IpAddr>) -> bool {
    let networks = networks.iter().take(NETWORKS_MAX);
    address.is_some_and(|ip| networks.clone().any(|network| network.contains(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Story;

    fn network(address: &str, bits: u8) -> NamedNetwork {
        NamedNetwork {
            address: address.parse().unwrap(),
            bits,
        }
    }

    #[test]
    fn addresses_that_begin_alike_are_in_it() {
        let has = |network: NamedNetwork, ip: &str| network.contains(ip.parse().unwrap());
        assert!(has(network("192.0.2.0", 24), "192.0.2.255"));
        assert!(!has(network("192.0.2.0", 24), "192.0.3.0"));
        assert!(has(network("192.0.2.0", 24), "::ffff:192.0.2.9"));
        assert!(
            has(network("192.0.2.7", 32), "192.0.2.7")
                && !has(network("192.0.2.7", 32), "192.0.2.6")
        );
        assert!(
            has(network("0.0.0.0", 0), "203.0.113.9") && !has(network("0.0.0.0", 0), "2001:db8::1")
        );
        assert!(
            has(network("2001:db8::", 32), "2001:db8:9::1")
                && !has(network("2001:db8::", 32), "2001:db9::1")
        );
    }

    #[test]
    fn the_companys_new_egress_is_a_usual_place() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 09:00")
            .traveling()
            .sign_in();
        let mut input = story.input();
        assert_eq!(crate::correlate(&input).incidents.len(), 1);
        input.directory.networks = vec![network("198.51.100.0", 24)];
        assert_eq!(crate::correlate(&input).incidents, []);
    }

    #[test]
    fn an_attacker_inside_still_stands_out() {
        let mut story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 02:00")
            .attacker();
        for _ in 0..6 {
            story = story.prompt().denied().after_minutes(2);
        }
        let mut input = story.prompt().approved().input();
        input.directory.networks = vec![network("203.0.113.0", 24)];
        let incidents = crate::correlate(&input).incidents;
        assert!(
            incidents
                .iter()
                .any(|incident| incident.severity >= crate::Severity::High)
        );
    }
}
