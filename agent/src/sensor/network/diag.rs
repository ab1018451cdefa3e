//! Socket diagnostics over netlink, as far as it is needed: the request for a scan, and the answers. Pure.
//!
//! ```text
//! header   0 length u32   4 type u16   6 flags u16   8 sequence u32   12 port u32
//! request 16 family u8   17 protocol u8   18 extensions u8   20 states u32   24 socket [48]
//! answer  16 family u8   17 state u8   20 socket [48]   68 expires   72 rqueue   76 wqueue   80 uid   84 inode
//!         88 attributes: length u16, type u16, value, padded to four bytes
//! socket   0 sport be16   2 dport be16   4 source [16]   20 destination [16]   36 interface u32   40 cookie u64
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::flow::FlowId;

/// Type of requests and answers.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST and NLM_F_DUMP.
const REQUEST_DUMP: u16 = 0x301;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_INFO: u16 = 2;
const HEADER: usize = 16;
const ANSWER: usize = 88;

/// Offsets in struct tcp_info.
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;

/// Families of addresses, from sys/socket.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4 = 2,
    /// IPv6, and IPv4 through it.
    V6 = 10,
}

/// What a socket does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for connections.
    Listening,
    /// Asks for one.
    Connecting,
    /// Has one, or is closing it.
    Connected,
    /// Is no more.
    Gone,
}

impl State {
    /// From the kernel's number.
    fn from_number(number: u8) -> Self {
        match number {
            1 | 4 | 5 | 8 | 9 | 11 => Self::Connected,
            2 | 3 | 12 => Self::Connecting,
            10 => Self::Listening,
            _ => Self::Gone,
        }
    }
}

/// The states that a scan asks for: all but those that are only remembered (TIME_WAIT) or over.
const STATES: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11;

/// A socket as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) id: FlowId,
    pub(super) state: State,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) uid: u32,
    /// 0 where no process holds it any more.
    pub(super) inode: u32,
    pub(super) sent_bytes: Option<u64>,
    pub(super) received_bytes: Option<u64>,
}

/// A message of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// A socket.
    Socket(Socket),
    /// The scan is complete.
    Done,
    /// The kernel refused, with this error number.
    Error(i32),
}

/// Asks for every TCP socket of a family.
pub(super) fn request(family: Family, sequence: u32) -> [u8; 72] {
    let mut bytes = [0; 72];
    let fields: [(usize, &[u8]); 6] = [
        (0, &72_u32.to_ne_bytes()),
        (4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes()),
        (6, &REQUEST_DUMP.to_ne_bytes()),
        (8, &sequence.to_ne_bytes()),
        (16, &[family as u8, IPPROTO_TCP]),
        (20, &STATES.to_ne_bytes()),
    ];
    for (offset, field) in fields {
        for (to, from) in bytes.iter_mut().skip(offset).zip(field) {
            *to = *from;
        }
    }
    bytes
}

/// Reads the messages of a datagram; stops at the first that makes no sense.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(..length).filter(|_| length >= HEADER)?;
        // Aligned to four bytes; the last one need not be.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        parse(message)
    })
}

fn parse(message: &[u8]) -> Option<Message> {
    match u16::from_ne_bytes(at(message, 4)?) {
        NLMSG_DONE => Some(Message::Done),
        NLMSG_ERROR => Some(Message::Error(i32::from_ne_bytes(at(message, HEADER)?))),
        SOCK_DIAG_BY_FAMILY => socket(message).map(Message::Socket),
        _ => None,
    }
}

fn socket(message: &[u8]) -> Option<Socket> {
    let family = *message.get(16)?;
    let end = |port: usize, address: usize| {
        let port = u16::from_be_bytes(at(message, port)?);
        Some(SocketAddr::new(ip(family, message, address)?, port))
    };
    let mut socket = Socket {
        state: State::from_number(*message.get(17)?),
        local: end(20, 24)?,
        remote: end(22, 40)?,
        id: FlowId(u64::from_ne_bytes(at(message, 60)?)),
        uid: u32_at(message, 80)?,
        inode: u32_at(message, 84)?,
        sent_bytes: None,
        received_bytes: None,
    };
    let info = attribute(message.get(ANSWER..)?, INET_DIAG_INFO).unwrap_or_default();
    let number = |offset| at(info, offset).map(u64::from_ne_bytes);
    socket.sent_bytes = number(BYTES_ACKED);
    socket.received_bytes = number(BYTES_RECEIVED);
    Some(socket)
}

