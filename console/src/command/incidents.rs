//! `tocsin incidents`: list, read, watch, work on.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tocsin_proto::console::v1::{
    AddIncidentNoteRequest, AssignIncidentRequest, IncidentState, IncidentSummary,
    ListIncidentsRequest, SetIncidentStateRequest, SetIncidentVerdictRequest, Severity, Subject,
    Verdict, WatchIncidentsRequest,
};
use tocsin_proto::limits::NOTE_BYTES_MAX;

use super::watch_list::Watch;
use super::{Session, export, incident_page, watch};
use crate::cli::WordParser;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::report::Form;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Incidents {
    /// All incidents, or those that match every filter.
    List(Filter),
    /// One incident: why, what speaks against it, what is missing, what to do.
    Show {
        /// Its id, a former id, or the beginning of one.
        id: String,
    },
    /// Each incident, then each again whenever it changes, until Ctrl-C.
    Watch {
        /// Of this severity or above.
        #[arg(long, value_name = "SEVERITY", value_parser = WordParser::<Severity>::new())]
        severity_min: Option<Severity>,
    },
    /// Give it to somebody: to NAME, without one to yourself.
    Assign {
        /// Its id.
        id: String,
        /// An analyst.
        #[arg(conflicts_with = "none")]
        name: Option<String>,
        /// To nobody.
        #[arg(long)]
        none: bool,
    },
    /// Write a report of it: Markdown, JSON, or one HTML page with the time axis.
    Export {
        /// Its id.
        id: String,
        /// The form; where it is not given, what the file's name ends with, else Markdown.
        #[arg(long, value_enum, value_name = "FORM")]
        format: Option<Form>,
        /// The file; one that is there is replaced. Without it: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Move it to a state.
    State {
        /// Its id.
        id: String,
        /// The state.
        #[arg(value_parser = WordParser::<IncidentState>::new())]
        state: IncidentState,
    },
    /// Judge it.
    Verdict {
        /// Its id.
        id: String,
        /// The verdict.
        #[arg(value_parser = WordParser::<Verdict>::new())]
        verdict: Verdict,
    },
    /// Write a note on it.
    Note {
        /// Its id.
        id: String,
        /// The note; - reads it from standard input.
        #[arg(required = true)]
        text: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this severity or above.
    #[arg(long, value_name = "SEVERITY", value_parser = WordParser::<Severity>::new())]
    severity_min: Option<Severity>,
    /// In this state; may be given several times.
    #[arg(long, value_name = "STATE", value_parser = WordParser::<IncidentState>::new())]
    state: Vec<IncidentState>,
    /// Given to this analyst.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    assignee: String,
    /// About this person: id or login.
    #[arg(
        long,
        value_name = "IDENTITY",
        default_value = "",
        hide_default_value = true
    )]
    identity: String,
    #[command(flatten)]
    watch: Watch,
}

impl Filter {
    fn request(self) -> ListIncidentsRequest {
        ListIncidentsRequest {
            severity_min: self.severity_min.unwrap_or_default().into(),
            states: self.state.into_iter().map(i32::from).collect(),
            assignee: self.assignee,
            identity: self.identity,
            ..ListIncidentsRequest::default()
        }
    }
}

impl Incidents {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        let client = &session.client;
        let changed = match self {
            Self::List(filter) => {
                let watch = filter.watch;
                return session.list_or_watch(filter.request(), watch).await;
            }
            Self::Watch { severity_min } => {
                let request = WatchIncidentsRequest {
                    severity_min: severity_min.unwrap_or_default().into(),
                };
                return watch::watch(session, request).await;
            }
            Self::Show { id } => {
                let incident = client.incident(&id).await?;
                session.out.object(&incident, incident_page::describe)?;
                return Ok(Exit::Done);
            }
            Self::Export { id, format, out } => {
                return export::export(&mut session, &id, (format, out)).await;
            }
            Self::Assign { id, name, none } => {
                let assignee = match name {
                    Some(name) => name,
                    None if none => String::new(),
                    None => client.server().await?.analyst,
                };
                let request = AssignIncidentRequest { id, assignee };
                client.assign_incident(request).await?
            }
            Self::State { id, state } => {
                let state = state.into();
                let request = SetIncidentStateRequest { id, state };
                client.set_incident_state(request).await?
            }
            Self::Verdict { id, verdict } => {
                let verdict = verdict.into();
                let request = SetIncidentVerdictRequest { id, verdict };
                client.set_incident_verdict(request).await?
            }
            Self::Note { id, text } => {
                let text = note(text)?;
                let request = AddIncidentNoteRequest { id, text };
                client.add_incident_note(request).await?
            }
        };
        session.out.object(&changed, |incident, page| {
            page.paragraph(&standing(incident), Style::Plain);
        })?;
        Ok(Exit::Done)
    }
}

