//! An incident as a document that can be kept and given to others: Markdown, JSON, or one HTML page with its
//! time axis and nothing loaded from elsewhere. Pure: what is known goes in, text comes out.
//!
//! All foreign text goes through [`crate::text`], which escapes it for the form too. Times are UTC.

mod html;
mod markdown;
mod svg;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tocsin_proto::console::v1::{
    Attempt, AttemptResult, Basis, BeliefBand, Confidence, Evidence, Incident, IncidentState,
    ProvenanceVerdict, Severity, Verdict,
};

use crate::command::{short, value, word};
use crate::output::json::{self, Layout};
use crate::reading;
use crate::state::incidents;
use crate::state::story::{Entry, provenance, provenance_sign};
use crate::time::{self, Length};

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Markdown.
    Md,
    /// JSON, as `incidents show -o json`.
    Json,
    /// One HTML page with the time axis.
    Html,
}

impl Form {
    /// All.
    pub(crate) const ALL: [Self; 3] = [Self::Md, Self::Json, Self::Html];

    /// The ending of its files.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Md => "md",
            Self::Json => "json",
            Self::Html => "html",
        }
    }

    /// What it is, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Md => "Markdown",
            Self::Json => "JSON",
            Self::Html => "HTML page with the time axis",
        }
    }
}

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report<'a> {
    /// The incident.
    pub(crate) incident: &'a Incident,
    /// What happened, the first first.
    pub(crate) story: &'a [Entry],
    /// When the report is made.
    pub(crate) made_time_ms: i64,
}

impl Report<'_> {
    /// The document.
    ///
    /// # Errors
    /// Where the incident cannot be written as JSON.
    pub(crate) fn render(&self, form: Form) -> io::Result<String> {
        Ok(match form {
            Form::Md => markdown::render(self),
            Form::Html => html::render(self),
            Form::Json => json::render(self.incident, Layout::Page)? + "\n",
        })
    }

    /// How bad and how sure, in a line.
    fn standing(&self) -> String {
        let incident = self.incident;
        let band = match word::<BeliefBand>(incident.belief).as_str() {
            "" => "not known how likely an attack".to_owned(),
            band => format!("an attack is {band}"),
        };
        let verdict = match word::<Verdict>(incident.verdict).as_str() {
            "" => "no verdict".to_owned(),
            verdict => format!("verdict {verdict}"),
        };
        let assignee = match incident.assignee.as_str() {
            "" => "unassigned".to_owned(),
            name => format!("assigned to {name}"),
        };
        format!(
            "{}, score {}, {band}; {}, {verdict}, {assignee}",
            word::<Severity>(incident.severity),
            incident.score,
            word::<IncidentState>(incident.state)
        )
    }

    /// What to do, in this order, unclean.
    fn actions(&self) -> Vec<String> {
        let actions = self.incident.recommended_actions.iter();
        actions
            .map(|one| format!("{}: {}", reading::action(one), one.reason))
            .collect()
    }

    /// What analysts noted, unclean.
    fn notes(&self) -> Vec<String> {
        let notes = self.incident.notes.iter();
        notes
            .map(|one| format!("{} {}: {}", time::second(one.time_ms), one.author, one.text))
            .collect()
    }

    /// What happened to the incident, unclean.
    fn activity(&self) -> Vec<String> {
        let activity = self.incident.activity.iter();
        activity
            .map(|one| format!("{} {}: {}", time::second(one.time_ms), one.actor, one.what))
            .collect()
    }

    /// When and by what it was made, and how it is to be read.
    fn made(&self) -> String {
        format!(
            "Made {} UTC by tocsin {}. Times are UTC. Where an attempt was made is a claim about traffic on \
             enrolled endpoints, never about a person.",
            time::second(self.made_time_ms),
            env!("CARGO_PKG_VERSION")
        )
    }

    /// The head's facts: name and text, unclean.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let incident = self.incident;
        let (first, last) = (incident.first_event_time_ms, incident.last_event_time_ms);
        let n = |verdict| {
            let attempts = incident.attempts.iter();
            attempts.filter(|one| provenance(one) == verdict).count()
        };
        let made = format!(
            "{} attempts: {} made on one of the person's endpoints, {} elsewhere, {} unknown",
            incident.attempts.len(),
            n(ProvenanceVerdict::Here),
            n(ProvenanceVerdict::Elsewhere),
            n(ProvenanceVerdict::Unknown)
        );
        let endpoints = incident.endpoints.iter();
        let endpoints: Vec<_> = endpoints
            .map(|one| format!("{} ({})", one.hostname, short(&one.id)))
            .collect();
        let related = reading::related(incident, |id| id);
        let stages = incident.stages.iter().map(|stage| {
            let since = time::minute(stage.first_event_time_ms);
            let name = stage.name.replace('_', " ");
            format!("{name} ({}) from {since}", stage.technique)
        });
        let facts = [
            ("How it stands", self.standing()),
            ("Do first", reading::first(incident)),
            ("Who", incidents::who(incident)),
            (
                "When",
                format!(
                    "{} to {}, {}",
                    time::second(first),
                    time::second(last),
                    Length::between(first, last)
                ),
            ),
            ("Where it was made", made),
            ("Stages", stages.collect::<Vec<_>>().join("; ")),
            (
                "Endpoints",
                match endpoints.is_empty() {
                    true => "none is linked to this person".to_owned(),
                    false => endpoints.join(", "),
                },
            ),
            ("Related incidents", related.join(", ")),
            ("Incident", incident.id.clone()),
            ("Former ids", incident.aliases.join(", ")),
            ("Weights", incident.weights_version.clone()),
        ];
        facts
            .into_iter()
            .filter(|(_, said)| !said.is_empty())
            .collect()
    }

    /// Evidence for or against, by family, the weightiest first.
    fn families(&self, is_against: bool) -> Vec<(String, f64, Vec<&Evidence>)> {
        let mut families: BTreeMap<&str, Vec<&Evidence>> = BTreeMap::new();
        for piece in &self.incident.evidence {
            if (piece.weight < 0.0) == is_against {
                families.entry(&piece.family).or_default().push(piece);
            }
        }
        let mut all: Vec<_> = families
            .into_iter()
            .map(|(name, mut pieces)| {
                pieces.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
                let sum = pieces.iter().map(|piece| piece.weight).sum::<f64>();
                (name.to_owned(), sum, pieces)
            })
            .collect();
        all.sort_by(|(_, a, _), (_, b, _)| b.abs().total_cmp(&a.abs()));
        all
    }

    /// What is missing or late, unclean.
    fn missing(&self) -> Vec<String> {
        let gaps = self.incident.gaps.iter();
        let gaps = gaps.map(|gap| reading::missing(gap, time::second));
        let late = reading::freshness(self.incident).into_iter();
        let late = late.map(|feed| format!("feed {feed}"));
        gaps.chain(late).collect()
    }
}

