//! What `/proc` tells of a process. The parsers are pure; [`ProcFiles`] reads the files for them.
//!
//! A process may end at any moment, so everything here may be missing. The one thing that must not happen is to
//! read of another process which got the same pid: [`Stat::start_ticks`] is compared by the caller.

use std::ffi::CString;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::libc;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use tocsin_proto::limits::{ARGV_BYTES_MAX, PATH_BYTES_MAX};

use super::clocks::Clocks;
use super::namespace::network_inode;
use super::table::{Login, ProcessFiles};
use super::{ArgvState, Image};
use crate::hash::{FileIdentity, FileNumbers, Hasher, open_unread};

/// Flag of a kernel thread in `stat`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Login uid and audit session that are not set.
const UNSET: u32 = u32::MAX;

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// One letter; `Z` has ended.
    pub(super) state: u8,
    /// Who is its parent *now*: the creator, or whoever took it over.
    pub(super) parent: u32,
    /// Whether it is a thread of the kernel.
    pub(super) kernel: bool,
    /// Its threads, the first included.
    pub(super) threads: u32,
    /// Clock ticks from boot to its start.
    pub(super) start_ticks: u64,
}

impl Stat {
    /// Whether it is only waiting for its parent to take notice of its end.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// Whether it runs, wants to, or waits for the disk: it does not wait for something to do.
    pub(super) fn has_no_rest(&self) -> bool {
        matches!(self.state, b'R' | b'D')
    }
}

/// Reads `/proc/PID/stat`. The name of the program in it may hold anything, parentheses and line ends too.
pub(super) fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let after_name = bytes.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(bytes.get(after_name + 1..)?).ok()?;
    // Field 3 of proc_pid_stat(5) is the first here.
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(4)?.parse().ok()?;
    let threads = fields.nth(10)?.parse().ok()?;
    let start_ticks = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        state,
        parent,
        kernel: flags & PF_KTHREAD != 0,
        threads,
        start_ticks,
    })
}

/// The effective user id in `/proc/PID/status`.
pub(super) fn parse_effective_uid(bytes: &[u8]) -> Option<u32> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Uid:"))?;
    let line = std::str::from_utf8(line).ok()?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A command line of which at most one byte more than the limit was read.
pub(super) fn argv_from(bytes: &[u8]) -> (Box<[u8]>, ArgvState) {
    if bytes.is_empty() {
        return (Box::default(), ArgvState::Unread);
    }
    match bytes.get(..ARGV_BYTES_MAX) {
        Some(cut) if bytes.len() > ARGV_BYTES_MAX => (cut.into(), ArgvState::Truncated),
        _ => (bytes.into(), ArgvState::Read),
    }
}

fn parse_id(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.trim().parse().ok().filter(|id| *id != UNSET)
}

/// What identifies the file that an `exe` link stands for, whatever its path leads to by now. Takes what the kernel
/// has at hand: a file system in user space is not asked, as it may never answer.
pub(super) fn file_numbers(path: &Path) -> std::io::Result<FileNumbers> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statx is plain numbers, for which zeros are valid.
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero byte and both outlive the call, which writes one statx.
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    let result = unsafe {
        libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_STATX_DONT_SYNC,
            libc::STATX_BASIC_STATS,
            &raw mut found,
        )
    };
    Errno::result(result)?;
    if u32::from(found.stx_mode) & libc::S_IFMT != libc::S_IFREG {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let time = |time: libc::statx_timestamp| (time.tv_sec, i64::from(time.tv_nsec));
    Ok(FileNumbers {
        device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        size: found.stx_size,
        modified: time(found.stx_mtime),
        changed: time(found.stx_ctime),
    })
}

/// Reads `/proc`. One per sensor; it reuses its buffers.
#[derive(Debug)]
pub(super) struct ProcFiles {
    hasher: Arc<Hasher>,
    path: String,
    buffer: Box<[u8]>,
    /// Whether this kernel keeps login uids.
    has_login_uid: bool,
    ticks_per_second: u64,
}

