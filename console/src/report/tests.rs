//! Reports of ordinary and of hostile incidents.

use proptest::prelude::*;
use tocsin_proto::console::v1::{
    EndpointRef, MissingData, Note, Provenance, RecommendedAction, Subject,
};

use super::*;
use crate::state::story::story;

/// Ends an element, an attribute and a table's row, takes over a terminal, turns the direction of reading.
const HOSTILE: &str = "</title><script>alert(1)</script>\"' onload=x | ](javascript:x) \x1b]0;owned\x07\u{202e}\n# a `b` *c*";

fn incident(foreign: &str) -> Incident {
    let attempt = |n: i64| Attempt {
        time_ms: 1_795_486_200_000 + n * 145_000,
        result: AttemptResult::Denied.into(),
        source_ip: foreign.into(),
        source_place: foreign.into(),
        application: foreign.into(),
        factor: foreign.into(),
        provider: foreign.into(),
        user_agent: foreign.into(),
        provenance: Some(Provenance {
            verdict: ProvenanceVerdict::Elsewhere.into(),
            confidence: Confidence::Strong.into(),
            endpoint: foreign.into(),
            reasons: vec![foreign.into()],
            ..Provenance::default()
        }),
        ..Attempt::default()
    };
    let evidence = |weight: f64| Evidence {
        family: foreign.into(),
        weight,
        summary: foreign.into(),
        basis: Basis::Judged.into(),
        basis_detail: foreign.into(),
        ..Evidence::default()
    };
    Incident {
        id: "aaaa".into(),
        title: foreign.into(),
        assignee: foreign.into(),
        severity: Severity::Critical.into(),
        subject: Some(Subject {
            display_name: foreign.into(),
            ..Subject::default()
        }),
        attempts: (0..17).map(attempt).collect(),
        evidence: vec![evidence(3.0), evidence(-1.0)],
        endpoints: vec![EndpointRef {
            id: "e1".into(),
            hostname: foreign.into(),
        }],
        gaps: vec![MissingData {
            what: foreign.into(),
            ..MissingData::default()
        }],
        recommended_actions: vec![RecommendedAction {
            action: foreign.into(),
            reason: foreign.into(),
            text: foreign.into(),
        }],
        notes: vec![Note {
            author: foreign.into(),
            text: foreign.into(),
            ..Note::default()
        }],
        weights_version: foreign.into(),
        ..Incident::default()
    }
}

fn render(incident: &Incident, form: Form) -> String {
    let story = story(incident, std::iter::empty());
    let report = Report {
        incident,
        story: &story,
        made_time_ms: 1_795_490_000_000,
    };
    report.render(form).unwrap()
}

/// The names of all elements.
fn elements(page: &str) -> std::collections::BTreeSet<&str> {
    let pieces = page.split('<').skip(1);
    pieces
        .map(|piece| {
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric());
            piece.get(..end.unwrap_or(piece.len())).unwrap_or_default()
        })
        .collect()
}

fn assert_harmless(text: &str) {
    let hidden = |c: &char| *c != '\n' && crate::text::is_hidden(*c);
    assert_eq!(text.chars().find(hidden), None);
}

#[test]
fn hostile_text_is_text_on_the_page() {
    let plain = render(&incident("Dana"), Form::Html);
    let hostile = render(&incident(HOSTILE), Form::Html);
    let mut expect = elements(&plain);
    // A note of several lines has breaks.
    expect.insert("br");
    assert_eq!(elements(&hostile), expect);
    assert!(hostile.contains("&lt;script&gt;"), "it is shown");
    assert!(!hostile.contains("<script"));
    assert_harmless(&hostile);
}

#[test]
fn hostile_text_is_text_in_markdown() {
    let page = render(&incident(HOSTILE), Form::Md);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("](javascript"), "{page}");
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    for row in rows {
        let bars = row.replace("\\|", "").matches('|').count();
        assert_eq!(bars, ATTEMPT_COLUMNS.len() + 1, "{row}");
    }
    assert_harmless(&page);
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let page = render(&incident("Dana"), Form::Html);
    for word in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("<svg") && page.contains(">e</text>"));
}

#[test]
fn a_report_says_what_the_screen_says() {
    let page = render(&incident("Dana"), Form::Md);
    for said in [
        "17 attempts: 0 made on one of the person's endpoints, 17 elsewhere, 0 unknown",
        "What speaks against it",
        "e elsewhere, strong",
        "What is missing or late",
    ] {
        let said = said.replace("person's", "person\\'s");
        assert!(
            page.replace("person's", "person\\'s").contains(&said),
            "{said}\n{page}"
        );
    }
    let json = render(&incident("Dana"), Form::Json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["attempts"].as_array().unwrap().len(), 17);
}

#[test]
fn a_file_that_is_there_is_replaced_only_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.md");
    write(&path, "one", false).unwrap();
    let error = write(&path, "two", false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    write(&path, "two", true).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
}

proptest! {
    #[test]
    fn no_text_becomes_markup(foreign in "\\PC{0,40}|[<>&\"'\\[\\]()|`*_#\\\\ \n\u{1b}a-z]{0,60}") {
        let plain = render(&incident("Dana"), Form::Html);
        let page = render(&incident(&foreign), Form::Html);
        let mut expect = elements(&plain);
        let mut found = elements(&page);
        // A note of several lines has breaks.
        expect.insert("br");
        found.insert("br");
        prop_assert_eq!(found, expect);
        assert_harmless(&page);
        assert_harmless(&render(&incident(&foreign), Form::Md));
    }
}
