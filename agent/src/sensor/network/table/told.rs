//! The table as it is kept by a source that tells each connection in the moment in which it changes, with the process that
//! did it. Scans only begin it, and mend it where something was lost.
//!
//! - A connection that this machine asked for is told when it is made, with who asked.
//! - One from outside is told when a process accepts it, with that one; where nobody is seen to for a while (it waits, or was
//!   accepted in a way that is not seen), or it ends, with the one that listens.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{FlowTable, Lookup, Tracked, uid_of};
use crate::sensor::network::diag::Socket;
use crate::sensor::network::flow::{Direction, Flow, FlowActivity, FlowId, Moment, Owner};

/// How long it is waited for who accepts a connection.
const ACCEPTED_WITHIN_MS: i64 = 1_000;

/// What happened to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sensor::network) enum News {
    /// A process asks for a connection.
    Asked,
    /// There is a connection.
    Connected {
        /// The other side asked for it.
        is_inbound: bool,
    },
    /// A process took one from outside.
    Accepted,
    /// A process listens.
    Listening,
    /// It is no more.
    Ended,
}

impl FlowTable {
    /// Takes news of a socket, with the process that did it.
    pub(in crate::sensor::network) fn news(
        &mut self,
        news: News,
        (socket, owner): (&Socket, Option<Arc<Owner>>),
        time_ms: i64,
        lookup: &dyn Lookup,
    ) -> Option<Flow> {
        match news {
            News::Asked => {
                self.track(socket, owner, time_ms)?;
                None
            }
            News::Connected { is_inbound: false } => {
                self.track(socket, None, time_ms)?;
                let ends = (socket.local, socket.remote);
                self.connect(socket.id, ends, Direction::Outbound, (time_ms, lookup))
            }
            News::Connected { is_inbound: true } => {
                let listener = self.listener_of(socket);
                let tracked = self.track(socket, None, time_ms)?;
                tracked.owner = tracked.owner.take().or(listener);
                self.arrived
                    .push_back((time_ms.saturating_add(ACCEPTED_WITHIN_MS), socket.id));
                None
            }
            News::Accepted => {
                self.track(socket, owner, time_ms)?;
                let ends = (socket.local, socket.remote);
                self.connect(socket.id, ends, Direction::Inbound, (time_ms, lookup))
            }
            News::Listening => {
                self.listening.insert(socket.local, socket.id);
                let tracked = self.track(socket, owner, time_ms)?;
                let is_new = !std::mem::replace(&mut tracked.listens, true);
                is_new.then(|| tracked.flow(FlowActivity::Listening, time_ms))
            }
            News::Ended => {
                if self.listening.get(&socket.local) == Some(&socket.id) {
                    self.listening.remove(&socket.local);
                }
                // One that is not known was ended by a scan, or never began.
                self.sockets.get(&socket.id)?;
                self.destroyed(socket, time_ms, lookup)
            }
        }
    }

    /// Tells connections that nobody was seen to accept for a while, and repeats that are due.
    pub(in crate::sensor::network) fn look(
        &mut self,
        now_ms: i64,
        lookup: &dyn Lookup,
        tell: &mut dyn FnMut(Flow),
    ) {
        while let Some((_, id)) = self.arrived.pop_front_if(|(due_ms, _)| *due_ms <= now_ms) {
            let Some(tracked) = self.sockets.get(&id) else {
                continue;
            };
            let ends = (tracked.local, tracked.remote);
            let flow = self.connect(id, ends, Direction::Inbound, (now_ms, lookup));
            if let Some(flow) = flow {
                tell(flow);
            }
        }
        self.note_unchanged(now_ms, tell);
    }

    /// The socket's entry, a new one where it is not known; nothing where there is no room.
    fn track(
        &mut self,
        socket: &Socket,
        owner: Option<Arc<Owner>>,
        time_ms: i64,
    ) -> Option<&mut Tracked> {
        if self.sockets.len() >= super::SOCKETS_MAX && !self.sockets.contains_key(&socket.id) {
            self.lost += 1;
            return None;
        }
        let seen = self.scans;
        let tracked = self.sockets.entry(socket.id).or_insert_with(|| Tracked {
            id: socket.id,
            local: socket.local,
            remote: socket.remote,
            direction: None,
            listens: false,
            owner: None,
            uid: uid_of(socket),
            names: Box::default(),
            opened: Moment::exact(time_ms),
            counted_in: None,
            seen,
        });
        if owner.is_some() && tracked.direction.is_none() {
            tracked.owner = owner;
        }
        Some(tracked)
    }

    /// It is a connection now, if it was none.
    fn connect(
        &mut self,
        id: FlowId,
        ends: (SocketAddr, SocketAddr),
        direction: Direction,
        (time_ms, lookup): (i64, &dyn Lookup),
    ) -> Option<Flow> {
        let tracked = self.sockets.get_mut(&id)?;
        if tracked.direction.is_some() || tracked.listens {
            return None;
        }
        tracked.direction = Some(direction);
        // The local end is chosen after it was asked for.
        (tracked.local, tracked.remote) = ends;
        if direction == Direction::Outbound {
            tracked.opened = Moment::exact(time_ms);
        }
        tracked.names = lookup.names(tracked.remote.ip(), time_ms).into();
        let example = tracked.clone();
        let counted_in = example
            .fold_key()
            .and_then(|key| self.folds.open(key, time_ms, || example.clone()));
        let tracked = self.sockets.get_mut(&id)?;
        tracked.counted_in = counted_in;
        counted_in
            .is_none()
            .then(|| tracked.flow(FlowActivity::Opened, time_ms))
    }

    /// Whose socket listens where this one arrived.
    fn listener_of(&self, socket: &Socket) -> Option<Arc<Owner>> {
        let id = self.listening_at(socket.local)?;
        self.sockets.get(id)?.owner.clone()
    }
}

#[cfg(test)]
mod tests;
