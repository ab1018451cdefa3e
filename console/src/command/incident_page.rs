//! The page of `incidents show`, in the order in which an analyst asks: what happened, how bad, what to do first, who and
//! when, why, what speaks against it, what is not known, what to do, and then each step and what the weights rest on.
//!
//! Weights are log-odds with their sign; belief is a band in words. Provenance is told as a claim about
//! traffic, never about what a person did.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_proto::console::v1::{
    Attempt, AttemptResult, Basis, BeliefBand, CampaignMember, Confidence, Evidence, Incident,
    IncidentState, Provenance, ProvenanceVerdict, Severity, Stage, SubjectKind, Verdict,
};

use super::incidents::{assignee, subject};
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::reading;
use crate::time::{self, Length};

/// Attempts that are shown; JSON has all.
const ATTEMPTS_MAX: usize = 100;

const ATTEMPT_COLUMNS: &[Column] = &[
    Column::whole("TIME (UTC)"),
    Column::whole("RESULT"),
    Column::text("AFTER", 6).optional(5),
    Column::text("FACTOR", 4).optional(3),
    Column::text("FROM", 15),
    Column::text("APPLICATION", 10).optional(2),
    Column::text("PROVIDER", 4).optional(4),
    Column::text("PROVENANCE", 18),
];

/// People of a campaign that are shown; JSON has all.
const PEOPLE_MAX: usize = 100;

const PEOPLE_COLUMNS: &[Column] = &[
    Column::text("WHO", 16),
    Column::text("ACCOUNTS", 12).optional(2),
    Column::whole("FIRST (UTC)"),
    Column::whole("ATTEMPTS"),
    Column::whole("LET IN"),
    Column::whole("INCIDENT"),
];

const STAGE_COLUMNS: &[Column] = &[
    Column::whole("STAGE"),
    Column::whole("SINCE (UTC)"),
    Column::whole("ATT&CK"),
];

/// Writes the page.
pub(super) fn describe(incident: &Incident, page: &mut Page) {
    head(incident, page);
    people(incident, page);
    evidence(incident, page);
    missing(incident, page);
    actions(incident, page);
    attempts(incident, page);
    stages(&incident.stages, page);
    history(incident, page);
    bases(incident, page);
}

fn head(incident: &Incident, page: &mut Page) {
    let severity = super::value::<Severity>(incident.severity);
    page.paragraph(&incident.title, Style::Heading);
    let said = format!(
        "{}, score {}",
        super::word::<Severity>(incident.severity),
        incident.score
    );
    page.field_styled("Severity", &said, severity.into());
    let band = super::word::<BeliefBand>(incident.belief);
    if !band.is_empty() {
        let said = format!("an attack is {band} (weights {})", incident.weights_version);
        page.field("Belief", &said);
    }
    page.field_styled("Do first", &reading::first(incident), Style::Heading);
    let verdict = super::word::<Verdict>(incident.verdict);
    let said = format!(
        "{}, {}, {}",
        super::word::<IncidentState>(incident.state),
        if verdict.is_empty() {
            "no verdict"
        } else {
            &verdict
        },
        assignee(&incident.assignee)
    );
    page.field("State", &said);
    page.field("Who", &who(incident));
    page.field("When", &when(incident));
    let endpoints = incident.endpoints.iter();
    let endpoints: Vec<_> = endpoints
        .map(|endpoint| format!("{} ({})", endpoint.hostname, super::short(&endpoint.id)))
        .collect();
    let endpoints = match endpoints.is_empty() {
        true if incident.campaign.is_some() => "see each person's incident".to_owned(),
        true => "none is linked to this person".to_owned(),
        false => endpoints.join(", "),
    };
    page.field("Endpoints", &endpoints);
    page.field("Id", &incident.id);
    page.field("Former ids", &incident.aliases.join(", "));
    let related = reading::related(incident, super::short);
    page.field("Related", &related.join(", "));
}

