//! A means of remote control began on the person's endpoint near the prompts: before them, as after a call from "IT",
//! or after them.

use tocsin_proto::id::EventId;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{DAY_MS, HOUR_MS};
use crate::case::{Case, event_ids};
use crate::fact::RemoteControl;
use crate::provenance::Machine;
use crate::sentence;

/// See the file.
pub(super) struct RemoteSupportTool;

const SPEC: Spec = Spec {
    kind: "remote_support_tool",
    family: Family::Endpoint,
    why: "callers who pose as IT have people start such a tool minutes before or after the prompts",
    base_rate: "daily where IT supports people this way; seldom a tool that was never seen on the endpoint",
};

const NEW: Weight = Weight(180);
const KNOWN: Weight = Weight(50);

/// So near to the prompts, on either side.
const NEAR_MS: i64 = HOUR_MS;
/// A tool that was on the endpoint for longer is a known one.
const NEW_MS: i64 = DAY_MS;

/// Those that began near the prompts, newest tools first; the organisation's own left out.
fn near<'c>(case: &'c Case<'_, '_>) -> Vec<(bool, &'c Machine, &'c RemoteControl)> {
    let Some(around) = case.around_prompts(NEAR_MS, NEAR_MS) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for machine in &case.judgements.machines {
        for control in &machine.remote_control {
            let begins_ms = control.span.from_ms;
            if control.is_managed || begins_ms < around.from_ms || begins_ms > around.until_ms {
                continue;
            }
            let is_new = control
                .first_seen_ms
                .is_some_and(|first_ms| begins_ms.saturating_sub(first_ms) <= NEW_MS);
            found.push((is_new, machine, control));
        }
    }
    found.sort_by_key(|(is_new, _, control)| (!is_new, control.span));
    found
}

impl Evidence for RemoteSupportTool {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let found = near(case);
        let (is_new, machine, control) = found.first()?;
        let prompts = case.around_prompts(0, 0)?;
        let begins_ms = control.span.from_ms;
        let when = if begins_ms < prompts.from_ms {
            format!(
                "{} before the first prompt",
                sentence::length(prompts.from_ms - begins_ms)
            )
        } else if begins_ms > prompts.until_ms {
            format!(
                "{} after the last prompt",
                sentence::length(begins_ms - prompts.until_ms)
            )
        } else {
            "between the prompts".to_owned()
        };
        let history = if *is_new {
            ", which was not seen there before,"
        } else {
            ""
        };
        let prompts: Vec<_> = case.judged().into_iter().map(|(item, _)| item).collect();
        Some(Finding {
            weight: if *is_new { NEW } else { KNOWN },
            summary: format!(
                "{}{history} began on {} {when}",
                control.tool, machine.hostname
            ),
            event_ids: event_ids(&prompts),
        })
    }

    fn endpoint_events(&self, case: &Case<'_, '_>) -> Vec<EventId> {
        near(case)
            .iter()
            .flat_map(|(_, _, control)| control.event_ids.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::fact::ControlKind;
    use crate::scene::{control, laptop, span};
    use crate::story::Story;

    fn with(change: impl FnOnce(&mut RemoteControl), from: &str, until: &str) -> Story {
        let mut endpoint = laptop("porto-17");
        let mut found = control(ControlKind::Process, "AnyDesk", span(from, until));
        change(&mut found);
        endpoint.facts.remote_control.push(found);
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 11:00")
            .attacker();
        story.prompt().denied().endpoint(endpoint)
    }

    #[test]
    fn a_new_tool_is_seen_in_both_orders() {
        let before = find(
            &RemoteSupportTool,
            with(|_| (), "2026-03-12 10:48", "2026-03-12 12:00"),
        )
        .unwrap();
        assert_eq!(before.weight, NEW);
        assert_eq!(
            before.summary,
            "AnyDesk, which was not seen there before, began on porto-17 12 minutes before the first prompt"
        );
        let after = find(
            &RemoteSupportTool,
            with(|_| (), "2026-03-12 11:20", "2026-03-12 12:00"),
        )
        .unwrap();
        assert!(
            after.summary.ends_with("20 minutes after the last prompt"),
            "{}",
            after.summary
        );
    }

    #[test]
    fn a_known_tool_weighs_less_and_the_organisations_own_nothing() {
        let (from, until) = ("2026-03-12 10:48", "2026-03-12 12:00");
        assert_eq!(
            weigh(
                &RemoteSupportTool,
                with(|c| c.first_seen_ms = Some(0), from, until)
            ),
            KNOWN.0
        );
        assert_eq!(
            weigh(
                &RemoteSupportTool,
                with(|c| c.first_seen_ms = None, from, until)
            ),
            KNOWN.0
        );
        assert_eq!(
            weigh(
                &RemoteSupportTool,
                with(|c| c.is_managed = true, from, until)
            ),
            0
        );
    }

    #[test]
    fn one_that_began_hours_before_is_not() {
        assert_eq!(
            weigh(
                &RemoteSupportTool,
                with(|_| (), "2026-03-12 06:00", "2026-03-12 12:00")
            ),
            0
        );
    }
}
