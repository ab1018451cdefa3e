//! `tocsin` without a command: who you are, what is open, which endpoints are there, what to do next.

use serde::Serialize;
use tocsin_proto::console::v1::{
    Endpoint, EndpointState, GetServerResponse, IncidentState, IncidentSummary,
    ListEndpointsRequest, ListIncidentsRequest, Severity,
};
use tocsin_proto::json::Word;

use super::Session;
use crate::client::{ClientError, Listing, Pages};
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::Column;
use crate::time;

/// Open incidents that are named; the rest are counted.
const NAMED_MAX: usize = 5;

/// A certificate that ends sooner is mentioned.
const EXPIRY_WARNING_MS: i64 = 30 * 24 * 3600 * 1000;

const NEXT_COLUMNS: &[Column] = &[Column::whole("COMMAND"), Column::text("WHAT FOR", 20)];

/// The states that are not an end.
const OPEN: [IncidentState; 3] = [
    IncidentState::New,
    IncidentState::InProgress,
    IncidentState::OnHold,
];

/// How many of a word.
#[derive(Debug, Serialize)]
struct Count {
    word: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Status {
    address: String,
    server: GetServerResponse,
    /// Open incidents by severity, the worst first.
    open_incidents: Vec<Count>,
    /// Endpoints by state.
    endpoints: Vec<Count>,
    /// The worst open incidents.
    worst: Vec<IncidentSummary>,
}

/// Asks and prints.
///
/// # Errors
/// Every [`Failure`].
pub(crate) async fn perform(mut session: Session) -> Result<Exit, Failure> {
    let client = &session.client;
    let server = client.server().await?;
    let listing = ListIncidentsRequest {
        states: OPEN.iter().map(|state| i32::from(*state)).collect(),
        ..ListIncidentsRequest::default()
    };
    let mut severities = Counts::<Severity>::new();
    let mut worst: Vec<IncidentSummary> = Vec::new();
    each(&session, listing, |incident| {
        severities.add(incident.severity);
        worst.push(incident);
        worst.sort_by_key(|incident| std::cmp::Reverse((incident.severity, incident.score)));
        worst.truncate(NAMED_MAX);
    })
    .await?;
    let mut states = Counts::<EndpointState>::new();
    each(
        &session,
        ListEndpointsRequest::default(),
        |endpoint: Endpoint| {
            states.add(endpoint.state);
        },
    )
    .await?;
    let mut open_incidents = severities.finish();
    open_incidents.reverse();
    let status = Status {
        address: client.address().to_owned(),
        server,
        open_incidents,
        endpoints: states.finish(),
        worst,
    };
    session.out.object(&status, describe)?;
    Ok(Exit::Done)
}

async fn each<L: Listing>(
    session: &Session,
    listing: L,
    mut take: impl FnMut(L::Row),
) -> Result<(), ClientError> {
    let mut pages = Pages::new(&session.client, listing);
    while let Some(page) = pages.next().await? {
        page.into_iter().for_each(&mut take);
    }
    Ok(())
}

/// Counts the values of an enum, in its order.
struct Counts<T>(Vec<(T, u64)>);

impl<T: Word + PartialEq> Counts<T> {
    fn new() -> Self {
        Self(T::ALL.iter().map(|value| (*value, 0)).collect())
    }

    fn add(&mut self, wire: i32) {
        let value = T::try_from(wire).ok();
        let row = self.0.iter_mut().find(|(known, _)| Some(*known) == value);
        if let Some((_, count)) = row {
            *count += 1;
        }
    }

