//! The file of hosts. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use super::flow::NAMES_MAX;

/// Addresses that are kept: some people block advertisers with a hundred thousand lines, all of one address.
const ADDRESSES_MAX: usize = 4096;

/// Names by address. Those of this machine itself and of "nowhere" name nobody.
pub(super) fn parse(text: &str) -> HashMap<IpAddr, Vec<String>> {
    let mut hosts: HashMap<IpAddr, Vec<String>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        if address.is_loopback() || address.is_unspecified() {
            continue;
        }
        if hosts.len() >= ADDRESSES_MAX && !hosts.contains_key(&address) {
            continue;
        }
        let names = hosts.entry(address).or_default();
        let room = NAMES_MAX.saturating_sub(names.len());
        names.extend(words.take(room).map(str::to_ascii_lowercase));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_behind_their_address() {
        let hosts = parse(
            "127.0.0.1 localhost\n# 10.0.0.9 no\n10.0.0.1\tIdP.example idp # x\n0.0.0.0 ads\nx y\n",
        );
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[&IpAddr::from([10, 0, 0, 1])], ["idp.example", "idp"]);
    }
}