/// The columns of attempts.
const ATTEMPT_COLUMNS: [&str; 8] = [
    "Time (UTC)",
    "Result",
    "After",
    "From",
    "Application",
    "Factor",
    "Provenance",
    "Why",
];

/// An attempt's cells, unclean.
fn attempt_cells(attempt: &Attempt, incident: &Incident) -> [String; 8] {
    let after = reading::after(attempt);
    let verdict = provenance(attempt);
    let (sign, _) = provenance_sign(verdict);
    let mut said = format!("{sign} {}", word::<ProvenanceVerdict>(verdict.into()));
    if let Some(known) = &attempt.provenance {
        match value::<Confidence>(known.confidence) {
            Confidence::None | Confidence::Unspecified => {}
            _ => said += &format!(", {}", word::<Confidence>(known.confidence)),
        }
        let mut endpoints = incident.endpoints.iter();
        match endpoints.find(|one| one.id == known.endpoint) {
            Some(endpoint) => said += &format!(" on {}", endpoint.hostname),
            None if known.endpoint.is_empty() => {}
            None => said += &format!(" on {}", short(&known.endpoint)),
        }
    }
    let why = attempt.provenance.iter().flat_map(|one| &one.reasons);
    [
        time::second(attempt.time_ms),
        match attempt.result() {
            AttemptResult::Approved => "APPROVED".to_owned(),
            _ => word::<AttemptResult>(attempt.result),
        },
        after,
        format!("{} {}", attempt.source_ip, attempt.source_place),
        attempt.application.clone(),
        format!("{} {}", attempt.provider, attempt.factor),
        said,
        why.cloned().collect::<Vec<_>>().join("; "),
    ]
}

/// On what a weight rests, unclean.
fn basis(piece: &Evidence) -> String {
    let basis = word::<Basis>(piece.basis);
    match piece.basis_detail.as_str() {
        "" => basis,
        detail => format!("{basis}: {detail}"),
    }
}

/// Writes a report; one that is there is replaced only where that is asked for.
///
/// # Errors
/// Where the file cannot be written, or is there already.
pub(crate) fn write(path: &Path, content: &str, may_replace: bool) -> io::Result<()> {
    let mut file = match may_replace {
        true => File::create(path)?,
        false => File::create_new(path)?,
    };
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
