//! Addresses as the server sees them, and the public addresses that they stand for. Pure.
//!
//! ```text
//! the peer's address -> in a site of the configuration         -> the site's public addresses, shared
//!                    -> in a tunnel of the configuration       -> unknown
//!                    -> private, loopback, carrier's NAT, ...   -> unknown
//!                    -> any other                              -> itself
//! ```
//!
//! Of several sites and tunnels the narrowest that holds the address decides. **Unknown is not different**: an endpoint
//! whose public address is unknown says nothing about where a sign-in came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Sites and tunnels of a configuration, together.
pub(crate) const PLACES_MAX: usize = 1_000;

/// Networks of one site or tunnel, in each of its lists.
pub(crate) const NETWORKS_MAX: usize = 64;

/// Bytes of the name of a site or tunnel.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// An address with how many of its leading bits count: 203.0.113.7/32, 2001:db8:1::/48. Bits that do not count are 0,
/// and an IPv4 address is never written as IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address or network, as 203.0.113.7, 203.0.113.0/28 or 2001:db8:1::/48")]
pub(crate) struct NetworkError;

impl Network {
    /// A single address.
    pub(crate) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix: bits(address),
        }
    }

    /// A network; `None` where `prefix` is too long or bits behind it are set.
    pub(crate) fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let network = Self { address, prefix };
        let known = prefix <= bits(address) && address == address.to_canonical();
        (known && masked(address, prefix) == address).then_some(network)
    }

    /// The first address.
    pub(crate) fn address(self) -> IpAddr {
        self.address
    }

    /// Leading bits that count.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it holds an address.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits behind the prefix cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix)));
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask.unwrap_or(0)))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix)));
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0)))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == bits(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        match prefix {
            None => Ok(Self::of(address)),
            Some(prefix) => {
                let prefix = prefix.parse().map_err(|_| NetworkError)?;
                Self::new(address, prefix).ok_or(NetworkError)
            }
        }
    }
}

/// Networks that the Internet does not route, or that say nothing about who is behind them. RFC 6890 and its registries,
/// without the documentation networks (RFC 5737, 3849), which nobody has.
const NOT_PUBLIC: [(IpAddr, u8); 23] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([224, 0, 0, 0], 3),
    v6([0; 8], 96),
    // NAT64: an IPv4 address that the server cannot tell from its translator's.
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    // Teredo and 6to4: tunnels.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 27),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    // Unique local, link-local, site-local, multicast.
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

const fn v4(octets: [u8; 4], prefix: u8) -> (IpAddr, u8) {
    let [a, b, c, d] = octets;
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> (IpAddr, u8) {
    let [a, b, c, d, e, f, g, h] = segments;
    (IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix)
}

/// Whether an address can be one's place on the Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !NOT_PUBLIC.iter().any(|(network, prefix)| {
        Network {
            address: *network,
            prefix: *prefix,
        }
        .contains(address)
    })
}

/// How a public address is known. What confirmed sign-ins teach is worked out from the sign-ins each time, by
/// `tocsin-correlate`, and not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// The server saw the endpoint come from it.
    Peer,
    /// The configuration says so of where the server saw it come from.
    SiteMap,
}

impl Source {
    /// Every source.
    pub(crate) const ALL: [Self; 2] = [Self::Peer, Self::SiteMap];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::SiteMap => "site_map",
        }
    }
}

/// A public address, and why it is taken for one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicAddress {
    /// The address; of a site it may be a network, any address of which it may be.
    pub(crate) network: Network,
    /// How it is known.
    pub(crate) source: Source,
    /// Name of the site; empty where there is none.
    pub(crate) site: String,
    /// Others are known to be behind it.
    pub(crate) shared: bool,
}

/// A place with one way out to the Internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// Its name.
    pub(crate) name: String,
    /// Where the server sees its endpoints come from.
    pub(crate) seen: Vec<Network>,
    /// Where everybody else does.
    pub(crate) public: Vec<Network>,
}

/// A VPN or proxy: who comes from there may be anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// Its name.
    pub(crate) name: String,
    /// Where its traffic comes out.
    pub(crate) egress: Vec<Network>,
}

/// What the operator knows about addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkConfig {
    /// Sites.
    pub(crate) sites: Vec<Site>,
    /// Tunnels.
    pub(crate) tunnels: Vec<Tunnel>,
}