    fn finish(self) -> Vec<Count> {
        let rows = self.0.into_iter();
        rows.map(|(value, count)| Count {
            word: value.word(),
            count,
        })
        .collect()
    }
}

fn listed(counts: &[Count]) -> String {
    let some = counts.iter().filter(|count| count.count > 0);
    let some: Vec<_> = some
        .map(|count| format!("{} {}", count.count, count.word))
        .collect();
    match some.is_empty() {
        true => "none".to_owned(),
        false => some.join(", "),
    }
}

fn describe(status: &Status, page: &mut Page) {
    let server = &status.server;
    let said = format!(
        "Tocsin at {}, version {}",
        status.address, server.server_version
    );
    page.paragraph(&said, Style::Heading);
    page.field("You", &format!("{} ({})", server.analyst, server.role));
    let left_ms = server.certificate_expiry_time_ms - server.server_time_ms;
    if server.certificate_expiry_time_ms != 0 && left_ms < EXPIRY_WARNING_MS {
        let said = format!(
            "your profile's certificate ends {} UTC: have it renewed ('tocsin-server analyst renew')",
            time::minute(server.certificate_expiry_time_ms)
        );
        page.field_styled("Certificate", &said, Style::Medium);
    }
    page.field(
        "Incidents",
        &format!("open: {}", listed(&status.open_incidents)),
    );
    page.field("Endpoints", &listed(&status.endpoints));
    if !status.worst.is_empty() {
        page.section("Open, the worst first");
        let rows = status.worst.iter().map(Row::cells).collect();
        page.table(IncidentSummary::COLUMNS, rows);
    }
    page.section("Next");
    let rows = next(status).into_iter();
    let rows = rows.map(|(command, what)| vec![command.into(), what.into()]);
    page.table(NEXT_COLUMNS, rows.collect());
}

/// Commands that make sense in this state.
fn next(status: &Status) -> Vec<(String, &'static str)> {
    let mut next = Vec::new();
    if let Some(worst) = status.worst.first() {
        let id = super::short(&worst.id);
        next.push((
            format!("tocsin incidents show {id}"),
            "why, and what to do first",
        ));
    }
    if status.endpoints.iter().all(|count| count.count == 0) {
        let command = "tocsin-server token create --data DIR";
        next.push((command.to_owned(), "on the server: enroll a first endpoint"));
    } else {
        next.push(("tocsin endpoints list".to_owned(), "enrolled machines"));
    }
    for (command, what) in [
        ("tocsin incidents watch", "each change as it comes"),
        (
            "tocsin feeds import FILE --provider okta",
            "sign-ins from a file",
        ),
        ("tocsin --help", "all commands"),
    ] {
        next.push((command.to_owned(), what));
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(worst: Vec<IncidentSummary>, online: u64) -> Status {
        Status {
            address: "localhost:7443".into(),
            server: GetServerResponse {
                server_version: "0.1.0".into(),
                analyst: "dana\x1b[2J".into(),
                role: "viewer".into(),
                server_time_ms: 1_800_000_000_000,
                certificate_expiry_time_ms: 1_800_000_000_000 + EXPIRY_WARNING_MS - 1,
                ..GetServerResponse::default()
            },
            open_incidents: vec![
                Count {
                    word: "critical".into(),
                    count: worst.len() as u64,
                },
                Count {
                    word: "low".into(),
                    count: 0,
                },
            ],
            endpoints: vec![Count {
                word: "online".into(),
                count: online,
            }],
            worst,
        }
    }

    fn page(status: &Status) -> String {
        let mut page = Page::new(Some(100), false);
        describe(status, &mut page);
        page.finish()
    }

    #[test]
    fn an_empty_server_says_how_to_begin() {
        let page = page(&status(Vec::new(), 0));
        for part in [
            "You           dana\\x1b[2J (viewer)",
            "open: none",
            "token create",
            "analyst renew",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn the_worst_incident_comes_first() {
        let incident = IncidentSummary {
            id: "12345678-0000".into(),
            title: "17 prompts".into(),
            severity: Severity::Critical.into(),
            ..IncidentSummary::default()
        };
        let page = page(&status(vec![incident], 3));
        for part in [
            "open: 1 critical",
            "3 online",
            "incidents show 12345678",
            "17 prompts",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("token create"), "{page}");
    }
}
