//! Names of addresses, as far as this machine has seen them. Pure.
//!
//! An address may have many names, and a name says who was asked for, not who answers: a shared address has those of
//! all who share it. Names are given newest first, each with how it is known.

use std::collections::HashMap;
use std::net::IpAddr;

use super::flow::{FlowName, NAMES_MAX, NameSource};

/// Addresses with names from the resolver; at more, the oldest half is forgotten.
const ADDRESSES_MAX: usize = 16 << 10;

/// A connection may follow its answer after so long: programs keep answers longer than they should.
const BELIEVED_MS: i64 = 3_600_000;

/// Bytes of a name in the DNS.
const NAME_BYTES_MAX: usize = 253;

#[derive(Debug, Clone)]
struct Answer {
    name: String,
    source: NameSource,
    time_ms: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    answers: HashMap<IpAddr, Vec<Answer>>,
    hosts: HashMap<IpAddr, Vec<String>>,
}

impl Names {
    /// Notes that `name` has `address`.
    pub(super) fn note(&mut self, name: &str, address: IpAddr, source: NameSource, now_ms: i64) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return;
        }
        if self.answers.len() >= ADDRESSES_MAX {
            self.forget_half(now_ms);
        }
        let answers = self.answers.entry(address.to_canonical()).or_default();
        answers.retain(|answer| answer.name != name && now_ms - answer.time_ms < BELIEVED_MS);
        answers.insert(
            0,
            Answer {
                name,
                source,
                time_ms: now_ms,
            },
        );
        answers.truncate(NAMES_MAX);
    }

    fn forget_half(&mut self, now_ms: i64) {
        let newest =
            |answers: &Vec<Answer>| answers.first().map_or(i64::MIN, |answer| answer.time_ms);
        self.answers
            .retain(|_, answers| now_ms - newest(answers) < BELIEVED_MS);
        if self.answers.len() < ADDRESSES_MAX {
            return;
        }
        let mut times: Vec<i64> = self.answers.values().map(newest).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        let mut room = ADDRESSES_MAX / 2;
        self.answers.retain(|_, answers| {
            let keep = newest(answers) >= median && room > 0;
            room -= usize::from(keep);
            keep
        });
    }

    /// Replaces what the file of hosts says.
    pub(super) fn set_hosts(&mut self, hosts: HashMap<IpAddr, Vec<String>>) {
        self.hosts = hosts;
    }

    /// The names of an address.
    pub(super) fn of(&self, address: IpAddr, now_ms: i64) -> Vec<FlowName> {
        let answers = self.answers.get(&address).into_iter().flatten();
        let fresh = answers
            .filter(|answer| now_ms - answer.time_ms < BELIEVED_MS)
            .map(|answer| FlowName {
                name: answer.name.clone(),
                source: answer.source,
            });
        let hosts = self.hosts.get(&address).into_iter().flatten();
        let written = hosts.map(|name| FlowName {
            name: name.clone(),
            source: NameSource::HostsFile,
        });
        fresh.chain(written).take(NAMES_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    #[test]
    fn the_newest_name_is_first_and_an_old_one_is_forgotten() {
        let mut names = Names::default();
        names.set_hosts([(ip(1), vec!["host".to_owned()])].into());
        names.note("A.example.", ip(1), NameSource::ResolverCache, 0);
        names.note("b.example", ip(1), NameSource::DnsAnswer, 10);
        let of = |now_ms| -> Vec<String> {
            names
                .of(ip(1), now_ms)
                .into_iter()
                .map(|name| name.name)
                .collect()
        };
        assert_eq!(of(20), ["b.example", "a.example", "host"]);
        assert_eq!(of(BELIEVED_MS + 5), ["b.example", "host"]);
        assert!(names.of(ip(2), 20).is_empty());
    }

    #[test]
    fn a_flood_of_answers_is_bounded() {
        let mut names = Names::default();
        for number in 0..u16::MAX {
            names.note("x", ip(number), NameSource::DnsAnswer, i64::from(number));
            names.note("y", ip(0), NameSource::DnsAnswer, i64::from(number));
        }
        assert!(names.answers.len() <= ADDRESSES_MAX);
        assert_eq!(names.of(ip(u16::MAX - 1), i64::from(u16::MAX)).len(), 1);
    }
}
