//! Rollouts: which endpoint is asked next, and when to stop. Pure: what is stored and what is seen go in, what changes
//! comes out. Doing it again changes nothing.
//!
//! A rollout goes through its rings in order. An endpoint belongs to the first ring that has it; who that is, is decided
//! when the ring begins, in an order that no endpoint can choose. The next ring begins when the last but offline ones
//! have ended and one at least works. It stops by itself where one of the first ring fails, or more than
//! [`FAILED_PERCENT_MAX`] of a later one, or where a whole ring refuses. An endpoint that was offline is asked when it
//! comes back, for as long as the rollout goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use sha2::{Digest, Sha256};
use tocsin_proto::agent::v1::{UpdateReport, UpdateState};
use tocsin_proto::capability;
use tocsin_proto::console::v1::RolloutMemberState as Member;
use tocsin_proto::console::v1::RolloutState;
use tocsin_proto::id::EndpointId;
use tocsin_proto::limits::TAG_BYTES_MAX;

use crate::store::rollout::{MemberRow, RolloutRow};

/// Rings of one rollout.
pub(crate) const RINGS_MAX: usize = 16;

/// Endpoints that update at once; the others of the ring wait.
const UPDATING_MAX: usize = 64;

/// Of a later ring, how many percent may fail before it stops.
const FAILED_PERCENT_MAX: usize = 5;

/// An endpoint on its way that says nothing new is asked again after so long.
const ASK_AGAIN_MS: i64 = 120_000;

/// One that began and is not connected for so long has failed.
const MISSING_MS: i64 = 600_000;

/// Who is in a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ring {
    /// So many more endpoints.
    Count(usize),
    /// As many as make so many percent of the fleet with those before.
    Percent(usize),
    /// All with this tag.
    Tag(String),
}

/// Text that names no ring.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a ring is a count (2), a percentage (20%), a tag (tag:pilot) or the ring of a token (ring:early)"
)]
pub(crate) struct RingError;

impl FromStr for Ring {
    type Err = RingError;

    fn from_str(text: &str) -> Result<Self, RingError> {
        let number = |text: &str, max: usize| {
            let number = text.parse().ok().filter(|n| (1..=max).contains(n));
            number.ok_or(RingError)
        };
        if let Some(name) = text.strip_prefix("ring:") {
            return format!("tag:ring:{name}").parse();
        }
        if let Some(tag) = text.strip_prefix("tag:") {
            let is_tag = (1..=TAG_BYTES_MAX).contains(&tag.len())
                && !tag.contains(|c: char| c.is_whitespace() || c.is_control());
            return is_tag.then(|| Self::Tag(tag.to_owned())).ok_or(RingError);
        }
        match text.strip_suffix('%') {
            Some(percent) => number(percent, 100).map(Self::Percent),
            None => number(text, 1_000_000).map(Self::Count),
        }
    }
}

/// What is seen of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which.
    pub(crate) endpoint: EndpointId,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// What it says of itself; `None` where it is not connected.
    pub(crate) live: Option<SeenLive>,
}

/// What a connected endpoint says.
#[derive(Debug, Clone)]
pub(crate) struct SeenLive {
    /// Of its agent.
    pub(crate) version: String,
    /// Of its agent.
    pub(crate) capability: u32,
    /// Whether it has said how it is in this session; what it says of an update comes before that.
    pub(crate) heard: bool,
    /// What it last said of an update.
    pub(crate) report: Option<UpdateReport>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// As it is now.
    pub(crate) row: RolloutRow,
    /// Those that have changed.
    pub(crate) changed: Vec<MemberRow>,
    /// Whom to ask; they are among those that have changed.
    pub(crate) ask: Vec<EndpointId>,
}