impl ProcFiles {
    /// Reads, and has executables hashed by `hasher`.
    pub(super) fn new(hasher: Arc<Hasher>) -> Self {
        Self {
            hasher,
            path: String::new(),
            buffer: vec![0; ARGV_BYTES_MAX + 1].into(),
            has_login_uid: Path::new("/proc/self/loginuid").exists(),
            ticks_per_second: sysconf(SysconfVar::CLK_TCK)
                .ok()
                .flatten()
                .and_then(|ticks| u64::try_from(ticks).ok())
                .unwrap_or(100),
        }
    }

    /// Path of a file of the process, in the buffer.
    fn path<'a>(buffer: &'a mut String, pid: u32, name: &str) -> &'a Path {
        buffer.clear();
        // Writing to a string cannot fail.
        let _infallible = write!(buffer, "/proc/{pid}/{name}");
        Path::new(buffer)
    }

    /// Up to a buffer full of the file; empty where it cannot be read.
    fn read(&mut self, pid: u32, name: &str) -> &[u8] {
        let Ok(mut file) = File::open(Self::path(&mut self.path, pid, name)) else {
            return &[];
        };
        // The kernel gives each of these files in one piece, as far as the buffer goes.
        let read = loop {
            match file.read(&mut self.buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let length = read.unwrap_or(0);
        self.buffer.get(..length).unwrap_or_default()
    }
}

impl ProcessFiles for ProcFiles {
    fn pids(&mut self) -> std::io::Result<Vec<u32>> {
        let entries = std::fs::read_dir("/proc")?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect())
    }

    fn image(&mut self, pid: u32) -> Image {
        // First what is gone soonest.
        let (argv, argv_state) = argv_from(self.read(pid, "cmdline"));
        let path = Self::path(&mut self.path, pid, "exe");
        let mut executable = std::fs::read_link(path)
            .map(|path| path.into_os_string().into_vec())
            .unwrap_or_default();
        executable.truncate(PATH_BYTES_MAX);
        let file = file_numbers(path).ok().map(FileIdentity::from);
        if let Some(file) = file {
            self.hasher.request(file, || open_unread(path));
        }
        Image {
            executable: executable.into(),
            argv,
            argv_state,
            file,
        }
    }

    fn stat(&mut self, pid: u32) -> Option<Stat> {
        parse_stat(self.read(pid, "stat"))
    }

    fn login(&mut self, pid: u32) -> Option<Login> {
        if !self.has_login_uid {
            return None;
        }
        let login_uid = self.read(pid, "loginuid");
        if login_uid.is_empty() {
            return None;
        }
        // The kernel sets both or none.
        Some(match parse_id(login_uid) {
            None => Login::default(),
            Some(uid) => Login {
                uid: Some(uid),
                session: parse_id(self.read(pid, "sessionid")),
            },
        })
    }

    fn effective_uid(&mut self, pid: u32) -> Option<u32> {
        parse_effective_uid(self.read(pid, "status"))
    }

    fn network_namespace(&mut self, pid: u32) -> Option<u64> {
        network_inode(Self::path(&mut self.path, pid, "ns/net"))
    }

    fn clocks(&mut self) -> Clocks {
        let ns = |clock| {
            let time = clock_gettime(clock).unwrap_or_else(|_| TimeSpec::new(0, 0));
            time.tv_sec()
                .saturating_mul(1_000_000_000)
                .saturating_add(time.tv_nsec())
        };
        Clocks {
            monotonic_ns: u64::try_from(ns(ClockId::CLOCK_MONOTONIC)).unwrap_or(0),
            boot_ns: u64::try_from(ns(ClockId::CLOCK_BOOTTIME)).unwrap_or(0),
            wall_ns: ns(ClockId::CLOCK_REALTIME),
            ticks_per_second: self.ticks_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_calls_itself() {
        let fields =
            "S 77 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 123456 1000 50 18446744073709551615";
        for name in [
            "bash",
            "a b",
            "evil) R 1 1",
            ")",
            "(()) 1 2 3\nx",
            "\u{fffd}\u{1b}",
        ] {
            let line = format!("4242 ({name}) {fields}\n");
            let stat = parse_stat(line.as_bytes()).unwrap();
            assert_eq!(
                stat,
                Stat {
                    state: b'S',
                    parent: 77,
                    kernel: false,
                    threads: 3,
                    start_ticks: 123_456
                },
                "{name}"
            );
        }
        let mut bytes = b"1 (\xff\xfe) ".to_vec();
        bytes.extend_from_slice(fields.as_bytes());
        assert!(parse_stat(&bytes).is_some(), "not UTF-8");
    }

    #[test]
    fn a_cut_stat_line_is_none() {
        let line = b"1 (x) S 77 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 123456";
        for end in 0..line.len() - 6 {
            assert_eq!(parse_stat(line.get(..end).unwrap()), None, "cut at {end}");
        }
    }

    #[test]
    fn a_kernel_thread_is_told_by_its_flag() {
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 4 0 0";
        assert!(parse_stat(line).unwrap().kernel);
    }

    #[test]
    fn the_effective_user_is_the_second_of_four() {
        let status = b"Name:\tUid: 7\nUmask:\t0022\nUid:\t1000\t33\t1000\t1000\nGid:\t5\t5\t5\t5\n";
        assert_eq!(parse_effective_uid(status), Some(33));
        assert_eq!(parse_effective_uid(b""), None);
        assert_eq!(parse_effective_uid(b"Uid:\t1000\n"), None);
    }

    #[test]
    fn a_command_line_is_whole_cut_or_unread() {
        assert_eq!(argv_from(b"").1, ArgvState::Unread);
        assert_eq!(argv_from(b"ls\0"), ((*b"ls\0").into(), ArgvState::Read));
        let full = vec![b'x'; ARGV_BYTES_MAX];
        assert_eq!(argv_from(&full).1, ArgvState::Read);
        let more = vec![b'x'; ARGV_BYTES_MAX + 1];
        let (argv, state) = argv_from(&more);
        assert_eq!((argv.len(), state), (ARGV_BYTES_MAX, ArgvState::Truncated));
    }

    #[test]
    fn unset_ids_are_absent() {
        assert_eq!(parse_id(b"4294967295"), None);
        assert_eq!(parse_id(b"1000\n"), Some(1000));
        assert_eq!(parse_id(b""), None);
    }

    #[test]
    fn a_file_is_identified_as_the_hasher_does_it() {
        let path = Path::new("/proc/self/exe");
        let metadata = std::fs::metadata(path).unwrap();
        let identity = file_numbers(path).ok().map(FileIdentity::from);
        assert_eq!(identity, FileIdentity::of(&metadata));
        assert!(file_numbers(Path::new("/proc")).is_err());
        assert!(file_numbers(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn this_process_can_be_read() {
        let mut files = ProcFiles::new(Arc::new(Hasher::start(0).unwrap()));
        let pid = std::process::id();
        let image = files.image(pid);
        assert_eq!(
            image.executable.as_ref(),
            std::env::current_exe().unwrap().as_os_str().as_bytes()
        );
        assert_eq!(image.argv_state, ArgvState::Read);
        assert_eq!(
            files.stat(pid).unwrap().parent,
            std::os::unix::process::parent_id()
        );
        assert_eq!(
            files.effective_uid(pid),
            Some(nix::unistd::geteuid().as_raw())
        );
        assert!(files.pids().unwrap().contains(&pid));
        assert!(files.network_namespace(pid).is_some());
        assert_eq!(files.stat(u32::MAX), None);
        assert_eq!(files.image(u32::MAX), Image::unread());
    }
}
