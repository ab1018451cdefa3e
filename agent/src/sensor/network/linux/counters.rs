//! The files of the kernel's counts, kept open: reading them costs some ten microseconds, however many sockets there are.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::sensor::network::counts::{self, Counts};

/// Bytes of one of the files; they have one or two thousand.
const FILE_BYTES_MAX: usize = 16 << 10;

/// The files, in the order in which [`counts::parse`] wants them.
const FILES: [&str; 3] = ["snmp", "sockstat", "sockstat6"];

/// Reads the counts of one network namespace.
#[derive(Debug)]
pub(super) struct Counters {
    files: [Option<File>; 3],
    buffer: Box<[u8]>,
}

impl Counters {
    /// Of the network namespace of the calling thread.
    pub(super) fn open() -> Self {
        Self {
            files: FILES.map(|name| File::open(format!("/proc/thread-self/net/{name}")).ok()),
            buffer: vec![0; FILE_BYTES_MAX].into(),
        }
    }

    /// The counts now; `None` where the kernel does not tell them.
    pub(super) fn read(&mut self) -> Option<Counts> {
        let mut texts = [const { String::new() }; 3];
        for (text, file) in texts.iter_mut().zip(&self.files) {
            let Some(file) = file else { continue };
            let length = file.read_at(&mut self.buffer, 0).ok()?;
            let bytes = self.buffer.get(..length).unwrap_or_default();
            text.push_str(std::str::from_utf8(bytes).ok()?);
        }
        let [snmp, sockstat, sockstat6] = &texts;
        counts::parse(snmp, sockstat, sockstat6)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_changes_the_counts_and_leaves_a_trace_in_them() {
        let mut counters = Counters::open();
        let before = counters.read().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let connected = counters.read().unwrap();
        assert_ne!(connected, before);
        drop((client, listener));
        assert_ne!(counters.read().unwrap(), before, "it has been there");
    }
}