/// One look at a rollout.
pub(crate) fn step(row: &RolloutRow, members: &[MemberRow], fleet: &[Seen], now_ms: i64) -> Step {
    let mut row = row.clone();
    let before: BTreeMap<EndpointId, &MemberRow> = members
        .iter()
        .map(|member| (member.endpoint, member))
        .collect();
    let seen: BTreeMap<EndpointId, &Seen> =
        fleet.iter().map(|seen| (seen.endpoint, seen)).collect();
    let mut now: Vec<MemberRow> = members
        .iter()
        .map(|member| {
            observed(
                member,
                seen.get(&member.endpoint).copied(),
                &row.version,
                now_ms,
            )
        })
        .collect();
    let mut ask = Vec::new();
    if row.state == RolloutState::Running {
        if let Some(reason) = reason_to_stop(&row, &now) {
            row.state = RolloutState::Stopped;
            row.reason = reason;
        } else {
            go_on(&mut row, &mut now, fleet, now_ms);
            ask = begin(&row, &mut now, &seen, now_ms);
        }
    }
    let changed = now
        .into_iter()
        .filter(|member| before.get(&member.endpoint) != Some(&member))
        .collect();
    Step { row, changed, ask }
}

/// Where a member is, by what is seen of it.
fn observed(member: &MemberRow, seen: Option<&Seen>, version: &str, now_ms: i64) -> MemberRow {
    let is_begun = matches!(member.state, Member::Updating | Member::OnTrial);
    if !is_begun && member.state != Member::Waiting {
        return member.clone();
    }
    let to = |state, detail: &str| MemberRow {
        state,
        detail: detail.to_owned(),
        // Since when it is so, and not since when it is said.
        time_ms: if state == member.state {
            member.time_ms
        } else {
            now_ms
        },
        ..member.clone()
    };
    let Some(live) = seen.and_then(|seen| seen.live.as_ref()) else {
        return match is_begun && now_ms.saturating_sub(member.time_ms) > MISSING_MS {
            true => to(Member::Failed, "it has not come back"),
            false => member.clone(),
        };
    };
    let report = live
        .report
        .as_ref()
        .filter(|report| report.version == version);
    match report.map(|report| (report.state(), report.detail.as_str())) {
        Some((UpdateState::OnTrial, detail)) => to(Member::OnTrial, detail),
        Some((UpdateState::Returned, detail)) => to(Member::Failed, detail),
        // Before it has said whether it is on trial nothing is known.
        _ if live.version == version && !live.heard => member.clone(),
        _ if live.version == version => to(Member::Done, ""),
        _ if live.capability < capability::RELEASE => {
            to(Member::Refused, "its agent is too old to update itself")
        }
        // What it said before it was asked counts no more.
        Some((UpdateState::Refused, detail)) if is_begun => to(Member::Refused, detail),
        Some((UpdateState::Fetching, detail)) if is_begun => to(Member::Updating, detail),
        _ => member.clone(),
    }
}

fn count(members: &[MemberRow], ring: u32, state: Member) -> usize {
    let is_there = |member: &&MemberRow| member.ring == ring && member.state == state;
    members.iter().filter(is_there).count()
}

fn reason_to_stop(row: &RolloutRow, members: &[MemberRow]) -> Option<String> {
    for ring in 1..=row.ring {
        let all = members.iter().filter(|member| member.ring == ring).count();
        let failed = count(members, ring, Member::Failed);
        let allowed = if ring == 1 {
            0
        } else {
            all * FAILED_PERCENT_MAX / 100
        };
        if failed > allowed {
            let why = members.iter().find(|member| member.state == Member::Failed);
            let why = why.map_or("", |member| &member.detail);
            return Some(format!("{failed} of {all} in ring {ring} failed: {why}"));
        }
        let refused = count(members, ring, Member::Refused);
        if all > 0 && refused == all {
            let why = members
                .iter()
                .find(|member| member.state == Member::Refused);
            let why = why.map_or("", |member| &member.detail);
            return Some(format!("all {all} in ring {ring} refused: {why}"));
        }
    }
    None
}

