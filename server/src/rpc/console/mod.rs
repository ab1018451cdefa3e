//! `ConsoleService`: what analysts ask. One line a method; its work is in the file of its subject, and begins
//! with asking who may.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::console::v1::console_service_server::ConsoleService;
use tocsin_proto::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use tonic::{Request, Response, Status, Streaming};

use super::{Context, Replies};

mod audit;
mod change;
mod connection;
mod device;
mod endpoint;
mod event;
mod feed;
mod identity;
mod incident;
mod people;
mod process;
mod release;
mod rollout;
mod server;
mod terminal;
mod unmapped;

pub(crate) use event::{SEARCHES_MAX, place_word, reason_word, sensor_word};
pub(crate) use feed::IMPORTS_MAX;

/// The service of consoles.
#[derive(Debug, Clone)]
pub(crate) struct Consoles(pub(crate) Arc<Context>);

/// What a method answers.
type Answer<T> = Result<Response<T>, Status>;

/// Rows of a page, from what was asked for.
fn page_size(asked: u32) -> u32 {
    match asked {
        0 => PAGE_SIZE_DEFAULT,
        asked => asked.min(PAGE_SIZE_MAX),
    }
}

/// Bytes of the rows of one page; a page ends early there, so that it fits into a message.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// Cuts a page to its bytes, at least one row; answers whether rows were cut off.
fn fit<T: prost::Message>(rows: &mut Vec<T>) -> bool {
    let mut bytes = 0;
    let keep = rows.iter().take_while(|row| {
        let is_first = bytes == 0;
        bytes += row.encoded_len();
        is_first || bytes <= PAGE_BYTES_MAX
    });
    let keep = keep.count();
    let is_cut = keep < rows.len();
    rows.truncate(keep);
    is_cut
}

#[async_trait::async_trait]
impl ConsoleService for Consoles {
    type WatchChangesStream = Replies<wire::Changes>;
    type WatchIncidentsStream = Replies<wire::IncidentSummary>;
    type SearchEventsStream = Replies<wire::SearchEventsResponse>;
    type ImportFeedStream = Replies<wire::ImportFeedResponse>;
    type OpenTerminalStream = Replies<wire::TerminalNews>;
    type WatchTerminalStream = Replies<wire::TerminalNews>;
    type PlayTerminalStream = Replies<wire::PlayTerminalResponse>;
    type ImportIdentitiesStream = Replies<wire::ImportIdentitiesResponse>;

    async fn get_server(
        &self,
        request: Request<wire::GetServerRequest>,
    ) -> Answer<wire::GetServerResponse> {
        server::get(&self.0, request).await
    }

    async fn watch_changes(
        &self,
        request: Request<wire::WatchChangesRequest>,
    ) -> Answer<Self::WatchChangesStream> {
        change::watch(&self.0, request).await
    }

    async fn list_incidents(
        &self,
        request: Request<wire::ListIncidentsRequest>,
    ) -> Answer<wire::ListIncidentsResponse> {
        incident::list(&self.0, request).await
    }

    async fn get_incident(
        &self,
        request: Request<wire::GetIncidentRequest>,
    ) -> Answer<wire::Incident> {
        incident::get(&self.0, request).await
    }

    async fn watch_incidents(
        &self,
        request: Request<wire::WatchIncidentsRequest>,
    ) -> Answer<Self::WatchIncidentsStream> {
        incident::watch(&self.0, request).await
    }

    async fn assign_incident(
        &self,
        request: Request<wire::AssignIncidentRequest>,
    ) -> Answer<wire::IncidentSummary> {
        incident::assign(&self.0, request).await
    }

    async fn set_incident_state(
        &self,
        request: Request<wire::SetIncidentStateRequest>,
    ) -> Answer<wire::IncidentSummary> {
        incident::set_state(&self.0, request).await
    }

