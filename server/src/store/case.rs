//! MFA events, identities and incidents: the case half of the state.
//!
//! ```text
//! record -> mfa_event -> account -> identity -> incident
//!                                      |  |-> link (local account on an endpoint)
//!                                      |  \-> sighting -> source -> incident of a campaign
//!                                      \-> dirty: to be correlated (again), as a source is whose sightings changed
//! ```
//!
//! What an event, an account's keys or an incident *means*, the engine does not know: it keeps their JSON and the
//! columns it has to find them by. Who may change what:
//!
//! - Whatever changes what an identity's incidents follow from marks it dirty in the same transaction. A mark is taken
//!   away only together with writing what was computed from a state at least as new as the mark.
//! - An incident has a version. Every change names the version that it was made from, and fails where that is no longer
//!   the stored one ([`CaseError::Changed`]): the caller reads again. So correlation and analysts never undo each other.
//! - An id that an identity or incident had before stays as an alias.

use async_trait::async_trait;
use tocsin_proto::id::{EndpointId, IdentityId, IncidentId, MfaEventId};

use super::StoreError;
use super::connection::Advance;
use super::outage::FailureRow;
use crate::audit::AuditEntry;

/// Notes on one incident.
pub(crate) const NOTES_MAX: u32 = 1_000;

/// Activities of one incident that are kept; the oldest but the first make room.
pub(crate) const ACTIVITIES_MAX: u32 = 1_000;

/// Files with refused records that a feed remembers, so that the same one does not count twice; the oldest make room.
pub(crate) const REFUSED_FILES_MAX: u32 = 10_000;

/// Sightings of one source that are looked at: the newest.
pub(crate) const SIGHTINGS_MAX: u32 = 20_000;

/// Local accounts that are linked to one identity.
pub(crate) const LINKS_MAX: u32 = 256;

/// Why a change of cases was not made. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaseError {
    /// Somebody else changed it meanwhile: read it again.
    #[error("it was changed meanwhile")]
    Changed,
    /// The store's own reasons.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedRow {
    /// The provider's word.
    pub(crate) provider: String,
    /// "file", or the name of the connection that it came by.
    pub(crate) kind: String,
    /// MFA events stored now.
    pub(crate) mfa_events: u64,
    /// Records that could not be read, ever, each file, and each of a connection's records, counted once.
    pub(crate) malformed: u64,
    /// Why the newest of a connection's could not be read.
    pub(crate) malformed_reason: String,
    /// Newest event ever, by the provider's clock.
    pub(crate) event_time_max_ms: i64,
    /// When the last record came.
    pub(crate) receive_time_ms: i64,
    /// Everything that the provider logged until then has come; 0 for files.
    pub(crate) complete_until_ms: i64,
}

/// An account as records name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountRow {
    /// The provider's word.
    pub(crate) provider: String,
    /// The provider's id of it; empty where unknown.
    pub(crate) provider_id: String,
    /// Folded login; empty where unknown.
    pub(crate) login: String,
}

/// Accounts that are one person, with the keys that make them so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityGroup {
    /// The person.
    pub(crate) id: IdentityId,
    /// What accounts are found by, as text.
    pub(crate) keys: Vec<String>,
    /// The accounts.
    pub(crate) accounts: Vec<AccountRow>,
    /// The identities that this group had been, its own id among them where it existed. The transaction fails with
    /// [`CaseError::Changed`] where a key or account of the group belongs to another one by now.
    pub(crate) former: Vec<IdentityId>,
    /// Something about it is new. Of one that is not, only the accounts are looked up.
    pub(crate) is_changed: bool,
}

