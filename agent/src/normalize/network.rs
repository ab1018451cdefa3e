//! Flows -> event bodies. Pure; names of accounts are brought along.

use core::net::SocketAddr;

use tocsin_proto::limits::{FLOW_NAMES_MAX, PATH_BYTES_MAX};
use tocsin_proto::telemetry::v1 as wire;
use tocsin_proto::telemetry::v1::event::Body;

use crate::sensor::network::flow::{Direction, Flow, FlowActivity, Moment, NameSource, Repeats};
use crate::text::{cut, cut_at};

/// Names of accounts that a flow speaks of; empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlowUserNames {
    /// Of the account that made the socket.
    pub(crate) socket: String,
    /// Of the process that holds it.
    pub(crate) owner: String,
}

/// The event of a flow.
pub(crate) fn flow(flow: &Flow, names: FlowUserNames) -> Body {
    let (local_address, local_port) = side(flow.local);
    let (remote_address, remote_port) = side(flow.remote);
    let opened_until_ms = flow.opened.until_ms.max(0);
    let (closed_from, closed_until) = flow.closed.map_or((None, None), |closed| {
        let (from, until) = span(closed);
        (from, Some(until))
    });
    Body::Network(wire::Network {
        flow_id: flow.id.0,
        activity: activity(flow.activity).into(),
        direction: match flow.direction {
            None => wire::FlowDirection::Unspecified,
            Some(Direction::Outbound) => wire::FlowDirection::Outbound,
            Some(Direction::Inbound) => wire::FlowDirection::Inbound,
        }
        .into(),
        local_address,
        local_port,
        remote_address,
        remote_port,
        owner: flow.owner.as_ref().map(|owner| wire::FlowOwner {
            pid: owner.pid,
            start_ticks: owner.start_ticks,
            executable: cut_at(owner.executable.clone(), PATH_BYTES_MAX * 3),
            user: owner.uid.map(|uid| user(uid, names.owner)),
            login_uid: owner.login_uid,
            audit_session: owner.audit_session,
        }),
        user: flow.uid.map(|uid| user(uid, names.socket)),
        names: flow
            .names
            .iter()
            .take(FLOW_NAMES_MAX)
            .map(|name| wire::FlowName {
                name: cut(name.name.clone()),
                source: match name.source {
                    NameSource::DnsAnswer => wire::NameSource::DnsAnswer,
                    NameSource::ResolverCache => wire::NameSource::ResolverCache,
                    NameSource::HostsFile => wire::NameSource::HostsFile,
                }
                .into(),
            })
            .collect(),
        opened_from_time_ms: span(flow.opened).0,
        opened_until_time_ms: opened_until_ms,
        closed_from_time_ms: closed_from,
        closed_until_time_ms: closed_until,
        sent_bytes: flow.sent_bytes,
        received_bytes: flow.received_bytes,
        repeats: flow.repeats.map(repeats),
    })
}

fn activity(activity: FlowActivity) -> wire::NetworkActivity {
    match activity {
        FlowActivity::Opened => wire::NetworkActivity::Opened,
        FlowActivity::Observed => wire::NetworkActivity::Observed,
        FlowActivity::Closed => wire::NetworkActivity::Closed,
        FlowActivity::Repeated => wire::NetworkActivity::Repeated,
        FlowActivity::Listening => wire::NetworkActivity::Listening,
        FlowActivity::ListenObserved => wire::NetworkActivity::ListenObserved,
        FlowActivity::ListenClosed => wire::NetworkActivity::ListenClosed,
    }
}

fn side(address: SocketAddr) -> (Vec<u8>, u32) {
    (super::address_bytes(address.ip()), address.port().into())
}

/// In order and not before 1970, whatever the clock did meanwhile.
fn span(moment: Moment) -> (Option<i64>, i64) {
    let until_ms = moment.until_ms.max(0);
    (
        moment.from_ms.map(|from_ms| from_ms.clamp(0, until_ms)),
        until_ms,
    )
}

