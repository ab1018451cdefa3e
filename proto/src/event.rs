//! Checked events: the border behind which telemetry from an endpoint may be believed to have the
//! shape the contract promises. Its *content* stays hostile: any text may say anything.
//!
//! `Event::try_from` refuses what is out of its limits instead of repairing it, so that an agent's bug
//! shows. Text is not cleaned here; the console does that where it draws.

use std::time::Duration;

use crate::id::{BootId, EventSequence, ProcessKey, RunId};
use crate::limits::{
    ARGV_BYTES_MAX, ARGV_COUNT_MAX, EVENT_TIME_AHEAD_MAX, PATH_BYTES_MAX, REASON_BYTES_MAX,
    SENSORS_MAX, TEXT_BYTES_MAX,
};
use crate::telemetry::v1 as wire;

/// What kind of event it is; the words of `events search --kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A process began, changed or ended.
    Process,
    /// Events were lost.
    Gap,
    /// The agent on itself.
    Health,
    /// Somebody came in, was refused, or left.
    Login,
    /// A session or the machine changed its state.
    Session,
    /// A connection or a listening socket.
    Network,
    /// Something happened to a file that matters.
    File,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Process,
        Self::Login,
        Self::Session,
        Self::Network,
        Self::File,
        Self::Gap,
        Self::Health,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Gap => "gap",
            Self::Health => "health",
            Self::Login => "login",
            Self::Session => "session",
            Self::Network => "network",
            Self::File => "file",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// One bit per kind, for masks that say which kinds a batch holds. Never renumbered.
    pub fn bit(self) -> u32 {
        match self {
            Self::Process => 1,
            Self::Gap => 1 << 1,
            Self::Health => 1 << 2,
            Self::Login => 1 << 3,
            Self::Session => 1 << 4,
            Self::Network => 1 << 5,
            Self::File => 1 << 6,
        }
    }
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A field that must be there is not.
    #[error("event {sequence}: {field} is missing")]
    Missing {
        /// Its sequence, 0 where that is what is missing.
        sequence: u64,
        /// The field.
        field: &'static str,
    },
    /// A field is over its limit.
    #[error("event {sequence}: {field} has {size}, the limit is {limit}")]
    TooLarge {
        /// Its sequence.
        sequence: u64,
        /// The field.
        field: &'static str,
        /// How much it has.
        size: usize,
        /// How much it may have.
        limit: usize,
    },
    /// A field has a value outside its range.
    #[error("event {sequence}: {field} is out of range")]
    Range {
        /// Its sequence.
        sequence: u64,
        /// The field.
        field: &'static str,
    },
}

/// A checked event. Which endpoint and run it is of, the connection and the upload say.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Position in the run, at least 1.
    pub sequence: EventSequence,
    /// Endpoint's clock, Unix milliseconds, at least 0.
    pub event_time_ms: i64,
    /// What happened.
    pub body: Body,
}

/// The body by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// See [`wire::Process`]; activity, pid and parent are present.
    Process(Box<wire::Process>),
    /// See [`wire::Gap`]; its times are in order.
    Gap(wire::Gap),
    /// See [`wire::Health`].
    Health(wire::Health),
    /// See [`wire::Login`]; its id and activity are present.
    Login(Box<wire::Login>),
    /// See [`wire::Session`]; its activity is present.
    Session(Box<wire::Session>),
    /// See [`wire::Network`]; its activity and addresses are present, its times in order.
    Network(Box<wire::Network>),
    /// See [`wire::File`]; its activity and path are present.
    File(Box<wire::File>),
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        match self.body {
            Body::Process(_) => EventKind::Process,
            Body::Gap(_) => EventKind::Gap,
            Body::Health(_) => EventKind::Health,
            Body::Login(_) => EventKind::Login,
            Body::Session(_) => EventKind::Session,
            Body::Network(_) => EventKind::Network,
            Body::File(_) => EventKind::File,
        }
    }

    /// Checks that its time is not implausibly far ahead of `receive_time_ms`.
    ///
    /// # Errors
    /// [`EventError::Range`].
    pub fn check_time(&self, receive_time_ms: i64) -> Result<(), EventError> {
        let ahead = i64::try_from(EVENT_TIME_AHEAD_MAX.as_millis()).unwrap_or(i64::MAX);
        if self.event_time_ms > receive_time_ms.saturating_add(ahead) {
            return Err(EventError::Range {
                sequence: self.sequence.0,
                field: "event_time_ms",
            });
        }
        Ok(())
    }
}

impl TryFrom<wire::Event> for Event {
    type Error = EventError;

