//! What an endpoint's stored events say around a person's sign-ins: the facts from which provenance is judged.
//!
//! Plain data. Who fills it in reads the stored events, and does no judging: every field says what belongs into it,
//! and what stays out is named in [`EndpointFacts::left_out`]. **What no event says is absent, never filled in with
//! "no".** Lists may be in any order and hold repeats. Text is foreign text.
//!
//! Times are Unix milliseconds **by the endpoint's own clock**, as its events carry them, except where a field says
//! that the server's clock is meant. [`ClockSpan`] says how far the endpoint's clock may have been off.
//!
//! Two stretches matter. *The look-back* is [`LOOK_BACK_MS`] before the person's oldest sign-in attempt that is still
//! looked at, up to the newest: it gives rarity and positive control. *Around an attempt* is [`AROUND_MS`] before its
//! first event to [`AROUND_MS`] after its last one.

mod control;
mod flow;
mod machine;
mod session;

use serde::{Deserialize, Serialize};

pub use control::{ControlKind, LoginFact, REMOTE_CONTROL_MAX, RemoteControl};
pub use flow::{
    ARGUMENTS_MAX, FlowName, FlowOwner, FlowRepeats, NameSource, ProviderFlow, is_telling_argument,
};
pub use machine::{
    AddressSource, ClockSpan, DeviceBinding, PowerSpan, PowerState, PublicAddress, Sensor,
    SensorSpan, SensorState, Sharing, fold_device_id,
};
pub use session::{
    LocalAccount, SessionFact, SessionLock, SessionLockSpan, SessionPlace, SessionUse,
    SessionUseSpan,
};

use crate::input::TimeSpan;

/// How long before an attempt flows, logins and tools count as this endpoint's habit: 14 days, so that a weekend or a
/// week of leave does not empty it.
pub const LOOK_BACK_MS: i64 = 14 * 24 * 3_600_000;

/// How far around an attempt everything that could be its traffic is wanted: an hour, which holds the longest
/// password step, the skew of a badly kept clock, and what a caller from "the help desk" does before and after.
pub const AROUND_MS: i64 = 3_600_000;

/// Flows of one endpoint; where there are more, those nearest to an attempt, then the newest.
pub const FLOWS_MAX: usize = 8_192;
/// Local accounts of the person on one endpoint.
pub const ACCOUNTS_MAX: usize = 32;
/// Sessions of the person on one endpoint; where there are more, the newest.
pub const SESSIONS_MAX: usize = 1_024;
/// Lock spans, and use spans, of one session; where there are more, the newest.
pub const SESSION_SPANS_MAX: usize = 4_096;
/// Logins on one endpoint; where there are more, the newest.
pub const LOGINS_MAX: usize = 1_024;
/// Entries of each other list of [`EndpointFacts`]; where there are more, the newest.
pub const SPANS_MAX: usize = 2_048;
/// Event ids that one fact points at.
pub const FACT_EVENTS_MAX: usize = 8;

/// When something happened: not before the one, not after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// At the latest.
    pub until_ms: i64,
    /// At the earliest; `None` where it may have been at any time before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
}

impl Moment {
    /// One that is known exactly.
    pub fn exact(time_ms: i64) -> Self {
        Self {
            from_ms: Some(time_ms),
            until_ms: time_ms,
        }
    }
}

/// Facts that were left out because a list was full, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// What, in the plural: "network flows", "sessions", "damaged batches".
    pub what: String,
    /// When; the whole stretch that was looked at where that cannot be said.
    pub span: TimeSpan,
    /// How many; `None` where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// Everything that an endpoint's stored events say around the person's sign-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointFacts {
    /// Time of the endpoint's oldest stored event: what was "never seen before" was not seen since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_since_ms: Option<i64>,
    /// Operating system as told at enrolment: "linux", "windows", "macos"; empty where unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Whether more people than this one use the machine: another identity is linked to it, or another account than
    /// the person's had an interactive session there in the look-back. `None` where no session event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_shared: Option<bool>,
    /// The person's accounts on it: those that the identity is linked to. At most [`ACCOUNTS_MAX`].
    #[serde(default)]
    pub accounts: Vec<LocalAccount>,
    /// Outbound flows. In the look-back: every one for which
    /// [`SignInDirectory::is_known`](crate::SignInDirectory::is_known) says yes, of **whatever account**. Around
    /// attempts: also every one to an address that any flow in the list shows under a known name, and every one for
    /// which [`SignInDirectory::could_be`](crate::SignInDirectory::could_be) says yes. Those that were already open
    /// when the agent started count too. At most [`FLOWS_MAX`].
    #[serde(default)]
    pub flows: Vec<ProviderFlow>,
    /// Since when `flows` holds *all* flows to known names; `None`: in the whole look-back. Later than its beginning
    /// where the list was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows_since_ms: Option<i64>,
    /// The person's sessions that overlap any time around an attempt. At most [`SESSIONS_MAX`].
    #[serde(default)]
    pub sessions: Vec<SessionFact>,
    /// Successful logins of the person's accounts around attempts. At most [`LOGINS_MAX`].
    #[serde(default)]
    pub logins: Vec<LoginFact>,
    /// When the machine was off or asleep, in the look-back. At most [`SPANS_MAX`].
    #[serde(default)]
    pub power: Vec<PowerSpan>,
    /// Under which public addresses it was seen, in the look-back. At most [`SPANS_MAX`].
    #[serde(default)]
    pub addresses: Vec<PublicAddress>,
    /// How far its clock may have been off, in the look-back. At most [`SPANS_MAX`].
    #[serde(default)]
    pub clock: Vec<ClockSpan>,
    /// When its sensors were running, in the look-back. At most [`SPANS_MAX`].
    #[serde(default)]
    pub sensors: Vec<SensorSpan>,
    /// The providers' own ids of this machine. At most [`SPANS_MAX`].
    #[serde(default)]
    pub devices: Vec<DeviceBinding>,
    /// Remote-control tools, tunnels, SOCKS listeners and automated browsers, around attempts. At most
    /// [`REMOTE_CONTROL_MAX`].
    #[serde(default)]
    pub remote_control: Vec<RemoteControl>,
    /// What the lists above lack. At most [`SPANS_MAX`].
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

