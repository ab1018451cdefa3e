//! What the programs in the kernel tell of connections, read from bytes. Pure.
//!
//! ```text
//!   0 u64 nanoseconds of the monotonic clock | 8 u64 cookie of the socket
//!  16 u64 start of the process, nanoseconds after boot, sleep included | 24 u64 bytes sent | 32 u64 received
//!  40 u32 kind | 44 u32 process | 48 u32 the socket's user | 52 u32 the process's | 56 u32 login uid
//!  60 u32 audit session | 64 u16 family | 66 u16 local port | 68 be16 remote port | 70 u16 1 = from outside
//!  72 [16] local address | 88 [16] remote address | 104 u32 bytes of the path | 108 u32 nothing
//! 112 path of the process's image, as in the records of processes
//! ```
//!
//! Numbers are in the machine's byte order but for the one port. A process of 0 is none: what is told happens to the
//! socket, not by a process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sensor::bpf::path;
use crate::sensor::network::diag::{Socket, State};
use crate::sensor::network::flow::{FlowId, Owner};
use crate::sensor::network::table::News;
use crate::text::cut_at;

const KIND_ASKED: u32 = 1;
const KIND_CONNECTED: u32 = 2;
const KIND_LISTENING: u32 = 3;
const KIND_ENDED: u32 = 4;
const KIND_ACCEPTED: u32 = 5;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const PATH: usize = 112;

/// User, login uid and audit session that are not set.
const UNSET: u32 = u32::MAX;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Monotonic clock.
    pub(super) time_ns: u64,
    /// What happened.
    pub(super) news: News,
    /// The socket.
    pub(super) socket: Socket,
    /// Who did it.
    pub(super) owner: Option<Owner>,
}

/// Reads a record; `None` where it makes no sense.
pub(super) fn parse(bytes: &[u8], nanoseconds_a_tick: u64) -> Option<Record> {
    let (news, state) = match u32_at(bytes, 40)? {
        KIND_ASKED => (News::Asked, State::Connecting),
        KIND_CONNECTED => (
            News::Connected {
                is_inbound: u16_at(bytes, 70)? != 0,
            },
            State::Connected,
        ),
        KIND_LISTENING => (News::Listening, State::Listening),
        KIND_ENDED => (News::Ended, State::Gone),
        KIND_ACCEPTED => (News::Accepted, State::Connected),
        _ => return None,
    };
    let family = u16_at(bytes, 64)?;
    let is_ended = news == News::Ended;
    let count = |at| u64_at(bytes, at).filter(|_| is_ended);
    let socket = Socket {
        id: FlowId(u64_at(bytes, 8)?),
        state,
        local: SocketAddr::new(ip(bytes, 72, family)?, u16_at(bytes, 66)?),
        remote: SocketAddr::new(ip(bytes, 88, family)?, u16::from_be(u16_at(bytes, 68)?)),
        uid: u32_at(bytes, 48)?,
        // Whose it is comes with the record; nobody has to look for it.
        inode: u32::from(!is_ended),
        sent_bytes: count(24),
        received_bytes: count(32),
    };
    Some(Record {
        time_ns: u64_at(bytes, 0)?,
        news,
        socket,
        owner: owner(bytes, nanoseconds_a_tick)?,
    })
}

/// The process, where there is one; nothing at all where its path is longer than the record.
fn owner(bytes: &[u8], nanoseconds_a_tick: u64) -> Option<Option<Owner>> {
    let pid = u32_at(bytes, 44)?;
    let length = usize::try_from(u32_at(bytes, 104)?).ok()?;
    let names = bytes.get(PATH..PATH.checked_add(length)?)?;
    if pid == 0 {
        return Some(None);
    }
    let set = |at| u32_at(bytes, at).filter(|number| *number != UNSET);
    let executable = String::from_utf8_lossy(&path(names, false)).into_owned();
    Some(Some(Owner {
        pid,
        start_ticks: u64_at(bytes, 16)? / nanoseconds_a_tick.max(1),
        executable: cut_at(executable, tocsin_proto::limits::PATH_BYTES_MAX),
        uid: set(52),
        login_uid: set(56),
        // The kernel sets both or none.
        audit_session: set(56).and(set(60)),
    }))
}

