//! The machine around a window: its public address, whether its sensors would have shown a flow, and whether anybody
//! can have used it.

use core::net::IpAddr;

use super::table::{Address, Presence, Watch};
use super::traffic::NEW_MS;
use super::window::{Skew, covers};
use crate::fact::{
    PublicAddress, Sensor, SensorState, SessionFact, SessionLock, SessionUse, Sharing,
};
use crate::input::{LinkedEndpoint, TimeSpan};

/// How long before the window the sensors must have been running: what was open when they started has been told by then.
pub(crate) const STARTED_MS: i64 = 15_000;

/// Whether an address means the same everywhere. Documentation ranges count as public, so that examples work.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_carrier_nat = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || is_carrier_nat)
        }
        IpAddr::V6(v6) => {
            let [a, ..] = v6.segments();
            let is_local = (a & 0xfe00) == 0xfc00 || (a & 0xffc0) == 0xfe80;
            !(is_local || v6.is_loopback() || v6.is_unspecified() || v6.is_multicast())
        }
    }
}

/// The provider's client address against the endpoint's, in a window by the server's clock.
pub(crate) fn address(
    known: &[PublicAddress],
    client: Option<IpAddr>,
    window: TimeSpan,
) -> Address {
    let Some(client) = client
        .map(|ip| ip.to_canonical())
        .filter(|ip| is_public(*ip))
    else {
        return Address::Unknown;
    };
    let near: Vec<&PublicAddress> = known
        .iter()
        .filter(|known| {
            known.span.overlaps(window)
                && is_public(known.address)
                && known.address.to_canonical().is_ipv4() == client.is_ipv4()
        })
        .collect();
    if near.iter().any(|known| known.is_tunnel) {
        return Address::Unknown;
    }
    let same: Vec<&&PublicAddress> = near
        .iter()
        .filter(|known| known.address.to_canonical() == client)
        .collect();
    if !same.is_empty() {
        let is_own = same.iter().all(|known| known.sharing == Sharing::Alone);
        return if is_own {
            Address::Own
        } else {
            Address::Shared
        };
    }
    if near
        .iter()
        .any(|known| is_one_network(known.address, client))
    {
        return Address::Shared;
    }
    if covers(near.iter().map(|known| known.span), window) {
        Address::Different
    } else {
        Address::Unknown
    }
}

/// IPv6 machines change their address within their /64 by themselves.
fn is_one_network(a: IpAddr, b: IpAddr) -> bool {
    match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            a.segments().iter().take(4).eq(b.segments().iter().take(4))
        }
        _ => false,
    }
}

/// Why a flow may have been there and not been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blind {
    SendsNoFlows,
    NotReporting,
    Lost(String),
    SensorUntold,
    SensorDown,
    SensorDegraded(String),
    LeftOut(String),
}

/// Whether a flow that mattered in the window would have been seen.
pub(crate) fn watch(
    endpoint: &LinkedEndpoint,
    window: TimeSpan,
    skew: Skew,
) -> (Watch, Option<Blind>) {
    let blind = blind(endpoint, window, skew);
    (
        if blind.is_some() {
            Watch::Blind
        } else {
            Watch::Complete
        },
        blind,
    )
}

fn blind(endpoint: &LinkedEndpoint, window: TimeSpan, skew: Skew) -> Option<Blind> {
    // A connection that was there when the agent started is told as such, so that nothing is missing where it started
    // before the window; one that was made before the window, and whose event was lost, is.
    let mut watched = skew.endpoint_span(window);
    watched.from_ms = watched.from_ms.saturating_sub(STARTED_MS);
    let mut span = skew.endpoint_span(window);
    span.from_ms = span.from_ms.saturating_sub(NEW_MS);
    let facts = &endpoint.facts;
    if !covers(endpoint.reporting.iter().copied(), watched) {
        return Some(Blind::NotReporting);
    }
    if let Some(gap) = endpoint
        .gaps
        .iter()
        .filter(|gap| gap.span.overlaps(span))
        .min()
    {
        return Some(Blind::Lost(gap.what.clone()));
    }
    if !endpoint.sends_flows && facts.sensors.is_empty() {
        return Some(Blind::SendsNoFlows);
    }
    let network = || facts.sensors.iter().filter(|s| s.sensor == Sensor::Network);
    let bad = network().find(|s| s.state != SensorState::Running && s.span.overlaps(watched));
    match bad.map(|s| (s.state, s.detail.clone())) {
        Some((SensorState::Degraded, detail)) => return Some(Blind::SensorDegraded(detail)),
        Some(_) => return Some(Blind::SensorDown),
        None => {}
    }
    if !covers(network().map(|s| s.span), watched) {
        return Some(Blind::SensorUntold);
    }
    let left_out = facts.left_out.iter().find(|left| left.span.overlaps(span));
    left_out.map(|left| Blind::LeftOut(left.what.clone()))
}

