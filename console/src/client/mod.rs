//! The only module that knows gRPC and TLS: calls go in as messages of the contract, rows, streams and
//! [`ClientError`] come out.
//!
//! Calls that answer once have a deadline; streams have none, a dead server is found by HTTP/2's
//! keep-alive. Lists are read page by page, streams message by message, so that memory does not grow
//! with what there is to read. The channel opens its connection anew when it has lost it.

mod connect;
mod error;
mod listing;
mod pane;
mod release;
pub(crate) mod task;
mod terminal;

use std::time::Duration;

use tocsin_proto::console::v1::console_service_client::ConsoleServiceClient;
use tocsin_proto::console::v1::import_feed_request::Message as ImportMessage;
use tocsin_proto::console::v1::import_identities_request::Message as PeopleMessage;
use tocsin_proto::console::v1::{
    AddFeedRequest, AddIncidentNoteRequest, AssignIncidentRequest, AuditVerification,
    BindDeviceRequest, Changes, DevicesImported, Endpoint, EventRow, Feed, GetEndpointRequest,
    GetIdentityRequest, GetIncidentRequest, GetServerRequest, GetServerResponse, Identity,
    ImportDevicesRequest, ImportFeedRequest, ImportFeedResponse, ImportHeader,
    ImportIdentitiesHeader, ImportIdentitiesRequest, ImportIdentitiesResponse, Incident,
    IncidentSummary, LinkIdentityRequest, ListFeedsRequest, RemoveFeedRequest, RemoveFeedResponse,
    RevokeEndpointRequest, SearchEventsRequest, SearchEventsResponse, SetIncidentStateRequest,
    SetIncidentVerdictRequest, TagEndpointRequest, TestFeedRequest, TestFeedResponse,
    UnbindDeviceRequest, UnlinkIdentityRequest, VerifyAuditRequest, WatchChangesRequest,
    WatchIncidentsRequest,
};
use tocsin_proto::limits::MESSAGE_BYTES_MAX;
use tocsin_proto::profile::Profile;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use self::connect::Connector;
pub(crate) use self::error::ClientError;
pub(crate) use self::listing::{Listing, Pages};
pub(crate) use self::terminal::TerminalCall;

/// A call that answers once and has not answered in this time has failed.
const UNARY_TIMEOUT: Duration = Duration::from_secs(30);

/// Verifying the audit log reads all of it.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

/// An import of device ids answers when everybody whom they concern was looked at.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(600);

/// Pieces of a file that wait to be sent.
const IMPORT_CHUNKS_WAITING_MAX: usize = 4;

type Service = ConsoleServiceClient<Channel>;

/// A server, as one analyst sees it. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub(crate) struct Client {
    service: Service,
    server: String,
}

impl Client {
    /// Connects to the first server of the profile that answers.
    ///
    /// # Errors
    /// Where the profile cannot be used or no server can be reached.
    pub(crate) async fn connect(profile: &Profile) -> Result<Self, ClientError> {
        let connector = Connector::new(profile)?;
        let first = connector.open().await?;
        let channel = connector.channel(first).map_err(ClientError::Address)?;
        Ok(Self {
            service: ConsoleServiceClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .accept_compressed(CompressionEncoding::Zstd),
            server: connector.server(),
        })
    }

    /// The server as errors name it.
    pub(crate) fn address(&self) -> &str {
        &self.server
    }

    /// Who answers, and who is asking.
    pub(crate) async fn server(&self) -> Result<GetServerResponse, ClientError> {
        self.once("ask the server", GetServerRequest {}, async |mut s, r| {
            s.get_server(r).await
        })
        .await
    }

    /// What lists are worth asking for again.
    pub(crate) async fn watch_changes(&self) -> Result<Messages<Changes>, ClientError> {
        let request = WatchChangesRequest {};
        self.stream("watch changes", request, async |mut s, r| {
            s.watch_changes(r).await
        })
        .await
    }

    /// One incident in full.
    pub(crate) async fn incident(&self, id: &str) -> Result<Incident, ClientError> {
        let request = GetIncidentRequest { id: id.to_owned() };
        self.once(
            &format!("show incident '{id}'"),
            request,
            async |mut s, r| s.get_incident(r).await,
        )
        .await
    }

    /// The incidents that match, then each one again whenever it changes.
    pub(crate) async fn watch_incidents(
        &self,
        request: WatchIncidentsRequest,
    ) -> Result<Messages<IncidentSummary>, ClientError> {
        self.stream("watch incidents", request, async |mut s, r| {
            s.watch_incidents(r).await
        })
        .await
    }

    /// Gives an incident to somebody.
    pub(crate) async fn assign_incident(
        &self,
        request: AssignIncidentRequest,
    ) -> Result<IncidentSummary, ClientError> {
        self.once(
            &format!("assign incident '{}'", request.id),
            request,
            async |mut s, r| s.assign_incident(r).await,
        )
        .await
    }