    fn try_from(event: wire::Event) -> Result<Self, EventError> {
        let check = Check {
            sequence: event.sequence,
        };
        if event.sequence == 0 {
            return Err(check.missing("sequence"));
        }
        check.range(event.event_time_ms >= 0, "event_time_ms")?;
        let body = match event.body.ok_or_else(|| check.missing("body"))? {
            wire::event::Body::Process(process) => {
                check.process(&process)?;
                Body::Process(Box::new(process))
            }
            wire::event::Body::Gap(gap) => {
                check.gap(&gap)?;
                Body::Gap(gap)
            }
            wire::event::Body::Health(health) => {
                check.health(&health)?;
                Body::Health(health)
            }
            wire::event::Body::Login(login) => {
                check.login(&login)?;
                Body::Login(Box::new(login))
            }
            wire::event::Body::Session(session) => {
                check.session(&session)?;
                Body::Session(Box::new(session))
            }
            wire::event::Body::Network(network) => {
                check.network(&network)?;
                Body::Network(Box::new(network))
            }
            wire::event::Body::File(file) => {
                check.file(&file)?;
                Body::File(Box::new(file))
            }
        };
        Ok(Self {
            sequence: EventSequence(event.sequence),
            event_time_ms: event.event_time_ms,
            body,
        })
    }
}

impl From<Event> for wire::Event {
    fn from(event: Event) -> Self {
        let body = match event.body {
            Body::Process(process) => wire::event::Body::Process(*process),
            Body::Gap(gap) => wire::event::Body::Gap(gap),
            Body::Health(health) => wire::event::Body::Health(health),
            Body::Login(login) => wire::event::Body::Login(*login),
            Body::Session(session) => wire::event::Body::Session(*session),
            Body::Network(network) => wire::event::Body::Network(*network),
            Body::File(file) => wire::event::Body::File(*file),
        };
        Self {
            sequence: event.sequence.0,
            event_time_ms: event.event_time_ms,
            body: Some(body),
        }
    }
}

/// The key of the process that an event of this boot speaks of.
pub fn process_key(boot: BootId, process: &wire::Process) -> ProcessKey {
    ProcessKey {
        boot,
        pid: process.pid,
        start_ticks: process.start_ticks,
    }
}

/// The key of its parent; `None` where the parent is unknown.
pub fn parent_key(boot: BootId, process: &wire::Process) -> Option<ProcessKey> {
    let parent = process.parent.as_ref().filter(|parent| parent.pid != 0)?;
    Some(ProcessKey {
        boot,
        pid: parent.pid,
        start_ticks: parent.start_ticks,
    })
}

mod access;
mod file;
mod network;

/// Checks of one event.
struct Check {
    sequence: u64,
}

impl Check {
    fn missing(&self, field: &'static str) -> EventError {
        EventError::Missing {
            sequence: self.sequence,
            field,
        }
    }

    fn range(&self, holds: bool, field: &'static str) -> Result<(), EventError> {
        if holds {
            Ok(())
        } else {
            Err(EventError::Range {
                sequence: self.sequence,
                field,
            })
        }
    }

    fn size(&self, size: usize, limit: usize, field: &'static str) -> Result<(), EventError> {
        if size <= limit {
            return Ok(());
        }
        Err(EventError::TooLarge {
            sequence: self.sequence,
            field,
            size,
            limit,
        })
    }

    fn process(&self, process: &wire::Process) -> Result<(), EventError> {
        use wire::{ArgvState, ProcessActivity};
        let activity = ProcessActivity::try_from(process.activity);
        self.range(
            activity.is_ok_and(|activity| activity != ProcessActivity::Unspecified),
            "process.activity",
        )?;
        self.range(
            ArgvState::try_from(process.argv_state).is_ok(),
            "process.argv_state",
        )?;
        self.range(process.pid != 0, "process.pid")?;
        self.range(process.start_time_ms >= 0, "process.start_time_ms")?;
        self.size(process.argv.len(), ARGV_COUNT_MAX, "process.argv")?;
        // Three bytes for one: U+FFFD stands for each byte that was no UTF-8.
        let argv_bytes: usize = process.argv.iter().map(String::len).sum();
        self.size(argv_bytes, ARGV_BYTES_MAX * 3, "process.argv")?;
        self.size(
            process.executable.len(),
            PATH_BYTES_MAX * 3,
            "process.executable",
        )?;
        self.range(
            matches!(process.executable_sha256.len(), 0 | 32),
            "process.executable_sha256",
        )?;
        self.user(
            process.user.as_ref(),
            "process.user.uid",
            "process.user.name",
        )?;
        if let Some(parent) = &process.parent {
            self.size(
                parent.executable.len(),
                PATH_BYTES_MAX * 3,
                "process.parent.executable",
            )?;
        }
        Ok(())
    }