/// The words of a note, or what standard input holds.
fn note(words: Vec<String>) -> Result<String, Failure> {
    let text = if words == ["-"] {
        let mut text = String::new();
        std::io::stdin()
            .take(NOTE_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|source| Failure::Input {
                file: "standard input".to_owned(),
                source,
            })?;
        text.trim_end().to_owned()
    } else {
        words.join(" ")
    };
    let refused = match text.len() {
        0 => "it is empty".to_owned(),
        n if n > NOTE_BYTES_MAX => format!("it has more than {NOTE_BYTES_MAX} bytes"),
        _ => return Ok(text),
    };
    Err(Failure::Usage(format!("write a note: {refused}")))
}

/// How an incident stands, in a line.
fn standing(incident: &IncidentSummary) -> String {
    let verdict = super::word::<Verdict>(incident.verdict);
    format!(
        "{}: {}, {}, {}",
        super::short(&incident.id),
        super::word::<IncidentState>(incident.state),
        if verdict.is_empty() {
            "no verdict"
        } else {
            &verdict
        },
        assignee(&incident.assignee)
    )
}

/// Who has it.
pub(super) fn assignee(name: &str) -> String {
    match name {
        "" => "unassigned".to_owned(),
        name => format!("assigned to {name}"),
    }
}

/// A subject by name.
pub(super) fn subject(subject: Option<&Subject>) -> String {
    let Some(subject) = subject else {
        return String::new();
    };
    if !subject.display_name.is_empty() {
        return subject.display_name.clone();
    }
    let logins = subject.accounts.iter().map(|account| &*account.login);
    logins.collect::<Vec<_>>().join(", ")
}

impl Row for IncidentSummary {
    const PLURAL: &'static str = "incidents";
    const COLUMNS: &'static [Column] = &[
        Column::id("ID"),
        Column::whole("SEVERITY"),
        Column::number("SCORE").optional(3),
        Column::whole("STATE"),
        Column::text("VERDICT", 8).optional(5),
        Column::text("ASSIGNEE", 8).optional(4),
        Column::text("SUBJECT", 10),
        Column::whole("LAST EVENT (UTC)"),
        Column::text("TITLE", 16),
    ];

    fn cells(&self) -> Vec<Cell> {
        let severity = super::value::<Severity>(self.severity);
        vec![
            self.id.as_str().into(),
            Cell::styled(super::word::<Severity>(self.severity), severity.into()),
            self.score.to_string().into(),
            super::word::<IncidentState>(self.state).into(),
            super::word::<Verdict>(self.verdict).into(),
            self.assignee.as_str().into(),
            subject(self.subject.as_ref()).into(),
            time::minute(self.last_event_time_ms).into(),
            self.title.as_str().into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_joined_and_bounded() {
        let words = ["called", "Dana"].map(str::to_owned).to_vec();
        assert_eq!(note(words).unwrap(), "called Dana");
        assert!(note(vec![String::new()]).is_err());
        assert!(note(vec!["x".repeat(NOTE_BYTES_MAX + 1)]).is_err());
    }

    #[test]
    fn a_standing_names_state_verdict_and_assignee() {
        let mut incident = IncidentSummary {
            id: "12345678-0000".into(),
            state: IncidentState::InProgress.into(),
            ..IncidentSummary::default()
        };
        assert_eq!(
            standing(&incident),
            "12345678: in progress, no verdict, unassigned"
        );
        incident.verdict = Verdict::TruePositive.into();
        incident.assignee = "dana".into();
        assert_eq!(
            standing(&incident),
            "12345678: in progress, true positive, assigned to dana"
        );
    }

    #[test]
    fn a_subject_without_a_name_is_its_logins() {
        use tocsin_proto::console::v1::Account;
        let account = |login: &str| Account {
            provider: "okta".into(),
            login: login.into(),
        };
        let mut person = Subject {
            accounts: vec![account("a@x"), account("b@x")],
            ..Subject::default()
        };
        assert_eq!(subject(Some(&person)), "a@x, b@x");
        person.display_name = "Dana".into();
        assert_eq!(subject(Some(&person)), "Dana");
        assert_eq!(subject(None), "");
    }
}
