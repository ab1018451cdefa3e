//! Whom the table of flows asks: for the processes that hold sockets, and for names of addresses, which come from
//! systemd-resolved and the file of hosts.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::owner::Owners;
use super::resolver::Resolver;
use crate::sensor::network::diag::Socket;
use crate::sensor::network::flow::{FlowName, NameSource, Owner};
use crate::sensor::network::hosts;
use crate::sensor::network::names::Names;
use crate::sensor::network::table::Lookup;

/// How often the file of hosts is looked at, and resolved is tried again.
const LOOK_MS: i64 = 30_000;

const HOSTS: &str = "/etc/hosts";
const HOSTS_BYTES_MAX: u64 = 8 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    owners: Owners,
    names: Names,
    resolver: Option<Resolver>,
    hosts_changed: Option<(u64, i64)>,
    looked_ms: i64,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            owners: Owners::default(),
            names: Names::default(),
            resolver: None,
            hosts_changed: None,
            looked_ms: i64::MIN,
        }
    }
}

impl Lookup for Desk {
    fn owners(&mut self, sockets: &[Socket]) -> HashMap<u32, Arc<Owner>> {
        self.owners.find(sockets)
    }

    fn names(&self, address: IpAddr, now_ms: i64) -> Vec<FlowName> {
        self.names.of(address, now_ms)
    }
}

impl Desk {
    /// What of names is missing.
    pub(super) fn misses(&self) -> Option<String> {
        let is_missing = self.resolver.is_none();
        is_missing.then(|| "names only from the file of hosts: no systemd-resolved".to_owned())
    }

    /// What becomes readable when there are names.
    pub(super) fn names_come_from(&self) -> Option<BorrowedFd<'_>> {
        self.resolver.as_ref().map(AsFd::as_fd)
    }

    /// Takes the resolver's answers; true where there were any. Now and then looks for what has changed.
    pub(super) fn hear_names(&mut self, now_ms: i64) -> bool {
        let heard = self.read_resolver(now_ms);
        if now_ms.saturating_sub(self.looked_ms) >= LOOK_MS || now_ms < self.looked_ms {
            self.look_for_names(now_ms);
        }
        heard
    }

    fn read_resolver(&mut self, now_ms: i64) -> bool {
        let Some(resolver) = &mut self.resolver else {
            return false;
        };
        match resolver.read() {
            Ok(pairs) => {
                let heard = !pairs.is_empty();
                for (name, address) in pairs {
                    self.names
                        .note(&name, address, NameSource::DnsAnswer, now_ms);
                }
                heard
            }
            Err(error) => {
                tracing::warn!(%error, "systemd-resolved tells no names any more");
                self.resolver = None;
                false
            }
        }
    }

    /// Reads the file of hosts where it changed, and looks for resolved where it is not heard.
    pub(super) fn look_for_names(&mut self, now_ms: i64) {
        self.looked_ms = now_ms;
        if self.resolver.is_none()
            && let Ok(resolver) = Resolver::open()
        {
            self.resolver = Some(resolver);
            for (name, address) in Resolver::cache().unwrap_or_default() {
                self.names
                    .note(&name, address, NameSource::ResolverCache, now_ms);
            }
        }
        let changed = fs::metadata(HOSTS)
            .ok()
            .map(|metadata| (metadata.ino(), metadata.mtime()));
        if changed != self.hosts_changed {
            self.hosts_changed = changed;
            let bytes = crate::file::read(HOSTS.as_ref(), HOSTS_BYTES_MAX).unwrap_or_default();
            self.names
                .set_hosts(hosts::parse(&String::from_utf8_lossy(&bytes)));
        }
    }
}
