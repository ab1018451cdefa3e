//! Which events match. Pure.
//!
//! Text is compared without regard to case: for ASCII text byte by byte, else by Unicode's lower case. A batch whose
//! bytes do not hold the text at all is passed over without being decoded.

use memchr::memmem;
use prost::Message;
use tocsin_proto::event::EventKind;
use tocsin_proto::telemetry::v1::Process;

use super::decode::RawEvent;
use super::words::words;

/// Which events.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// At or after.
    pub(crate) since_time_ms: i64,
    /// At or before.
    pub(crate) until_time_ms: i64,
    /// [`EventKind::bit`] of the kinds; 0 = any.
    pub(crate) kinds: u32,
    /// Name or uid of the account of a process, login, session, flow or who opened a file, whole, without regard to ASCII case.
    pub(crate) user: Option<String>,
    /// In argv (also across arguments, which a blank parts), paths, hashes, names or addresses.
    pub(crate) text: Option<Text>,
}

impl Filter {
    /// Every event.
    pub(crate) fn all() -> Self {
        Self {
            since_time_ms: i64::MIN,
            until_time_ms: i64::MAX,
            kinds: 0,
            user: None,
            text: None,
        }
    }

    /// Whether an encoded batch may hold a match; `false` is certain.
    pub(super) fn may_match(&self, batch: &[u8]) -> bool {
        self.text.as_ref().is_none_or(|text| text.may_be_in(batch))
    }

    /// Whether an event matches.
    pub(super) fn matches(&self, event: &RawEvent) -> bool {
        let time_ms = event.event_time_ms;
        if time_ms < self.since_time_ms || time_ms > self.until_time_ms {
            return false;
        }
        if self.kinds != 0 && kind(event).is_none_or(|kind| self.kinds & kind.bit() == 0) {
            return false;
        }
        if self.user.is_none() && self.text.is_none() {
            return true;
        }
        if let Some(bytes) = &event.process {
            return Process::decode(bytes.as_ref()).is_ok_and(|process| self.process(&process));
        }
        let words = words(event);
        let is_user = self.user.as_ref().is_none_or(|wanted| {
            let mut users = words.users.iter();
            users.any(|user| user.eq_ignore_ascii_case(wanted))
        });
        is_user
            && self.text.as_ref().is_none_or(|text| {
                let mut all = words.users.iter().chain(&words.texts);
                all.any(|word| text.is_in(word))
            })
    }

    fn process(&self, process: &Process) -> bool {
        if let Some(wanted) = &self.user {
            let is_user = process.user.as_ref().is_some_and(|user| {
                user.name.eq_ignore_ascii_case(wanted) || user.uid.eq_ignore_ascii_case(wanted)
            });
            if !is_user {
                return false;
            }
        }
        self.text
            .as_ref()
            .is_none_or(|text| text.is_in_process(process))
    }
}

/// The kind of an event whose body is not decoded.
fn kind(event: &RawEvent) -> Option<EventKind> {
    if event.process.is_some() {
        return Some(EventKind::Process);
    }
    let others = [
        (&event.gap, EventKind::Gap),
        (&event.health, EventKind::Health),
        (&event.login, EventKind::Login),
        (&event.session, EventKind::Session),
        (&event.network, EventKind::Network),
        (&event.file, EventKind::File),
    ];
    let mut others = others.into_iter();
    others.find_map(|(bytes, kind)| bytes.as_ref().map(|_| kind))
}

/// A text to look for.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    lower: String,
    /// Its longest piece without blanks: it lies within one argument, so it is in the bytes as it stands.
    piece: Vec<u8>,
    /// It may be part of a hash, which is stored as bytes: those bytes, for either half-byte it may begin with.
    hash_pieces: Option<[Vec<u8>; 2]>,
}