/// Whom a campaign hit; who let it in first.
fn people(incident: &Incident, page: &mut Page) {
    let Some(campaign) = &incident.campaign else {
        return;
    };
    page.section(&format!("People ({})", campaign.people));
    let mut members: Vec<_> = campaign.members.iter().collect();
    members.sort_by_key(|member| (!member.let_in, member.first_event_time_ms));
    let shown = members.iter().take(PEOPLE_MAX);
    page.table(PEOPLE_COLUMNS, shown.map(|one| person_cells(one)).collect());
    let people = usize::try_from(campaign.people).unwrap_or(usize::MAX);
    if people > PEOPLE_MAX {
        let more = people - PEOPLE_MAX;
        page.item("", &format!("and {more} more; -o json shows up to 1,000"));
    }
}

fn person_cells(member: &CampaignMember) -> Vec<Cell> {
    let accounts = member.accounts.iter();
    let logins: Vec<_> = accounts.map(|account| account.login.as_str()).collect();
    let name = match member.display_name.as_str() {
        "" => logins.first().copied().unwrap_or(&member.identity),
        name => name,
    };
    let let_in = match member.let_in {
        true => Cell::styled("yes", Style::High),
        false => "no".into(),
    };
    let incident = match member.incident.as_str() {
        "" => "none",
        id => super::short(id),
    };
    vec![
        name.into(),
        logins.join(", ").into(),
        time::second(member.first_event_time_ms).into(),
        member.attempts.to_string().into(),
        let_in,
        incident.into(),
    ]
}

fn who(incident: &Incident) -> String {
    let Some(person) = &incident.subject else {
        return String::new();
    };
    if let Some(campaign) = &incident.campaign {
        let since = time::second(campaign.since_time_ms);
        return format!(
            "campaign: {} against {} people, enough to be a campaign since {since} UTC",
            campaign.source, campaign.people
        );
    }
    let accounts = person.accounts.iter();
    let accounts: Vec<_> = accounts
        .map(|account| format!("{} {}", account.provider, account.login))
        .collect();
    let name = subject(Some(person));
    let kind = match super::value::<SubjectKind>(person.kind) {
        SubjectKind::Campaign => "campaign: ",
        SubjectKind::Person | SubjectKind::Unspecified => "",
    };
    let accounts = accounts.join(", ");
    let mut said = match accounts.ends_with(&name) {
        true => format!("{kind}{accounts}"),
        false => format!("{kind}{name}: {accounts}"),
    };
    if !person.identity.is_empty() {
        said += &format!(" (identity {})", super::short(&person.identity));
    }
    said
}

fn when(incident: &Incident) -> String {
    let (first, last) = (incident.first_event_time_ms, incident.last_event_time_ms);
    let attempts = match incident.attempts.len() {
        0 => "no sign-in attempt among it".to_owned(),
        n => super::count(n as u64, "sign-in attempt"),
    };
    match (time::second(first), time::second(last)) {
        (first, last) if first == last => format!("{first} UTC; {attempts}"),
        (from, until) => format!(
            "{from} to {until} UTC ({}); {attempts}",
            Length::between(first, last)
        ),
    }
}

fn evidence(incident: &Incident, page: &mut Page) {
    let (against, speaks): (Vec<_>, Vec<_>) = incident
        .evidence
        .iter()
        .partition(|evidence| evidence.weight < 0.0);
    page.section("Why: what speaks for an attack");
    if !incident.evidence.is_empty() {
        page.item_styled("", reading::SCALE, Style::Faint);
    }
    pieces(&speaks, page);
    page.section("What speaks against it");
    pieces(&against, page);
}

/// Evidence by family, the weightiest family and piece first.
fn pieces(evidence: &[&Evidence], page: &mut Page) {
    if evidence.is_empty() {
        page.item("-", reading::NOTHING_AGAINST);
    }
    for (family, pieces) in families(evidence) {
        for piece in pieces {
            let mark = format!("{:+.1}", piece.weight);
            let basis = match super::word::<Basis>(piece.basis).as_str() {
                "" => String::new(),
                basis => format!(" ({basis})"),
            };
            page.item(&mark, &format!("{family}: {}{basis}", piece.summary));
        }
    }
}