    fn user(
        &self,
        user: Option<&wire::User>,
        uid: &'static str,
        name: &'static str,
    ) -> Result<(), EventError> {
        if let Some(user) = user {
            self.size(user.uid.len(), TEXT_BYTES_MAX, uid)?;
            self.size(user.name.len(), TEXT_BYTES_MAX, name)?;
        }
        Ok(())
    }

    fn gap(&self, gap: &wire::Gap) -> Result<(), EventError> {
        let place = wire::GapPlace::try_from(gap.place);
        self.range(
            place.is_ok_and(|place| place != wire::GapPlace::Unspecified),
            "gap.place",
        )?;
        let reason = wire::GapReason::try_from(gap.reason);
        self.range(
            reason.is_ok_and(|reason| reason != wire::GapReason::Unspecified),
            "gap.reason",
        )?;
        self.size(gap.component.len(), TEXT_BYTES_MAX, "gap.component")?;
        self.range(
            gap.from_time_ms >= 0 && gap.from_time_ms <= gap.until_time_ms,
            "gap.until_time_ms",
        )?;
        self.range(
            gap.run_id.is_empty() || RunId::from_wire(&gap.run_id).is_some(),
            "gap.run_id",
        )?;
        self.range(gap.first_sequence <= gap.last_sequence, "gap.last_sequence")
    }

    fn health(&self, health: &wire::Health) -> Result<(), EventError> {
        self.size(health.sensors.len(), SENSORS_MAX, "health.sensors")?;
        for sensor in &health.sensors {
            self.size(sensor.name.len(), TEXT_BYTES_MAX, "health.sensors.name")?;
            self.size(
                sensor.detail.len(),
                REASON_BYTES_MAX,
                "health.sensors.detail",
            )?;
        }
        Ok(())
    }
}

/// Checks a health report that did not come as an event (heartbeats).
///
/// # Errors
/// The first field that is out of its limits.
pub fn check_health(health: &wire::Health) -> Result<(), EventError> {
    Check { sequence: 0 }.health(health)
}