impl Text {
    /// `None` where there is nothing to look for.
    pub(crate) fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let lower = text.to_lowercase();
        let longest = lower.split_whitespace().max_by_key(|piece| piece.len());
        let piece = longest.unwrap_or_default().as_bytes().to_vec();
        let hash_pieces = hash_pieces(&lower);
        Some(Self {
            lower,
            piece,
            hash_pieces,
        })
    }

    fn may_be_in(&self, batch: &[u8]) -> bool {
        // Lower case of other letters may have another length: then only decoding tells.
        if !self.piece.is_ascii() || self.piece.is_empty() || self.may_be_address() {
            return true;
        }
        if let Some(pieces) = &self.hash_pieces {
            let mut pieces = pieces.iter();
            if pieces.any(|piece| piece.is_empty() || memmem::find(batch, piece).is_some()) {
                return true;
            }
        }
        let lower = batch.to_ascii_lowercase();
        memmem::find(&lower, &self.piece).is_some()
    }

    /// Whether it may be part of an address or a port, which are stored as bytes.
    fn may_be_address(&self) -> bool {
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        // A group of an address and a port have five characters at most; a longer piece has a dot or a colon.
        let has_parts = self.piece.len() <= 5 || self.piece.iter().any(|byte| b".:".contains(byte));
        has_parts && self.piece.iter().all(is_part)
    }

    fn is_in(&self, text: &str) -> bool {
        if self.lower.is_ascii() {
            let lower = text.to_ascii_lowercase();
            return memmem::find(lower.as_bytes(), self.lower.as_bytes()).is_some();
        }
        text.to_lowercase().contains(&self.lower)
    }

    fn is_in_process(&self, process: &Process) -> bool {
        let user = process.user.as_ref();
        let parent = process.parent.as_ref();
        self.is_in(&process.executable)
            || self.is_in(&process.argv.join(" "))
            || user.is_some_and(|user| self.is_in(&user.name))
            || parent.is_some_and(|parent| self.is_in(&parent.executable))
            || (self.hash_pieces.is_some()
                && self.is_in(&data_encoding::HEXLOWER.encode(&process.executable_sha256)))
    }
}

/// Whole bytes in a piece of a hash, if it begins with a byte's first half, and if with its second.
fn hash_pieces(lower: &str) -> Option<[Vec<u8>; 2]> {
    let is_hex = lower
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || lower.len() > 64 {
        return None;
    }
    let bytes = |text: &str| {
        let even = text.get(..text.len() / 2 * 2).unwrap_or_default();
        data_encoding::HEXLOWER
            .decode(even.as_bytes())
            .unwrap_or_default()
    };
    Some([bytes(lower), bytes(lower.get(1..).unwrap_or_default())])
}

#[cfg(test)]
mod tests {
    use tocsin_proto::telemetry::v1::User;

    use super::*;

    fn process() -> Process {
        Process {
            argv: vec!["/usr/bin/Curl".into(), "-o".into(), "Täst".into()],
            executable: "/opt/tools/curl".into(),
            executable_sha256: (0..32).map(|n| 0xa0 + n).collect(),
            user: Some(User {
                uid: "1000".into(),
                name: "dana".into(),
            }),
            ..Process::default()
        }
    }

    fn event(process: &Process) -> RawEvent {
        RawEvent {
            sequence: 1,
            event_time_ms: 100,
            process: Some(process.encode_to_vec().into()),
            ..RawEvent::default()
        }
    }

    #[test]
    fn a_flow_is_found_by_address_name_and_user() {
        use tocsin_proto::telemetry::v1::{FlowName, Network};
        let flow = Network {
            local_address: vec![192, 0, 2, 7],
            remote_address: vec![203, 0, 113, 9],
            remote_port: 443,
            user: Some(User {
                uid: "1000".into(),
                name: "dana".into(),
            }),
            names: vec![FlowName {
                name: "dana.okta.example".into(),
                ..FlowName::default()
            }],
            ..Network::default()
        };
        let event = RawEvent {
            sequence: 1,
            event_time_ms: 100,
            network: Some(flow.encode_to_vec().into()),
            ..RawEvent::default()
        };
        let finds = |text: &str, user: Option<&str>| {
            let filter = Filter {
                kinds: EventKind::Network.bit(),
                user: user.map(Into::into),
                text: Text::new(text),
                ..Filter::all()
            };
            filter.may_match(&flow.encode_to_vec()) && filter.matches(&event)
        };
        assert!(finds("203.0.113.9:443", None));
        assert!(finds("113.9", Some("Dana")));
        assert!(finds("OKTA", Some("1000")));
        assert!(!finds("203.0.113.8", None));
        assert!(!finds("okta", Some("eve")));
    }