    async fn set_incident_verdict(
        &self,
        request: Request<wire::SetIncidentVerdictRequest>,
    ) -> Answer<wire::IncidentSummary> {
        incident::set_verdict(&self.0, request).await
    }

    async fn add_incident_note(
        &self,
        request: Request<wire::AddIncidentNoteRequest>,
    ) -> Answer<wire::IncidentSummary> {
        incident::add_note(&self.0, request).await
    }

    async fn list_endpoints(
        &self,
        request: Request<wire::ListEndpointsRequest>,
    ) -> Answer<wire::ListEndpointsResponse> {
        endpoint::list(&self.0, request).await
    }

    async fn get_endpoint(
        &self,
        request: Request<wire::GetEndpointRequest>,
    ) -> Answer<wire::Endpoint> {
        endpoint::get(&self.0, request).await
    }

    async fn list_processes(
        &self,
        request: Request<wire::ListProcessesRequest>,
    ) -> Answer<wire::ListProcessesResponse> {
        process::list(&self.0, request).await
    }

    async fn tag_endpoint(
        &self,
        request: Request<wire::TagEndpointRequest>,
    ) -> Answer<wire::Endpoint> {
        endpoint::tag(&self.0, request).await
    }

    async fn revoke_endpoint(
        &self,
        request: Request<wire::RevokeEndpointRequest>,
    ) -> Answer<wire::Endpoint> {
        endpoint::revoke(&self.0, request).await
    }

    async fn bind_device(
        &self,
        request: Request<wire::BindDeviceRequest>,
    ) -> Answer<wire::Endpoint> {
        device::bind(&self.0, request).await
    }

    async fn unbind_device(
        &self,
        request: Request<wire::UnbindDeviceRequest>,
    ) -> Answer<wire::Endpoint> {
        device::unbind(&self.0, request).await
    }

    async fn import_devices(
        &self,
        request: Request<wire::ImportDevicesRequest>,
    ) -> Answer<wire::DevicesImported> {
        device::import(&self.0, request).await
    }

    async fn list_identities(
        &self,
        request: Request<wire::ListIdentitiesRequest>,
    ) -> Answer<wire::ListIdentitiesResponse> {
        identity::list(&self.0, request).await
    }

    async fn get_identity(
        &self,
        request: Request<wire::GetIdentityRequest>,
    ) -> Answer<wire::Identity> {
        identity::get(&self.0, request).await
    }

    async fn link_identity(
        &self,
        request: Request<wire::LinkIdentityRequest>,
    ) -> Answer<wire::Identity> {
        identity::link(&self.0, request).await
    }

    async fn unlink_identity(
        &self,
        request: Request<wire::UnlinkIdentityRequest>,
    ) -> Answer<wire::Identity> {
        identity::unlink(&self.0, request).await
    }

    async fn list_unmapped(
        &self,
        request: Request<wire::ListUnmappedRequest>,
    ) -> Answer<wire::ListUnmappedResponse> {
        unmapped::list(&self.0, request).await
    }

    async fn import_identities(
        &self,
        request: Request<Streaming<wire::ImportIdentitiesRequest>>,
    ) -> Answer<Self::ImportIdentitiesStream> {
        people::import(&self.0, request).await
    }

    async fn search_events(
        &self,
        request: Request<wire::SearchEventsRequest>,
    ) -> Answer<Self::SearchEventsStream> {
        event::search(&self.0, request).await
    }

    async fn list_feeds(
        &self,
        request: Request<wire::ListFeedsRequest>,
    ) -> Answer<wire::ListFeedsResponse> {
        feed::list(&self.0, request).await
    }

    async fn import_feed(
        &self,
        request: Request<Streaming<wire::ImportFeedRequest>>,
    ) -> Answer<Self::ImportFeedStream> {
        feed::import(&self.0, request).await
    }

    async fn add_feed(&self, request: Request<wire::AddFeedRequest>) -> Answer<wire::Feed> {
        connection::add(&self.0, request).await
    }

