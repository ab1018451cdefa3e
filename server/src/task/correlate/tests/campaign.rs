//! One source against many people, on a store: whoever comes first.

use tocsin_correlate::Severity;

use super::*;

/// So many people with a month of work, prompted two minutes apart; the fifth lets it in.
fn company(people: i64) -> Vec<MfaEvent> {
    (0..people)
        .flat_map(|n| one(n, START_MS + 30 * DAY_MS + n * 120_000))
        .collect()
}

fn one(n: i64, at_ms: i64) -> Vec<MfaEvent> {
    let who = format!("person{n}");
    let mut events = ordinary(&who, 14);
    let answer = match n {
        4 => MfaEventKind::Approved,
        _ => MfaEventKind::Denied,
    };
    events.push(event(&who, at_ms, MfaEventKind::PromptSent, false));
    events.push(event(&who, at_ms + 5_000, answer, false));
    events
}

async fn campaign(bench: &Bench) -> (IncidentRow, tocsin_correlate::IncidentDraft) {
    let rows = bench.rows().await;
    let mut campaigns = rows.into_iter().filter(|row| !row.source.is_empty());
    let row = campaigns.next().unwrap();
    assert!(campaigns.next().is_none(), "one campaign");
    let draft = unpack_draft(&row.engine.draft).unwrap();
    (row, draft)
}

#[tokio::test]
async fn one_source_against_many_people_is_one_incident_in_any_order() {
    let events = company(12);
    let whole = Bench::new().await;
    whole.import(&events).await;
    let expected = whole.seen().await;
    let (row, draft) = campaign(&whole).await;
    let found = draft.campaign.unwrap();
    assert_eq!((found.people, row.source.as_str()), (12, "198.51.100.66"));
    let own = expected.len() - 1;
    let tied = draft.related.iter().filter(|one| one.relation == "member");
    assert_eq!(tied.count(), own, "every incident of theirs is named");
    for one in whole
        .rows()
        .await
        .into_iter()
        .filter(|row| row.source.is_empty())
    {
        let draft = unpack_draft(&one.engine.draft).unwrap();
        let is_told = draft.related.iter().any(|other| other.id == row.id);
        assert!(is_told, "{draft:?}");
        let member = found.members.iter().find(|m| m.identity == one.identity);
        assert!(member.unwrap().is_in || draft.severity <= Severity::Low);
    }

    for by in [7, 13, 29] {
        let bench = Bench::new().await;
        let mut shuffled = events.clone();
        // Steps that no count of events here is a multiple of: every event comes once, far from its neighbors.
        shuffled.sort_by_key(|event| u64::from(event.id.as_bytes()[by % 16]) * by as u64);
        for part in shuffled.chunks(40) {
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
async fn a_campaign_grows_backwards_keeps_its_work_and_is_reopened() {
    let bench = Bench::new().await;
    bench.import(&company(4)).await;
    let (before, _) = campaign(&bench).await;
    bench.close(&before).await;
    bench.import(&one(9, START_MS + 30 * DAY_MS - 60_000)).await;
    let (after, draft) = campaign(&bench).await;
    assert_ne!(after.id, before.id, "it begins earlier");
    assert_eq!(draft.campaign.unwrap().people, 5);
    assert_eq!(after.analyst.state, i32::from(IncidentState::New));
    let aliases = bench.state.incident_aliases(after.id).await.unwrap();
    assert_eq!(aliases, [before.id]);
    assert_eq!(bench.state.notes(after.id).await.unwrap().len(), 1);
    for row in bench
        .rows()
        .await
        .iter()
        .filter(|row| row.source.is_empty())
    {
        let draft = unpack_draft(&row.engine.draft).unwrap();
        let of: Vec<_> = draft
            .related
            .iter()
            .filter(|one| one.relation == "campaign")
            .collect();
        assert!(of.iter().all(|one| one.id == after.id) && !of.is_empty());
    }
}

#[tokio::test]
async fn an_import_counts_the_campaign_that_it_opened() {
    let bench = Bench::new().await;
    let tally = bench.correlator.tally();
    bench.add(&company(4), Some(&tally)).await;
    bench.correlator.settle().await.unwrap();
    let opened = bench.rows().await.len() as u64;
    assert_eq!(tally.counts(), (opened, 0));
}