fn families<'e>(evidence: &[&'e Evidence]) -> Vec<(&'e str, Vec<&'e Evidence>)> {
    let mut families: BTreeMap<&str, Vec<&Evidence>> = BTreeMap::new();
    for piece in evidence {
        families.entry(&piece.family).or_default().push(piece);
    }
    let heaviest = |pieces: &[&Evidence]| {
        pieces
            .iter()
            .map(|piece| piece.weight.abs())
            .fold(0.0, f64::max)
    };
    let mut families: Vec<_> = families.into_iter().collect();
    families.sort_by(|(_, a), (_, b)| heaviest(b).total_cmp(&heaviest(a)));
    for (_, pieces) in &mut families {
        pieces.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    }
    families
}

/// Why each kind of evidence weighs what it does.
fn bases(incident: &Incident, page: &mut Page) {
    let all: Vec<_> = incident.evidence.iter().collect();
    let mut named: Vec<&str> = Vec::new();
    for piece in families(&all).into_iter().flat_map(|(_, pieces)| pieces) {
        if piece.basis_detail.is_empty() || named.contains(&piece.kind.as_str()) {
            continue;
        }
        if named.is_empty() {
            page.section("What the weights rest on");
        }
        named.push(&piece.kind);
        let basis = super::word::<Basis>(piece.basis);
        let said = format!("{}, {basis}: {}", piece.kind, piece.basis_detail);
        page.item_styled("-", &said, Style::Faint);
    }
}

fn attempts(incident: &Incident, page: &mut Page) {
    if incident.attempts.is_empty() {
        return;
    }
    page.section(&format!("Attempts ({})", incident.attempts.len()));
    let shown = incident.attempts.iter().take(ATTEMPTS_MAX);
    let rows = shown.map(|attempt| attempt_cells(attempt, incident));
    page.table(ATTEMPT_COLUMNS, rows.collect());
    if let Some(more) = incident.attempts.len().checked_sub(ATTEMPTS_MAX + 1) {
        page.item("", &format!("and {} more; -o json shows all", more + 1));
    }
    provenance(incident, page);
}

fn attempt_cells(attempt: &Attempt, incident: &Incident) -> Vec<Cell> {
    let after = reading::after(attempt);
    let from = match attempt.source_place.as_str() {
        "" => attempt.source_ip.clone(),
        place => format!("{} {place}", attempt.source_ip),
    };
    let style = match super::value::<AttemptResult>(attempt.result) {
        AttemptResult::Approved => Style::High,
        AttemptResult::FraudReported => Style::Medium,
        _ => Style::Plain,
    };
    vec![
        time::second(attempt.time_ms).into(),
        Cell::styled(super::word::<AttemptResult>(attempt.result), style),
        after.into(),
        attempt.factor.as_str().into(),
        from.into(),
        attempt.application.as_str().into(),
        attempt.provider.as_str().into(),
        claim(attempt.provenance.as_ref(), incident).into(),
    ]
}

/// Where an attempt's traffic was seen, in a few words.
fn claim(provenance: Option<&Provenance>, incident: &Incident) -> String {
    let Some(provenance) = provenance else {
        return String::new();
    };
    let mut said = super::word::<ProvenanceVerdict>(provenance.verdict);
    if !provenance.endpoint.is_empty() {
        let mut known = incident.endpoints.iter();
        let endpoint = known.find(|endpoint| endpoint.id == provenance.endpoint);
        let name = endpoint.map_or(super::short(&provenance.endpoint), |known| &known.hostname);
        said += &format!(" on {name}");
    }
    match super::value::<Confidence>(provenance.confidence) {
        Confidence::None | Confidence::Unspecified => said,
        _ => format!(
            "{said}, {}",
            super::word::<Confidence>(provenance.confidence)
        ),
    }
}

/// The reasons behind the column, each once with the number of attempts it holds for. Where only the minute differs, the
/// minutes stand in the attempts.
fn provenance(incident: &Incident, page: &mut Page) {
    let mut reasons: BTreeMap<(String, String), (u64, BTreeSet<&str>)> = BTreeMap::new();
    for attempt in &incident.attempts {
        let Some(provenance) = &attempt.provenance else {
            continue;
        };
        let verdict = super::word::<ProvenanceVerdict>(provenance.verdict);
        let own: BTreeSet<&str> = provenance.reasons.iter().map(String::as_str).collect();
        for reason in own {
            let known = reasons.entry((timeless(reason), verdict.clone()));
            let (count, texts) = known.or_default();
            *count += 1;
            texts.insert(reason);
        }
    }
    if reasons.is_empty() {
        return;
    }
    page.section("Provenance: where the sign-ins' traffic was seen");
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for ((timeless, verdict), (n, texts)) in reasons {
        let attempts = super::count(n, "attempt");
        let said = match texts.first() {
            Some(one) if texts.len() == 1 => one,
            _ => timeless.as_str(),
        };
        page.item("-", &format!("{verdict} ({attempts}): {said}"));
    }
}

