//! Logins and sessions -> event bodies. Pure. What no source told stays absent; texts are cut at the contract's limits.

use tocsin_proto::limits::ARGV_BYTES_MAX;
use tocsin_proto::telemetry::v1 as wire;
use tocsin_proto::telemetry::v1::event::Body;

use crate::sensor::session::login::{
    Account, Login, LoginActivity, Method, Origin, Sources, Terminal,
};
use crate::sensor::session::power::{Power, PowerActivity};
use crate::sensor::session::table::{Session, SessionActivity};
use crate::text::{cut, cut_at, cut_reason};

/// The event of a login.
pub(crate) fn login(login: &Login) -> Body {
    let (method, method_name) = method(login.method.as_ref());
    let (terminal_state, terminal) = terminal(&login.terminal);
    Body::Login(wire::Login {
        login_id: login.id.0.to_vec(),
        activity: match login.activity {
            LoginActivity::Succeeded => wire::LoginActivity::Succeeded,
            LoginActivity::Failed => wire::LoginActivity::Failed,
            LoginActivity::Ended => wire::LoginActivity::Ended,
        }
        .into(),
        service: cut(login.service.clone()),
        pid: login.pid,
        user: user(&login.user),
        user_exists: login.user_exists,
        actor: user(&login.actor),
        peer: peer(&login.origin),
        method: method.into(),
        method_name,
        key_fingerprint: cut(login.key_fingerprint.clone().unwrap_or_default()),
        terminal_state: terminal_state.into(),
        terminal,
        audit_session: login.audit_session,
        login_uid: login.login_uid,
        command: cut_at(
            login.command.clone().unwrap_or_default(),
            ARGV_BYTES_MAX * 3,
        ),
        failed_attempts: login.failed_attempts,
        reason: cut_reason(login.reason.clone().unwrap_or_default()),
        sources: sources(login.sources),
    })
}

/// The event of a session.
pub(crate) fn session(session: &Session) -> Body {
    let facts = &session.facts;
    let (terminal_state, terminal) = terminal(&facts.terminal);
    Body::Session(wire::Session {
        activity: match session.activity {
            SessionActivity::Opened => wire::SessionActivity::Opened,
            SessionActivity::Observed => wire::SessionActivity::Observed,
            SessionActivity::Locked => wire::SessionActivity::Locked,
            SessionActivity::Unlocked => wire::SessionActivity::Unlocked,
            SessionActivity::Idle => wire::SessionActivity::Idle,
            SessionActivity::Busy => wire::SessionActivity::Busy,
            SessionActivity::Foreground => wire::SessionActivity::Foreground,
            SessionActivity::Background => wire::SessionActivity::Background,
            SessionActivity::Closed => wire::SessionActivity::Closed,
        }
        .into(),
        session_id: cut(session.id.clone()),
        user: user(&facts.user),
        service: cut(facts.service.clone()),
        kind: cut(facts.kind.clone()),
        class: cut(facts.class.clone()),
        seat: cut(facts.seat.clone()),
        terminal_state: terminal_state.into(),
        terminal,
        peer: peer(&facts.origin),
        leader_pid: facts.leader,
        audit_session: facts.audit_session,
        login_id: facts.login.map(|id| id.0.to_vec()).unwrap_or_default(),
        since_time_ms: facts.since_ms.map(|ms| ms.max(0)),
        is_active: facts.active,
        is_locked: facts.locked,
        is_idle: facts.idle,
        until_time_ms: None,
    })
}

/// The event of a machine that started, stopped, slept or woke.
pub(crate) fn power(power: Power) -> Body {
    Body::Session(wire::Session {
        activity: match power.activity {
            PowerActivity::Booted => wire::SessionActivity::Booted,
            PowerActivity::ShutDown => wire::SessionActivity::ShutDown,
            PowerActivity::Suspended => wire::SessionActivity::Suspended,
            PowerActivity::Resumed => wire::SessionActivity::Resumed,
        }
        .into(),
        until_time_ms: Some(power.until_ms.max(0)),
        ..wire::Session::default()
    })
}

fn user(account: &Account) -> Option<wire::User> {
    (!account.is_unknown()).then(|| wire::User {
        uid: account.uid.map(|uid| uid.to_string()).unwrap_or_default(),
        name: cut(account.name.clone().unwrap_or_default()),
    })
}

fn method(method: Option<&Method>) -> (wire::LoginMethod, String) {
    use wire::LoginMethod as To;
    let known = match method {
        None => To::Unspecified,
        Some(Method::Password) => To::Password,
        Some(Method::PublicKey) => To::PublicKey,
        Some(Method::KeyboardInteractive) => To::KeyboardInteractive,
        Some(Method::NotAsked) => To::NotAsked,
        Some(Method::Other(name)) => return (To::Other, cut(name.clone())),
    };
    (known, String::new())
}

fn terminal(terminal: &Terminal) -> (wire::TerminalState, String) {
    match terminal {
        Terminal::Unknown => (wire::TerminalState::Unspecified, String::new()),
        Terminal::None => (wire::TerminalState::None, String::new()),
        Terminal::Name(name) => (wire::TerminalState::Named, cut(name.clone())),
    }
}

fn peer(origin: &Origin) -> Option<wire::Peer> {
    match origin {
        Origin::Unknown => None,
        Origin::Local => Some(wire::Peer {
            is_local: true,
            ..wire::Peer::default()
        }),
        Origin::Remote {
            address,
            port,
            host,
        } => Some(wire::Peer {
            is_local: false,
            address: address.map(super::address_bytes).unwrap_or_default(),
            port: port.unwrap_or(0).into(),
            host: cut(host.clone().unwrap_or_default()),
        }),
    }
}

