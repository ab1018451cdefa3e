//! Lists that come in pages.

use tocsin_proto::console::v1::{
    AuditRow, Endpoint, Identity, IncidentSummary, ListAuditRequest, ListEndpointsRequest,
    ListIdentitiesRequest, ListIncidentsRequest, ListProcessesRequest, ListRecordingsRequest,
    ListUnmappedRequest, ProcessRow, Recording, Unmapped,
};

use super::{Client, ClientError};

/// One page.
pub(crate) struct Page<R> {
    rows: Vec<R>,
    next: String,
    as_of_time_ms: i64,
}

/// A request for a list.
pub(crate) trait Listing {
    /// What it lists.
    type Row;
    /// What is attempted, for errors.
    const ATTEMPT: &'static str;

    /// Asks for the page with this token.
    async fn page(&self, client: &Client, token: &str) -> Result<Page<Self::Row>, ClientError>;
}

/// The pages of a list, each asked for when the one before has been used.
pub(crate) struct Pages<L> {
    client: Client,
    listing: L,
    /// Token of the next page; `None` after the last.
    token: Option<String>,
    as_of_time_ms: i64,
}

impl<L: Listing> Pages<L> {
    /// From the first page on.
    pub(crate) fn new(client: &Client, listing: L) -> Self {
        Self::from(client, listing, String::new())
    }

    /// From the page with this token on.
    pub(crate) fn from(client: &Client, listing: L, token: String) -> Self {
        Self {
            client: client.clone(),
            listing,
            token: Some(token),
            as_of_time_ms: 0,
        }
    }

    /// The token of the next page; empty after the last.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// The rows of the next page; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<L::Row>>, ClientError> {
        let Some(token) = self.token.take() else {
            return Ok(None);
        };
        let page = self.listing.page(&self.client, &token).await?;
        if !page.next.is_empty() && page.next == token {
            return Err(ClientError::Nonsense {
                attempt: L::ATTEMPT.to_owned(),
                what: "the server answers with the same page again",
            });
        }
        self.as_of_time_ms = page.as_of_time_ms;
        self.token = (!page.next.is_empty()).then_some(page.next);
        Ok(Some(page.rows))
    }

    /// Newest event that the list is made from, where the server says so; 0 where not.
    pub(crate) fn as_of_time_ms(&self) -> i64 {
        self.as_of_time_ms
    }
}

macro_rules! listings {
    ($($request:ident -> $row:ident, $attempt:literal, $call:ident, $rows:ident, $as_of:expr;)+) => {
        $(impl Listing for $request {
            type Row = $row;
            const ATTEMPT: &'static str = $attempt;

            async fn page(&self, client: &Client, token: &str) -> Result<Page<$row>, ClientError> {
                let request = $request { page_token: token.to_owned(), ..self.clone() };
                let response = client
                    .once(Self::ATTEMPT, request, async |mut s, r| s.$call(r).await)
                    .await?;
                let as_of_time_ms = $as_of(&response);
                Ok(Page {
                    rows: response.$rows,
                    next: response.next_page_token,
                    as_of_time_ms,
                })
            }
        })+
    };
}

fn no_time<T>(_response: &T) -> i64 {
    0
}

listings! {
    ListIncidentsRequest -> IncidentSummary, "list incidents", list_incidents, incidents, no_time;
    ListEndpointsRequest -> Endpoint, "list endpoints", list_endpoints, endpoints, no_time;
    ListProcessesRequest -> ProcessRow, "list processes", list_processes, processes,
        |response: &tocsin_proto::console::v1::ListProcessesResponse| response.as_of_time_ms;
    ListIdentitiesRequest -> Identity, "list identities", list_identities, identities, no_time;
    ListUnmappedRequest -> Unmapped, "list what is not mapped", list_unmapped, rows, no_time;
    ListRecordingsRequest -> Recording, "list recordings", list_recordings, recordings, no_time;
    ListAuditRequest -> AuditRow, "list the audit log", list_audit, rows, no_time;
}
