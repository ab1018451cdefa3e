//! What the programs in the kernel tell of processes, read from bytes. Pure: no map, no clock.
//!
//! ```text
//! head    0 u64 nanoseconds of the monotonic clock | 8 u64 start, nanoseconds after boot, sleep included
//!        16 u64 cgroup | 24 u32 kind | 28 u32 process | 32 u32 its parent | 36 u32 effective user
//!        40 u32 login uid | 44 u32 audit session | 48 u32 network namespace
//!        52 u32 exit: status as wait(2) gives it; exec: flags, 1 = the arguments could not be read
//! exec   56 u64 inode | 64 u64 size | 72 s64, 80 s64 modified and changed, seconds | 88 u32, 92 u32 and nanoseconds
//!        96 u32 device | 100 u32 names that the file has | 104 u32 bytes of the path | 108 u32 of the script
//!       112 u32 of the arguments | 116 u32 of the arguments as they are | 120 path | script | arguments
//! path    as in [`crate::sensor::bpf::path`]
//! ```
//!
//! Numbers are in the machine's byte order. Nothing here trusts a length.

const KIND_FORK: u32 = 1;
const KIND_EXEC: u32 = 2;
const KIND_EXIT: u32 = 3;
const FLAG_NO_ARGV: u32 = 1;
const EXEC_DATA: usize = 120;

/// The kernel (from 6.13 on) keeps in the uppermost bit of these nanoseconds whether anybody has asked for them.
const NANOSECONDS: u32 = u32::MAX >> 1;

/// Login uid and audit session that are not set.
const UNSET: u32 = u32::MAX;

/// What each record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Monotonic clock.
    pub(super) time_ns: u64,
    /// Its start, on the clock that goes on while the machine sleeps.
    pub(super) start_ns: u64,
    /// The process.
    pub(super) pid: u32,
    /// Its parent now.
    pub(super) parent: u32,
    /// Effective user.
    pub(super) uid: u32,
    /// Who logged in, where set.
    pub(super) login_uid: Option<u32>,
    /// In which session, where set.
    pub(super) session: Option<u32>,
    /// Inode of its network namespace.
    pub(super) network: u64,
}

/// A file as the kernel has it in its memory; device and times may be told otherwise by its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KernelFile {
    pub(super) device: u32,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, u32),
    /// Seconds and nanoseconds.
    pub(super) changed: (i64, u32),
}

/// What a process executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exec<'a> {
    pub(super) file: KernelFile,
    /// It has no name any more, or never had one.
    pub(super) is_deleted: bool,
    /// As drawn above.
    pub(super) path: &'a [u8],
    /// Arguments, each ended by a zero byte; `None` where they could not be read.
    pub(super) argv: Option<&'a [u8]>,
    /// There are more of them.
    pub(super) is_cut: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// It began.
    Fork,
    /// It executed another image.
    Exec(Exec<'a>),
    /// It ended, with this status.
    Exit(u32),
}

/// Reads a record; `None` where it makes no sense.
pub(super) fn parse(bytes: &[u8]) -> Option<(Head, What<'_>)> {
    let set = |id: u32| Some(id).filter(|id| *id != UNSET);
    let head = Head {
        time_ns: u64_at(bytes, 0)?,
        start_ns: u64_at(bytes, 8)?,
        pid: u32_at(bytes, 28)?,
        parent: u32_at(bytes, 32)?,
        uid: u32_at(bytes, 36)?,
        login_uid: set(u32_at(bytes, 40)?),
        session: set(u32_at(bytes, 44)?),
        network: u32_at(bytes, 48)?.into(),
    };
    let status = u32_at(bytes, 52)?;
    let what = match u32_at(bytes, 24)? {
        KIND_FORK => What::Fork,
        KIND_EXEC => What::Exec(exec(bytes, status)?),
        KIND_EXIT => What::Exit(status),
        _ => return None,
    };
    Some((head, what))
}

