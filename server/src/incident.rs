//! An incident's life: which states it goes through, who moves it, and what correlating its person anew does to it.
//! Pure.
//!
//! ```text
//! new --> in_progress <--> on_hold
//!  \          |              |        resolved, closed: by an analyst, from any of these;
//!   \-------> resolved ----> closed   back to in_progress: by an analyst
//!                                     back to new: by new evidence, and only so
//! ```

mod plan;

use tocsin_proto::console::v1::{IncidentState, Verdict};
use tocsin_proto::json::Word;

use crate::store::case::AnalystState;

pub(crate) use plan::{Effect, Owner, Plan, Stored, Summary, plan, tally, unpack_draft};

/// Who acts where no analyst does.
pub(crate) const TOCSIN: &str = "tocsin";

/// A move that an incident's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an incident that is {from} cannot become {to}: it can become {possible}")]
pub(crate) struct MoveError {
    from: String,
    to: String,
    possible: String,
}

/// Whether nobody has to work on it any more.
pub(crate) fn is_done(state: i32) -> bool {
    state == i32::from(IncidentState::Resolved) || state == i32::from(IncidentState::Closed)
}

/// States that an analyst can move an incident to.
fn possible(from: IncidentState) -> &'static [IncidentState] {
    use IncidentState::{Closed, InProgress, New, OnHold, Resolved, Unspecified};
    match from {
        New | Unspecified => &[InProgress, OnHold, Resolved, Closed],
        InProgress => &[OnHold, Resolved, Closed],
        OnHold => &[InProgress, Resolved, Closed],
        Resolved => &[InProgress, Closed],
        Closed => &[InProgress],
    }
}

/// An analyst moves it. `None`: it is in that state already.
pub(crate) fn move_to(
    analyst: &AnalystState,
    to: IncidentState,
    now_ms: i64,
) -> Result<Option<AnalystState>, MoveError> {
    let from = IncidentState::try_from(analyst.state).unwrap_or_default();
    if from == to {
        return Ok(None);
    }
    let possible = possible(from);
    if !possible.contains(&to) {
        let words: Vec<String> = possible.iter().map(|state| state.word()).collect();
        return Err(MoveError {
            from: from.word(),
            to: to.word(),
            possible: words.join(", "),
        });
    }
    Ok(Some(AnalystState {
        state: to.into(),
        state_time_ms: now_ms,
        ..touched(analyst, now_ms)
    }))
}

/// An analyst says what it was. `None`: that is what it says already.
pub(crate) fn judge(analyst: &AnalystState, verdict: Verdict, now_ms: i64) -> Option<AnalystState> {
    (analyst.verdict != i32::from(verdict)).then(|| AnalystState {
        verdict: verdict.into(),
        ..touched(analyst, now_ms)
    })
}

/// An analyst gives it to somebody, or to nobody. `None`: that one has it already.
pub(crate) fn assign(analyst: &AnalystState, assignee: &str, now_ms: i64) -> Option<AnalystState> {
    (analyst.assignee != assignee).then(|| AnalystState {
        assignee: assignee.to_owned(),
        ..touched(analyst, now_ms)
    })
}

/// An analyst has done something with it.
pub(crate) fn touched(analyst: &AnalystState, now_ms: i64) -> AnalystState {
    AnalystState {
        updated_time_ms: now_ms,
        is_touched: true,
        ..analyst.clone()
    }
}

/// What analysts said of several incidents that have become one: whoever is at work stays at work, and nothing that
/// is open becomes done by it.
pub(crate) fn merged(states: &[&AnalystState]) -> Option<AnalystState> {
    /// How far the work on it stands in the way of another's.
    fn rank(analyst: &AnalystState) -> u8 {
        match IncidentState::try_from(analyst.state) {
            Ok(IncidentState::InProgress) => 4,
            Ok(IncidentState::OnHold) => 3,
            Ok(IncidentState::New) => 2,
            Ok(IncidentState::Resolved) => 1,
            _ => 0,
        }
    }
    let mut order = states.to_vec();
    order.sort_by_key(|analyst| {
        let latest = std::cmp::Reverse(analyst.state_time_ms);
        (
            std::cmp::Reverse(rank(analyst)),
            latest,
            analyst.opened_time_ms,
        )
    });
    let first = *order.first()?;
    let assignee = order.iter().find(|analyst| !analyst.assignee.is_empty());
    let verdict = order.iter().find(|analyst| analyst.verdict != 0);
    Some(AnalystState {
        assignee: assignee
            .map(|analyst| analyst.assignee.clone())
            .unwrap_or_default(),
        verdict: verdict.map(|analyst| analyst.verdict).unwrap_or_default(),
        opened_time_ms: order.iter().map(|analyst| analyst.opened_time_ms).min()?,
        updated_time_ms: order.iter().map(|analyst| analyst.updated_time_ms).max()?,
        is_touched: order.iter().any(|analyst| analyst.is_touched),
        ..first.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analyst(state: IncidentState) -> AnalystState {
        AnalystState {
            state: state.into(),
            opened_time_ms: 10,
            updated_time_ms: 10,
            state_time_ms: 10,
            ..AnalystState::default()
        }
    }

    #[test]
    fn nobody_makes_an_incident_new() {
        for from in IncidentState::ALL {
            let moved = move_to(&analyst(*from), IncidentState::New, 20);
            assert_eq!(moved.is_ok(), *from == IncidentState::New, "{from:?}");
        }
        let error = move_to(&analyst(IncidentState::Closed), IncidentState::New, 20).unwrap_err();
        let expected = "an incident that is closed cannot become new: it can become in_progress";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn every_state_can_be_closed_and_a_closed_one_worked_on_again() {
        for from in IncidentState::ALL {
            assert!(
                move_to(&analyst(*from), IncidentState::Closed, 20).is_ok(),
                "{from:?}"
            );
        }
        let moved = move_to(
            &analyst(IncidentState::Closed),
            IncidentState::InProgress,
            20,
        );
        let moved = moved.unwrap().unwrap();
        assert_eq!(
            (moved.state_time_ms, moved.updated_time_ms, moved.is_touched),
            (20, 20, true)
        );
    }

    #[test]
    fn what_it_says_already_is_no_change() {
        let closed = analyst(IncidentState::Closed);
        assert_eq!(move_to(&closed, IncidentState::Closed, 20), Ok(None));
        assert_eq!(judge(&closed, Verdict::Unspecified, 20), None);
        assert_eq!(assign(&closed, "", 20), None);
    }

    #[test]
    fn of_merged_incidents_whoever_is_at_work_stays_at_work() {
        let closed = AnalystState {
            verdict: Verdict::TruePositive.into(),
            state_time_ms: 90,
            opened_time_ms: 5,
            ..analyst(IncidentState::Closed)
        };
        let working = AnalystState {
            assignee: "ana".into(),
            ..analyst(IncidentState::InProgress)
        };
        let new = AnalystState {
            state_time_ms: 99,
            ..analyst(IncidentState::New)
        };
        let merged = merged(&[&closed, &new, &working]).unwrap();
        assert_eq!(merged.state, i32::from(IncidentState::InProgress));
        assert_eq!(merged.assignee, "ana");
        assert_eq!(merged.verdict, i32::from(Verdict::TruePositive));
        assert_eq!(merged.opened_time_ms, 5);
    }

    #[test]
    fn merging_does_not_close_what_is_open() {
        let merged = merged(&[
            &analyst(IncidentState::Closed),
            &analyst(IncidentState::New),
        ]);
        assert_eq!(merged.unwrap().state, i32::from(IncidentState::New));
    }
}
