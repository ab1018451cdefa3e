//! That what is made up has the documented shape of both engines.

use std::collections::BTreeSet;

use super::*;

const END_MS: i64 = 1_795_500_000_000;

fn log(engine: Engine) -> Log {
    let person = Person::new("dana@example.com", "Dana");
    let mut log = Log::new(engine, "test");
    log.history(&person, &Origin::office(7), 20, END_MS);
    log.fatigue(&person, &Origin::hoster(66), END_MS);
    log
}

fn count(records: &[Value], holds: impl Fn(&Value) -> bool) -> usize {
    records.iter().filter(|record| holds(record)).count()
}

#[test]
fn every_record_has_an_id_of_its_own() {
    for engine in [Engine::Identity, Engine::Classic] {
        let records = log(engine).records();
        let ids: BTreeSet<_> = records
            .iter()
            .map(|record| record["uuid"].to_string())
            .collect();
        assert_eq!(ids.len(), records.len());
    }
}

#[test]
fn the_same_calls_give_the_same_records() {
    assert_eq!(
        log(Engine::Identity).records(),
        log(Engine::Identity).records()
    );
}

#[test]
fn the_attack_is_the_one_of_the_story() {
    let from_hoster = |record: &&Value| record["client"]["ipAddress"] == "203.0.113.66";
    for (engine, denial) in [
        (Engine::Identity, MFA),
        (Engine::Classic, "user.mfa.okta_verify.deny_push"),
    ] {
        let records: Vec<Value> = log(engine)
            .records()
            .iter()
            .filter(from_hoster)
            .cloned()
            .collect();
        let is = |record: &Value, event_type: &str| record["eventType"] == event_type;
        assert_eq!(
            count(&records, |r| is(r, "system.push.send_factor_verify_push")),
            17
        );
        assert_eq!(
            count(&records, |r| is(r, denial)
                && r["outcome"]["result"] == "FAILURE"),
            7
        );
        assert_eq!(count(&records, |r| is(r, "user.session.start")), 1);
        assert_eq!(count(&records, |r| is(r, "user.mfa.factor.activate")), 1);
        let last = records.last().unwrap();
        assert_eq!(last["published"], time(END_MS));
    }
}

#[test]
fn shuffling_loses_nothing() {
    let records = log(Engine::Classic).records();
    let mut shuffled = shuffled(&records, 1);
    assert_ne!(shuffled, records);
    shuffled.sort_by_key(|record| record["uuid"].to_string());
    let mut sorted = records;
    sorted.sort_by_key(|record| record["uuid"].to_string());
    assert_eq!(shuffled, sorted);
}
