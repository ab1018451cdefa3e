//! Who a process is, as far as `/proc` still tells. What is gone stays unknown.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::sensor::file::change::Actor;

/// The process of this number; its image and start are unknown where it has ended.
pub(super) fn actor(pid: u32) -> Actor {
    let executable = fs::read_link(format!("/proc/{pid}/exe"));
    let executable = executable.map(|path| path.to_string_lossy().into_owned());
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let owner = fs::metadata(format!("/proc/{pid}"));
    Actor {
        pid,
        start_ticks: start_ticks(&stat).unwrap_or(0),
        executable: executable.unwrap_or_default(),
        uid: owner.ok().map(|one| one.uid()),
    }
}

/// Whether only root can write the program's file.
pub(super) fn is_of_root(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}/exe"))
        .is_ok_and(|file| file.uid() == 0 && file.mode() & 0o022 == 0)
}

/// Field 22 of `/proc/PID/stat`, counted from behind the name, which may hold anything.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_stands_behind_a_name_that_may_hold_anything() {
        let stat = b"7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_ticks(stat), Some(4711));
        assert_eq!(start_ticks(b"7 (a"), None);
        assert_eq!(start_ticks(b""), None);
    }

    #[test]
    fn this_process_is_known_and_one_that_is_none_is_not() {
        let this = actor(std::process::id());
        assert!(this.start_ticks > 0 && !this.executable.is_empty() && this.uid.is_some());
        let none = actor(u32::MAX);
        assert_eq!(
            (none.start_ticks, &*none.executable, none.uid),
            (0, "", None)
        );
    }
}