/// Begins the rings that can begin, and ends the rollout after the last.
fn go_on(row: &mut RolloutRow, members: &mut Vec<MemberRow>, fleet: &[Seen], now_ms: i64) {
    let online: BTreeSet<EndpointId> = fleet
        .iter()
        .filter(|seen| seen.live.is_some())
        .map(|seen| seen.endpoint)
        .collect();
    loop {
        let of_ring = |member: &&MemberRow| member.ring == row.ring;
        let is_begun = row.ring > 0;
        let is_open = members
            .iter()
            .filter(of_ring)
            .any(|member| match member.state {
                Member::Updating | Member::OnTrial => true,
                Member::Waiting => online.contains(&member.endpoint),
                _ => false,
            });
        let works = count(members, row.ring, Member::Done) > 0;
        let is_empty = !members.iter().any(|member| member.ring == row.ring);
        if is_begun && (is_open || !(works || is_empty)) {
            return;
        }
        let next = usize::try_from(row.ring).unwrap_or(usize::MAX);
        let Some(ring) = row
            .rings
            .get(next)
            .and_then(|ring| ring.parse::<Ring>().ok())
        else {
            if !members.iter().any(|member| member.state == Member::Waiting) {
                row.state = RolloutState::Done;
            }
            return;
        };
        row.ring += 1;
        members.extend(
            chosen(row, &ring, members, fleet)
                .into_iter()
                .map(|endpoint| MemberRow {
                    endpoint,
                    ring: row.ring,
                    state: Member::Waiting,
                    detail: String::new(),
                    time_ms: now_ms,
                }),
        );
    }
}

/// Who is in a ring and in none before, in an order of chance that is always the same.
fn chosen(row: &RolloutRow, ring: &Ring, members: &[MemberRow], fleet: &[Seen]) -> Vec<EndpointId> {
    let taken: BTreeSet<EndpointId> = members.iter().map(|member| member.endpoint).collect();
    let mut free: Vec<&Seen> = fleet
        .iter()
        .filter(|seen| !taken.contains(&seen.endpoint))
        .collect();
    let place = |seen: &&Seen| -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(row.id.as_bytes());
        hash.update(seen.endpoint.as_bytes());
        hash.finalize().into()
    };
    // Those that are there first: a ring of sleepers would show nothing.
    free.sort_by_key(|seen| (seen.live.is_none(), place(seen)));
    let wanted = match ring {
        Ring::Count(count) => *count,
        Ring::Percent(percent) => (fleet.len() * percent)
            .div_ceil(100)
            .saturating_sub(taken.len()),
        Ring::Tag(tag) => {
            free.retain(|seen| seen.tags.contains(tag));
            free.len()
        }
    };
    free.iter().take(wanted).map(|seen| seen.endpoint).collect()
}

