//! The methods: each notes its call, then answers from the script.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tocsin_proto::console::v1::console_service_server::ConsoleService;
use tocsin_proto::console::v1::import_feed_request::Message;
use tocsin_proto::console::v1::*;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{story, terminal};

type Answer<T> = Result<Response<T>, Status>;
type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the server answers, and what it was asked.
pub(crate) struct Script {
    /// One line a call.
    pub(crate) calls: Vec<String>,
    /// Every call is refused so.
    pub(crate) refuse: Option<(Code, String)>,
    /// Rows of each list.
    pub(crate) rows: u32,
    /// Rows of a page.
    pub(crate) page: usize,
    /// Messages of 100 events that a search finds.
    pub(crate) event_batches: u64,
    /// Streams of incidents, one a call of watch; the last stays open.
    pub(crate) watches: Vec<Vec<IncidentSummary>>,
    /// What imports brought.
    pub(crate) imported: Vec<u8>,
    /// What an import ends with.
    pub(crate) summary: ImportSummary,
    /// What an import of people ends with.
    pub(crate) people: IdentitiesImported,
    /// Whether the audit log is whole.
    pub(crate) intact: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            calls: Vec::new(),
            refuse: None,
            rows: 5,
            page: 2,
            event_batches: 3,
            watches: Vec::new(),
            imported: Vec::new(),
            summary: ImportSummary::default(),
            people: IdentitiesImported::default(),
            intact: true,
        }
    }
}

pub(crate) struct Service(pub(crate) Arc<Mutex<Script>>);

impl Service {
    /// Notes a call; refuses it where the script says so.
    fn called<T: std::fmt::Debug>(&self, name: &str, request: &T) -> Result<(), Status> {
        let mut script = self.0.lock().unwrap();
        script.calls.push(format!("{name} {request:?}"));
        match &script.refuse {
            Some((code, message)) => Err(Status::new(*code, message.clone())),
            None => Ok(()),
        }
    }

    /// A page of the list that `row` makes, and the token of the next.
    fn page<T>(&self, token: &str, row: impl Fn(u32) -> T) -> (Vec<T>, String) {
        let script = self.0.lock().unwrap();
        let first: u32 = token.parse().unwrap_or(0);
        let rows: Vec<T> = (first..script.rows).take(script.page).map(row).collect();
        let next = first + u32::try_from(rows.len()).unwrap();
        let token = if next < script.rows {
            next.to_string()
        } else {
            String::new()
        };
        (rows, token)
    }
}

#[tonic::async_trait]
impl ConsoleService for Service {
    type WatchChangesStream = Stream_<Changes>;
    type WatchIncidentsStream = Stream_<IncidentSummary>;
    type SearchEventsStream = Stream_<SearchEventsResponse>;
    type ImportFeedStream = Stream_<ImportFeedResponse>;
    type ImportIdentitiesStream = Stream_<ImportIdentitiesResponse>;
    type OpenTerminalStream = Stream_<TerminalNews>;
    type WatchTerminalStream = Stream_<TerminalNews>;
    type PlayTerminalStream = Stream_<PlayTerminalResponse>;

