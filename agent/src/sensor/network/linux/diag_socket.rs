//! The kernel's socket diagnostics: one netlink socket that asks for scans, one that hears of sockets that are no more.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_sys::{Socket as Netlink, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use crate::sensor::network::diag::{self, Family, Message, Socket};

const NETLINK_SOCK_DIAG: isize = 4;
/// Groups for destroyed TCP sockets, from linux/sock_diag.h.
const GROUPS_DESTROYED: [u32; 2] = [1, 3];

/// Bytes of one datagram of the kernel.
const DATAGRAM: usize = 32 << 10;

/// Bytes that the kernel may keep for us: some ten thousand notices.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How long the kernel may take to answer.
const ANSWER_MS: u16 = 5_000;

/// Asks for scans.
pub(super) struct Scanner {
    socket: Netlink,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").finish_non_exhaustive()
    }
}

impl Scanner {
    /// For the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; DATAGRAM].into(),
        })
    }

    /// Shows every TCP socket to `see`.
    pub(super) fn scan(&mut self, mut see: impl FnMut(&Socket)) -> io::Result<()> {
        for family in [Family::V4, Family::V6] {
            match self.scan_family(family, &mut see) {
                // A kernel without IPv6.
                Err(error) if family == Family::V6 && is_unknown(&error) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn scan_family(&mut self, family: Family, see: &mut impl FnMut(&Socket)) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = diag::request(family, self.sequence);
        self.socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
        loop {
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(ANSWER_MS)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            for message in diag::messages(self.buffer.get(..length).unwrap_or_default()) {
                match message {
                    Message::Socket(socket) => see(&socket),
                    Message::Done => return Ok(()),
                    Message::Error(number) => {
                        return Err(io::Error::from_raw_os_error(number.saturating_neg()));
                    }
                }
            }
        }
    }
}

fn is_unknown(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::EINVAL as i32)
}

/// Hears of sockets that are no more.
pub(super) struct Notices {
    socket: Netlink,
    buffer: Box<[u8]>,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Notices {
    /// For the network namespace of the calling thread; needs CAP_NET_ADMIN.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
        // Beyond the system's limit, where that is allowed; a smaller one works too, losses are reported.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _smaller = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        socket.bind_auto()?;
        for group in GROUPS_DESTROYED {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: vec![0; DATAGRAM].into(),
        })
    }

    /// Hands every notice to `take`; true where the kernel had to drop some.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&Socket)) -> io::Result<bool> {
        let mut lost = false;
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => {
                    for message in diag::messages(self.buffer.get(..length).unwrap_or_default()) {
                        if let Message::Socket(socket) = message {
                            take(&socket);
                        }
                    }
                }
                Err(Errno::EAGAIN) => return Ok(lost),
                Err(Errno::ENOBUFS) => lost = true,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
