//! `tocsin terminal`: terminals at endpoints.

mod local;
mod open;
mod play;
mod printer;
mod watch;

use clap::Subcommand;
use tocsin_proto::console::v1::{
    ListRecordingsRequest, Recording, Terminal as Open, TerminalEnd, TerminalState,
};

use super::Session;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Terminal {
    /// Open a terminal at an endpoint, as the account that its agent runs as.
    ///
    /// Who opened it, where and why is in the audit log before the endpoint learns of it, and the endpoint's users can
    /// see it. What is printed is made safe for this terminal; --raw passes it on as it is, which vim, top and the
    /// like may need. Ctrl-] . closes it, Ctrl-] ? says what else there is. Everything that was started in it ends
    /// with it.
    ///
    /// Where standard input is not a terminal it is sent, and then the end of input. The exit code is the shell's,
    /// 128 and the signal where one ended it; 1 where it was ended otherwise, 69 where the endpoint is not connected.
    Open {
        /// Id or hostname.
        endpoint: String,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Incident that it is for.
        #[arg(long, value_name = "ID")]
        incident: Option<String>,
        /// Pass on what the endpoint prints as it is. A hostile endpoint can then do to this terminal what any
        /// program on it can.
        #[arg(long)]
        raw: bool,
    },
    /// The open ones, newest first; with --recorded those that the server has recorded, ended ones too.
    List(List),
    /// See what one prints, made safe. Its analyst sees how many watch.
    Watch {
        /// Id.
        id: String,
    },
    /// See what one printed, from its recording; that is in the audit log. Exit code 1 where the recording is not whole.
    Play(play::Play),
    /// End one, with everything that was started in it; exit code 2 where something survived.
    Kill {
        /// Id.
        id: String,
    },
}

/// Of `terminal list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    watch: crate::command::watch_list::Watch,
    /// Those that the server has recorded.
    #[arg(long, conflicts_with = "is_on")]
    recorded: bool,
    /// Of those only this endpoint's: id or hostname.
    #[arg(long, value_name = "ENDPOINT", requires = "recorded")]
    endpoint: Option<String>,
    /// Of those only this analyst's.
    #[arg(long, value_name = "NAME", requires = "recorded")]
    analyst: Option<String>,
}

impl Terminal {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        match self {
            Self::Open {
                endpoint,
                reason,
                incident,
                raw,
            } => {
                let wanted = open::Wanted {
                    endpoint,
                    reason,
                    incident: incident.unwrap_or_default(),
                    raw,
                };
                open::open(&session.client, wanted).await
            }
            Self::List(list) if list.recorded => {
                let request = ListRecordingsRequest {
                    endpoint: list.endpoint.unwrap_or_default(),
                    analyst: list.analyst.unwrap_or_default(),
                    ..ListRecordingsRequest::default()
                };
                session.list(request).await
            }
            Self::List(list) if list.watch.is_on => session.watch(Client::terminals).await,
            Self::List(_) => {
                let terminals = session.client.terminals().await?;
                let mut rows = session.out.rows();
                rows.write(&terminals)?;
                rows.finish()?;
                Ok(Exit::Done)
            }
            Self::Watch { id } => watch::watch(&session.client, &id).await,
            Self::Play(wanted) => play::play(&session.client, wanted).await,
            Self::Kill { id } => {
                let terminal = session.client.kill_terminal(&id).await?;
                session.out.object(&terminal, describe)?;
                Ok(if terminal.reported && terminal.survived_count == 0 {
                    Exit::Done
                } else {
                    Exit::Partly
                })
            }
        }
    }
}

/// A terminal that has ended.
fn describe(terminal: &Open, page: &mut Page) {
    page.paragraph(&ending(terminal), Style::Plain);
    for (title, style, count, processes) in [
        (
            "killed",
            Style::Plain,
            terminal.killed_count,
            &terminal.killed,
        ),
        (
            "survived",
            Style::Critical,
            terminal.survived_count,
            &terminal.survived,
        ),
    ] {
        for process in processes {
            let said = format!("{title}: {} ({})", process.name, process.pid);
            page.item_styled("-", &said, style);
        }
        let named = u32::try_from(processes.len()).unwrap_or(u32::MAX);
        if count > named {
            let said = format!("{title}: {} more", count - named);
            page.item_styled("-", &said, style);
        }
    }
}