/// A normalized record with the record.
#[derive(Debug, Clone)]
pub(crate) struct NewMfaEvent {
    /// From the provider's own id.
    pub(crate) id: MfaEventId,
    /// Whose.
    pub(crate) account: AccountRow,
    /// By the provider's clock.
    pub(crate) event_time_ms: i64,
    /// A prompt was approved: counted, see [`OutageStore`](super::outage::OutageStore).
    pub(crate) is_approval: bool,
    /// Normalized, JSON, with what was looked up.
    pub(crate) event: Vec<u8>,
    /// The same as the provider said it, where anything was looked up: which of two forms of a record is the fuller is
    /// told by it alone.
    pub(crate) said: Option<Vec<u8>>,
    /// As the provider wrote it, packed.
    pub(crate) raw: Vec<u8>,
    /// SHA-256 of it before it was packed.
    pub(crate) raw_sha256: [u8; 32],
}

/// Records of one feed that are stored together.
#[derive(Debug, Clone)]
pub(crate) struct MfaBatch {
    /// The provider's word.
    pub(crate) provider: String,
    /// "file", or the name of a connection.
    pub(crate) kind: String,
    /// When they came.
    pub(crate) receive_time_ms: i64,
    /// In their order.
    pub(crate) events: Vec<NewMfaEvent>,
    /// Every group that has an account of these events.
    pub(crate) groups: Vec<IdentityGroup>,
    /// With the last batch of a file: what of it could not be read.
    pub(crate) refused: Option<RefusedRecords>,
    /// With the last batch of a connection's page: how far it has come.
    pub(crate) advance: Option<Advance>,
}

/// What of a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefusedRecords {
    /// Of the whole file, by which it is known when it comes again.
    pub(crate) file_sha256: [u8; 32],
    /// How many.
    pub(crate) count: u64,
}

/// A local account that belongs to an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkRow {
    /// On which endpoint.
    pub(crate) endpoint: EndpointId,
    /// Account name; empty where only the uid is known.
    pub(crate) user: String,
    /// Uid or SID; empty where unknown.
    pub(crate) uid: String,
    /// "analyst", "import".
    pub(crate) source: String,
    /// "certain"; "likely" where an import knows the account by its name alone.
    pub(crate) confidence: String,
    /// Who linked it.
    pub(crate) linked_by: String,
    /// Why.
    pub(crate) reason: String,
    /// When.
    pub(crate) linked_time_ms: i64,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityRow {
    /// Its id.
    pub(crate) id: IdentityId,
    /// As its newest record with a name says; set by correlation.
    pub(crate) display_name: String,
    /// Its records show administrative rights; set by correlation.
    pub(crate) privileged: bool,
    /// How an import calls it; empty where none does.
    pub(crate) imported_name: String,
    /// An import says that it holds administrative rights.
    pub(crate) imported_privileged: bool,
    /// Oldest MFA event ever.
    pub(crate) event_time_min_ms: i64,
    /// Newest MFA event ever.
    pub(crate) event_time_max_ms: i64,
    /// MFA events stored now.
    pub(crate) mfa_events: u64,
    /// In their order.
    pub(crate) accounts: Vec<AccountRow>,
    /// By endpoint and name.
    pub(crate) links: Vec<LinkRow>,
    /// Ids it had.
    pub(crate) aliases: Vec<IdentityId>,
    /// What was usual before the oldest stored event, JSON; empty where nothing was removed.
    pub(crate) baseline: Vec<u8>,
    /// Newest MFA event that retention has removed; 0 where none was.
    pub(crate) removed_until_ms: i64,
    /// How far provenance could be told, JSON; empty before it was correlated. Set by correlation.
    pub(crate) coverage: Vec<u8>,
}

/// What correlation found about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityFacts {
    /// See [`IdentityRow`].
    pub(crate) display_name: String,
    /// See [`IdentityRow`].
    pub(crate) privileged: bool,
    /// When a provider's newest event reaches this time, the person is to be correlated again.
    pub(crate) next_change_ms: Option<i64>,
    /// Of what its endpoints' telemetry said: see [`CaseStore::links_after`].
    pub(crate) telemetry_sha256: [u8; 32],
    /// How far provenance could be told, JSON.
    pub(crate) coverage: Vec<u8>,
}