fn sources(sources: Sources) -> Vec<i32> {
    [
        (sources.audit, wire::LoginSource::Audit),
        (sources.text, wire::LoginSource::Log),
        (sources.accounting, wire::LoginSource::Accounting),
    ]
    .into_iter()
    .filter_map(|(told, source)| told.then_some(source.into()))
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tocsin_proto::event::Event;

    use super::*;
    use crate::sensor::session::login::LoginId;
    use crate::sensor::session::table::SessionFacts;

    fn is_accepted(body: Body) -> bool {
        let event = wire::Event {
            sequence: 1,
            event_time_ms: 0,
            body: Some(body),
        };
        Event::try_from(event).is_ok()
    }

    fn hostile(text: &str, number: u32, times: (i64, i64)) -> (Login, Session, Power) {
        let account = Account {
            uid: Some(number),
            name: Some(text.into()),
        };
        let origin = Origin::Remote {
            address: None,
            port: Some(22),
            host: Some(text.into()),
        };
        let login = Login {
            id: LoginId([7; 16]),
            activity: LoginActivity::Failed,
            time_ms: times.0,
            service: text.into(),
            pid: Some(number),
            user: account.clone(),
            user_exists: None,
            actor: account.clone(),
            origin: origin.clone(),
            method: Some(Method::Other(text.into())),
            key_fingerprint: Some(text.into()),
            terminal: Terminal::Name(text.into()),
            audit_session: Some(number),
            login_uid: None,
            command: Some(text.repeat(9)),
            failed_attempts: number,
            reason: Some(text.into()),
            sources: Sources {
                audit: true,
                text: true,
                accounting: true,
            },
        };
        let facts = SessionFacts {
            user: account,
            service: text.into(),
            kind: text.into(),
            class: text.into(),
            seat: text.into(),
            terminal: Terminal::None,
            origin,
            login: Some(LoginId([9; 16])),
            since_ms: Some(times.1),
            ..SessionFacts::default()
        };
        let session = Session {
            id: format!("c{text}"),
            activity: SessionActivity::Locked,
            time_ms: times.0,
            facts,
        };
        let power = Power {
            activity: PowerActivity::Resumed,
            time_ms: times.0,
            until_ms: times.1,
        };
        (login, session, power)
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        let (_, session, _) = hostile("x", 1, (5, 5));
        let unknown = Session {
            facts: SessionFacts::default(),
            ..session
        };
        let Body::Session(body) = super::session(&unknown) else {
            panic!("a session stays one");
        };
        assert_eq!(body.terminal_state(), wire::TerminalState::Unspecified);
        assert_eq!((body.is_locked, body.is_idle), (None, None));
        assert_eq!((body.user, body.peer), (None, None));
    }

    #[test]
    fn each_fact_of_a_session_is_in_its_own_field() {
        let (_, session, _) = hostile("x", 7, (5, 9));
        let facts = SessionFacts {
            active: Some(true),
            locked: Some(false),
            idle: None,
            leader: Some(70),
            audit_session: Some(71),
            seat: "seat0".into(),
            kind: "wayland".into(),
            class: "user".into(),
            ..session.facts
        };
        let Body::Session(body) = super::session(&Session { facts, ..session }) else {
            panic!("a session stays one");
        };
        assert_eq!(body.activity(), wire::SessionActivity::Locked);
        assert_eq!(
            (body.is_active, body.is_locked, body.is_idle),
            (Some(true), Some(false), None)
        );
        assert_eq!((body.leader_pid, body.audit_session), (Some(70), Some(71)));
        assert_eq!(
            [&*body.seat, &*body.kind, &*body.class],
            ["seat0", "wayland", "user"]
        );
        assert_eq!(body.login_id, [9; 16]);
        assert_eq!(body.since_time_ms, Some(9));
    }

    #[test]
    fn each_fact_of_a_login_is_in_its_own_field() {
        let (login, _, _) = hostile("x", 7, (5, 9));
        let login = Login {
            actor: Account {
                uid: Some(1000),
                name: Some("dana".into()),
            },
            origin: Origin::Remote {
                address: Some([203, 0, 113, 9].into()),
                port: Some(4022),
                host: None,
            },
            method: Some(Method::PublicKey),
            login_uid: Some(1001),
            reason: Some("why".into()),
            command: Some("id".into()),
            sources: Sources {
                audit: false,
                text: true,
                accounting: false,
            },
            ..login
        };
        let Body::Login(body) = super::login(&login) else {
            panic!("a login stays one");
        };
        let peer = body.peer.clone().unwrap();
        assert_eq!(
            (peer.is_local, peer.address, peer.port),
            (false, vec![203, 0, 113, 9], 4022)
        );
        assert_eq!(body.method(), wire::LoginMethod::PublicKey);
        assert_eq!(body.activity(), wire::LoginActivity::Failed);
        assert_eq!(body.actor.unwrap().name, "dana");
        assert_eq!(body.user.unwrap().uid, "7");
        assert_eq!((body.audit_session, body.login_uid), (Some(7), Some(1001)));
        assert_eq!((&*body.reason, &*body.command), ("why", "id"));
        assert_eq!(body.sources, [i32::from(wire::LoginSource::Log)]);
    }

    proptest! {
        #[test]
        fn whatever_a_log_says_the_contract_accepts(
            text in ".{0,2000}", number in any::<u32>(), times in any::<(i64, i64)>(),
        ) {
            let (login, session, power) = hostile(&text, number, times);
            prop_assert!(is_accepted(super::login(&login)));
            prop_assert!(is_accepted(super::session(&session)));
            prop_assert!(is_accepted(super::power(power)));
        }
    }
}
