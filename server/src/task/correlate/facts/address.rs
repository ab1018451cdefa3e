//! Under which public addresses an endpoint was on the Internet, by the server's clock.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::{AddressSource, PublicAddress, Sharing};

use super::Window;
use crate::network::Source;
use crate::store::trust::PublicAddressRow;

/// The addresses of rows, within the window. Of a network of a site, any address of which the endpoint may have, those
/// are told that sign-ins came from, and its first one, which stands for all others.
///
/// A row of the last minutes grows while the endpoint is connected; what lies behind the window does not count.
pub(super) fn addresses(
    rows: &[PublicAddressRow],
    clients: &BTreeSet<IpAddr>,
    window: Window,
) -> Vec<PublicAddress> {
    let mut addresses = Vec::new();
    for row in rows {
        let Some(span) = window.clip(TimeSpan {
            from_ms: row.from_ms,
            until_ms: row.until_ms,
        }) else {
            continue;
        };
        let network = row.address.network;
        let within = clients.iter().filter(|client| network.contains(**client));
        let all: BTreeSet<IpAddr> = within
            .map(|client| client.to_canonical())
            .chain([network.address()])
            .collect();
        addresses.extend(all.into_iter().map(|address| PublicAddress {
            span,
            address,
            source: match row.address.source {
                Source::Peer => AddressSource::SeenByServer,
                Source::SiteMap => AddressSource::SiteMap,
            },
            sharing: if row.address.shared {
                Sharing::Shared
            } else {
                Sharing::Alone
            },
            is_tunnel: false,
        }));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::endpoint;

    const WINDOW: Window = Window {
        from_ms: 100,
        until_ms: 200,
    };

    fn row(network: &str, from_ms: i64, until_ms: i64) -> PublicAddressRow {
        PublicAddressRow {
            endpoint: endpoint(1),
            address: crate::network::PublicAddress {
                network: network.parse().unwrap(),
                source: Source::SiteMap,
                site: "office".into(),
                shared: true,
            },
            from_ms,
            until_ms,
        }
    }

    fn told(rows: &[PublicAddressRow], clients: &[&str]) -> Vec<(String, i64, i64)> {
        let clients = clients.iter().map(|ip| ip.parse().unwrap()).collect();
        let of =
            |one: PublicAddress| (one.address.to_string(), one.span.from_ms, one.span.until_ms);
        addresses(rows, &clients, WINDOW)
            .into_iter()
            .map(of)
            .collect()
    }

    #[test]
    fn a_row_that_grows_behind_the_window_is_the_same() {
        let short = told(&[row("203.0.113.7", 50, 200)], &[]);
        assert_eq!(short, [("203.0.113.7".to_owned(), 100, 200)]);
        assert_eq!(told(&[row("203.0.113.7", 50, 900)], &[]), short);
        assert!(told(&[row("203.0.113.7", 201, 900)], &[]).is_empty());
    }

    #[test]
    fn every_address_of_a_site_is_the_endpoints() {
        let rows = [row("203.0.113.16/28", 0, 900)];
        let found = told(&rows, &["203.0.113.20", "203.0.113.66", "192.0.2.1"]);
        let found: Vec<&str> = found.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(found, ["203.0.113.16", "203.0.113.20"]);
    }
}
