//! What an incident says in words beyond its fields, the same on its page, on screens and in documents: what to do
//! first, how weights are read, what is missing, how fresh the feeds were.
//!
//! Texts are as unclean as what they are made from; whoever prints them makes them safe.

use tocsin_proto::console::v1::{
    Attempt, Incident, MissingData, RecommendedAction, RelatedIncident,
};

use crate::time::Length;

/// How weights are to be read.
pub(crate) const SCALE: &str = "Weights are log-odds: +1 makes an attack about three times as likely, -1 a third. Before any \
     evidence it counts as unlikely.";

/// Where nothing speaks against it.
pub(crate) const NOTHING_AGAINST: &str = "nothing known";

/// Where nothing is missing.
pub(crate) const NOTHING_MISSING: &str = "nothing is known to be missing";

/// What to do, as a sentence; its word in plain letters where an old incident has no sentence.
pub(crate) fn action(action: &RecommendedAction) -> String {
    match action.text.as_str() {
        "" => capital(&action.action.replace('_', " ")),
        text => text.to_owned(),
    }
}

/// The first steps, in one sentence; empty where nothing is recommended. What follows a question depends on the answer.
pub(crate) fn first(incident: &Incident) -> String {
    let mut steps = incident.recommended_actions.iter();
    match (steps.next(), steps.next()) {
        (Some(first), Some(second)) if first.action != "ask_person" => {
            format!("{}, then {}", action(first), small(&action(second)))
        }
        (first, _) => first.map(action).unwrap_or_default(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn small(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// How long the answer took; empty where there is none, or where the provider logs one time for both.
pub(crate) fn after(attempt: &Attempt) -> String {
    if attempt.result_time_ms <= attempt.time_ms {
        return String::new();
    }
    Length::between(attempt.time_ms, attempt.result_time_ms).to_string()
}

/// What is missing, with its time. `at` writes a time; empty where it has none.
pub(crate) fn missing(gap: &MissingData, at: impl Fn(i64) -> String) -> String {
    let when = |time_ms: i64| match time_ms {
        0 => String::new(),
        _ => at(time_ms),
    };
    let span = match (
        when(gap.from_time_ms).as_str(),
        when(gap.until_time_ms).as_str(),
    ) {
        ("", "") => String::new(),
        (from, "") => format!(" (since {from})"),
        ("", until) => format!(" (until {until})"),
        (from, until) => format!(" ({from} to {until})"),
    };
    format!("{}{span}", gap.what)
}

/// How old the newest record of each feed is that the incident's accounts are known from; of all feeds where none is.
pub(crate) fn freshness(incident: &Incident) -> Vec<String> {
    let accounts = incident.subject.iter().flat_map(|one| &one.accounts);
    let mut providers: Vec<&str> = accounts.map(|one| one.provider.as_str()).collect();
    providers.extend(incident.attempts.iter().map(|one| one.provider.as_str()));
    let is_own = |feed: &str| {
        providers.iter().any(|provider| {
            let rest = feed.strip_prefix(*provider);
            !provider.is_empty()
                && rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        })
    };
    let has_own = incident.freshness.iter().any(|one| is_own(&one.feed));
    let shown = incident.freshness.iter();
    shown
        .filter(|one| !has_own || is_own(&one.feed))
        .map(|one| {
            let age = Length { ms: one.behind_ms };
            match one.behind_ms {
                0..60_000 => format!("{}: its newest record is of the last minute", one.feed),
                _ => format!(
                    "{}: its newest record is {age} old; what came since is not known here",
                    one.feed
                ),
            }
        })
        .collect()
}

/// Other incidents and what they are to this one. Members of a campaign stand with the people.
pub(crate) fn related<'a>(
    incident: &'a Incident,
    short: impl Fn(&'a str) -> &'a str,
) -> Vec<String> {
    let is_shown = |one: &&RelatedIncident| incident.campaign.is_none() || one.relation != "member";
    let shown = incident.related_incidents.iter().filter(is_shown);
    shown
        .map(|one| {
            let relation = match one.relation.as_str() {
                "campaign" => "the campaign that this is part of".to_owned(),
                other => other.replace('_', " "),
            };
            format!("{} ({relation})", short(&one.id))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::{Account, Freshness, Subject};

    use super::*;

    fn step(action: &str, text: &str) -> RecommendedAction {
        RecommendedAction {
            action: action.into(),
            text: text.into(),
            reason: String::new(),
        }
    }

    #[test]
    fn the_first_steps_are_one_sentence_also_without_sentences() {
        let mut incident = Incident::default();
        assert_eq!(first(&incident), "");
        incident.recommended_actions = vec![step("ask_person", "")];
        assert_eq!(first(&incident), "Ask person");
        incident.recommended_actions = vec![
            step("snapshot", "Note the account's state"),
            step("block_sign_in", "Block the account's sign-in at Okta"),
        ];
        assert_eq!(
            first(&incident),
            "Note the account's state, then block the account's sign-in at Okta"
        );
        incident
            .recommended_actions
            .insert(0, step("ask_person", "Ask the person"));
        assert_eq!(first(&incident), "Ask the person");
    }

    #[test]
    fn an_answer_of_the_same_time_took_no_known_time() {
        let of = |time_ms, result_time_ms| {
            after(&Attempt {
                time_ms,
                result_time_ms,
                ..Attempt::default()
            })
        };
        assert_eq!(
            (of(5_000, 5_000), of(5_000, 0)),
            (String::new(), String::new())
        );
        assert_eq!(of(5_000, 16_000), "11 s");
    }

    #[test]
    fn only_feeds_of_the_accounts_are_told_of_where_there_are_any() {
        let feed = |name: &str, behind_ms| Freshness {
            feed: name.into(),
            behind_ms,
        };
        let account = |provider: &str| Account {
            provider: provider.into(),
            ..Account::default()
        };
        let mut incident = Incident {
            freshness: vec![feed("okta.file", 59_999), feed("duo.file", 3_600_000)],
            subject: Some(Subject {
                accounts: vec![account("okta")],
                ..Subject::default()
            }),
            ..Incident::default()
        };
        assert_eq!(
            freshness(&incident),
            ["okta.file: its newest record is of the last minute"]
        );
        incident.subject = None;
        assert_eq!(freshness(&incident).len(), 2);
    }

    #[test]
    fn what_is_missing_has_its_time_where_it_is_known() {
        let gap = |from_time_ms, until_time_ms| MissingData {
            what: "a".into(),
            from_time_ms,
            until_time_ms,
        };
        let said = |from, until| missing(&gap(from, until), |ms| ms.to_string());
        assert_eq!(said(0, 0), "a");
        assert_eq!(said(1, 0), "a (since 1)");
        assert_eq!(said(0, 2), "a (until 2)");
        assert_eq!(said(1, 2), "a (1 to 2)");
    }
}