/// Asks those that wait and are there, and those again that have come to nothing.
fn begin(
    row: &RolloutRow,
    members: &mut [MemberRow],
    seen: &BTreeMap<EndpointId, &Seen>,
    now_ms: i64,
) -> Vec<EndpointId> {
    let mut ask = Vec::new();
    let busy = |member: &&MemberRow| matches!(member.state, Member::Updating | Member::OnTrial);
    let mut places = UPDATING_MAX.saturating_sub(members.iter().filter(busy).count());
    for member in members.iter_mut() {
        let is_there = seen
            .get(&member.endpoint)
            .is_some_and(|seen| seen.live.is_some());
        if !is_there || row.state != RolloutState::Running {
            continue;
        }
        match member.state {
            Member::Waiting if places > 0 => places -= 1,
            Member::Updating if now_ms.saturating_sub(member.time_ms) > ASK_AGAIN_MS => {}
            _ => continue,
        }
        member.state = Member::Updating;
        member.time_ms = now_ms;
        ask.push(member.endpoint);
    }
    ask
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "1.2.0";

    fn endpoint(number: usize) -> EndpointId {
        EndpointId::from_public_key(&number.to_be_bytes())
    }

    fn live(version: &str) -> Option<SeenLive> {
        Some(SeenLive {
            version: version.into(),
            capability: capability::CURRENT,
            heard: true,
            report: None,
        })
    }

    fn said(version: &str, state: UpdateState) -> Option<SeenLive> {
        let report = UpdateReport {
            version: VERSION.into(),
            state: state.into(),
            detail: "why".into(),
            running_version: version.into(),
        };
        live(version).map(|live| SeenLive {
            report: Some(report),
            ..live
        })
    }

    /// A fleet and a rollout over it.
    struct Field {
        row: RolloutRow,
        members: BTreeMap<EndpointId, MemberRow>,
        fleet: Vec<Seen>,
        now_ms: i64,
    }

    impl Field {
        fn new(size: usize, rings: &[&str]) -> Self {
            let seen = |number| Seen {
                endpoint: endpoint(number),
                tags: Vec::new(),
                live: live("1.1.0"),
            };
            Self {
                row: RolloutRow {
                    id: "rollout".into(),
                    version: VERSION.into(),
                    state: RolloutState::Running,
                    reason: String::new(),
                    ring: 0,
                    rings: rings.iter().map(|ring| (*ring).to_owned()).collect(),
                    created_by: "dana".into(),
                    created_time_ms: 0,
                },
                members: BTreeMap::new(),
                fleet: (0..size).map(seen).collect(),
                now_ms: 0,
            }
        }

        /// Whom one look asks.
        fn look(&mut self) -> Vec<EndpointId> {
            self.now_ms += 2000;
            let members: Vec<MemberRow> = self.members.values().cloned().collect();
            let step = step(&self.row, &members, &self.fleet, self.now_ms);
            self.row = step.row;
            for member in step.changed {
                self.members.insert(member.endpoint, member);
            }
            step.ask
        }

        fn set(&mut self, endpoint: EndpointId, live: Option<SeenLive>) {
            let seen = self.fleet.iter_mut().find(|seen| seen.endpoint == endpoint);
            seen.unwrap().live = live;
        }

        fn states(&self, state: Member) -> usize {
            self.members
                .values()
                .filter(|member| member.state == state)
                .count()
        }
    }

    #[test]
    fn rings_are_read() {
        assert_eq!("2".parse(), Ok(Ring::Count(2)));
        assert_eq!("20%".parse(), Ok(Ring::Percent(20)));
        assert_eq!("tag:a".parse(), Ok(Ring::Tag("a".into())));
        for text in ["", "0", "101%", "0%", "tag:", "tag:a b", "-1", "2 %", "all"] {
            assert_eq!(text.parse::<Ring>(), Err(RingError), "{text}");
        }
    }

    #[test]
    fn it_goes_from_ring_to_ring_and_ends() {
        let mut field = Field::new(10, &["2", "50%", "100%"]);
        for expected in [2, 3, 5] {
            let asked = field.look();
            assert_eq!(asked.len(), expected);
            assert!(field.look().is_empty(), "nobody is asked twice");
            for endpoint in &asked {
                field.set(*endpoint, said(VERSION, UpdateState::OnTrial));
            }
            assert!(field.look().is_empty(), "not while it is on trial");
            for endpoint in asked {
                field.set(endpoint, said(VERSION, UpdateState::Done));
            }
        }
        field.look();
        assert_eq!(field.row.state, RolloutState::Done);
        assert_eq!(field.states(Member::Done), 10);
        assert!(field.look().is_empty());
    }

    #[test]
    fn a_new_version_that_has_said_nothing_yet_is_not_taken_for_well() {
        let mut field = Field::new(2, &["1", "100%"]);
        let asked = field.look();
        let silent = live(VERSION).map(|live| SeenLive {
            heard: false,
            ..live
        });
        field.set(asked[0], silent);
        assert!(field.look().is_empty());
        assert_eq!(field.states(Member::Done), 0);
    }

    #[test]
    fn a_failure_in_the_first_ring_stops_it() {
        let mut field = Field::new(10, &["2", "100%"]);
        let asked = field.look();
        field.set(asked[0], said(VERSION, UpdateState::Done));
        field.set(asked[1], said("1.1.0", UpdateState::Returned));
        assert!(field.look().is_empty());
        assert_eq!(field.row.state, RolloutState::Stopped);
        assert_eq!(field.row.reason, "1 of 2 in ring 1 failed: why");
        assert_eq!(field.states(Member::Waiting), 0);
    }

    #[test]
    fn one_that_does_not_come_back_has_failed() {
        let mut field = Field::new(3, &["1", "100%"]);
        let asked = field.look();
        field.set(asked[0], None);
        field.look();
        assert_eq!(field.row.state, RolloutState::Running);
        field.now_ms += MISSING_MS;
        field.look();
        assert_eq!(field.row.state, RolloutState::Stopped);
        assert!(field.row.reason.contains("not come back"));
    }

    #[test]
    fn in_a_later_ring_few_may_fail() {
        let mut field = Field::new(61, &["1", "100%"]);
        let first = field.look();
        field.set(first[0], live(VERSION));
        let asked = field.look();
        assert_eq!(asked.len(), 60);
        for (number, endpoint) in asked.iter().enumerate() {
            let state = match number {
                0..3 => said("1.1.0", UpdateState::Returned),
                _ => said(VERSION, UpdateState::Done),
            };
            field.set(*endpoint, state);
        }
        field.look();
        assert_eq!(field.row.state, RolloutState::Done);
        assert_eq!(field.states(Member::Failed), 3);
    }

    #[test]
    fn whoever_is_offline_holds_nobody_up_and_catches_up() {
        let mut field = Field::new(4, &["2", "100%"]);
        let first = field.look();
        for endpoint in first {
            field.set(endpoint, live(VERSION));
        }
        let late = field.look();
        field.set(late[0], live(VERSION));
        // It was asked, and went away before it began.
        let gone = late[1];
        field.members.get_mut(&gone).unwrap().state = Member::Waiting;
        field.set(gone, None);
        assert!(field.look().is_empty());
        assert_eq!(field.row.state, RolloutState::Running);
        field.set(gone, live("1.1.0"));
        assert_eq!(field.look(), [gone]);
        field.set(gone, live(VERSION));
        field.look();
        assert_eq!(field.row.state, RolloutState::Done);
    }

    #[test]
    fn a_paused_rollout_asks_nobody_and_still_sees() {
        let mut field = Field::new(3, &["1", "100%"]);
        let asked = field.look();
        field.row.state = RolloutState::Paused;
        field.set(asked[0], live(VERSION));
        assert!(field.look().is_empty());
        assert_eq!(field.states(Member::Done), 1);
        field.row.state = RolloutState::Running;
        assert_eq!(field.look().len(), 2);
    }

    #[test]
    fn tags_choose_and_an_old_agent_refuses() {
        let mut field = Field::new(4, &["tag:pilot", "100%"]);
        field.fleet[2].tags.push("pilot".into());
        let pilot = field.fleet[2].endpoint;
        assert_eq!(field.look(), [pilot]);
        let old = live("1.1.0").map(|live| SeenLive {
            capability: capability::RELEASE - 1,
            ..live
        });
        field.set(pilot, old);
        field.look();
        assert_eq!(field.row.state, RolloutState::Stopped);
        assert!(field.row.reason.contains("refused"), "{}", field.row.reason);
    }

    #[test]
    fn a_fleet_is_not_asked_at_once_and_the_silent_are_asked_again() {
        let mut field = Field::new(200, &["100%"]);
        let asked = field.look();
        assert_eq!(asked.len(), UPDATING_MAX);
        assert!(field.look().is_empty());
        field.now_ms += ASK_AGAIN_MS;
        let again: BTreeSet<_> = field.look().into_iter().collect();
        assert_eq!(again, asked.into_iter().collect());
    }
}