/// A reason without its minute, " around 20:14 UTC", so that one that holds for several attempts is told once.
fn timeless(reason: &str) -> String {
    const BEFORE: &str = " around ";
    const AFTER: &str = " UTC";
    let cut = || {
        let (head, rest) = reason.split_once(BEFORE)?;
        let (minute, tail) = rest.split_once(AFTER)?;
        let is_minute =
            minute.len() == 5 && minute.bytes().all(|b| b.is_ascii_digit() || b == b':');
        is_minute.then(|| format!("{head} then{tail}"))
    };
    cut().unwrap_or_else(|| reason.to_owned())
}

fn stages(stages: &[Stage], page: &mut Page) {
    if stages.is_empty() {
        return;
    }
    page.section("Stages reached");
    let rows = stages.iter().map(|stage| {
        let technique = match stage.attack_version.as_str() {
            "" => stage.technique.clone(),
            version => format!("{} (v{version})", stage.technique),
        };
        vec![
            stage.name.replace('_', " ").into(),
            time::second(stage.first_event_time_ms).into(),
            technique.into(),
        ]
    });
    page.table(STAGE_COLUMNS, rows.collect());
}

fn missing(incident: &Incident, page: &mut Page) {
    page.section("What is missing or late");
    if incident.gaps.is_empty() {
        page.item("-", reading::NOTHING_MISSING);
    }
    for gap in &incident.gaps {
        page.item("-", &reading::missing(gap, time::second));
    }
    for feed in reading::freshness(incident) {
        page.item("-", &format!("feed {feed}"));
    }
}

fn actions(incident: &Incident, page: &mut Page) {
    if incident.recommended_actions.is_empty() {
        return;
    }
    page.section("Do next, in this order");
    for (at, action) in incident.recommended_actions.iter().enumerate() {
        let what = reading::action(action);
        let said = match action.reason.as_str() {
            "" => what,
            reason => format!("{what}: {reason}"),
        };
        page.item(&format!("{}.", at + 1), &said);
    }
}

fn history(incident: &Incident, page: &mut Page) {
    if !incident.notes.is_empty() {
        page.section("Notes");
    }
    for note in &incident.notes {
        let said = format!(
            "{} {}: {}",
            time::minute(note.time_ms),
            note.author,
            note.text
        );
        page.item_lines("-", &said);
    }
    if !incident.activity.is_empty() {
        page.section("Activity");
    }
    for activity in &incident.activity {
        let when = time::minute(activity.time_ms);
        page.item(
            "-",
            &format!("{when} {}: {}", activity.actor, activity.what),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(reasons: [&str; 2]) -> String {
        let attempts = reasons.map(|reason| Attempt {
            provenance: Some(Provenance {
                verdict: ProvenanceVerdict::Unknown.into(),
                reasons: vec![reason.to_owned()],
                ..Provenance::default()
            }),
            ..Attempt::default()
        });
        let incident = Incident {
            attempts: attempts.into(),
            ..Incident::default()
        };
        let mut page = Page::new(Some(110), false);
        provenance(&incident, &mut page);
        page.finish()
    }

    #[test]
    fn a_reason_that_differs_by_its_minute_alone_is_told_once() {
        let (one, other) = (
            "its clock around 02:10 UTC is not known",
            "its clock around 02:12 UTC is not known",
        );
        let twice = page([one, other]);
        assert!(
            twice.contains("unknown (2 attempts): its clock then is not known"),
            "{twice}"
        );
        assert!(page([one, one]).contains(one));
        let apart = page([one, "around noon UTC"]);
        assert!(apart.contains(one) && apart.contains("around noon UTC"));
    }
}