fn repeats(repeats: Repeats) -> wire::FlowRepeats {
    let first_time_ms = repeats.first_ms.max(0);
    wire::FlowRepeats {
        count: repeats.count,
        closed: repeats.closed.min(repeats.count),
        first_time_ms,
        last_time_ms: repeats.last_ms.max(first_time_ms),
    }
}

fn user(uid: u32, name: String) -> wire::User {
    wire::User {
        uid: uid.to_string(),
        name: cut(name),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tocsin_proto::event::Event;

    use super::*;
    use crate::sensor::network::flow::{FlowId, FlowName, Owner};

    fn hostile(text: &str, number: u32, times: (i64, i64)) -> Flow {
        let moment = Moment {
            from_ms: Some(times.0),
            until_ms: times.1,
        };
        let name = FlowName {
            name: text.into(),
            source: NameSource::DnsAnswer,
        };
        Flow {
            id: FlowId(number.into()),
            activity: FlowActivity::Closed,
            time_ms: times.0,
            direction: Some(Direction::Outbound),
            local: ([127, 0, 0, 1], 1).into(),
            remote: ([0_u16; 8], 443).into(),
            owner: Some(Arc::new(Owner {
                pid: number.max(1),
                start_ticks: 1,
                executable: text.repeat(9),
                uid: Some(number),
                login_uid: None,
                audit_session: None,
            })),
            uid: Some(number),
            names: vec![name; FLOW_NAMES_MAX + 1],
            opened: moment,
            closed: Some(moment),
            sent_bytes: Some(u64::MAX),
            received_bytes: None,
            repeats: Some(Repeats {
                count: 1,
                closed: 2,
                first_ms: times.0,
                last_ms: times.1,
            }),
        }
    }

    #[test]
    fn each_fact_of_a_flow_is_in_its_own_field() {
        let seen = Flow {
            direction: Some(Direction::Inbound),
            local: ([192, 0, 2, 7], 22).into(),
            remote: ([203, 0, 113, 9], 4022).into(),
            opened: Moment {
                from_ms: None,
                until_ms: 5,
            },
            closed: Some(Moment {
                from_ms: Some(8),
                until_ms: 9,
            }),
            sent_bytes: Some(1),
            received_bytes: Some(2),
            ..hostile("x", 1000, (5, 5))
        };
        let names = FlowUserNames {
            socket: "root".into(),
            owner: "dana".into(),
        };
        let Body::Network(body) = flow(&seen, names) else {
            panic!("a flow stays one");
        };
        assert_eq!(body.direction(), wire::FlowDirection::Inbound);
        assert_eq!(
            (body.local_address, body.local_port),
            (vec![192, 0, 2, 7], 22)
        );
        assert_eq!(
            (body.remote_address, body.remote_port),
            (vec![203, 0, 113, 9], 4022)
        );
        assert_eq!(
            (body.opened_from_time_ms, body.opened_until_time_ms),
            (None, 5)
        );
        assert_eq!(
            (body.closed_from_time_ms, body.closed_until_time_ms),
            (Some(8), Some(9))
        );
        assert_eq!((body.sent_bytes, body.received_bytes), (Some(1), Some(2)));
        assert_eq!(body.user.unwrap().name, "root");
        assert_eq!(body.owner.unwrap().user.unwrap().name, "dana");
        assert_eq!(body.names.len(), FLOW_NAMES_MAX);
    }

    proptest! {
        #[test]
        fn whatever_a_machine_has_the_contract_accepts(
            text in ".{0,2000}", number in any::<u32>(), times in any::<(i64, i64)>(),
        ) {
            let names = FlowUserNames { socket: text.clone(), owner: text.clone() };
            let event = wire::Event {
                sequence: 1,
                event_time_ms: 0,
                body: Some(flow(&hostile(&text, number, times), names)),
            };
            prop_assert!(Event::try_from(event).is_ok());
        }
    }
}
