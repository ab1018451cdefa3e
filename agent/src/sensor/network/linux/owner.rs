//! Which process holds a socket: found in `/proc/PID/fd` by the socket's inode.
//!
//! That costs as much as the machine has open files, so it is done only for sockets that are new, stops when all of
//! them are found, and looks first where new sockets were found lately, then at processes of the socket's account,
//! then at the others.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tocsin_proto::limits::PATH_BYTES_MAX;

use crate::sensor::network::diag::Socket;
use crate::sensor::network::flow::Owner;
use crate::text::cut_at;

/// Processes that are remembered as makers of sockets.
const LIKELY_MAX: usize = 64;

/// Processes whose facts are remembered; at more, all are read anew.
const KNOWN_MAX: usize = 4096;

/// How far up a socket's maker is looked for.
const ANCESTORS_MAX: usize = 8;

/// Fields of `/proc/PID/stat`, counted from behind the name.
const PARENT: usize = 1;
const START: usize = 19;

/// Finds owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Who made a socket lately, the latest last.
    likely: Vec<u32>,
    known: HashMap<u32, Arc<Owner>>,
}

impl Owners {
    /// The processes that hold these sockets, by inode.
    pub(super) fn find(&mut self, sockets: &[Socket]) -> HashMap<u32, Arc<Owner>> {
        let mut wanted: HashSet<u32> = sockets.iter().map(|socket| socket.inode).collect();
        let accounts: HashSet<u32> = sockets.iter().map(|socket| socket.uid).collect();
        let mut found = HashMap::new();
        let mut looked = HashSet::new();
        for pid in self.likely.clone().into_iter().rev() {
            looked.insert(pid);
            self.look(pid, &mut wanted, &mut found);
            if wanted.is_empty() {
                return found;
            }
        }
        let (own, others): (Vec<u32>, Vec<u32>) = processes()
            .into_iter()
            .filter(|pid| !looked.contains(pid))
            .partition(|&pid| account(pid).is_some_and(|uid| accounts.contains(&uid)));
        // The youngest first: a new socket is more often that of a new process.
        for pid in own.into_iter().chain(others) {
            if wanted.is_empty() {
                break;
            }
            self.look(pid, &mut wanted, &mut found);
        }
        found
    }

    fn look(&mut self, pid: u32, wanted: &mut HashSet<u32>, found: &mut HashMap<u32, Arc<Owner>>) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            self.known.remove(&pid);
            self.likely.retain(|&likely| likely != pid);
            return;
        };
        let inodes: Vec<u32> = files
            .filter_map(|file| socket_inode(&fs::read_link(file.ok()?.path()).ok()?))
            .filter(|inode| wanted.remove(inode))
            .collect();
        if inodes.is_empty() {
            return;
        }
        for inode in inodes {
            let pid = maker(pid, inode);
            let Some(owner) = self.describe(pid) else {
                continue;
            };
            self.likely.retain(|&likely| likely != pid);
            self.likely.push(pid);
            if self.likely.len() > LIKELY_MAX {
                self.likely.remove(0);
            }
            found.insert(inode, owner);
        }
    }

    fn describe(&mut self, pid: u32) -> Option<Arc<Owner>> {
        let start_ticks = field(&fs::read(format!("/proc/{pid}/stat")).ok()?, START)?;
        let executable = executable(pid);
        let number = |file: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
            text.trim()
                .parse()
                .ok()
                .filter(|&number| number != u32::MAX)
        };
        let owner = Owner {
            pid,
            start_ticks,
            executable,
            uid: account(pid),
            login_uid: number("loginuid"),
            audit_session: number("sessionid"),
        };
        // One allocation for a process with many sockets, as long as nothing about it changes.
        if let Some(known) = self.known.get(&pid).filter(|known| ***known == owner) {
            return Some(Arc::clone(known));
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let owner = Arc::new(owner);
        self.known.insert(pid, Arc::clone(&owner));
        Some(owner)
    }
}

/// Of a holder and its ancestors, the eldest that holds the socket in one line: the others inherited it. Not the
/// first process, which keeps the sockets of those it starts.
fn maker(holder: u32, inode: u32) -> u32 {
    let mut maker = holder;
    for _ in 0..ANCESTORS_MAX {
        let parent = fs::read(format!("/proc/{maker}/stat"))
            .ok()
            .and_then(|stat| field(&stat, PARENT))
            .and_then(|parent| u32::try_from(parent).ok())
            .filter(|&parent| parent > 1);
        match parent {
            Some(parent) if holds(parent, inode) => maker = parent,
            _ => break,
        }
    }
    maker
}

fn holds(pid: u32, inode: u32) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
        files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .any(|link| socket_inode(&link) == Some(inode))
    })
}

/// All processes, the highest number first.
fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    pids
}

/// The account of a process.
fn account(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}"))
        .ok()
        .map(|metadata| metadata.uid())
}

fn executable(pid: u32) -> String {
    fs::read_link(format!("/proc/{pid}/exe"))
        .map(|path| cut_at(path.to_string_lossy().into_owned(), PATH_BYTES_MAX))
        .unwrap_or_default()
}

/// `socket:[12345]`
fn socket_inode(link: &std::path::Path) -> Option<u32> {
    let text = link.as_os_str().as_bytes().strip_prefix(b"socket:[")?;
    std::str::from_utf8(text.strip_suffix(b"]")?)
        .ok()?
        .parse()
        .ok()
}

/// A field of `/proc/PID/stat`, counted from behind the name, which may hold anything.
fn field(stat: &[u8], index: usize) -> Option<u64> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_an_odd_name() {
        let stat = b"7 (a) b) ) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(field(stat, START), Some(4711));
        assert_eq!(field(stat, PARENT), Some(1));
        assert_eq!(field(b"7 (a", START), None);
    }

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        let inode = |text: &str| socket_inode(std::path::Path::new(text));
        assert_eq!(inode("socket:[12345]"), Some(12345));
        assert_eq!(inode("pipe:[12345]"), None);
        assert_eq!(inode("socket:[x]"), None);
    }
}
