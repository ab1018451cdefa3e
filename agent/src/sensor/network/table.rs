//! The sockets of this machine, and what changed since they were looked at last. Pure: scans and the kernel's notices
//! go in, flows come out.
//!
//! - A socket has a number that is never used again, so two scans are compared by it.
//! - A socket that is gone ended between the last scan and this one, unless the kernel's notice told when.
//! - A notice of a socket that no scan saw is a short connection: told once, at its end.
//! - Connections that were never made are not told, and those that wait to be accepted not before they are.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::diag::{Socket, State};
use super::flow::{Direction, Flow, FlowActivity, FlowId, FlowName, Moment, Owner};
use super::fold::{FoldKey, Folds, WindowId};

#[cfg(target_os = "linux")]
mod told;

#[cfg(target_os = "linux")]
pub(super) use told::News;

/// Sockets that are kept; more are counted as lost.
const SOCKETS_MAX: usize = 128 << 10;

/// What the table must ask others for.
pub(super) trait Lookup {
    /// The processes that hold these sockets, by inode, as far as they can be found.
    fn owners(&mut self, sockets: &[Socket]) -> HashMap<u32, Arc<Owner>>;

    /// The names of an address.
    fn names(&self, address: IpAddr, now_ms: i64) -> Vec<FlowName>;
}

/// What is kept of a socket.
#[derive(Debug, Clone)]
struct Tracked {
    id: FlowId,
    local: SocketAddr,
    remote: SocketAddr,
    /// `None` while it listens or only asks for a connection.
    direction: Option<Direction>,
    listens: bool,
    owner: Option<Arc<Owner>>,
    uid: Option<u32>,
    names: Box<[FlowName]>,
    opened: Moment,
    counted_in: Option<WindowId>,
    /// The last scan that saw it.
    seen: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FlowTable {
    sockets: HashMap<FlowId, Tracked>,
    /// Where something listens, and what; the address is unspecified where it listens on all.
    listening: HashMap<SocketAddr, FlowId>,
    folds: Folds<Tracked>,
    scanned_ms: Option<i64>,
    scans: u64,
    /// Of the scan that goes on: what is new or has become a connection.
    changed: Vec<Socket>,
    /// Of the last scan: connections that no process has taken yet.
    waiting: usize,
    /// Connections from outside, and until when somebody should have taken them: those of the last second.
    arrived: VecDeque<(i64, FlowId)>,
    lost: u64,
}

impl FlowTable {
    /// A scan begins: every socket is to be seen until [`FlowTable::finish_scan`].
    pub(super) fn begin_scan(&mut self) {
        self.scans += 1;
        self.waiting = 0;
        self.listening.clear();
        self.changed.clear();
    }

    /// The scan has this socket. Of one that is known and did not change nothing is kept.
    pub(super) fn see(&mut self, socket: &Socket) {
        if socket.state == State::Listening {
            self.listening.insert(socket.local, socket.id);
        }
        if self.note_seen(socket) {
            self.changed.push(*socket);
        }
        self.waiting += usize::from(self.is_waiting(socket));
    }

    /// Compares the scan with the one before and tells what happened, in order.
    pub(super) fn finish_scan(
        &mut self,
        now_ms: i64,
        lookup: &mut dyn Lookup,
        tell: &mut dyn FnMut(Flow),
    ) {
        let changed = std::mem::take(&mut self.changed);
        let wanted: Vec<Socket> = changed
            .iter()
            .filter(|socket| {
                let known = self.sockets.get(&socket.id);
                socket.inode != 0 && known.is_none_or(|tracked| tracked.owner.is_none())
            })
            .copied()
            .collect();
        let owners = if wanted.is_empty() {
            HashMap::new()
        } else {
            lookup.owners(&wanted)
        };
        drop(wanted);
        for socket in &changed {
            let owner = owners.get(&socket.inode).cloned();
            if let Some(flow) = self.begin(socket, owner, now_ms, lookup) {
                tell(flow);
            }
        }
        self.end_missing(now_ms, tell);
        self.scanned_ms = Some(now_ms);
        self.tell_due(now_ms, tell);
    }