/// IPv4 inside of IPv6 is IPv4: the same peer, whatever the program's socket.
fn ip(family: u8, message: &[u8], offset: usize) -> Option<IpAddr> {
    if family == Family::V4 as u8 {
        let bytes: [u8; 4] = at(message, offset)?;
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes: [u8; 16] = at(message, offset)?;
    (family == Family::V6 as u8).then(|| Ipv6Addr::from(bytes).to_canonical())
}

fn attribute(mut rest: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(at(rest, 0)?));
        let found = u16::from_ne_bytes(at(rest, 2)?);
        let value = rest.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    at(bytes, offset).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as the kernel writes it.
    fn answer(family: u8, state: u8, ends: [(u16, &[u8]); 2], info: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = vec![0; ANSWER];
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes[16] = family;
        bytes[17] = state;
        for ((port, address), (at_port, at_address)) in ends.into_iter().zip([(20, 24), (22, 40)]) {
            bytes[at_port..at_port + 2].copy_from_slice(&port.to_be_bytes());
            bytes[at_address..at_address + address.len()].copy_from_slice(address);
        }
        bytes[60..68].copy_from_slice(&77_u64.to_ne_bytes());
        bytes[80..84].copy_from_slice(&1001_u32.to_ne_bytes());
        bytes[84..88].copy_from_slice(&4242_u32.to_ne_bytes());
        // Another attribute first, of an odd length.
        bytes.extend([5, 0, 8, 0, 1, 0, 0, 0]);
        if let Some(info) = info {
            bytes.extend(u16::try_from(info.len() + 4).unwrap().to_ne_bytes());
            bytes.extend(INET_DIAG_INFO.to_ne_bytes());
            bytes.extend(info);
        }
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn answers_are_read_one_after_the_other() {
        let mut info = vec![0; 240];
        info[BYTES_ACKED..BYTES_ACKED + 8].copy_from_slice(&9_u64.to_ne_bytes());
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 2]);
        let mut datagram = answer(
            2,
            1,
            [(50_000, &[10, 0, 0, 1]), (443, &[10, 0, 0, 2])],
            Some(&info),
        );
        datagram.extend(answer(10, 10, [(22, &[0; 16]), (0, &[0; 16])], None));
        datagram.extend(answer(10, 2, [(22, &mapped), (1, &mapped)], None));
        datagram.extend([20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let found: Vec<Message> = messages(&datagram).collect();
        let [
            Message::Socket(v4),
            Message::Socket(v6),
            Message::Socket(inside),
            Message::Done,
        ] = found[..]
        else {
            panic!("{found:?}");
        };
        assert_eq!(v4.local, "10.0.0.1:50000".parse().unwrap());
        assert_eq!(v4.remote, "10.0.0.2:443".parse().unwrap());
        assert_eq!((v4.id, v4.uid, v4.inode), (FlowId(77), 1001, 4242));
        assert_eq!((v4.state, v4.sent_bytes), (State::Connected, Some(9)));
        assert_eq!((v6.state, v6.sent_bytes), (State::Listening, None));
        assert_eq!(v6.local, "[::]:22".parse().unwrap());
        assert_eq!(inside.local, "10.0.0.2:22".parse().unwrap());
    }

    #[test]
    fn a_refusal_has_its_number() {
        let mut bytes = vec![20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend((-13_i32).to_ne_bytes());
        assert_eq!(messages(&bytes).next(), Some(Message::Error(-13)));
    }

    #[test]
    fn a_request_says_what_it_wants() {
        let bytes = request(Family::V6, 7);
        assert_eq!(bytes[0], 72);
        assert_eq!((bytes[16], bytes[17]), (10, 6));
        let states = u32::from_ne_bytes(bytes[20..24].try_into().unwrap());
        assert_eq!(states & (1 << 6 | 1 << 7), 0, "neither TIME_WAIT nor CLOSE");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic_or_loop(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            let _ = messages(&bytes).count();
        }
    }
}
