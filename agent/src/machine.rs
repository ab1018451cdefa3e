//! Facts about this machine and this boot, read at the start of every session and not in between.
//!
//! They are shown, never trusted: the machine may be owned. What cannot be read stays empty.

use sha2::{Digest, Sha256};
use sysinfo::{MemoryRefreshKind, Networks, System};
use tocsin_proto::id::BootId;
use tocsin_proto::limits::ADDRESSES_MAX;

use crate::text::cut;

/// What the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// As the machine calls itself.
    pub(crate) hostname: String,
    /// "linux", "windows", "macos".
    pub(crate) os: &'static str,
    /// Name and version for people: "Debian GNU/Linux 12".
    pub(crate) os_version: String,
    /// As the kernel says it.
    pub(crate) kernel_version: String,
    /// "x86_64", "aarch64".
    pub(crate) architecture: &'static str,
    /// Logical processors that this process may use.
    pub(crate) cpu_count: u32,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
    /// Unix milliseconds, to the second.
    pub(crate) boot_time_ms: i64,
    /// "Europe/Berlin"; empty where unknown.
    pub(crate) time_zone: String,
    /// Addresses of its interfaces, loopback left out.
    pub(crate) addresses: Vec<String>,
}

impl Machine {
    /// Reads them now.
    pub(crate) fn read() -> Self {
        let memory_bytes = System::new().map_or(0, |mut system| {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            system.total_memory()
        });
        let boot_time_ms = System::boot_time().map_or(0, |seconds| {
            i64::try_from(seconds).map_or(0, |seconds| seconds.saturating_mul(1000))
        });
        let cpu_count = std::thread::available_parallelism().map_or(0, |count| count.get());
        Self {
            hostname: hostname(),
            os: std::env::consts::OS,
            os_version: cut(System::long_os_version().unwrap_or_default()),
            kernel_version: cut(System::kernel_version().unwrap_or_default()),
            architecture: std::env::consts::ARCH,
            cpu_count: u32::try_from(cpu_count).unwrap_or(u32::MAX),
            memory_bytes,
            boot_time_ms,
            time_zone: jiff::tz::TimeZone::system()
                .iana_name()
                .unwrap_or_default()
                .to_owned(),
            addresses: addresses(),
        }
    }
}

/// What the machine calls itself; empty where it cannot be read.
pub(crate) fn hostname() -> String {
    cut(System::host_name().unwrap_or_default())
}

fn addresses() -> Vec<String> {
    let networks = Networks::new_with_refreshed_list();
    let mut addresses: Vec<_> = networks
        .iter()
        .flat_map(|networks| networks.values())
        .flat_map(|network| network.ip_networks())
        .map(|network| network.addr)
        .filter(|address| !address.is_loopback())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses.iter().map(ToString::to_string).collect()
}

/// The boot that is running. Where the kernel gives none a name, one is made of the boot's time.
pub(crate) fn boot_id() -> BootId {
    #[cfg(target_os = "linux")]
    if let Ok(text) =
        crate::file::read_text(std::path::Path::new("/proc/sys/kernel/random/boot_id"), 64)
        && let Ok(id) = text.trim().parse()
    {
        return id;
    }
    let seconds = System::boot_time().unwrap_or(0);
    let digest = Sha256::digest(format!("tocsin/v1/boot/{}/{seconds}", hostname()));
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest) {
        *byte = from;
    }
    BootId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_has_one_name() {
        assert_eq!(boot_id(), boot_id());
    }

    #[test]
    fn facts_are_there_and_within_their_limits() {
        let machine = Machine::read();
        assert_eq!(machine.os, std::env::consts::OS);
        assert!(machine.cpu_count > 0 && machine.memory_bytes > 0);
        assert!(machine.addresses.len() <= ADDRESSES_MAX);
    }
}