/// How a terminal ended, in one sentence.
pub(crate) fn ending(terminal: &Open) -> String {
    format!(
        "terminal {}: {}",
        super::short(&terminal.id),
        how_ended(terminal)
    )
}

/// The same without which terminal it was.
pub(crate) fn how_ended(terminal: &Open) -> String {
    let mut said = match terminal.end() {
        TerminalEnd::Exited => "the shell has ended".to_owned(),
        TerminalEnd::Closed => "closed".to_owned(),
        TerminalEnd::Killed => "killed".to_owned(),
        TerminalEnd::Idle => "ended by the endpoint, as nothing happened in it".to_owned(),
        TerminalEnd::TimeLimit => "ended by the endpoint, as its time was over".to_owned(),
        TerminalEnd::AgentStopped => "ended with the agent".to_owned(),
        TerminalEnd::EndpointLost => "the connection to the endpoint ended".to_owned(),
        TerminalEnd::ServerStopped => "ended with the server".to_owned(),
        TerminalEnd::Refused => "refused by the endpoint".to_owned(),
        TerminalEnd::Protocol => "the endpoint broke the protocol".to_owned(),
        TerminalEnd::NotRecorded => "ended, as the server could not record it any more".to_owned(),
        TerminalEnd::Unspecified => "ended".to_owned(),
    };
    if !terminal.end_detail.is_empty() {
        said += &format!(" ({})", terminal.end_detail);
    }
    if let Some(code) = terminal.exit_code {
        said += &format!(", exit code {code}");
    }
    if !terminal.reported {
        said += "; the endpoint did not report what was ended with it";
    } else if terminal.killed_count > 0 {
        let count = super::count(terminal.killed_count.into(), "process");
        said += &format!("; {} ended with it", count.replace("processs", "processes"));
    }
    if terminal.survived_count > 0 {
        said += &format!("; {} of its processes SURVIVED", terminal.survived_count);
    }
    said
}

impl Row for Open {
    const PLURAL: &'static str = "open terminals";
    const COLUMNS: &'static [Column] = &[
        Column::id("ID"),
        Column::text("ENDPOINT", 12),
        Column::text("ANALYST", 8),
        Column::text("ACCOUNT", 5),
        Column::whole("STATE"),
        Column::whole("OPENED (UTC)"),
        Column::number("IN").optional(3),
        Column::number("OUT").optional(3),
        Column::number("WATCHERS").optional(2),
        Column::text("REASON", 10).optional(1),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.as_str().into(),
            self.hostname.as_str().into(),
            self.analyst.as_str().into(),
            self.user.as_str().into(),
            super::word::<TerminalState>(self.state).into(),
            time::second(self.open_time_ms).into(),
            super::bytes(self.input_bytes).into(),
            super::bytes(self.output_bytes).into(),
            self.watchers.to_string().into(),
            self.reason.as_str().into(),
        ]
    }
}

impl Row for Recording {
    const PLURAL: &'static str = "recordings";
    const COLUMNS: &'static [Column] = &[
        Column::id("ID"),
        Column::text("ENDPOINT", 12),
        Column::text("ANALYST", 8),
        Column::whole("OPENED (UTC)"),
        Column::whole("END"),
        Column::number("OUT").optional(2),
        Column::number("STORED").optional(3),
        Column::text("REASON", 10).optional(1),
    ];

    fn cells(&self) -> Vec<Cell> {
        let terminal = self.terminal.clone().unwrap_or_default();
        vec![
            terminal.id.into(),
            terminal.hostname.into(),
            terminal.analyst.into(),
            time::second(terminal.open_time_ms).into(),
            super::word::<TerminalEnd>(terminal.end).into(),
            super::bytes(terminal.output_bytes).into(),
            super::bytes(self.stored_bytes).into(),
            terminal.reason.into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_says_how_and_what_was_left() {
        let terminal = Open {
            id: "12345678-aaaa".into(),
            end: TerminalEnd::Killed.into(),
            end_detail: "ended by eve".into(),
            killed_count: 2,
            survived_count: 1,
            reported: true,
            ..Open::default()
        };
        assert_eq!(
            ending(&terminal),
            "terminal 12345678: killed (ended by eve); 2 processes ended with it; 1 of its processes SURVIVED"
        );
        let silent = Open {
            end: TerminalEnd::EndpointLost.into(),
            reported: false,
            ..terminal
        };
        assert!(ending(&silent).contains("did not report"));
    }
}
