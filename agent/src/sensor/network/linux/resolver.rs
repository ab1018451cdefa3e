//! systemd-resolved's monitor, where that runs: what programs on this machine were told about names. Root only.
//!
//! Programs that ask name servers themselves (browsers with DNS over HTTPS, containers) are not heard here.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::sensor::network::resolved::{self, Said};

const SOCKET: &str = "/run/systemd/resolve/io.systemd.Resolve.Monitor";

/// Bytes of one message; a cache may be long.
const MESSAGE_MAX: usize = 4 << 20;

/// Bytes that one call reads; more stay for the next.
const READ_MAX: usize = 1 << 20;

/// How long resolved may take to give its cache.
const ANSWER: Duration = Duration::from_secs(2);

/// The open monitor.
#[derive(Debug)]
pub(super) struct Resolver {
    stream: UnixStream,
    rest: Vec<u8>,
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Resolver {
    /// Asks to be told of every answer.
    pub(super) fn open() -> io::Result<Self> {
        let mut stream = UnixStream::connect(SOCKET)?;
        stream.write_all(resolved::SUBSCRIBE)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
        })
    }

    /// What the cache holds; nothing where resolved does not say.
    pub(super) fn cache() -> io::Result<Vec<(String, IpAddr)>> {
        let mut stream = UnixStream::connect(SOCKET)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(resolved::DUMP_CACHE)?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        while !bytes.contains(&0) && bytes.len() < MESSAGE_MAX {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            bytes.extend(buffer.get(..length).unwrap_or_default());
        }
        let message = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(match resolved::parse(message) {
            Some(Said::Addresses(pairs)) => pairs,
            _ => Vec::new(),
        })
    }

    /// The answers since the last call; an error where resolved is gone or refuses.
    pub(super) fn read(&mut self) -> io::Result<Vec<(String, IpAddr)>> {
        let mut buffer = [0; 16 << 10];
        let mut taken = 0;
        while taken < READ_MAX {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    taken += length;
                    self.rest.extend(buffer.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let Some(last) = self.rest.iter().rposition(|&byte| byte == 0) else {
            if self.rest.len() > MESSAGE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            return Ok(Vec::new());
        };
        let rest = self.rest.split_off(last + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let mut pairs = Vec::new();
        for message in whole.split(|&byte| byte == 0) {
            match resolved::parse(message) {
                Some(Said::Addresses(more)) => pairs.extend(more),
                Some(Said::Refused(error)) => return Err(io::Error::other(error)),
                None => {}
            }
        }
        Ok(pairs)
    }
}