    async fn open_terminal(
        &self,
        request: Request<Streaming<OpenTerminalRequest>>,
    ) -> Answer<Self::OpenTerminalStream> {
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        self.called("open_terminal", &first)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        tokio::spawn(terminal::echo(requests, sender));
        let news = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(news)))
    }

    async fn list_terminals(
        &self,
        request: Request<ListTerminalsRequest>,
    ) -> Answer<ListTerminalsResponse> {
        self.called("list_terminals", request.get_ref())?;
        let terminals = vec![terminal::row()];
        Ok(Response::new(ListTerminalsResponse { terminals }))
    }

    async fn watch_terminal(
        &self,
        request: Request<WatchTerminalRequest>,
    ) -> Answer<Self::WatchTerminalStream> {
        use terminal_news::Message as News;
        self.called("watch_terminal", request.get_ref())?;
        let news = [
            News::Opened(terminal::row()),
            News::SkippedBytes(17),
            News::Output(b"\x1b]0;t\x07seen\r\n".to_vec()),
            News::Ended(terminal::ended(TerminalEnd::Killed)),
        ];
        let news = news.map(|message| {
            let message = Some(message);
            Ok(TerminalNews { message })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(news))))
    }

    async fn list_recordings(
        &self,
        request: Request<ListRecordingsRequest>,
    ) -> Answer<ListRecordingsResponse> {
        self.called("list_recordings", request.get_ref())?;
        Ok(Response::new(ListRecordingsResponse {
            recordings: vec![terminal::recording()],
            next_page_token: String::new(),
        }))
    }

    async fn play_terminal(
        &self,
        request: Request<PlayTerminalRequest>,
    ) -> Answer<Self::PlayTerminalStream> {
        self.called("play_terminal", request.get_ref())?;
        let whole = !request.get_ref().id.starts_with("torn");
        Ok(Response::new(Box::pin(tokio_stream::iter(
            terminal::played(whole),
        ))))
    }

    async fn kill_terminal(&self, request: Request<KillTerminalRequest>) -> Answer<Terminal> {
        self.called("kill_terminal", request.get_ref())?;
        Ok(Response::new(terminal::ended(TerminalEnd::Killed)))
    }

    async fn get_server(&self, request: Request<GetServerRequest>) -> Answer<GetServerResponse> {
        self.called("get_server", request.get_ref())?;
        Ok(Response::new(GetServerResponse {
            server_version: "0.1.0".into(),
            analyst: "dana".into(),
            role: "admin".into(),
            server_time_ms: story::NIGHT_MS,
            ..GetServerResponse::default()
        }))
    }

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Answer<Self::WatchChangesStream> {
        self.called("watch_changes", request.get_ref())?;
        let first = tokio_stream::once(Ok(Changes::default()));
        Ok(Response::new(Box::pin(
            first.chain(tokio_stream::pending()),
        )))
    }

    async fn list_incidents(
        &self,
        request: Request<ListIncidentsRequest>,
    ) -> Answer<ListIncidentsResponse> {
        self.called("list_incidents", request.get_ref())?;
        let (incidents, next_page_token) = self.page(&request.get_ref().page_token, story::summary);
        Ok(Response::new(ListIncidentsResponse {
            incidents,
            next_page_token,
        }))
    }

    async fn get_incident(&self, request: Request<GetIncidentRequest>) -> Answer<Incident> {
        self.called("get_incident", request.get_ref())?;
        Ok(Response::new(story::incident()))
    }

    async fn watch_incidents(
        &self,
        request: Request<WatchIncidentsRequest>,
    ) -> Answer<Self::WatchIncidentsStream> {
        self.called("watch_incidents", request.get_ref())?;
        let mut script = self.0.lock().unwrap();
        let is_last = script.watches.len() == 1;
        let rows = tokio_stream::iter(script.watches.remove(0)).map(Ok);
        let end: Stream_<IncidentSummary> = match is_last {
            true => Box::pin(tokio_stream::pending()),
            false => Box::pin(tokio_stream::once(Err(Status::unavailable("restarting")))),
        };
        Ok(Response::new(Box::pin(rows.chain(end))))
    }

    async fn assign_incident(
        &self,
        request: Request<AssignIncidentRequest>,
    ) -> Answer<IncidentSummary> {
        self.called("assign_incident", request.get_ref())?;
        Ok(Response::new(IncidentSummary {
            assignee: request.into_inner().assignee,
            ..story::summary(1)
        }))
    }

    async fn set_incident_state(
        &self,
        request: Request<SetIncidentStateRequest>,
    ) -> Answer<IncidentSummary> {
        self.called("set_incident_state", request.get_ref())?;
        Ok(Response::new(IncidentSummary {
            state: request.get_ref().state,
            ..story::summary(1)
        }))
    }

    async fn set_incident_verdict(
        &self,
        request: Request<SetIncidentVerdictRequest>,
    ) -> Answer<IncidentSummary> {
        self.called("set_incident_verdict", request.get_ref())?;
        Ok(Response::new(IncidentSummary {
            verdict: request.get_ref().verdict,
            ..story::summary(1)
        }))
    }

    async fn add_incident_note(
        &self,
        request: Request<AddIncidentNoteRequest>,
    ) -> Answer<IncidentSummary> {
        self.called("add_incident_note", request.get_ref())?;
        Ok(Response::new(story::summary(1)))
    }

    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Answer<ListEndpointsResponse> {
        self.called("list_endpoints", request.get_ref())?;
        let (endpoints, next_page_token) =
            self.page(&request.get_ref().page_token, story::endpoint);
        Ok(Response::new(ListEndpointsResponse {
            endpoints,
            next_page_token,
        }))
    }

    async fn get_endpoint(&self, request: Request<GetEndpointRequest>) -> Answer<Endpoint> {
        self.called("get_endpoint", request.get_ref())?;
        Ok(Response::new(story::endpoint(0xe1)))
    }

    async fn list_processes(
        &self,
        request: Request<ListProcessesRequest>,
    ) -> Answer<ListProcessesResponse> {
        self.called("list_processes", request.get_ref())?;
        let (processes, next_page_token) = self.page(&request.get_ref().page_token, story::process);
        Ok(Response::new(ListProcessesResponse {
            processes,
            next_page_token,
            as_of_time_ms: story::NIGHT_MS,
        }))
    }

    async fn tag_endpoint(&self, request: Request<TagEndpointRequest>) -> Answer<Endpoint> {
        self.called("tag_endpoint", request.get_ref())?;
        Ok(Response::new(story::endpoint(0xe1)))
    }

    async fn bind_device(&self, request: Request<BindDeviceRequest>) -> Answer<Endpoint> {
        self.called("bind_device", request.get_ref())?;
        Ok(Response::new(story::endpoint(0xe1)))
    }

    async fn unbind_device(&self, request: Request<UnbindDeviceRequest>) -> Answer<Endpoint> {
        self.called("unbind_device", request.get_ref())?;
        Ok(Response::new(story::endpoint(0xe1)))
    }

    async fn import_devices(
        &self,
        request: Request<ImportDevicesRequest>,
    ) -> Answer<DevicesImported> {
        let request = request.into_inner();
        self.called("import_devices", &request.file_name)?;
        let mut script = self.0.lock().unwrap();
        script.imported.extend(request.content);
        let people = &script.people;
        Ok(Response::new(DevicesImported {
            rows: people.rows,
            changed: people.changed,
            refused: people.refused,
            problems: people.problems.clone(),
            ..DevicesImported::default()
        }))
    }

    async fn revoke_endpoint(&self, request: Request<RevokeEndpointRequest>) -> Answer<Endpoint> {
        self.called("revoke_endpoint", request.get_ref())?;
        Ok(Response::new(Endpoint {
            state: EndpointState::Revoked.into(),
            ..story::endpoint(0xe1)
        }))
    }

    async fn list_identities(
        &self,
        request: Request<ListIdentitiesRequest>,
    ) -> Answer<ListIdentitiesResponse> {
        self.called("list_identities", request.get_ref())?;
        Ok(Response::new(ListIdentitiesResponse {
            identities: vec![story::identity()],
            next_page_token: String::new(),
        }))
    }

    async fn get_identity(&self, request: Request<GetIdentityRequest>) -> Answer<Identity> {
        self.called("get_identity", request.get_ref())?;
        Ok(Response::new(story::identity()))
    }

    async fn link_identity(&self, request: Request<LinkIdentityRequest>) -> Answer<Identity> {
        self.called("link_identity", request.get_ref())?;
        Ok(Response::new(story::identity()))
    }

    async fn unlink_identity(&self, request: Request<UnlinkIdentityRequest>) -> Answer<Identity> {
        self.called("unlink_identity", request.get_ref())?;
        Ok(Response::new(story::identity()))
    }

    async fn list_unmapped(
        &self,
        request: Request<ListUnmappedRequest>,
    ) -> Answer<ListUnmappedResponse> {
        self.called("list_unmapped", request.get_ref())?;
        let (rows, next_page_token) = self.page(&request.get_ref().page_token, story::unmapped);
        Ok(Response::new(ListUnmappedResponse {
            rows,
            next_page_token,
        }))
    }

    async fn import_identities(
        &self,
        request: Request<Streaming<ImportIdentitiesRequest>>,
    ) -> Answer<Self::ImportIdentitiesStream> {
        use import_identities_request::Message;
        let mut pieces = request.into_inner();
        let header = pieces.message().await?;
        self.called("import_identities", &header)?;
        while let Some(piece) = pieces.message().await? {
            let Some(Message::Chunk(chunk)) = piece.message else {
                panic!("a header in the middle");
            };
            self.0.lock().unwrap().imported.extend(chunk);
        }
        let summary = Some(self.0.lock().unwrap().people.clone());
        let last = ImportIdentitiesResponse {
            summary,
            ..ImportIdentitiesResponse::default()
        };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(last)))))
    }

    async fn search_events(
        &self,
        request: Request<SearchEventsRequest>,
    ) -> Answer<Self::SearchEventsStream> {
        self.called("search_events", request.get_ref())?;
        let batches = self.0.lock().unwrap().event_batches;
        let batch = |n: u64| SearchEventsResponse {
            events: (n * 100 + 1..=n * 100 + 100).map(story::event).collect(),
        };
        let all = tokio_stream::iter((0..batches).map(move |n| Ok(batch(n))));
        Ok(Response::new(Box::pin(all)))
    }

    async fn list_feeds(&self, request: Request<ListFeedsRequest>) -> Answer<ListFeedsResponse> {
        self.called("list_feeds", request.get_ref())?;
        Ok(Response::new(ListFeedsResponse {
            feeds: vec![story::live_feed()],
        }))
    }

    async fn add_feed(&self, request: Request<AddFeedRequest>) -> Answer<Feed> {
        self.called("add_feed", request.get_ref())?;
        Ok(Response::new(story::live_feed()))
    }

    async fn test_feed(&self, request: Request<TestFeedRequest>) -> Answer<TestFeedResponse> {
        self.called("test_feed", request.get_ref())?;
        Ok(Response::new(TestFeedResponse {
            name: request.into_inner().name,
            error: story::HOSTILE.into(),
            advice: story::HOSTILE.into(),
            ..TestFeedResponse::default()
        }))
    }

    async fn remove_feed(&self, request: Request<RemoveFeedRequest>) -> Answer<RemoveFeedResponse> {
        self.called("remove_feed", request.get_ref())?;
        Ok(Response::new(RemoveFeedResponse {
            name: request.into_inner().name,
        }))
    }

    async fn import_feed(
        &self,
        request: Request<Streaming<ImportFeedRequest>>,
    ) -> Answer<Self::ImportFeedStream> {
        let mut pieces = request.into_inner();
        let header = pieces.message().await?;
        self.called("import_feed", &header)?;
        let script = self.0.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let mut bytes_read = 0;
            while let Ok(Some(piece)) = pieces.message().await {
                let Some(Message::Chunk(chunk)) = piece.message else {
                    panic!("a header in the middle");
                };
                bytes_read += chunk.len() as u64;
                script.lock().unwrap().imported.extend(chunk);
                let progress = ImportFeedResponse {
                    bytes_read,
                    ..ImportFeedResponse::default()
                };
                let _gone = sender.send(Ok(progress)).await;
            }
            let summary = Some(script.lock().unwrap().summary.clone());
            let last = ImportFeedResponse {
                summary,
                ..ImportFeedResponse::default()
            };
            let _gone = sender.send(Ok(last)).await;
        });
        let answers = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn list_releases(
        &self,
        request: Request<ListReleasesRequest>,
    ) -> Answer<ListReleasesResponse> {
        self.called("list_releases", request.get_ref())?;
        Ok(Response::new(ListReleasesResponse {
            releases: vec![story::release()],
        }))
    }

    async fn publish_releases(
        &self,
        request: Request<Streaming<PublishReleasesRequest>>,
    ) -> Answer<PublishReleasesResponse> {
        use publish_releases_request::Message;
        let mut pieces = request.into_inner();
        let mut published = PublishReleasesResponse::default();
        while let Some(piece) = pieces.message().await? {
            match piece.message {
                Some(Message::File(file)) => {
                    self.called("publish_file", &file)?;
                    published.files += 1;
                }
                Some(Message::Data(data)) => published.bytes += data.len() as u64,
                None => {}
            }
        }
        Ok(Response::new(published))
    }

    async fn create_rollout(&self, request: Request<CreateRolloutRequest>) -> Answer<Rollout> {
        self.called("create_rollout", request.get_ref())?;
        Ok(Response::new(story::rollout(RolloutState::Running)))
    }

    async fn list_rollouts(
        &self,
        request: Request<ListRolloutsRequest>,
    ) -> Answer<ListRolloutsResponse> {
        self.called("list_rollouts", request.get_ref())?;
        Ok(Response::new(ListRolloutsResponse {
            rollouts: vec![story::rollout(RolloutState::Stopped)],
        }))
    }

    async fn get_rollout(&self, request: Request<GetRolloutRequest>) -> Answer<Rollout> {
        self.called("get_rollout", request.get_ref())?;
        Ok(Response::new(story::rollout(RolloutState::Stopped)))
    }

    async fn set_rollout_state(&self, request: Request<SetRolloutStateRequest>) -> Answer<Rollout> {
        self.called("set_rollout_state", request.get_ref())?;
        Ok(Response::new(story::rollout(request.get_ref().state())))
    }

    async fn list_audit(&self, request: Request<ListAuditRequest>) -> Answer<ListAuditResponse> {
        self.called("list_audit", request.get_ref())?;
        let (rows, next_page_token) = self.page(&request.get_ref().page_token, story::audit_row);
        Ok(Response::new(ListAuditResponse {
            rows,
            next_page_token,
        }))
    }

    async fn verify_audit(
        &self,
        request: Request<VerifyAuditRequest>,
    ) -> Answer<AuditVerification> {
        self.called("verify_audit", request.get_ref())?;
        let intact = self.0.lock().unwrap().intact;
        Ok(Response::new(AuditVerification {
            intact,
            rows: 9,
            first_bad_row: if intact { 0 } else { 4 },
            ..AuditVerification::default()
        }))
    }
}
