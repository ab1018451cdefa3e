//! The person said it was not them.

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::attempt::AttemptResult;
use crate::case::{Case, event_ids};
use crate::input::MfaEventKind;
use crate::sentence;

/// See the file.
pub(super) struct UserReport;

const SPEC: Spec = Spec {
    kind: "user_report",
    family: Family::Reports,
    why: "nobody knows better; some press the button by mistake, and a stolen session could too",
    base_rate: "1 report in 21,450 authentications of one fleet's week",
};

const WEIGHT: Weight = Weight(350);

impl Evidence for UserReport {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let is_report = |result: AttemptResult| result == AttemptResult::FraudReported;
        let reports: Vec<_> = case
            .items
            .iter()
            .copied()
            .filter(|item| {
                item.is_kind(MfaEventKind::SuspiciousReported)
                    || item
                        .attempt()
                        .is_some_and(|attempt| is_report(attempt.result))
            })
            .collect();
        let first = reports.first()?;
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "this person reported it as not theirs at {}",
                sentence::clock(first.end_ms())
            ),
            event_ids: event_ids(&reports),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{find, weigh};
    use crate::story::Story;

    #[test]
    fn a_report_outside_of_a_prompt_is_seen() {
        let story = Story::new().usual_sign_ins(10).at("2026-03-12 14:00");
        let finding = find(&UserReport, story.event(MfaEventKind::SuspiciousReported)).unwrap();
        assert_eq!(
            finding.summary,
            "this person reported it as not theirs at 14:00 UTC"
        );
    }

    #[test]
    fn a_report_in_answer_to_a_prompt_is_seen() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .prompt();
        assert_eq!(
            weigh(&UserReport, story.answer(MfaEventKind::FraudReported)),
            WEIGHT.0
        );
    }

    #[test]
    fn a_denial_is_no_report() {
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 14:00")
            .prompt()
            .denied();
        assert_eq!(weigh(&UserReport, story), 0);
    }
}