fn exec(bytes: &[u8], flags: u32) -> Option<Exec<'_>> {
    let length = |at| usize::try_from(u32_at(bytes, at)?).ok();
    let data = bytes.get(EXEC_DATA..)?;
    let (path, data) = data.split_at_checked(length(104)?)?;
    let (_script, data) = data.split_at_checked(length(108)?)?;
    let argv = data.get(..length(112)?)?;
    let seconds = |at| Some(i64::from_ne_bytes(at_bytes(bytes, at)?));
    Some(Exec {
        file: KernelFile {
            device: u32_at(bytes, 96)?,
            inode: u64_at(bytes, 56)?,
            size: u64_at(bytes, 64)?,
            modified: (seconds(72)?, u32_at(bytes, 88)?),
            changed: (seconds(80)?, u32_at(bytes, 92)? & NANOSECONDS),
        },
        is_deleted: u32_at(bytes, 100)? == 0,
        path,
        argv: (flags & FLAG_NO_ARGV == 0).then_some(argv),
        is_cut: length(116)? > argv.len(),
    })
}

fn at_bytes<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
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

    fn record(kind: u32, status: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend([5_u64, 6, 7].into_iter().flat_map(u64::to_ne_bytes));
        let numbers = [kind, 42, 41, 1000, UNSET, 3, 4_026_531_840, status];
        bytes.extend(numbers.into_iter().flat_map(u32::to_ne_bytes));
        bytes
    }

    fn exec_record(path: &[u8], script: &[u8], argv: &[u8], total: u32) -> Vec<u8> {
        let mut bytes = record(KIND_EXEC, 0);
        bytes.extend([9_u64, 100, 11, 12].into_iter().flat_map(u64::to_ne_bytes));
        let of = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let asked = 1 << 31;
        let numbers = [1, 2 | asked, 99, 1, of(path), of(script), of(argv), total];
        bytes.extend(numbers.into_iter().flat_map(u32::to_ne_bytes));
        assert_eq!(bytes.len(), EXEC_DATA);
        bytes.extend([path, script, argv].concat());
        bytes
    }

    #[test]
    fn a_fork_and_an_exit_are_read() {
        let fork = record(KIND_FORK, 0);
        let (head, what) = parse(&fork).unwrap();
        assert_eq!(what, What::Fork);
        assert_eq!((head.time_ns, head.start_ns), (5, 6));
        assert_eq!((head.pid, head.parent, head.uid), (42, 41, 1000));
        assert_eq!((head.login_uid, head.session), (None, Some(3)));
        assert_eq!(head.network, 4_026_531_840);
        let exit = record(KIND_EXIT, 256);
        assert_eq!(parse(&exit).unwrap().1, What::Exit(256));
        assert_eq!(parse(&record(9, 0)), None, "an unknown kind");
    }

    #[test]
    fn an_exec_has_its_file_and_its_arguments() {
        let bytes = exec_record(b"true\0bin\0", b"", b"true\0-x\0", 8);
        let Some((_, What::Exec(exec))) = parse(&bytes) else {
            panic!("an exec");
        };
        assert_eq!(exec.argv, Some(b"true\0-x\0".as_slice()));
        assert!(!exec.is_cut && !exec.is_deleted);
        assert_eq!(exec.path, b"true\0bin\0");
        let file = KernelFile {
            device: 99,
            inode: 9,
            size: 100,
            modified: (11, 1),
            changed: (12, 2),
        };
        assert_eq!(exec.file, file);
    }

    #[test]
    fn what_is_missing_is_said() {
        let cut = exec_record(b"", b"/x\0", b"true\0", 9);
        let Some((_, What::Exec(exec))) = parse(&cut) else {
            panic!("an exec");
        };
        assert!(exec.is_cut);
        assert_eq!(exec.argv, Some(b"true\0".as_slice()), "behind the script");
        assert_eq!(exec.path, b"", "unknown");
        let mut unread = exec_record(b"x\0", b"", b"", 5);
        unread[52..56].copy_from_slice(&FLAG_NO_ARGV.to_ne_bytes());
        let Some((_, What::Exec(exec))) = parse(&unread) else {
            panic!("an exec");
        };
        assert_eq!(exec.argv, None);
    }

    #[test]
    fn a_cut_record_is_nothing() {
        let whole = exec_record(b"true\0bin\0", b"/s\0", b"true\0-x\0", 8);
        for end in 0..whole.len() {
            assert_eq!(parse(whole.get(..end).unwrap()), None, "cut at {end}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