/// What an analyst has said about an incident, and when it changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AnalystState {
    /// `console.v1.IncidentState`.
    pub(crate) state: i32,
    /// `console.v1.Verdict`.
    pub(crate) verdict: i32,
    /// Name of an analyst; empty = nobody.
    pub(crate) assignee: String,
    /// When Tocsin first made it.
    pub(crate) opened_time_ms: i64,
    /// When anything about it last changed.
    pub(crate) updated_time_ms: i64,
    /// When its state last changed.
    pub(crate) state_time_ms: i64,
    /// An analyst has worked on it: it is not removed when later records explain it.
    pub(crate) is_touched: bool,
}

/// What the engine found, and the columns to list it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineState {
    /// `console.v1.Severity`.
    pub(crate) severity: i32,
    /// 0 to 100.
    pub(crate) score: u32,
    /// First event.
    pub(crate) first_event_time_ms: i64,
    /// Last event.
    pub(crate) last_event_time_ms: i64,
    /// What a list shows, JSON.
    pub(crate) summary: Vec<u8>,
    /// All of it, packed JSON. Empty in lists.
    pub(crate) draft: Vec<u8>,
    /// SHA-256 of the JSON.
    pub(crate) draft_sha256: [u8; 32],
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncidentRow {
    /// Its id.
    pub(crate) id: IncidentId,
    /// Whose.
    pub(crate) identity: IdentityId,
    /// For an incident of a campaign: the source that it is about. Empty for a person's.
    pub(crate) source: String,
    /// What the engine found.
    pub(crate) engine: EngineState,
    /// What analysts said.
    pub(crate) analyst: AnalystState,
    /// Its events, or some of them, are gone or explained: it stays as it is.
    pub(crate) is_frozen: bool,
    /// Grows with every change.
    pub(crate) version: i64,
}

/// Something that happened to an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActivityRow {
    /// When.
    pub(crate) time_ms: i64,
    /// Analyst, or "tocsin".
    pub(crate) actor: String,
    /// What.
    pub(crate) what: String,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteRow {
    /// Its number, unique over all incidents.
    pub(crate) number: i64,
    /// When written.
    pub(crate) time_ms: i64,
    /// By whom.
    pub(crate) author: String,
    /// What.
    pub(crate) text: String,
}

/// An attempt of a person that may be part of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SightingRow {
    /// Whose.
    pub(crate) identity: IdentityId,
    /// Which attempt, unique among the person's.
    pub(crate) attempt: MfaEventId,
    /// What sightings are grouped by.
    pub(crate) source: String,
    /// When.
    pub(crate) time_ms: i64,
    /// All of it, JSON.
    pub(crate) content: Vec<u8>,
    /// The campaign's incident that it is part of. Not written with a person's correlation.
    pub(crate) campaign: Option<IncidentId>,
}

/// Of which campaign an attempt of a person is part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Membership {
    /// Whose attempt.
    pub(crate) identity: IdentityId,
    /// Which attempt.
    pub(crate) attempt: MfaEventId,
    /// `None`: of none any more.
    pub(crate) campaign: Option<IncidentId>,
}

/// What was correlated.
#[derive(Debug, Clone)]
pub(crate) enum Correlated {
    /// A person.
    Person {
        /// Who.
        identity: IdentityId,
        /// About the person.
        facts: IdentityFacts,
        /// All sightings that follow from the person's stored events. A source of which any is new, gone or another one is
        /// marked dirty; those of events that retention has removed stay.
        sightings: Vec<SightingRow>,
        /// All failures that follow from them, in the same way: see [`OutageStore`](super::outage::OutageStore).
        failures: Vec<FailureRow>,
    },
    /// Everybody's sightings of one source.
    Source {
        /// Which.
        source: String,
        /// Sightings whose campaign is another one now. Their people are marked dirty.
        memberships: Vec<Membership>,
    },
}