/// The longest that two clocks may differ before an event is refused, for messages.
pub const fn time_ahead_max() -> Duration {
    EVENT_TIME_AHEAD_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> wire::Process {
        wire::Process {
            activity: wire::ProcessActivity::Start.into(),
            pid: 42,
            start_ticks: 7,
            argv_state: wire::ArgvState::Read.into(),
            argv: vec!["/bin/true".into()],
            ..Default::default()
        }
    }

    fn event(body: wire::event::Body) -> wire::Event {
        wire::Event {
            sequence: 9,
            event_time_ms: 1_000,
            body: Some(body),
        }
    }

    fn refused(change: impl FnOnce(&mut wire::Process)) -> EventError {
        let mut process = process();
        change(&mut process);
        Event::try_from(event(wire::event::Body::Process(process))).unwrap_err()
    }

    #[test]
    fn a_good_event_goes_there_and_back() {
        let wire = event(wire::event::Body::Process(process()));
        let checked = Event::try_from(wire.clone()).unwrap();
        assert_eq!(checked.kind(), EventKind::Process);
        assert_eq!(wire::Event::from(checked), wire);
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_refused_by_name() {
        let no_sequence = wire::Event {
            sequence: 0,
            ..event(wire::event::Body::Process(process()))
        };
        assert!(Event::try_from(no_sequence).is_err());
        let no_body = wire::Event {
            sequence: 1,
            event_time_ms: 1,
            body: None,
        };
        assert_eq!(
            Event::try_from(no_body).unwrap_err().to_string(),
            "event 1: body is missing"
        );
        assert!(
            refused(|p| p.activity = 99)
                .to_string()
                .contains("process.activity")
        );
        assert!(
            refused(|p| p.activity = 0)
                .to_string()
                .contains("process.activity")
        );
        assert!(refused(|p| p.pid = 0).to_string().contains("process.pid"));
        assert!(
            refused(|p| p.executable_sha256 = vec![1])
                .to_string()
                .contains("sha256")
        );
    }

    #[test]
    fn what_is_too_large_is_refused_with_its_limit() {
        let text = refused(|p| p.argv = vec![String::new(); 513]).to_string();
        assert_eq!(text, "event 9: process.argv has 513, the limit is 512");
        assert!(
            refused(|p| p.argv = vec!["x".repeat(ARGV_BYTES_MAX * 3 + 1)])
                .to_string()
                .contains("argv")
        );
        assert!(
            refused(|p| p.user = Some(wire::User {
                uid: "u".repeat(257),
                name: String::new()
            }))
            .to_string()
            .contains("user.uid")
        );
    }

    #[test]
    fn a_gap_has_its_times_in_order() {
        let gap = wire::Gap {
            place: wire::GapPlace::Sensor.into(),
            reason: wire::GapReason::Overflow.into(),
            from_time_ms: 5,
            until_time_ms: 4,
            ..Default::default()
        };
        assert!(Event::try_from(event(wire::event::Body::Gap(gap))).is_err());
    }

    fn refusal(body: wire::event::Body) -> String {
        Event::try_from(event(body)).unwrap_err().to_string()
    }

    #[test]
    fn a_login_has_its_id_and_bounded_texts() {
        let login = wire::Login {
            login_id: vec![1; 16],
            activity: wire::LoginActivity::Succeeded.into(),
            ..Default::default()
        };
        let refused = |change: fn(&mut wire::Login)| {
            let mut login = login.clone();
            change(&mut login);
            refusal(wire::event::Body::Login(login))
        };
        assert!(Event::try_from(event(wire::event::Body::Login(login.clone()))).is_ok());
        assert!(refused(|l| l.login_id = vec![1; 15]).contains("login.login_id"));
        assert!(refused(|l| l.activity = 0).contains("login.activity"));
        assert!(refused(|l| l.method = 99).contains("login.method"));
        assert!(refused(|l| l.reason = "x".repeat(1025)).contains("login.reason"));
        let peer = |address: Vec<u8>, port| wire::Peer {
            address,
            port,
            ..Default::default()
        };
        assert!(refusal_of_peer(&login, peer(vec![1; 5], 1)).contains("peer.address"));
        assert!(refusal_of_peer(&login, peer(vec![1; 4], 65_536)).contains("peer.port"));
    }

    fn refusal_of_peer(login: &wire::Login, peer: wire::Peer) -> String {
        refusal(wire::event::Body::Login(wire::Login {
            peer: Some(peer),
            ..login.clone()
        }))
    }

    #[test]
    fn a_session_has_a_name_and_the_machine_has_none() {
        let session = |activity: wire::SessionActivity, id: &str| {
            wire::event::Body::Session(wire::Session {
                activity: activity.into(),
                session_id: id.into(),
                ..Default::default()
            })
        };
        use wire::SessionActivity::{Locked, Resumed, Unspecified};
        assert!(Event::try_from(event(session(Locked, "3"))).is_ok());
        assert!(Event::try_from(event(session(Resumed, ""))).is_ok());
        assert!(refusal(session(Locked, "")).contains("session.session_id"));
        assert!(refusal(session(Resumed, "3")).contains("session.session_id"));
        assert!(refusal(session(Unspecified, "3")).contains("session.activity"));
    }

    #[test]
    fn a_flow_has_addresses_and_times_in_order() {
        let flow = wire::Network {
            activity: wire::NetworkActivity::Closed.into(),
            local_address: vec![1; 4],
            remote_address: vec![1; 16],
            opened_from_time_ms: Some(4),
            opened_until_time_ms: 5,
            closed_from_time_ms: Some(6),
            closed_until_time_ms: Some(6),
            ..Default::default()
        };
        let refused = |change: fn(&mut wire::Network)| {
            let mut flow = flow.clone();
            change(&mut flow);
            refusal(wire::event::Body::Network(flow))
        };
        assert!(Event::try_from(event(wire::event::Body::Network(flow.clone()))).is_ok());
        assert!(refused(|f| f.remote_address.clear()).contains("network.remote_address"));
        assert!(refused(|f| f.opened_until_time_ms = 3).contains("opened_until"));
        assert!(refused(|f| f.closed_until_time_ms = Some(5)).contains("closed_until"));
        assert!(refused(|f| f.names = vec![Default::default(); 9]).contains("network.names"));
        assert!(refused(|f| f.owner = Some(Default::default())).contains("network.owner.pid"));
    }

    #[test]
    fn a_time_a_year_ahead_is_refused() {
        let mut late = event(wire::event::Body::Process(process()));
        late.event_time_ms = 400 * 24 * 3600 * 1000;
        let late = Event::try_from(late).unwrap();
        assert!(late.check_time(0).is_err());
        assert!(late.check_time(40 * 24 * 3600 * 1000).is_ok());
    }
}
