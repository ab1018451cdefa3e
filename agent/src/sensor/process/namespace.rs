//! Network namespaces: where the kernel's end of the proc connector lives, and which processes are in the agent's.
//!
//! The kernel sends process events only in the initial network namespace. An agent in another one asks from a
//! short-lived thread that has moved to the initial one; the socket stays there, the agent does not.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use super::procfs::parse_stat;
use crate::config::Scope;

/// The namespace a link like `/proc/PID/ns/net` stands for, by its inode.
pub(super) fn network_inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// The network namespace of a process.
pub(super) fn network_inode_of(pid: u32) -> Option<u64> {
    network_inode(Path::new(&format!("/proc/{pid}/ns/net")))
}

/// The network namespace of the calling thread.
pub(crate) fn own_network() -> Option<u64> {
    network_inode(Path::new("/proc/thread-self/ns/net"))
}

/// The network namespace that `scope` restricts a sensor to, as far as it can be told by looking.
pub(super) fn restriction(scope: Scope) -> Option<u64> {
    let own = own_network();
    match scope {
        Scope::Machine => None,
        Scope::Namespace => own,
        Scope::Auto => {
            let initial = network_inode_of(initial_pid());
            own.filter(|_| initial.is_some() && own != initial)
        }
    }
}

/// Runs `work` on a thread in the initial network namespace.
pub(crate) fn in_initial<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = open_initial()?;
    std::thread::scope(|scope| {
        let moved = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            Ok(work())
        });
        moved
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}

fn open_initial() -> io::Result<File> {
    File::open(format!("/proc/{}/ns/net", initial_pid()))
}

/// Who is in the initial network namespace: the kernel's own threads, which cannot leave it, or else the first
/// process.
fn initial_pid() -> u32 {
    let of_kernel = std::fs::read("/proc/2/stat")
        .ok()
        .and_then(|stat| parse_stat(&stat))
        .is_some_and(|stat| stat.kernel);
    if of_kernel { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_has_an_inode() {
        let own = network_inode(Path::new("/proc/self/ns/net"));
        assert!(own.is_some());
        assert_eq!(own, network_inode(Path::new("/proc/thread-self/ns/net")));
        assert_eq!(network_inode(Path::new("/proc/self/ns/none")), None);
        assert_eq!(restriction(Scope::Namespace), own);
        assert_eq!(restriction(Scope::Machine), None);
    }
}
