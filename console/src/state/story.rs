//! What happened around an incident, in one order of time: prompts and answers, stages, sessions and other
//! events of the endpoints, and what analysts did.

use std::collections::HashSet;

use tocsin_proto::console::v1::{
    Attempt, AttemptResult, EventRow, Incident, Provenance, ProvenanceVerdict,
};

use crate::command::events::describe;
use crate::command::word;
use crate::output::style::Style;

/// As Tocsin signs its own activity.
const TOCSIN: &str = "tocsin";

/// Which lane something stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// A prompt.
    Prompt,
    /// What became of a prompt.
    Answer,
    /// A stage of the attack.
    Stage,
    /// Logins and sessions on endpoints.
    Session,
    /// Other events of endpoints.
    Endpoint,
    /// What analysts did.
    Action,
}

impl Lane {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompts",
            Self::Answer => "answers",
            Self::Stage => "stages",
            Self::Session => "sessions",
            Self::Endpoint => "endpoint",
            Self::Action => "actions",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// When.
    pub(crate) time_ms: i64,
    /// In which lane.
    pub(crate) lane: Lane,
    /// Its sign on the axis.
    pub(crate) sign: char,
    /// Which sign is shown where several meet: the highest.
    pub(crate) weight: u8,
    /// What it means.
    pub(crate) style: Style,
    /// What happened, unclean.
    pub(crate) what: String,
}

/// Where an attempt was made; unknown where nobody says.
pub(crate) fn provenance(attempt: &Attempt) -> ProvenanceVerdict {
    match attempt.provenance.as_ref().map(Provenance::verdict) {
        None | Some(ProvenanceVerdict::Unspecified) => ProvenanceVerdict::Unknown,
        Some(verdict) => verdict,
    }
}

/// The sign of where an attempt was made, and what it means. The word beside it begins with it.
pub(crate) fn provenance_sign(verdict: ProvenanceVerdict) -> (char, Style) {
    match verdict {
        ProvenanceVerdict::Here => ('h', Style::Good),
        ProvenanceVerdict::Elsewhere => ('e', Style::High),
        ProvenanceVerdict::Unknown | ProvenanceVerdict::Unspecified => ('?', Style::Plain),
    }
}

/// The sign and weight of an answer; none where there is none.
fn answer_sign(result: AttemptResult) -> Option<(char, u8)> {
    Some(match result {
        AttemptResult::Approved => ('A', 6),
        AttemptResult::FraudReported => ('F', 5),
        AttemptResult::WrongNumber => ('W', 4),
        AttemptResult::Denied => ('d', 3),
        AttemptResult::Error => ('!', 2),
        AttemptResult::Abandoned => ('x', 1),
        AttemptResult::Unanswered => ('u', 1),
        AttemptResult::Prompted | AttemptResult::Unspecified => return None,
    })
}

/// What an answer means.
pub(crate) fn answer_style(result: AttemptResult) -> Style {
    match result {
        AttemptResult::Approved => Style::Critical,
        AttemptResult::FraudReported | AttemptResult::WrongNumber => Style::High,
        AttemptResult::Denied => Style::Medium,
        _ => Style::Plain,
    }
}

/// All of it, the first first.
pub(crate) fn story<'a>(
    incident: &Incident,
    events: impl Iterator<Item = &'a EventRow>,
) -> Vec<Entry> {
    let mut all: Vec<_> = incident.attempts.iter().map(prompt).collect();
    all.extend(incident.attempts.iter().filter_map(answer));
    all.extend(incident.stages.iter().map(|stage| Entry {
        time_ms: stage.first_event_time_ms,
        lane: Lane::Stage,
        sign: '◆',
        weight: 1,
        style: Style::High,
        what: format!("{} ({})", stage.name.replace('_', " "), stage.technique),
    }));
    let named = incident.evidence.iter().flat_map(|one| &one.event_ids);
    let named: HashSet<_> = named.map(String::as_str).collect();
    all.extend(events.map(|event| of_event(event, named.contains(event.id.as_str()))));
    let by_people = incident.activity.iter().filter(|one| one.actor != TOCSIN);
    all.extend(by_people.map(|one| Entry {
        time_ms: one.time_ms,
        lane: Lane::Action,
        sign: '*',
        weight: 1,
        style: Style::Good,
        what: format!("{}: {}", one.actor, one.what),
    }));
    all.retain(|entry| entry.time_ms != 0);
    all.sort_by_key(|entry| (entry.time_ms, entry.lane));
    all
}

fn prompt(attempt: &Attempt) -> Entry {
    let verdict = provenance(attempt);
    let (sign, style) = provenance_sign(verdict);
    let where_ = word::<ProvenanceVerdict>(verdict.into());
    Entry {
        time_ms: attempt.time_ms,
        lane: Lane::Prompt,
        sign,
        weight: if sign == 'e' { 2 } else { 1 },
        style,
        what: format!(
            "{where_}: {} {} {} {}",
            attempt.source_ip, attempt.source_place, attempt.application, attempt.factor
        ),
    }
}

fn answer(attempt: &Attempt) -> Option<Entry> {
    let result = attempt.result();
    let (sign, weight) = answer_sign(result)?;
    let said = word::<AttemptResult>(attempt.result);
    Some(Entry {
        time_ms: match attempt.result_time_ms {
            0 => attempt.time_ms,
            time_ms => time_ms,
        },
        lane: Lane::Answer,
        sign,
        weight,
        style: answer_style(result),
        what: match result {
            AttemptResult::Approved => said.to_uppercase(),
            _ => said,
        },
    })
}

fn of_event(event: &EventRow, is_evidence: bool) -> Entry {
    let (what, style) = describe(event);
    let (lane, sign, weight) = match event.kind.as_str() {
        "login" | "session" => (Lane::Session, 's', 2),
        "gap" => (Lane::Endpoint, 'g', 3),
        "network" => (Lane::Endpoint, 'n', 2),
        "file" => (Lane::Endpoint, 'f', 3),
        _ => (Lane::Endpoint, 'p', 1),
    };
    let (sign, weight, style) = match is_evidence {
        true => ('◆', 9, Style::High),
        false => (sign, weight, style),
    };
    Entry {
        time_ms: event.event_time_ms,
        lane,
        sign,
        weight,
        style,
        what: format!("{} {} {what}", event.kind, event.activity),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::{Activity, Evidence};

    use super::*;

    #[test]
    fn everything_stands_in_its_lane_in_one_order() {
        let event = |id: &str, kind: &str, time_ms: i64| EventRow {
            id: id.into(),
            kind: kind.into(),
            event_time_ms: time_ms,
            ..EventRow::default()
        };
        let activity = |actor: &str, time_ms: i64| Activity {
            actor: actor.into(),
            time_ms,
            ..Activity::default()
        };
        let incident = Incident {
            attempts: vec![Attempt {
                time_ms: 20,
                result: AttemptResult::Approved.into(),
                result_time_ms: 40,
                ..Attempt::default()
            }],
            evidence: vec![Evidence {
                event_ids: vec!["a".into()],
                ..Evidence::default()
            }],
            activity: vec![activity(TOCSIN, 25), activity("kim", 90)],
            ..Incident::default()
        };
        let events = [
            event("a", "process", 30),
            event("b", "session", 10),
            event("c", "process", 0),
        ];
        let story = story(&incident, events.iter());
        let shown: Vec<_> = story.iter().map(|one| (one.time_ms, one.sign)).collect();
        assert_eq!(
            shown,
            [(10, 's'), (20, '?'), (30, '◆'), (40, 'A'), (90, '*')]
        );
    }
}
