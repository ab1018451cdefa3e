//! An outage of a provider, on a store: whoever's records come first.

use super::*;

/// Whom it hits.
const PEOPLE: u32 = 8;

fn people() -> usize {
    usize::try_from(PEOPLE).unwrap()
}

/// So many people with a fortnight of work whose prompts fail again and again within half an hour, and one who is bombed
/// meanwhile.
fn company(people: i64) -> Vec<MfaEvent> {
    let from_ms = START_MS + 30 * DAY_MS;
    let mut events: Vec<MfaEvent> = (0..people).flat_map(|n| failing(n, from_ms)).collect();
    events.extend(ordinary("victim", 14));
    events.extend(bombing("victim", from_ms, 6, true));
    events
}

fn failing(n: i64, from_ms: i64) -> Vec<MfaEvent> {
    let who = format!("person{n}");
    let mut events = ordinary(&who, 14);
    for prompt in 0..6 {
        let at_ms = from_ms + n * 1_000 + prompt * 240_000;
        events.push(event(&who, at_ms, MfaEventKind::PromptSent, true));
        events.push(event(&who, at_ms + 60_000, MfaEventKind::Unanswered, true));
    }
    events
}

/// Incidents that say that the provider's prompts failed, and those that say that somebody got in after hostile ones.
async fn told(bench: &Bench) -> (usize, usize) {
    let mut counts = (0, 0);
    for row in bench.rows().await {
        let draft = unpack_draft(&row.engine.draft).unwrap();
        let has = |kind: &str| draft.evidence.iter().any(|piece| piece.kind == kind);
        counts.0 += usize::from(has("provider_outage"));
        counts.1 += usize::from(has("approval_after_prompts"));
        assert!(!(has("provider_outage") && has("approval_after_prompts")));
    }
    counts
}

#[tokio::test]
async fn an_outage_is_told_to_all_whom_it_hit_in_any_order() {
    let events = company(PEOPLE.into());
    let whole = Bench::new().await;
    whole.import(&events).await;
    let expected = whole.seen().await;
    assert_eq!(told(&whole).await, (people(), 1));

    for by in [7, 13, 29] {
        let bench = Bench::new().await;
        let mut shuffled = events.clone();
        shuffled.sort_by_key(|event| u64::from(event.id.as_bytes()[by % 16]) * by as u64);
        for part in shuffled.chunks(60) {
            bench.import(part).await;
        }
        bench.import(&shuffled).await;
        assert_eq!(bench.seen().await, expected, "by {by}");
        let again = Bench::open(bench.dir).await;
        again.correlator.settle().await.unwrap();
        assert_eq!(again.seen().await, expected, "started again");
    }
}

#[tokio::test]
async fn a_few_people_are_no_outage_and_neither_are_many_among_more_who_get_in() {
    let few = Bench::new().await;
    few.import(&company(4)).await;
    assert_eq!(told(&few).await.0, 0);

    let bench = Bench::new().await;
    bench.import(&company(PEOPLE.into())).await;
    assert_eq!(told(&bench).await.0, people());
    // Late records: others got in all the time.
    let from_ms = START_MS + 30 * DAY_MS;
    for n in 0..60 {
        let at_ms = from_ms - 300_000 + n * 30_000;
        let who = format!("other{}", n % 20);
        let again = event(&who, at_ms, MfaEventKind::Approved, true);
        let more = event(&who, at_ms + 1_000, MfaEventKind::Approved, true);
        bench.import(&[again, more]).await;
    }
    assert_eq!(told(&bench).await, (0, 1));
}

#[tokio::test]
async fn an_outage_outlives_the_records_of_those_whom_it_hit() {
    let bench = Bench::new().await;
    bench.import(&company(PEOPLE.into())).await;
    let expected = bench.seen().await;
    assert!(bench.correlator.remove_mfa_events(2).await.unwrap() > 0);
    assert_eq!(bench.seen().await, expected, "the records are gone");
    // Somebody whose record is late is told of it as well, or by nobody's: nobody else's incident changes.
    let from_ms = START_MS + 30 * DAY_MS;
    bench.import(&failing(99, from_ms)).await;
    let after = bench.seen().await;
    assert!(expected.iter().all(|one| after.contains(one)));
}