impl NetworkConfig {
    /// The public addresses of a peer; none where they are unknown.
    pub(crate) fn public(&self, peer: IpAddr) -> Vec<PublicAddress> {
        let peer = peer.to_canonical();
        let site = self
            .sites
            .iter()
            .filter_map(|site| Some((narrowest(&site.seen, peer)?, site)));
        let site = site.max_by_key(|(prefix, _)| *prefix);
        let tunnels = self.tunnels.iter();
        let tunnel = tunnels
            .filter_map(|tunnel| narrowest(&tunnel.egress, peer))
            .max();
        match (site, tunnel) {
            (Some((of_site, _)), Some(of_tunnel)) if of_tunnel >= of_site => Vec::new(),
            (Some((_, site)), _) => site.addresses(),
            (None, Some(_)) => Vec::new(),
            (None, None) if is_public(peer) => vec![PublicAddress {
                network: Network::of(peer),
                source: Source::Peer,
                site: String::new(),
                shared: self.is_of_a_site(peer),
            }],
            (None, None) => Vec::new(),
        }
    }

    fn is_of_a_site(&self, address: IpAddr) -> bool {
        let mut sites = self.sites.iter();
        sites.any(|site| narrowest(&site.public, address).is_some())
    }
}

impl Site {
    fn addresses(&self) -> Vec<PublicAddress> {
        let address = |network: &Network| PublicAddress {
            network: *network,
            source: Source::SiteMap,
            site: self.name.clone(),
            shared: true,
        };
        self.public.iter().map(address).collect()
    }
}

/// The longest prefix of those that hold an address.
fn narrowest(networks: &[Network], address: IpAddr) -> Option<u8> {
    let holding = networks.iter().filter(|network| network.contains(address));
    holding.map(|network| network.prefix).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn config() -> NetworkConfig {
        NetworkConfig {
            sites: vec![
                Site {
                    name: "office".into(),
                    seen: vec![network("10.0.0.0/8"), network("198.51.100.16/28")],
                    public: vec![network("203.0.113.7"), network("2001:db8:1::/48")],
                },
                Site {
                    name: "lab".into(),
                    seen: vec![network("10.1.0.0/16")],
                    public: vec![network("203.0.113.8")],
                },
            ],
            tunnels: vec![Tunnel {
                name: "vpn".into(),
                egress: vec![network("198.51.100.0/24"), network("10.1.2.0/24")],
            }],
        }
    }

    fn public(peer: &str) -> Vec<(String, &'static str, bool)> {
        let found = config().public(ip(peer));
        let found = found.iter();
        found
            .map(|a| (a.network.to_string(), a.source.word(), a.shared))
            .collect()
    }

    #[test]
    fn a_network_reads_as_it_is_written_and_holds_what_begins_like_it() {
        for text in [
            "0.0.0.0/0",
            "203.0.113.0/28",
            "203.0.113.7",
            "2001:db8::/32",
            "::/0",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("::ffff:203.0.113.7"), network("203.0.113.7"));
        assert!(network("203.0.113.0/28").contains(ip("203.0.113.15")));
        assert!(network("203.0.113.0/28").contains(ip("::ffff:203.0.113.15")));
        assert!(!network("203.0.113.0/28").contains(ip("203.0.113.16")));
        assert!(!network("0.0.0.0/0").contains(ip("2001:db8::1")));
        assert!(network("::/0").contains(ip("2001:db8::1")));
        for bad in [
            "",
            "x",
            "203.0.113.7/33",
            "203.0.113.7/28",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/-1",
            "::ffff:1.2.3.4/128",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }

    #[test]
    fn what_the_internet_does_not_route_is_not_public() {
        for address in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2002:cb00:7107::1",
            "2001:0:1::1",
            "64:ff9b::cb00:7107",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(ip(address)), "{address}");
        }
        for address in [
            "203.0.113.7",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "2001:db8::1",
            "2a00::1",
            "::ffff:203.0.113.7",
        ] {
            assert!(is_public(ip(address)), "{address}");
        }
    }

    #[test]
    fn a_peer_is_itself_where_nothing_else_is_known() {
        assert_eq!(public("192.0.2.9"), [("192.0.2.9".into(), "peer", false)]);
        assert_eq!(
            public("::ffff:192.0.2.9"),
            [("192.0.2.9".into(), "peer", false)]
        );
        assert!(public("192.168.1.1").is_empty());
    }

    #[test]
    fn an_address_of_a_site_is_shared_also_where_the_server_sees_it_directly() {
        assert_eq!(
            public("203.0.113.7"),
            [("203.0.113.7".into(), "peer", true)]
        );
    }

    #[test]
    fn the_narrowest_of_sites_and_tunnels_decides() {
        let office = vec![
            ("203.0.113.7".to_owned(), "site_map", true),
            ("2001:db8:1::/48".to_owned(), "site_map", true),
        ];
        assert_eq!(public("10.9.9.9"), office);
        assert_eq!(
            public("10.1.9.9"),
            [("203.0.113.8".into(), "site_map", true)]
        );
        assert!(public("10.1.2.9").is_empty(), "a tunnel inside of the site");
        assert!(public("198.51.100.1").is_empty());
        assert_eq!(
            public("198.51.100.17"),
            office,
            "a site inside of the tunnel"
        );
    }
}