    #[test]
    fn a_file_is_found_by_path_hash_and_who_opened_it() {
        use tocsin_proto::telemetry::v1::{File, FileActor, FileState};
        let file = File {
            path: "/home/dana/.ssh/authorized_keys".into(),
            previous_path: "/home/dana/.ssh/rc".into(),
            after: Some(FileState {
                sha256: (0..32).map(|n| 0xa0 + n).collect(),
                ..FileState::default()
            }),
            actor: Some(FileActor {
                executable: "/usr/bin/python3".into(),
                user: Some(User {
                    uid: "1000".into(),
                    name: "dana".into(),
                }),
                ..FileActor::default()
            }),
            ..File::default()
        };
        let event = RawEvent {
            event_time_ms: 100,
            file: Some(file.encode_to_vec().into()),
            ..RawEvent::default()
        };
        let finds = |text: &str, user: Option<&str>| {
            let filter = Filter {
                kinds: EventKind::File.bit(),
                user: user.map(Into::into),
                text: Text::new(text),
                ..Filter::all()
            };
            filter.may_match(&file.encode_to_vec()) && filter.matches(&event)
        };
        assert!(finds("AUTHORIZED_keys", None) && finds("/.ssh/rc", None));
        assert!(finds("a0a1a2", None), "a hash is stored as bytes");
        assert!(finds("python3", Some("Dana")) && finds("ssh", Some("1000")));
        assert!(!finds("sudoers", None) && !finds("python3", Some("eve")));
    }

    fn finds(text: &str) -> bool {
        let filter = Filter {
            text: Text::new(text),
            ..Filter::all()
        };
        let matches = filter.matches(&event(&process()));
        let may = filter.may_match(&process().encode_to_vec());
        assert!(
            may || !matches,
            "'{text}' is there, but its batch is passed over"
        );
        matches
    }

    #[test]
    fn text_is_found_without_regard_to_case() {
        for text in [
            "curl",
            "CURL",
            "/usr/bin/curl -O",
            "dana",
            "/opt/",
            "TÄST",
            "-o tä",
        ] {
            assert!(finds(text), "{text}");
        }
        for text in ["wget", "curl  -o", "danaa"] {
            assert!(!finds(text), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_hash_is_found_from_any_digit() {
        for text in ["a0a1a2", "0a1a2a", "A", "abaca", "bf"] {
            assert!(finds(text), "{text}");
        }
        assert!(!finds("a0a2"));
    }

    #[test]
    fn what_cannot_match_is_not_decoded() {
        let filter = Filter {
            text: Text::new("wget"),
            ..Filter::all()
        };
        assert!(!filter.may_match(&process().encode_to_vec()));
    }

    #[test]
    fn a_user_is_a_whole_name_or_uid() {
        let matches = |user: &str| {
            let filter = Filter {
                user: Some(user.into()),
                ..Filter::all()
            };
            filter.matches(&event(&process()))
        };
        assert!(matches("dana") && matches("Dana") && matches("1000"));
        assert!(!matches("dan") && !matches("100"));
    }

    #[test]
    fn times_are_inclusive() {
        let matches = |since_time_ms, until_time_ms| {
            let filter = Filter {
                since_time_ms,
                until_time_ms,
                ..Filter::all()
            };
            filter.matches(&event(&process()))
        };
        assert!(matches(100, 100));
        assert!(!matches(101, 200) && !matches(0, 99));
    }
}
