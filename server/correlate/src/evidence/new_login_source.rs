//! A login to the person's endpoint from a source that was never seen there, near the prompts.

use tocsin_proto::id::EventId;

use super::{Evidence, Family, Finding, Spec, Weight};
use crate::baseline::{DAY_MS, HOUR_MS};
use crate::case::{Case, event_ids};
use crate::fact::LoginFact;
use crate::provenance::Machine;
use crate::sentence;

/// See the file.
pub(super) struct NewLoginSource;

const SPEC: Spec = Spec {
    kind: "new_login_source",
    family: Family::Endpoint,
    why: "who has the password for the provider tries it on the person's machines as well",
    base_rate: "now and then, where people log in remotely from changing networks",
};

const WEIGHT: Weight = Weight(90);
/// So near to the prompts, on either side.
const NEAR_MS: i64 = HOUR_MS;
/// A source is new only on an endpoint that has been known for so long.
const KNOWN_MS: i64 = 7 * DAY_MS;

fn near<'c>(case: &'c Case<'_, '_>) -> Vec<(&'c Machine, &'c LoginFact)> {
    let Some(around) = case.around_prompts(NEAR_MS, NEAR_MS) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for machine in &case.judgements.machines {
        for login in &machine.logins {
            let is_near = (around.from_ms..=around.until_ms).contains(&login.time_ms);
            let is_known = machine
                .observed_since_ms
                .is_some_and(|ms| login.time_ms.saturating_sub(ms) >= KNOWN_MS);
            let has_source = login.address.is_some() || !login.host.is_empty();
            let is_new = login
                .source_first_seen_ms
                .is_some_and(|ms| ms >= around.from_ms);
            if is_near && is_known && has_source && is_new {
                found.push((machine, login));
            }
        }
    }
    found
}

impl Evidence for NewLoginSource {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn look(&self, case: &Case<'_, '_>) -> Option<Finding> {
        let found = near(case);
        let (machine, login) = found.first()?;
        let source = login
            .address
            .map_or_else(|| login.host.clone(), |ip| ip.to_string());
        let prompts: Vec<_> = case.judged().into_iter().map(|(item, _)| item).collect();
        Some(Finding {
            weight: WEIGHT,
            summary: format!(
                "a login to {} as {} from {source} at {}, a source that was never seen there before",
                machine.hostname,
                if login.account.is_empty() {
                    "this person"
                } else {
                    &login.account
                },
                sentence::clock(login.time_ms)
            ),
            event_ids: event_ids(&prompts),
        })
    }

    fn endpoint_events(&self, case: &Case<'_, '_>) -> Vec<EventId> {
        near(case).iter().map(|(_, login)| login.event_id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::weigh;
    use crate::input::LinkedEndpoint;
    use crate::scene::{laptop, login};
    use crate::story::{Story, ms};

    fn of(change: impl FnOnce(&mut LinkedEndpoint)) -> i32 {
        let mut endpoint = laptop("porto-17");
        change(&mut endpoint);
        let story = Story::new()
            .usual_sign_ins(10)
            .at("2026-03-12 11:00")
            .attacker();
        weigh(&NewLoginSource, story.prompt().denied().endpoint(endpoint))
    }

    #[test]
    fn a_login_from_a_new_source_near_the_prompts_is_seen() {
        let at_ms = ms("2026-03-12 11:10");
        assert_eq!(of(|e| e.facts.logins.push(login(at_ms, at_ms))), WEIGHT.0);
    }

    #[test]
    fn a_known_source_another_time_and_a_new_endpoint_are_not() {
        let at_ms = ms("2026-03-12 11:10");
        let late_ms = ms("2026-03-12 14:10");
        assert_eq!(
            of(|e| e.facts.logins.push(login(at_ms, ms("2026-03-02 11:10")))),
            0
        );
        assert_eq!(of(|e| e.facts.logins.push(login(late_ms, late_ms))), 0);
        assert_eq!(
            of(|e| {
                e.facts.logins.push(login(at_ms, at_ms));
                e.facts.observed_since_ms = Some(ms("2026-03-11 11:10"));
            }),
            0
        );
        assert_eq!(of(|_| ()), 0);
    }
}