impl EndpointFacts {
    /// Sorts every list, drops repeats and holds every bound, so that no order of arrival shows and nobody's
    /// carelessness costs more than the bounds say. What is dropped here is added to `left_out`.
    pub fn normalize(&mut self) {
        let mut dropped = Vec::new();
        for account in &mut self.accounts {
            account.normalize();
        }
        for session in &mut self.sessions {
            session.normalize();
        }
        newest(
            &mut self.accounts,
            ACCOUNTS_MAX,
            ("accounts", |_| i64::MAX),
            &mut dropped,
        );
        newest(
            &mut self.flows,
            FLOWS_MAX,
            ("network flows", |f| f.opened.until_ms),
            &mut dropped,
        );
        newest(
            &mut self.sessions,
            SESSIONS_MAX,
            ("sessions", |s| s.opened.until_ms),
            &mut dropped,
        );
        newest(
            &mut self.logins,
            LOGINS_MAX,
            ("logins", |l| l.time_ms),
            &mut dropped,
        );
        self.bound_machine(&mut dropped);
        self.left_out.extend(dropped);
        self.left_out.sort_unstable();
        self.left_out.dedup();
        self.left_out.truncate(SPANS_MAX);
    }
}

impl EndpointFacts {
    /// The lists about the machine itself.
    fn bound_machine(&mut self, dropped: &mut Vec<LeftOut>) {
        newest(
            &mut self.power,
            SPANS_MAX,
            ("power records", |p| p.span.from_ms),
            dropped,
        );
        newest(
            &mut self.addresses,
            SPANS_MAX,
            ("addresses", |a| a.span.from_ms),
            dropped,
        );
        newest(
            &mut self.clock,
            SPANS_MAX,
            ("clock records", |c| c.span.from_ms),
            dropped,
        );
        newest(
            &mut self.sensors,
            SPANS_MAX,
            ("sensor records", |s| s.span.from_ms),
            dropped,
        );
        newest(
            &mut self.devices,
            SPANS_MAX,
            ("device ids", |_| i64::MAX),
            dropped,
        );
        newest(
            &mut self.remote_control,
            REMOTE_CONTROL_MAX,
            ("remote-control findings", |r| r.span.from_ms),
            dropped,
        );
    }
}

/// Sorts, drops repeats, and keeps the greatest `max`: every fact sorts by time first.
fn newest<T: Ord>(
    list: &mut Vec<T>,
    max: usize,
    (what, time_ms): (&str, fn(&T) -> i64),
    dropped: &mut Vec<LeftOut>,
) {
    list.sort_unstable();
    list.dedup();
    let over = list.len().saturating_sub(max);
    if over == 0 {
        return;
    }
    list.drain(..over);
    // What is dropped lies before the first that is kept.
    let until_ms = list.first().map_or(i64::MAX, time_ms);
    dropped.push(LeftOut {
        what: what.to_owned(),
        span: TimeSpan {
            from_ms: i64::MIN,
            until_ms,
        },
        count: u64::try_from(over).ok(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(from_ms: i64) -> PowerSpan {
        PowerSpan {
            span: TimeSpan {
                from_ms,
                until_ms: from_ms + 1,
            },
            state: PowerState::Off,
            is_sure: true,
        }
    }

    #[test]
    fn any_order_and_any_repetition_is_the_same() {
        let facts = |power: Vec<PowerSpan>| {
            let mut facts = EndpointFacts {
                power,
                ..EndpointFacts::default()
            };
            facts.normalize();
            facts
        };
        let one = facts(vec![power(1), power(2), power(1)]);
        assert_eq!(one, facts(vec![power(2), power(1)]));
        assert_eq!(one.power.len(), 2);
    }

    #[test]
    fn a_full_list_keeps_the_newest_and_says_what_it_lacks() {
        let many = i64::try_from(SPANS_MAX).unwrap() + 3;
        let mut facts = EndpointFacts {
            power: (0..many).map(power).collect(),
            ..EndpointFacts::default()
        };
        facts.normalize();
        assert_eq!(facts.power.len(), SPANS_MAX);
        assert_eq!(facts.power.first(), Some(&power(3)));
        assert_eq!(facts.left_out.len(), 1);
        assert_eq!(facts.left_out[0].count, Some(3));
    }

    #[test]
    fn facts_of_an_earlier_version_still_read() {
        let facts: EndpointFacts = serde_json::from_str("{}").unwrap();
        assert_eq!(facts, EndpointFacts::default());
    }
}