    /// Moves an incident to a state.
    pub(crate) async fn set_incident_state(
        &self,
        request: SetIncidentStateRequest,
    ) -> Result<IncidentSummary, ClientError> {
        self.once(
            &format!("set the state of incident '{}'", request.id),
            request,
            async |mut s, r| s.set_incident_state(r).await,
        )
        .await
    }

    /// Judges an incident.
    pub(crate) async fn set_incident_verdict(
        &self,
        request: SetIncidentVerdictRequest,
    ) -> Result<IncidentSummary, ClientError> {
        self.once(
            &format!("set the verdict of incident '{}'", request.id),
            request,
            async |mut s, r| s.set_incident_verdict(r).await,
        )
        .await
    }

    /// Writes a note on an incident.
    pub(crate) async fn add_incident_note(
        &self,
        request: AddIncidentNoteRequest,
    ) -> Result<IncidentSummary, ClientError> {
        self.once(
            &format!("write a note on incident '{}'", request.id),
            request,
            async |mut s, r| s.add_incident_note(r).await,
        )
        .await
    }

    /// One endpoint.
    pub(crate) async fn endpoint(&self, id: &str) -> Result<Endpoint, ClientError> {
        let request = GetEndpointRequest { id: id.to_owned() };
        self.once(
            &format!("show endpoint '{id}'"),
            request,
            async |mut s, r| s.get_endpoint(r).await,
        )
        .await
    }

    /// Adds and takes away tags.
    pub(crate) async fn tag_endpoint(
        &self,
        request: TagEndpointRequest,
    ) -> Result<Endpoint, ClientError> {
        self.once(
            &format!("tag endpoint '{}'", request.id),
            request,
            async |mut s, r| s.tag_endpoint(r).await,
        )
        .await
    }

    /// Says what a provider calls an endpoint.
    pub(crate) async fn bind_device(
        &self,
        request: BindDeviceRequest,
    ) -> Result<Endpoint, ClientError> {
        self.once(
            &format!("bind a device id to endpoint '{}'", request.endpoint),
            request,
            async |mut s, r| s.bind_device(r).await,
        )
        .await
    }

    /// Says that a provider does not call an endpoint so.
    pub(crate) async fn unbind_device(
        &self,
        request: UnbindDeviceRequest,
    ) -> Result<Endpoint, ClientError> {
        self.once(
            &format!("unbind a device id from endpoint '{}'", request.endpoint),
            request,
            async |mut s, r| s.unbind_device(r).await,
        )
        .await
    }

    /// Sends a file of device ids; the answer comes when incidents know of them.
    pub(crate) async fn import_devices(
        &self,
        request: ImportDevicesRequest,
    ) -> Result<DevicesImported, ClientError> {
        self.within(
            IMPORT_TIMEOUT,
            "import device ids",
            request,
            async |mut s, r| s.import_devices(r).await,
        )
        .await
    }

    /// Cuts an endpoint off.
    pub(crate) async fn revoke_endpoint(
        &self,
        request: RevokeEndpointRequest,
    ) -> Result<Endpoint, ClientError> {
        self.once(
            &format!("revoke endpoint '{}'", request.id),
            request,
            async |mut s, r| s.revoke_endpoint(r).await,
        )
        .await
    }

    /// One person.
    pub(crate) async fn identity(&self, id: &str) -> Result<Identity, ClientError> {
        let request = GetIdentityRequest { id: id.to_owned() };
        self.once(
            &format!("show identity '{id}'"),
            request,
            async |mut s, r| s.get_identity(r).await,
        )
        .await
    }

    /// Links a person to an account on an endpoint.
    pub(crate) async fn link_identity(
        &self,
        request: LinkIdentityRequest,
    ) -> Result<Identity, ClientError> {
        self.once(
            &format!("link identity '{}'", request.id),
            request,
            async |mut s, r| s.link_identity(r).await,
        )
        .await
    }

    /// Takes the link between a person and an account on an endpoint away.
    pub(crate) async fn unlink_identity(
        &self,
        request: UnlinkIdentityRequest,
    ) -> Result<Identity, ClientError> {
        self.once(
            &format!("unlink identity '{}'", request.id),
            request,
            async |mut s, r| s.unlink_identity(r).await,
        )
        .await
    }

    /// Sends a file of people, as [`Client::import_feed`] does one of records.
    pub(crate) async fn import_identities(
        &self,
        header: ImportIdentitiesHeader,
        chunks: mpsc::Receiver<Vec<u8>>,
    ) -> Result<Messages<ImportIdentitiesResponse>, ClientError> {
        let message = |message| ImportIdentitiesRequest {
            message: Some(message),
        };
        let first = tokio_stream::once(message(PeopleMessage::Header(header)));
        let rest =
            ReceiverStream::new(chunks).map(move |chunk| message(PeopleMessage::Chunk(chunk)));
        self.stream("import identities", first.chain(rest), async |mut s, r| {
            s.import_identities(r.into_inner()).await
        })
        .await
    }

