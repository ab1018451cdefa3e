//! Each rule fires on what it was written for, and not on an ordinary sign-in: a rule that never fires would make any
//! comparison worthless.

use tocsin_correlate::{Factor, MfaEvent, MfaEventKind as Kind, Novelty, Place};

use super::{RULES, findings};
use crate::record::Log;
use crate::world::{Company, MINUTE_MS, MONTH_MS, Networks};

/// A person's log, written record by record.
struct Sample {
    events: Vec<MfaEvent>,
    now_ms: i64,
}

impl Sample {
    fn new() -> Self {
        Self {
            events: Vec::new(),
            now_ms: MONTH_MS,
        }
    }

    fn event(mut self, kind: Kind, host: u32) -> Self {
        let company = Company::new(1, 100, &mut Networks::default());
        let person = &company.people[0];
        let mut log = Log::new(u64::try_from(self.events.len()).unwrap(), person);
        let origin = company.sites[0].office.origin(host, &person.laptop);
        let event = log.event(person, self.now_ms, kind, &origin);
        event.factor = Some(Factor::Push);
        event.flow.session = Some("session".into());
        self.events.push(event.clone());
        self.now_ms += 20_000;
        self
    }

    fn many(self, count: usize, kind: Kind) -> Self {
        (0..count).fold(self, |sample, _| sample.event(kind, 1))
    }

    fn wait(mut self, minutes: i64) -> Self {
        self.now_ms += minutes * MINUTE_MS;
        self
    }

    fn each(mut self, change: impl Fn(&mut MfaEvent)) -> Self {
        self.events.iter_mut().for_each(change);
        self
    }
}

fn new_device(event: &mut MfaEvent) {
    event.novelty = Novelty {
        device: Some(true),
        address: Some(true),
        ..Novelty::default()
    };
}

/// What a rule was written for.
fn positive(name: &str) -> Sample {
    let sample = Sample::new();
    match name {
        "ER okta: 5 denied in 10 min, no success" => sample.many(5, Kind::Denied),
        "ER okta: 5 denied in 10 min, then success" => {
            sample.many(5, Kind::Denied).event(Kind::Approved, 1)
        }
        "ER entra: user reported" => sample.event(Kind::SuspiciousReported, 1),
        "OCD abandonment: >5 in 1 h from one address" => sample.many(6, Kind::Unanswered),
        "OCD mismatch of push and answer, by session" => sample
            .event(Kind::PromptSent, 9)
            .event(Kind::Denied, 1)
            .each(new_device),
        "OCD hunt: number challenge failed" => sample.event(Kind::WrongNumber, 1),
        "SSC okta: 10 failed in 5 min buckets" => sample.many(10, Kind::Denied),
        "SSC okta: exhaustion hunt, by day" => {
            sample.many(3, Kind::PromptSent).many(3, Kind::Denied)
        }
        "CHR okta: >4 pushes and success in 15 min, by session" => {
            sample.many(5, Kind::PromptSent).event(Kind::Approved, 1)
        }
        "AZS okta: >10 pushes in 1 h, by session" => sample.many(11, Kind::PromptSent),
        "SSC azure: >10 failed in 10 min buckets" => sample.many(11, Kind::Unanswered),
        "AZS entra: >10 and success, day spans 5 min" => {
            sample.many(11, Kind::Denied).event(Kind::Approved, 1)
        }
        "SSC ping: countries of request and answer differ" => {
            let abroad = |event: &mut MfaEvent| {
                if event.kind == Kind::PromptSent {
                    event.origin.place = Place {
                        country: Some("JP".into()),
                        ..Place::default()
                    };
                }
            };
            sample
                .event(Kind::PromptSent, 1)
                .event(Kind::Approved, 1)
                .each(abroad)
        }
        "PA auth0: 5 pushes in 30 min, of the admin console" => {
            let console =
                |event: &mut MfaEvent| event.application = Some("manage.auth0.com".into());
            sample.many(5, Kind::PromptSent).each(console)
        }
        "PA duo: fraud" => sample.event(Kind::FraudReported, 1),
        "one line: success from an address never seen" => {
            sample.event(Kind::Approved, 1).event(Kind::Approved, 2)
        }
        _ => sample.many(10, Kind::Denied),
    }
}

#[test]
fn every_rule_fires_on_its_own_sample() {
    for rule in RULES {
        let sample = positive(rule.name);
        assert_eq!(findings(rule, &sample.events).len(), 1, "{}", rule.name);
    }
}

#[test]
fn no_rule_fires_on_an_ordinary_sign_in() {
    let sample = Sample::new()
        .event(Kind::PromptSent, 1)
        .event(Kind::Approved, 1)
        .event(Kind::SessionStarted, 1);
    for rule in RULES {
        assert!(findings(rule, &sample.events).is_empty(), "{}", rule.name);
    }
}

#[test]
fn known_mistakes_are_kept() {
    let fires = |name: &str, sample: &Sample| {
        let rule = RULES.iter().find(|rule| rule.name == name).unwrap();
        !findings(rule, &sample.events).is_empty()
    };
    // A bucket's edge splits a series: MONTH_MS is one.
    let mut split = Sample::new();
    split.now_ms -= 100_000;
    let split = split.many(10, Kind::Denied);
    assert!(!fires("SSC azure: 10 denied in 10 min buckets", &split));
    assert!(fires("SSC o365, ping: 10 failed in 10 min", &split));
    // Another sign-in from the address that day hides the attack.
    let hidden = Sample::new()
        .event(Kind::Approved, 1)
        .wait(60)
        .many(11, Kind::Denied)
        .event(Kind::Approved, 1);
    assert!(!fires(
        "AZS entra: >10 and success, day spans 5 min",
        &hidden
    ));
    // The admin console's channel, which no sign-in has.
    assert!(!fires(
        "PA auth0: 5 pushes in 30 min, of the admin console",
        &Sample::new().many(9, Kind::PromptSent)
    ));
}

#[test]
fn alerts_of_a_day_are_one() {
    let rule = RULES
        .iter()
        .find(|rule| rule.name == "CHR okta: 2 rejected in 10 min")
        .unwrap();
    let sample = Sample::new()
        .many(4, Kind::Denied)
        .wait(25 * 60)
        .many(2, Kind::Denied);
    assert_eq!(findings(rule, &sample.events).len(), 2);
}
