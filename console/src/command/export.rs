//! `tocsin incidents export`: a report of one incident, as a file.

use std::path::PathBuf;

use clap::ValueEnum as _;
use tocsin_proto::console::v1::{EventRow, SearchEventsRequest};

use super::Session;
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::report::{self, Form, Report};
use crate::state::incident::around;
use crate::state::story::story;
use crate::text;

/// Writes it.
///
/// # Errors
/// Every [`Failure`]. Events of an endpoint that cannot be had are named, and the exit code says so.
pub(super) async fn export(
    session: &mut Session,
    id: &str,
    (form, out): (Option<Form>, Option<PathBuf>),
) -> Result<Exit, Failure> {
    let incident = session.client.incident(id).await?;
    let ending = out.as_ref().and_then(|path| path.extension()?.to_str());
    let named = ending.and_then(|ending| Form::from_str(ending, true).ok());
    let form = form.or(named).unwrap_or(Form::Md);
    let mut events = Vec::new();
    let mut exit = Exit::Done;
    // Only the time axis shows them.
    let requests = match form {
        Form::Html => around(&incident),
        Form::Md | Form::Json => Vec::new(),
    };
    for request in requests {
        match on_endpoint(&session.client, request).await {
            Ok(rows) => events.extend(rows),
            Err(error) => {
                let why = crate::exit::chain(&error);
                let said = format!("without the events of an endpoint: {why}");
                crate::say(&format!("tocsin: {}\n", text::fit(&said, 500)));
                exit = Exit::Partly;
            }
        }
    }
    let report = Report {
        incident: &incident,
        story: &story(&incident, events.iter()),
        made_time_ms: session.now.as_millisecond(),
    };
    let content = report.render(form)?;
    match out {
        Some(path) => report::write(&path, &content, true).map_err(|source| Failure::Write {
            file: text::path(&path),
            source,
        })?,
        None => session.out.text(&content)?,
    }
    Ok(exit)
}

/// The events that a search finds; the request says how many at most.
async fn on_endpoint(
    client: &Client,
    request: SearchEventsRequest,
) -> Result<Vec<EventRow>, ClientError> {
    let mut found = client.search_events(request).await?;
    let mut events = Vec::new();
    while let Some(rows) = found.rows().await? {
        events.extend(rows);
    }
    Ok(events)
}