    async fn test_feed(
        &self,
        request: Request<wire::TestFeedRequest>,
    ) -> Answer<wire::TestFeedResponse> {
        connection::test(&self.0, request).await
    }

    async fn remove_feed(
        &self,
        request: Request<wire::RemoveFeedRequest>,
    ) -> Answer<wire::RemoveFeedResponse> {
        connection::remove(&self.0, request).await
    }

    async fn open_terminal(
        &self,
        request: Request<Streaming<wire::OpenTerminalRequest>>,
    ) -> Answer<Self::OpenTerminalStream> {
        terminal::open(&self.0, request).await
    }

    async fn list_terminals(
        &self,
        request: Request<wire::ListTerminalsRequest>,
    ) -> Answer<wire::ListTerminalsResponse> {
        terminal::list(&self.0, request).await
    }

    async fn watch_terminal(
        &self,
        request: Request<wire::WatchTerminalRequest>,
    ) -> Answer<Self::WatchTerminalStream> {
        terminal::watch(&self.0, request).await
    }

    async fn kill_terminal(
        &self,
        request: Request<wire::KillTerminalRequest>,
    ) -> Answer<wire::Terminal> {
        terminal::kill(&self.0, request).await
    }

    async fn list_releases(
        &self,
        request: Request<wire::ListReleasesRequest>,
    ) -> Answer<wire::ListReleasesResponse> {
        release::list(&self.0, request).await
    }

    async fn publish_releases(
        &self,
        request: Request<Streaming<wire::PublishReleasesRequest>>,
    ) -> Answer<wire::PublishReleasesResponse> {
        release::publish(&self.0, request).await
    }

    async fn create_rollout(
        &self,
        request: Request<wire::CreateRolloutRequest>,
    ) -> Answer<wire::Rollout> {
        rollout::create(&self.0, request).await
    }

    async fn list_rollouts(
        &self,
        request: Request<wire::ListRolloutsRequest>,
    ) -> Answer<wire::ListRolloutsResponse> {
        rollout::list(&self.0, request).await
    }

    async fn get_rollout(
        &self,
        request: Request<wire::GetRolloutRequest>,
    ) -> Answer<wire::Rollout> {
        rollout::get(&self.0, request).await
    }

    async fn set_rollout_state(
        &self,
        request: Request<wire::SetRolloutStateRequest>,
    ) -> Answer<wire::Rollout> {
        rollout::set_state(&self.0, request).await
    }

    async fn list_recordings(
        &self,
        request: Request<wire::ListRecordingsRequest>,
    ) -> Answer<wire::ListRecordingsResponse> {
        terminal::list_recordings(&self.0, request).await
    }

    async fn play_terminal(
        &self,
        request: Request<wire::PlayTerminalRequest>,
    ) -> Answer<Self::PlayTerminalStream> {
        terminal::play(&self.0, request).await
    }

    async fn list_audit(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Answer<wire::ListAuditResponse> {
        audit::list(&self.0, request).await
    }

    async fn verify_audit(
        &self,
        request: Request<wire::VerifyAuditRequest>,
    ) -> Answer<wire::AuditVerification> {
        audit::verify(&self.0, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_before_it_is_too_large_for_a_message() {
        let row = |bytes| wire::ProcessRow {
            executable: "x".repeat(bytes),
            ..wire::ProcessRow::default()
        };
        let mut small = vec![row(10); 5];
        assert!(!fit(&mut small));
        assert_eq!(small.len(), 5);
        let mut large = vec![row(PAGE_BYTES_MAX / 2 - 100); 5];
        assert!(fit(&mut large));
        assert_eq!(large.len(), 2);
        let mut huge = vec![row(PAGE_BYTES_MAX * 2), row(1)];
        assert!(fit(&mut huge));
        assert_eq!(huge.len(), 1, "never none");
    }
}
