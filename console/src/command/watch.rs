//! `tocsin incidents watch`: each incident that matches, then each again whenever it changes.
//!
//! A lost connection is opened again with growing pauses; what the server then repeats, and was already
//! shown, is left out. Ctrl-C ends it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tocsin_proto::console::v1::{IncidentSummary, WatchIncidentsRequest};

use super::Session;
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::output::Rows;

/// First and longest pause between attempts to connect anew.
pub(super) const PAUSE: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(10));

/// Incidents that are remembered as shown. Beyond this they may be shown twice after a reconnection.
const SHOWN_MAX: usize = 100_000;

/// Watches until Ctrl-C.
pub(super) async fn watch(
    mut session: Session,
    request: WatchIncidentsRequest,
) -> Result<Exit, Failure> {
    let client = session.client.clone();
    let mut rows = session.out.rows().live();
    let mut shown = Shown::default();
    let follow = follow(&client, &request, &mut rows, &mut shown);
    let result = tokio::select! {
        result = follow => result,
        _ctrl_c = tokio::signal::ctrl_c() => Ok(()),
    };
    result?;
    rows.finish()?;
    Ok(Exit::Done)
}

/// Follows the stream, over lost connections, until something fails for good.
async fn follow(
    client: &Client,
    request: &WatchIncidentsRequest,
    rows: &mut Rows<'_, IncidentSummary>,
    shown: &mut Shown,
) -> Result<(), Failure> {
    let mut pause = PAUSE.0;
    loop {
        let error = match stream(client, request, rows, shown, &mut pause).await {
            Err(Failure::Client(error)) if error.is_passing() => Some(error),
            Err(failure) => return Err(failure),
            Ok(()) => None,
        };
        tell(error.as_ref(), pause);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// One connection's worth; a row that comes resets the pause.
async fn stream(
    client: &Client,
    request: &WatchIncidentsRequest,
    rows: &mut Rows<'_, IncidentSummary>,
    shown: &mut Shown,
    pause: &mut Duration,
) -> Result<(), Failure> {
    let mut changes = client.watch_incidents(*request).await?;
    while let Some(incident) = changes.next().await? {
        *pause = PAUSE.0;
        if shown.is_new(&incident) {
            rows.write(std::slice::from_ref(&incident))?;
            rows.flush()?;
        }
    }
    Ok(())
}

/// Says why the connection was lost and when it is tried again.
pub(super) fn tell(error: Option<&ClientError>, pause: Duration) {
    let why = error.map_or_else(
        || "the server ended the stream".to_owned(),
        |error| crate::exit::chain(error),
    );
    let why = crate::text::fit(&why, 500).into_owned();
    crate::say(&format!(
        "tocsin: {why}; again in {} ms\n",
        pause.as_millis()
    ));
}

/// What was shown, by a hash of all that a row says.
#[derive(Default)]
struct Shown {
    rows: HashMap<String, u64>,
    state: RandomState,
}

impl Shown {
    fn is_new(&mut self, incident: &IncidentSummary) -> bool {
        if self.rows.len() >= SHOWN_MAX {
            self.rows.clear();
        }
        let hash = self.state.hash_one(format!("{incident:?}"));
        self.rows.insert(incident.id.clone(), hash) != Some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_shown_again() {
        let mut shown = Shown::default();
        let mut incident = IncidentSummary {
            id: "a".into(),
            ..IncidentSummary::default()
        };
        assert!(shown.is_new(&incident));
        assert!(!shown.is_new(&incident));
        incident.score = 7;
        assert!(shown.is_new(&incident));
    }
}