/// Whether anybody can have used the machine.
pub(crate) fn presence(endpoint: &LinkedEndpoint, window: TimeSpan, skew: Skew) -> Presence {
    let facts = &endpoint.facts;
    let span = skew.endpoint_span(window);
    let down = facts.power.iter().filter(|power| power.is_sure);
    if covers(down.map(|power| power.span), span) {
        return Presence::Down;
    }
    let open: Vec<&SessionFact> = facts
        .sessions
        .iter()
        .filter(|session| session.is_interactive)
        .filter(|session| session.opened.from_ms <= Some(span.until_ms))
        .filter(|session| {
            session
                .closed
                .is_none_or(|end| end.until_ms >= span.from_ms)
        })
        .collect();
    if open.iter().any(|session| is_in_use(session, span)) {
        return Presence::InUse;
    }
    let sensors = facts.sensors.iter().filter(|s| s.sensor == Sensor::Session);
    let running = sensors.filter(|s| s.state == SensorState::Running);
    let is_watched = covers(running.map(|s| s.span), span)
        && covers(endpoint.reporting.iter().copied(), span)
        && !endpoint.gaps.iter().any(|gap| gap.span.overlaps(span));
    let is_locked = |session: &&SessionFact| {
        let locked = session
            .locks
            .iter()
            .filter(|l| l.lock == SessionLock::Locked);
        covers(locked.map(|lock| lock.span), span)
    };
    if is_watched && open.iter().all(is_locked) {
        Presence::Away
    } else {
        Presence::Unknown
    }
}

fn is_in_use(session: &SessionFact, span: TimeSpan) -> bool {
    let unlocked = session
        .locks
        .iter()
        .filter(|l| l.lock == SessionLock::Unlocked);
    let busy = session
        .uses
        .iter()
        .filter(|u| u.activity == SessionUse::Busy);
    covers(unlocked.map(|lock| lock.span), span) && covers(busy.map(|u| u.span), span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::AddressSource;

    const WINDOW: TimeSpan = TimeSpan {
        from_ms: 1_000,
        until_ms: 2_000,
    };

    fn known(address: &str, sharing: Sharing) -> PublicAddress {
        PublicAddress {
            span: TimeSpan {
                from_ms: 0,
                until_ms: 10_000,
            },
            address: address.parse().unwrap(),
            source: AddressSource::SeenByServer,
            sharing,
            is_tunnel: false,
        }
    }

    fn of(known: &[PublicAddress], client: &str) -> Address {
        address(known, client.parse().ok(), WINDOW)
    }

    #[test]
    fn an_address_is_known_per_family_and_unknown_is_not_different() {
        let own = known("192.0.2.10", Sharing::Alone);
        assert_eq!(of(&[own], "192.0.2.10"), Address::Own);
        assert_eq!(of(&[own], "::ffff:192.0.2.10"), Address::Own);
        assert_eq!(
            of(&[known("192.0.2.10", Sharing::Shared)], "192.0.2.10"),
            Address::Shared
        );
        assert_eq!(
            of(&[known("192.0.2.10", Sharing::Unknown)], "192.0.2.10"),
            Address::Shared
        );
        assert_eq!(of(&[own], "203.0.113.66"), Address::Different);
        assert_eq!(of(&[own], "2001:db8::1"), Address::Unknown);
        assert_eq!(of(&[], "203.0.113.66"), Address::Unknown);
        assert_eq!(address(&[own], None, WINDOW), Address::Unknown);
    }

    #[test]
    fn a_private_address_a_tunnel_and_another_time_say_nothing() {
        assert_eq!(
            of(&[known("10.0.0.5", Sharing::Alone)], "203.0.113.66"),
            Address::Unknown
        );
        let tunnel = PublicAddress {
            is_tunnel: true,
            ..known("192.0.2.10", Sharing::Alone)
        };
        assert_eq!(of(&[tunnel], "203.0.113.66"), Address::Unknown);
        let mut early = known("192.0.2.10", Sharing::Alone);
        early.span.until_ms = 1_500;
        assert_eq!(of(&[early], "203.0.113.66"), Address::Unknown);
    }

    #[test]
    fn one_ipv6_network_is_one_place() {
        let home = known("2001:db8:1:2::10", Sharing::Alone);
        assert_eq!(of(&[home], "2001:db8:1:2:aaaa::1"), Address::Shared);
        assert_eq!(of(&[home], "2001:db8:1:3::1"), Address::Different);
    }
}
