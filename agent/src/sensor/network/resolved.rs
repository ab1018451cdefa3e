//! Messages of systemd-resolved's monitor. Pure.
//!
//! ```text
//! {"parameters":{"state":"success",
//!                "question":[{"class":1,"type":1,"name":"login.example.com"}],
//!                "answer":[{"rr":{"key":{"class":1,"type":5,"name":"login.example.com"},"name":"cdn.example.net"}},
//!                          {"rr":{"key":{"class":1,"type":1,"name":"cdn.example.net"},"address":[192,0,2,7]}}]},
//!  "continues":true}
//! ```
//!
//! The name that was asked for is the one that counts, whatever aliases lead to the address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

/// Asks for every answer from now on.
pub(super) const SUBSCRIBE: &[u8] =
    b"{\"method\":\"io.systemd.Resolve.Monitor.SubscribeQueryResults\",\"more\":true}\0";

/// Asks for what the cache holds; older versions do not know it.
pub(super) const DUMP_CACHE: &[u8] = b"{\"method\":\"io.systemd.Resolve.Monitor.DumpCache\"}\0";

/// Addresses of one answer that are kept.
const ADDRESSES_MAX: usize = 64;

/// Pairs of one dump of the cache that are kept.
const CACHE_MAX: usize = 8192;

#[derive(Debug, Deserialize)]
struct Reply {
    parameters: Option<Parameters>,
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    question: Vec<Key>,
    #[serde(default)]
    answer: Vec<Answer>,
    #[serde(default)]
    dump: Vec<Scope>,
}

#[derive(Debug, Deserialize)]
struct Key {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Answer {
    rr: Option<Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    address: Option<Vec<u8>>,
}

#[derive(Debug, Deserialize)]
struct Scope {
    #[serde(default)]
    cache: Vec<Cached>,
}

#[derive(Debug, Deserialize)]
struct Cached {
    key: Option<Key>,
    #[serde(default)]
    rrs: Vec<Answer>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Names and addresses.
    Addresses(Vec<(String, IpAddr)>),
    /// It does not know the method, or will not.
    Refused(String),
}

/// Reads one message; `None` where it is damaged.
pub(super) fn parse(message: &[u8]) -> Option<Said> {
    let reply: Reply = serde_json::from_slice(message).ok()?;
    if let Some(error) = reply.error {
        return Some(Said::Refused(error));
    }
    let parameters = reply.parameters.unwrap_or_default();
    let mut pairs = Vec::new();
    if let Some(question) = parameters.question.first() {
        pairs.extend(addresses(&parameters.answer).map(|address| (question.name.clone(), address)));
    }
    let cached = parameters.dump.iter().flat_map(|scope| &scope.cache);
    for entry in cached {
        let Some(key) = &entry.key else { continue };
        pairs.extend(addresses(&entry.rrs).map(|address| (key.name.clone(), address)));
        if pairs.len() >= CACHE_MAX {
            break;
        }
    }
    Some(Said::Addresses(pairs))
}

fn addresses(answers: &[Answer]) -> impl Iterator<Item = IpAddr> + '_ {
    answers.iter().take(ADDRESSES_MAX).filter_map(|answer| {
        let bytes = answer.rr.as_ref()?.address.as_ref()?.as_slice();
        if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
            return Some(Ipv4Addr::from(bytes).into());
        }
        let bytes = <[u8; 16]>::try_from(bytes).ok()?;
        Some(Ipv6Addr::from(bytes).to_canonical())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_addresses_by_what_was_asked() {
        let message = br#"{"parameters":{"state":"success","question":[{"class":1,"type":1,"name":"login.example.com"}],
            "answer":[{"rr":{"key":{"class":1,"type":5,"name":"login.example.com"},"name":"cdn.example.net"},"raw":"x","ifindex":2},
            {"rr":{"key":{"class":1,"type":1,"name":"cdn.example.net"},"address":[192,0,2,7]},"raw":"x"}]},"continues":true}"#;
        let Some(Said::Addresses(pairs)) = parse(message) else {
            panic!();
        };
        assert_eq!(
            pairs,
            [("login.example.com".to_owned(), "192.0.2.7".parse().unwrap())]
        );
    }

    #[test]
    fn the_cache_is_read_and_a_refusal_understood() {
        let dump = br#"{"parameters":{"dump":[{"protocol":"dns","cache":[{"key":{"class":1,"type":28,"name":"a.example"},
            "rrs":[{"rr":{"address":[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,1]}}],"until":1}]}]}}"#;
        let Some(Said::Addresses(pairs)) = parse(dump) else {
            panic!();
        };
        assert_eq!(pairs[0].1, "2001:db8::1".parse::<IpAddr>().unwrap());
        let refused =
            br#"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"x"}}"#;
        assert!(matches!(parse(refused), Some(Said::Refused(_))));
        assert_eq!(
            parse(br#"{"parameters":{"ready":true},"continues":true}"#),
            Some(Said::Addresses(vec![]))
        );
        assert_eq!(parse(b"x"), None);
    }
}