/// What correlating a person or a source changes: all of it or nothing.
#[derive(Debug, Clone)]
pub(crate) struct CaseChange {
    /// Whose or what about.
    pub(crate) of: Correlated,
    /// The mark that was read before the input was: it goes, unless there is a newer one.
    pub(crate) mark: i64,
    /// Incidents of the person or source as they were read: id and version. More, fewer or other ones by now:
    /// [`CaseError::Changed`].
    pub(crate) read: Vec<(IncidentId, i64)>,
    /// New and changed ones, whole; their version is set by the store.
    pub(crate) write: Vec<IncidentRow>,
    /// Those that are no more; notes, activity and aliases go to the second where there is one, and the id becomes an
    /// alias of it.
    pub(crate) remove: Vec<(IncidentId, Option<IncidentId>)>,
    /// What happened, by incident.
    pub(crate) activity: Vec<(IncidentId, ActivityRow)>,
}

/// What an analyst changes.
#[derive(Debug, Clone)]
pub(crate) struct AnalystChange {
    /// Which incident.
    pub(crate) id: IncidentId,
    /// The version it was made from.
    pub(crate) version: i64,
    /// As it is to be.
    pub(crate) analyst: AnalystState,
    /// What happened.
    pub(crate) activity: ActivityRow,
    /// A note, where one is added.
    pub(crate) note: Option<String>,
}

/// MFA events of a person that are to be removed.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    /// Whose.
    pub(crate) identity: IdentityId,
    /// Those up to this time.
    pub(crate) until_ms: i64,
    /// All of them were received before this time.
    pub(crate) received_before_ms: i64,
    /// So many they are.
    pub(crate) events: u64,
    /// What is kept in their place, JSON.
    pub(crate) baseline: Vec<u8>,
}

/// Which incidents to list: by severity, then newest last event, then id.
#[derive(Debug, Clone, Default)]
pub(crate) struct IncidentQuery {
    /// At least.
    pub(crate) severity_min: i32,
    /// One of these; empty = any.
    pub(crate) states: Vec<i32>,
    /// Of this analyst.
    pub(crate) assignee: Option<String>,
    /// About this person, campaigns that they are part of included.
    pub(crate) identity: Option<IdentityId>,
    /// After this one: severity, last event, id.
    pub(crate) after: Option<(i32, i64, IncidentId)>,
    /// At most so many.
    pub(crate) limit: u32,
}

/// A person's link to an endpoint, for looking whether its telemetry has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkedIdentity {
    /// The person.
    pub(crate) identity: IdentityId,
    /// Endpoints, each once.
    pub(crate) endpoints: Vec<EndpointId>,
    /// Oldest and newest MFA event.
    pub(crate) event_times_ms: (i64, i64),
    /// As [`IdentityFacts`] had it when the person was last correlated.
    pub(crate) telemetry_sha256: Vec<u8>,
}

/// A person that is linked to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkedTo {
    /// The person.
    pub(crate) identity: IdentityId,
    /// Oldest and newest MFA event.
    pub(crate) event_times_ms: (i64, i64),
}