    /// Events that match, as they are found.
    pub(crate) async fn search_events(
        &self,
        request: SearchEventsRequest,
    ) -> Result<Messages<SearchEventsResponse>, ClientError> {
        self.stream("search events", request, async |mut s, r| {
            s.search_events(r).await
        })
        .await
    }

    /// All feeds.
    pub(crate) async fn feeds(&self) -> Result<Vec<Feed>, ClientError> {
        self.once("list feeds", ListFeedsRequest {}, async |mut s, r| {
            s.list_feeds(r).await
        })
        .await
        .map(|response| response.feeds)
    }

    /// Makes a live feed.
    pub(crate) async fn add_feed(&self, request: AddFeedRequest) -> Result<Feed, ClientError> {
        self.once("add a live feed", request, async |mut s, r| {
            s.add_feed(r).await
        })
        .await
    }

    /// Asks a live feed's provider for its newest records.
    pub(crate) async fn test_feed(
        &self,
        request: TestFeedRequest,
    ) -> Result<TestFeedResponse, ClientError> {
        let attempt = format!("test the live feed '{}'", request.name);
        self.once(&attempt, request, async |mut s, r| s.test_feed(r).await)
            .await
    }

    /// Ends a live feed.
    pub(crate) async fn remove_feed(
        &self,
        request: RemoveFeedRequest,
    ) -> Result<RemoveFeedResponse, ClientError> {
        let attempt = format!("remove the live feed '{}'", request.name);
        self.once(&attempt, request, async |mut s, r| s.remove_feed(r).await)
            .await
    }

    /// Sends a file, piece by piece as they come from `chunks`, and returns what the server says about it.
    ///
    /// The file ends where `chunks` ends: whoever gives up before must drop this future or the stream
    /// while the sender still lives, or the server would take what it has for the whole.
    pub(crate) async fn import_feed(
        &self,
        header: ImportHeader,
        chunks: mpsc::Receiver<Vec<u8>>,
    ) -> Result<Messages<ImportFeedResponse>, ClientError> {
        let message = |message| ImportFeedRequest {
            message: Some(message),
        };
        let first = tokio_stream::once(message(ImportMessage::Header(header)));
        let rest =
            ReceiverStream::new(chunks).map(move |chunk| message(ImportMessage::Chunk(chunk)));
        self.stream("import a feed", first.chain(rest), async |mut s, r| {
            s.import_feed(r.into_inner()).await
        })
        .await
    }

    /// Follows the chain of the audit log.
    pub(crate) async fn verify_audit(&self) -> Result<AuditVerification, ClientError> {
        let attempt = "verify the audit log";
        self.within(
            VERIFY_TIMEOUT,
            attempt,
            VerifyAuditRequest {},
            async |mut s, r| s.verify_audit(r).await,
        )
        .await
    }

    /// A call that answers once.
    async fn once<Q, R>(
        &self,
        attempt: &str,
        message: Q,
        call: impl AsyncFnOnce(Service, Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, ClientError> {
        self.within(UNARY_TIMEOUT, attempt, message, call).await
    }

    async fn within<Q, R>(
        &self,
        after: Duration,
        attempt: &str,
        message: Q,
        call: impl AsyncFnOnce(Service, Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, ClientError> {
        let call = call(self.service.clone(), Request::new(message));
        match tokio::time::timeout(after, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failed(attempt, &status)),
            Err(_elapsed) => Err(ClientError::Silent {
                attempt: attempt.to_owned(),
                server: self.server.clone(),
                after,
            }),
        }
    }

    /// A call that answers with a stream.
    async fn stream<Q, R>(
        &self,
        attempt: &'static str,
        message: Q,
        call: impl AsyncFnOnce(Service, Request<Q>) -> Result<Response<Streaming<R>>, Status>,
    ) -> Result<Messages<R>, ClientError> {
        match call(self.service.clone(), Request::new(message)).await {
            Ok(response) => Ok(Messages {
                stream: response.into_inner(),
                attempt,
                client: self.clone(),
            }),
            Err(status) => Err(self.failed(attempt, &status)),
        }
    }

    fn failed(&self, attempt: &str, status: &Status) -> ClientError {
        let (attempt, server) = (attempt.to_owned(), self.server.clone());
        ClientError::from_status(attempt, server, status)
    }
}

/// A channel for the pieces of a file, bounded so that no more is read than can be sent.
pub(crate) fn import_channel() -> (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
    mpsc::channel(IMPORT_CHUNKS_WAITING_MAX)
}

/// The messages of a stream.
pub(crate) struct Messages<T> {
    stream: Streaming<T>,
    attempt: &'static str,
    client: Client,
}

impl<T> Messages<T> {
    /// The next one; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, ClientError> {
        let next = self.stream.message().await;
        next.map_err(|status| self.client.failed(self.attempt, &status))
    }
}

impl Messages<SearchEventsResponse> {
    /// The next rows; `None` at the end.
    pub(crate) async fn rows(&mut self) -> Result<Option<Vec<EventRow>>, ClientError> {
        Ok(self.next().await?.map(|response| response.events))
    }
}