    /// The kernel's counts say that a scan would find what the last one found.
    pub(super) fn note_unchanged(&mut self, now_ms: i64, tell: &mut dyn FnMut(Flow)) {
        self.scanned_ms = self.scanned_ms.map(|_| now_ms);
        self.tell_due(now_ms, tell);
    }

    /// Whether there are connections that no process has taken yet: no count tells when one does.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    fn is_waiting(&self, socket: &Socket) -> bool {
        socket.state == State::Connected
            && socket.inode == 0
            && self
                .sockets
                .get(&socket.id)
                .is_none_or(|tracked| tracked.direction.is_none())
    }

    /// Whether it is new, or has become a connection of a process: one that waits to be accepted, or that was closed
    /// before any scan saw it, has no inode.
    fn note_seen(&mut self, socket: &Socket) -> bool {
        match self.sockets.get_mut(&socket.id) {
            None => socket.state != State::Gone,
            Some(tracked) => {
                tracked.seen = self.scans;
                socket.state == State::Connected && socket.inode != 0 && tracked.direction.is_none()
            }
        }
    }

    /// When something that is seen now for the first time happened.
    fn since_scan(&self, now_ms: i64) -> Moment {
        Moment {
            from_ms: self.scanned_ms,
            until_ms: now_ms,
        }
    }

    fn begin(
        &mut self,
        socket: &Socket,
        owner: Option<Arc<Owner>>,
        now_ms: i64,
        lookup: &dyn Lookup,
    ) -> Option<Flow> {
        if self.sockets.len() >= SOCKETS_MAX && !self.sockets.contains_key(&socket.id) {
            self.lost += 1;
            return None;
        }
        let former = self.sockets.remove(&socket.id);
        let mut tracked = Tracked {
            id: socket.id,
            local: socket.local,
            remote: socket.remote,
            direction: None,
            listens: socket.state == State::Listening,
            owner: owner.or_else(|| former.as_ref().and_then(|former| former.owner.clone())),
            uid: uid_of(socket).or_else(|| former.as_ref().and_then(|former| former.uid)),
            names: Box::default(),
            opened: self.since_scan(now_ms),
            counted_in: None,
            seen: self.scans,
        };
        let first = self.scanned_ms.is_none();
        let activity = match socket.state {
            State::Listening if first => Some(FlowActivity::ListenObserved),
            State::Listening => Some(FlowActivity::Listening),
            State::Connected if socket.inode != 0 => {
                tracked.direction = Some(self.direction(socket.local));
                tracked.names = lookup.names(socket.remote.ip(), now_ms).into();
                if first {
                    Some(FlowActivity::Observed)
                } else {
                    tracked.counted_in = self.fold(&tracked, now_ms);
                    tracked.counted_in.is_none().then_some(FlowActivity::Opened)
                }
            }
            State::Connected | State::Connecting | State::Gone => None,
        };
        let flow = activity.map(|activity| tracked.flow(activity, now_ms));
        self.sockets.insert(socket.id, tracked);
        flow
    }

    fn fold(&mut self, tracked: &Tracked, now_ms: i64) -> Option<WindowId> {
        let key = tracked.fold_key()?;
        self.folds.open(key, now_ms, || tracked.clone())
    }

    fn direction(&self, local: SocketAddr) -> Direction {
        match self.listening_at(local) {
            Some(_) => Direction::Inbound,
            None => Direction::Outbound,
        }
    }

    /// What listens at this address, or at all of them.
    fn listening_at(&self, local: SocketAddr) -> Option<&FlowId> {
        let on_all = |address: IpAddr| self.listening.get(&SocketAddr::new(address, local.port()));
        self.listening
            .get(&local)
            .or_else(|| on_all(Ipv4Addr::UNSPECIFIED.into()))
            .or_else(|| on_all(Ipv6Addr::UNSPECIFIED.into()))
    }

