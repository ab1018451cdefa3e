//! The allocator: memory that a storm took goes back to the machine when it is over.
//!
//! glibc keeps what was freed for itself, in one arena for each thread that was ever busy. An agent is busy for moments
//! and at rest for hours, so it has few arenas, large pieces are the kernel's at once, and after much work what is free
//! is given back. Other allocators are left as they are.

/// Arenas: the sensors' threads seldom allocate at the same time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS_MAX: i32 = 2;

/// Pieces from this size on are mapped one by one and unmapped when they are freed; glibc would raise the limit by itself.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_FROM_BYTES: i32 = 128 << 10;

/// Sets the allocator up; before threads are started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn prepare() {
    use nix::libc;
    for (what, value) in [
        (libc::M_ARENA_MAX, ARENAS_MAX),
        (libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
    ] {
        // SAFETY: plain numbers; the allocator takes its own lock.
        #[expect(unsafe_code, reason = "no safe wrapper exists")]
        let is_set = unsafe { libc::mallopt(what, value) };
        if is_set == 0 {
            tracing::debug!(what, "the allocator cannot be set up");
        }
    }
}

/// Gives back what is free. Takes some milliseconds where that is much.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    // SAFETY: a plain number; the allocator takes its own locks, and what is in use stays where it is.
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    let _gave_some = unsafe { nix::libc::malloc_trim(0) };
}

/// Sets the allocator up; before threads are started.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn prepare() {}

/// Gives back what is free. Takes some milliseconds where that is much.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_goes_back() {
        let resident = || crate::health::usage().resident_bytes;
        prepare();
        // Small pieces, so that none is mapped by itself; every 64th stays, so that no end of the heap is free.
        let mut pieces: Vec<Box<[u8]>> = (0..64 << 10).map(|_| vec![1; 1 << 10].into()).collect();
        let full = resident();
        let mut number = 0_usize;
        pieces.retain(|_| {
            number += 1;
            number.is_multiple_of(64)
        });
        give_back();
        let after = resident();
        assert!(
            full > after + (32 << 20),
            "{full} bytes before, {after} after"
        );
        assert_eq!(pieces.len(), 1 << 10);
    }
}
