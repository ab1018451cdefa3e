//! Accounts on endpoints and whose they are: the people half of the state.
//!
//! ```text
//! event of an endpoint -> local_account --link--> identity <-- claim <-- import
//!                                  \--(nobody's)-> unmapped, with suggestions
//! ```
//!
//! - An account of an endpoint belongs to one person at most. Nothing takes it from a person unasked: an analyst who
//!   wants that says so ([`PeopleStore::link_account`]), an import never does.
//! - A *claim* is what an import says of a person on every endpoint. Where an account that it fits was seen, or is seen
//!   later, that account is linked: [`crate::people::fit`] has the rule.
//! - What an analyst unlinked stays unlinked, whatever claims say, until an analyst links it again.

use async_trait::async_trait;
use tocsin_proto::id::{EndpointId, IdentityId};

use super::StoreError;
use super::case::{CaseError, IdentityGroup, LinkRow};
use crate::audit::AuditEntry;

/// Accounts of one endpoint that are remembered; those seen longest ago make room. A hostile endpoint forgets its own.
pub(crate) const LOCAL_ACCOUNTS_MAX: usize = 1_000;

/// What an import says of one person on every endpoint: one row of it. Empty where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Claim {
    /// SID, letters upper.
    pub(crate) sid: String,
    /// UPN, folded.
    pub(crate) upn: String,
    /// sAMAccountName without its domain, folded.
    pub(crate) name: String,
    /// Uid.
    pub(crate) uid: String,
    /// Mail, folded.
    pub(crate) mail: String,
}

/// A claim, with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClaimRow {
    /// Whose.
    pub(crate) identity: IdentityId,
    /// What.
    pub(crate) claim: Claim,
    /// Which analyst imported it.
    pub(crate) said_by: String,
}

/// An account that events of an endpoint have named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalAccountRow {
    /// Its number, in the order in which accounts were first seen.
    pub(crate) number: i64,
    /// On which endpoint.
    pub(crate) endpoint: EndpointId,
    /// Name; empty where no event tells.
    pub(crate) user: String,
    /// Uid or SID; empty where no event tells.
    pub(crate) uid: String,
    /// Oldest event with it.
    pub(crate) first_seen_ms: i64,
    /// Newest event with it, about.
    pub(crate) last_seen_ms: i64,
    /// Newest login or session of a person as it, about; 0 where there was none.
    pub(crate) interactive_ms: i64,
}

/// What some events of an endpoint say of one of its accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Name.
    pub(crate) user: String,
    /// Uid or SID.
    pub(crate) uid: String,
    /// Oldest event.
    pub(crate) first_seen_ms: i64,
    /// Newest event.
    pub(crate) last_seen_ms: i64,
    /// Newest login or session; 0 where there is none.
    pub(crate) interactive_ms: i64,
}

/// One row of an import, understood, whose person is known or made.
#[derive(Debug, Clone)]
pub(crate) struct PersonImport {
    /// The person as it is to be: see [`IdentityGroup`].
    pub(crate) group: IdentityGroup,
    /// Says that the person is called so.
    pub(crate) name: Option<String>,
    /// Says that the person holds administrative rights, or does not.
    pub(crate) privileged: Option<bool>,
    /// Accounts on every endpoint.
    pub(crate) claim: Option<Claim>,
    /// An account on one endpoint.
    pub(crate) link: Option<LinkRow>,
    /// Which analyst imports it.
    pub(crate) said_by: String,
}

/// What became of one row of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PersonImported {
    /// Something is other than before.
    pub(crate) is_changed: bool,
    /// The person was not known before.
    pub(crate) is_new: bool,
    /// Links that were made.
    pub(crate) links: u64,
    /// Why an account was not linked.
    pub(crate) refused: Vec<String>,
}

/// A person a name may mean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// Who.
    pub(crate) identity: IdentityId,
    /// How they are called; empty where nothing tells.
    pub(crate) display_name: String,
    /// By which login they were found, or their least.
    pub(crate) login: String,
    /// Where it is a claim that fits or nearly fits.
    pub(crate) claim: Option<Claim>,
}

/// Links, claims and accounts of endpoints. Promises of every method: see [`super`].
#[async_trait]
pub(crate) trait PeopleStore: std::fmt::Debug + Send + Sync {
    /// Links a local account, whose name or number is completed from what was seen, and marks the person dirty. Where it
    /// is another's: with `is_move` it is taken from them, else [`StoreError::Taken`].
    async fn link_account(
        &self,
        identity: IdentityId,
        link: &LinkRow,
        is_move: bool,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
    /// Takes a person's links to an account of an endpoint away, named by name or number; no import makes them again.
    /// Marks the person dirty.
    async fn unlink(
        &self,
        identity: IdentityId,
        account: (EndpointId, &str),
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;
    /// When the accounts of a person's links were last seen, in the order of the links; 0 = never.
    async fn links_seen(&self, identity: IdentityId) -> Result<Vec<i64>, StoreError>;

    /// The batch up to which [`PeopleStore::see`] has seen.
    async fn seen_through(&self) -> Result<i64, StoreError>;
    /// Notes what batches up to `through` say of accounts, by endpoint, and links those that a claim fits. Answers how
    /// many links it made.
    async fn see(
        &self,
        sightings: &[(EndpointId, Vec<Sighting>)],
        through: i64,
    ) -> Result<u64, StoreError>;

    /// Writes some rows of an import, and links what they say. [`CaseError::Changed`] as for MFA events.
    async fn import_people(&self, rows: &[PersonImport]) -> Result<Vec<PersonImported>, CaseError>;

    /// At most `limit` accounts of endpoints that are nobody's, after `after`, in their order.
    async fn unlinked_accounts(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LocalAccountRow>, StoreError>;
    /// At most `limit` people without an account on any endpoint after `after`, by id.
    async fn unlinked_identities(
        &self,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<IdentityId>, StoreError>;
    /// At most `limit` people to whom an account may belong: with a login that is its folded name or begins with it and
    /// an `@`, or with a claim of its name or number.
    async fn candidates(
        &self,
        folded: &str,
        uid: &str,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError>;
}