    fn end_missing(&mut self, now_ms: i64, tell: &mut dyn FnMut(Flow)) {
        let mut missing: Vec<FlowId> = self
            .sockets
            .values()
            .filter(|tracked| tracked.seen != self.scans)
            .map(|tracked| tracked.id)
            .collect();
        missing.sort_unstable();
        let closed = self.since_scan(now_ms);
        for id in missing {
            let tracked = self.sockets.remove(&id);
            if let Some(flow) = tracked.and_then(|tracked| self.end(tracked, closed, None)) {
                tell(flow);
            }
        }
    }

    /// Takes the kernel's notice that a socket is no more.
    pub(super) fn destroyed(
        &mut self,
        socket: &Socket,
        now_ms: i64,
        lookup: &dyn Lookup,
    ) -> Option<Flow> {
        let carried = socket.sent_bytes.unwrap_or(0) > 0 || socket.received_bytes.unwrap_or(0) > 0;
        let tracked = match self.sockets.remove(&socket.id) {
            Some(tracked) if tracked.listens || tracked.direction.is_some() => tracked,
            // Neither seen connected nor did it ever carry a byte: no connection.
            _ if !carried || socket.remote.port() == 0 => return None,
            former => {
                let mut tracked = Tracked {
                    id: socket.id,
                    local: socket.local,
                    remote: socket.remote,
                    direction: Some(self.direction(socket.local)),
                    listens: false,
                    owner: former.as_ref().and_then(|former| former.owner.clone()),
                    uid: former.and_then(|former| former.uid).or(uid_of(socket)),
                    names: lookup.names(socket.remote.ip(), now_ms).into(),
                    opened: self.since_scan(now_ms),
                    counted_in: None,
                    seen: self.scans,
                };
                tracked.counted_in = self.fold(&tracked, now_ms);
                tracked
            }
        };
        self.end(tracked, Moment::exact(now_ms), Some(socket))
    }

    fn end(&mut self, tracked: Tracked, closed: Moment, last: Option<&Socket>) -> Option<Flow> {
        if let (Some(window), Some(key)) = (tracked.counted_in, tracked.fold_key())
            && self.folds.close(key, window)
        {
            return None;
        }
        let activity = match (tracked.listens, tracked.direction) {
            (true, _) => FlowActivity::ListenClosed,
            (false, Some(_)) => FlowActivity::Closed,
            (false, None) => return None,
        };
        let mut flow = tracked.flow(activity, closed.until_ms);
        flow.closed = Some(closed);
        flow.sent_bytes = last.and_then(|socket| socket.sent_bytes);
        flow.received_bytes = last.and_then(|socket| socket.received_bytes);
        Some(flow)
    }

    /// The repeats of windows that are over.
    fn tell_due(&mut self, now_ms: i64, tell: &mut dyn FnMut(Flow)) {
        for (example, repeats) in self.folds.due(now_ms) {
            tell(Flow {
                repeats: Some(repeats),
                ..example.flow(FlowActivity::Repeated, repeats.last_ms)
            });
        }
    }

    /// Sockets that were not kept since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// The account that made it. One that no process holds any more says root, whoever made it.
fn uid_of(socket: &Socket) -> Option<u32> {
    Some(socket.uid).filter(|&uid| uid != 0 || socket.inode != 0)
}

impl Tracked {
    fn fold_key(&self) -> Option<FoldKey> {
        let direction = self.direction?;
        Some(FoldKey {
            owner: self
                .owner
                .as_ref()
                .map(|owner| (owner.pid, owner.start_ticks)),
            uid: self.uid,
            direction,
            peer: self.remote.ip(),
            port: match direction {
                Direction::Outbound => self.remote.port(),
                Direction::Inbound => self.local.port(),
            },
        })
    }

    fn flow(&self, activity: FlowActivity, time_ms: i64) -> Flow {
        Flow {
            id: self.id,
            activity,
            time_ms,
            direction: self.direction,
            local: self.local,
            remote: self.remote,
            owner: self.owner.clone(),
            uid: self.uid,
            names: self.names.to_vec(),
            opened: self.opened,
            closed: None,
            sent_bytes: None,
            received_bytes: None,
            repeats: None,
        }
    }
}

#[cfg(test)]
mod tests;
