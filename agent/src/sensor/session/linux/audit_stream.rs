//! The kernel's audit stream: a multicast that root may read beside the system's own audit daemon, without touching
//! the audit configuration. It says something only where auditing is enabled.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::sensor::session::audit;
use crate::sensor::session::record::Record;

const NETLINK_AUDIT: isize = 9;
const GROUP_READ_LOG: u32 = 1;
const AUDIT_GET: u16 = 1000;
const NLM_F_REQUEST: u16 = 1;
const HEADER: usize = 16;

/// Bytes that the kernel may keep for us: some thousand records.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Longest record of the kernel, with its header.
const RECORD_MAX: usize = 8970 + HEADER;

/// Records that one call reads; more stay for the next.
const READ_MAX: usize = 4096;

/// How long the kernel may take to say whether it audits.
const ANSWER_MS: u16 = 1000;

/// What a call found.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Records that speak of logins.
    pub(super) records: Vec<Record>,
    /// The kernel had to drop some.
    pub(super) lost: bool,
    /// There is more to read at once.
    pub(super) more: bool,
}

/// The stream.
pub(super) struct AuditStream {
    socket: Socket,
    buffer: Box<[u8]>,
}

impl std::fmt::Debug for AuditStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditStream").finish_non_exhaustive()
    }
}

impl AsFd for AuditStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AuditStream {
    /// Opens it in the network namespace of the calling thread. Only in the initial one does the kernel say anything.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_AUDIT)?;
        // A smaller buffer works too; losses are reported.
        let _smaller = socket.set_rx_buf_sz(i32::try_from(RECEIVE_BUFFER).unwrap_or(i32::MAX));
        socket.bind(&SocketAddr::new(0, GROUP_READ_LOG))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: vec![0; RECORD_MAX].into(),
        })
    }

    /// Reads what has come.
    pub(super) fn read(&mut self) -> io::Result<Heard> {
        let mut heard = Heard::default();
        for _ in 0..READ_MAX {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => heard.records.extend(
                    self.buffer
                        .get(..length)
                        .and_then(message)
                        .and_then(|(kind, payload)| audit::parse(kind, payload)),
                ),
                Err(Errno::EAGAIN) => return Ok(heard),
                Err(Errno::ENOBUFS) => heard.lost = true,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        heard.more = true;
        Ok(heard)
    }
}

/// Type and payload of a netlink message.
fn message(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let kind = bytes.get(4..6)?.try_into().ok()?;
    Some((u16::from_ne_bytes(kind), bytes.get(HEADER..)?))
}

/// Asks the kernel whether it audits, in the network namespace of the calling thread.
pub(super) fn is_enabled() -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_AUDIT)?;
    socket.bind_auto()?;
    let mut request = Vec::with_capacity(HEADER);
    request.extend(u32::try_from(HEADER).unwrap_or(0).to_ne_bytes());
    request.extend(AUDIT_GET.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ready, PollTimeout::from(ANSWER_MS))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut buffer = [0; 256];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
    let answer = buffer.get(..length).and_then(message);
    match answer {
        // struct audit_status: mask, enabled, ...
        Some((AUDIT_GET, status)) => Ok(status.get(4..8).is_some_and(|enabled| enabled != [0; 4])),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}
