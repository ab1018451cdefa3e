//! The words of an event that is no process, among which a search looks. Pure; what cannot be decoded has none.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use prost::Message;
use tocsin_proto::telemetry::v1::{File, Gap, Health, Login, Network, Peer, Session, User};

use super::decode::RawEvent;

/// Words of one event.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Names and ids of accounts.
    pub(super) users: Vec<String>,
    /// Everything else.
    pub(super) texts: Vec<String>,
}

impl Words {
    fn user(&mut self, user: Option<User>) {
        if let Some(user) = user {
            self.users.extend([user.name, user.uid]);
        }
    }

    fn peer(&mut self, peer: Option<Peer>) {
        if let Some(peer) = peer {
            self.texts
                .extend(address(&peer.address).map(|ip| ip.to_string()));
            self.texts.push(peer.host);
        }
    }

    fn login(&mut self, login: Login) {
        self.user(login.user);
        self.user(login.actor);
        self.peer(login.peer);
        self.texts.extend([
            login.service,
            login.method_name,
            login.key_fingerprint,
            login.terminal,
            login.command,
            login.reason,
        ]);
    }

    fn session(&mut self, session: Session) {
        self.user(session.user);
        self.peer(session.peer);
        self.texts.extend([
            session.session_id,
            session.service,
            session.kind,
            session.seat,
            session.terminal,
        ]);
    }

    fn network(&mut self, flow: Network) {
        self.user(flow.user);
        if let Some(owner) = flow.owner {
            self.user(owner.user);
            self.texts.push(owner.executable);
        }
        let sides = [
            (flow.local_address, flow.local_port),
            (flow.remote_address, flow.remote_port),
        ];
        for (bytes, port) in sides {
            self.texts
                .extend(address(&bytes).map(|ip| format!("{ip}:{port}")));
        }
        self.texts
            .extend(flow.names.into_iter().map(|name| name.name));
    }

    fn file(&mut self, file: File) {
        if let Some(actor) = file.actor {
            self.user(actor.user);
            self.texts.push(actor.executable);
        }
        let states = [file.before, file.after].into_iter().flatten();
        self.texts
            .extend(states.map(|state| HEXLOWER.encode(&state.sha256)));
        self.texts.extend([file.path, file.previous_path]);
    }
}

/// The words of `event`.
pub(super) fn words(event: &RawEvent) -> Words {
    let mut words = Words::default();
    if let Some(Ok(gap)) = event.gap.as_ref().map(|bytes| Gap::decode(bytes.as_ref())) {
        words.texts.push(gap.component);
    } else if let Some(Ok(health)) = event.health.as_ref().map(|b| Health::decode(b.as_ref())) {
        for sensor in health.sensors {
            words.texts.extend([sensor.name, sensor.detail]);
        }
    } else if let Some(Ok(login)) = event.login.as_ref().map(|b| Login::decode(b.as_ref())) {
        words.login(login);
    } else if let Some(Ok(session)) = event.session.as_ref().map(|b| Session::decode(b.as_ref())) {
        words.session(session);
    } else if let Some(Ok(flow)) = event.network.as_ref().map(|b| Network::decode(b.as_ref())) {
        words.network(flow);
    } else if let Some(Ok(file)) = event.file.as_ref().map(|b| File::decode(b.as_ref())) {
        words.file(file);
    }
    words
}

/// The address of 4 or 16 bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