/// IPv4 inside of IPv6 is IPv4: the same peer, whatever the program's socket.
fn ip(bytes: &[u8], at: usize, family: u16) -> Option<IpAddr> {
    let all: [u8; 16] = at_bytes(bytes, at)?;
    match family {
        AF_INET => Some(Ipv4Addr::from(at_bytes::<4>(bytes, at)?).into()),
        AF_INET6 => Some(Ipv6Addr::from(all).to_canonical()),
        _ => None,
    }
}

fn at_bytes<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    at_bytes(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    at_bytes(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    at_bytes(bytes, at).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, pid: u32, family: u16, addresses: [&[u8]; 2], path: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let long = [5_u64, 77, 1_234_000_000, 10, 20];
        bytes.extend(long.into_iter().flat_map(u64::to_ne_bytes));
        let numbers = [kind, pid, 1000, 1001, UNSET, UNSET];
        bytes.extend(numbers.into_iter().flat_map(u32::to_ne_bytes));
        let short = [family, 40_000, 443_u16.to_be(), 1];
        bytes.extend(short.into_iter().flat_map(u16::to_ne_bytes));
        for address in addresses {
            let mut whole = address.to_vec();
            whole.resize(16, 0);
            bytes.extend(whole);
        }
        let length = u32::try_from(path.len()).unwrap();
        bytes.extend([length, 0].into_iter().flat_map(u32::to_ne_bytes));
        assert_eq!(bytes.len(), PATH);
        bytes.extend(path);
        bytes
    }

    const V4: [&[u8]; 2] = [&[10, 0, 0, 1], &[10, 0, 0, 9]];

    #[test]
    fn who_asks_for_a_connection_is_read() {
        let bytes = record(KIND_ASKED, 42, AF_INET, V4, b"curl\0bin\0usr\0");
        let record = parse(&bytes, 10_000_000).unwrap();
        assert_eq!((record.time_ns, record.news), (5, News::Asked));
        let socket = record.socket;
        assert_eq!(socket.id, FlowId(77));
        assert_eq!(socket.local, "10.0.0.1:40000".parse().unwrap());
        assert_eq!(socket.remote, "10.0.0.9:443".parse().unwrap());
        assert_eq!((socket.uid, socket.sent_bytes), (1000, None));
        let owner = record.owner.unwrap();
        assert_eq!((owner.pid, owner.start_ticks), (42, 123));
        assert_eq!(owner.executable, "/usr/bin/curl");
        assert_eq!((owner.uid, owner.login_uid), (Some(1001), None));
    }

    #[test]
    fn an_end_has_its_bytes_and_nobody() {
        let mapped: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
        let bytes = record(KIND_ENDED, 0, AF_INET6, [mapped, mapped], b"");
        let record = parse(&bytes, 10_000_000).unwrap();
        assert_eq!((record.news, record.owner), (News::Ended, None));
        assert_eq!(record.socket.local, "10.0.0.2:40000".parse().unwrap());
        let counts = (record.socket.sent_bytes, record.socket.received_bytes);
        assert_eq!(counts, (Some(10), Some(20)));
    }

    #[test]
    fn cut_and_unknown_records_are_nothing() {
        let whole = record(KIND_CONNECTED, 42, AF_INET, V4, b"x\0");
        let news = parse(&whole, 1).unwrap().news;
        assert_eq!(news, News::Connected { is_inbound: true });
        for end in 0..whole.len() {
            assert_eq!(parse(whole.get(..end).unwrap(), 1), None, "cut at {end}");
        }
        assert_eq!(parse(&record(9, 1, AF_INET, V4, b""), 1), None);
        assert_eq!(parse(&record(KIND_ENDED, 0, 1, V4, b""), 1), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            let _ = parse(&bytes, 10_000_000);
        }
    }
}