/// Case state. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait CaseStore: std::fmt::Debug + Send + Sync {
    /// Every feed.
    async fn feeds(&self) -> Result<Vec<FeedRow>, StoreError>;
    /// Groups that hold any of these keys, each once, with `former` set to their own id.
    async fn groups(&self, keys: &[String]) -> Result<Vec<IdentityGroup>, StoreError>;
    /// Stores the records that are new and counts them, and takes the fuller form of one that is stored; makes, extends and merges identities; marks those dirty that
    /// have a new event or account, and those that waited for a provider's time. Answers which were new.
    async fn add_mfa_events(&self, batch: &MfaBatch) -> Result<Vec<bool>, CaseError>;
    /// At most `limit` MFA events of a person, the newest, normalized.
    async fn mfa_events(
        &self,
        identity: IdentityId,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// At most `limit` MFA events of a person up to a time, the oldest, after the event that is given by its time and
    /// id; normalized.
    async fn mfa_events_until(
        &self,
        identity: IdentityId,
        until_ms: i64,
        after: Option<(i64, MfaEventId)>,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// One person.
    async fn identity(&self, id: IdentityId) -> Result<IdentityRow, StoreError>;
    /// At most `limit` people after `after`, by id.
    async fn identities(
        &self,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError>;
    /// The person that somebody means: an id or alias, an unambiguous beginning of at least 4 characters of either, or
    /// a login.
    async fn find_identity(&self, text: &str) -> Result<IdentityId, StoreError>;
    /// At most `limit` people with links after `after`, by id.
    async fn links_after(
        &self,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<LinkedIdentity>, StoreError>;

    /// People that are linked to an endpoint, by id.
    async fn linked_to(&self, endpoint: EndpointId) -> Result<Vec<LinkedTo>, StoreError>;

    /// Marks people dirty.
    async fn mark_dirty(&self, identities: &[IdentityId]) -> Result<(), StoreError>;
    /// At most `limit` dirty people with their marks, the longest dirty first.
    async fn dirty(&self, limit: u32) -> Result<Vec<(IdentityId, i64)>, StoreError>;
    /// Incidents of a person, whole.
    async fn incidents_of(&self, identity: IdentityId) -> Result<Vec<IncidentRow>, StoreError>;
    /// At most `limit` dirty sources with their marks, the longest dirty first.
    async fn dirty_sources(&self, limit: u32) -> Result<Vec<(String, i64)>, StoreError>;
    /// Sightings of a source, oldest first; of more than [`SIGHTINGS_MAX`] the newest.
    async fn sightings_from(&self, source: &str) -> Result<Vec<SightingRow>, StoreError>;
    /// Campaigns' incidents about a source, whole.
    async fn incidents_from(&self, source: &str) -> Result<Vec<IncidentRow>, StoreError>;
    /// A person's sightings that are part of a campaign.
    async fn memberships(&self, identity: IdentityId) -> Result<Vec<Membership>, StoreError>;
    /// Writes what correlating some people or sources changed: all of it or nothing.
    async fn apply(&self, changes: &[CaseChange]) -> Result<(), CaseError>;

    /// A page of incidents, without their drafts.
    async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentRow>, StoreError>;
    /// One incident, whole.
    async fn incident(&self, id: IncidentId) -> Result<IncidentRow, StoreError>;
    /// The incident that somebody means: an id or alias, or an unambiguous beginning of at least 4 characters of
    /// either.
    async fn find_incident(&self, text: &str) -> Result<IncidentId, StoreError>;
    /// Former ids of an incident, in order.
    async fn incident_aliases(&self, id: IncidentId) -> Result<Vec<IncidentId>, StoreError>;
    /// Notes on an incident, oldest first.
    async fn notes(&self, id: IncidentId) -> Result<Vec<NoteRow>, StoreError>;
    /// What happened to an incident, oldest first.
    async fn activity(&self, id: IncidentId) -> Result<Vec<ActivityRow>, StoreError>;
    /// Writes what an analyst changed.
    async fn change_incident(
        &self,
        change: &AnalystChange,
        entry: &AuditEntry,
    ) -> Result<(), CaseError>;

    /// At most `limit` people after `after`, by id, of whom an MFA event was received before this time, each with the
    /// newest event time up to which all events were.
    async fn removable(
        &self,
        received_before_ms: i64,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<(IdentityId, i64)>, StoreError>;
    /// Removes a person's MFA events up to a time, keeps a baseline in their place, and freezes the incidents that end
    /// by then. Answers how many events it removed. Fails with [`CaseError::Changed`] where they are not those that the
    /// baseline was made from.
    async fn remove_mfa_events(&self, removal: &Removal) -> Result<u64, CaseError>;
    /// Removes the sightings of sources of which no sighting has its events any more, and freezes the incidents about them.
    /// Answers how many sightings it removed.
    async fn remove_sightings(&self) -> Result<u64, StoreError>;
}
