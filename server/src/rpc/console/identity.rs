//! Identities: list, show, link, unlink.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_correlate::{Coverage, Habit, Habits, NextStep};
use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::EndpointId;
use tocsin_proto::limits::{REASON_BYTES_MAX, TEXT_BYTES_MAX};
use tonic::{Request, Response, Status};

use super::{Answer, Context, device, fit, page_size};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::people::{BY_IMPORT, CERTAIN, IMPORT_PROVIDER, is_number};
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;
use crate::store::StoreError;
use crate::store::case::{AccountRow, IdentityRow, LinkRow};

/// Source of what an analyst says.
pub(super) const BY_ANALYST: &str = "analyst";

/// `ListIdentities`, by id.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListIdentitiesRequest>,
) -> Answer<wire::ListIdentitiesResponse> {
    context
        .auth
        .authorize(&request, Method::ListIdentities)
        .await?;
    let request = request.into_inner();
    let size = page_size(request.page_size);
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(
            token
                .parse()
                .map_err(|_| ErrorCode::Invalid.status("page_token is not one of this method"))?,
        ),
    };
    let mut rows = context
        .state
        .identities(after, size.saturating_add(1))
        .await?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let mut hostnames = Hostnames::default();
    let mut identities = Vec::with_capacity(rows.len());
    for row in rows {
        // A list of everybody would be many times as large with it.
        identities.push(wire::Identity {
            usual: None,
            ..hostnames.identity(context, row).await?
        });
    }
    let is_cut = fit(&mut identities);
    let next_page_token = match identities.last() {
        Some(last) if is_cut || more => last.id.clone(),
        _ => String::new(),
    };
    Ok(Response::new(wire::ListIdentitiesResponse {
        identities,
        next_page_token,
    }))
}

/// `GetIdentity`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetIdentityRequest>,
) -> Answer<wire::Identity> {
    context
        .auth
        .authorize(&request, Method::GetIdentity)
        .await?;
    let id = context
        .state
        .find_identity(&request.into_inner().id)
        .await?;
    show(context, id).await
}

async fn show(context: &Context, id: tocsin_proto::id::IdentityId) -> Answer<wire::Identity> {
    let row = context.state.identity(id).await?;
    let endpoints: BTreeSet<EndpointId> = row.links.iter().map(|link| link.endpoint).collect();
    let mut hostnames = Hostnames::default();
    let mut identity = hostnames.identity(context, row).await?;
    // An id that a machine kept when it was enrolled anew is found with both of its endpoints.
    let mut devices = BTreeMap::new();
    for endpoint in endpoints {
        let of = device::of(context, endpoint, &mut hostnames).await?;
        let key = |one: &wire::DeviceBinding| (one.provider.clone(), one.device_id.clone());
        devices.extend(of.into_iter().map(|one| (key(&one), one)));
    }
    identity.devices = devices.into_values().collect();
    Ok(Response::new(identity))
}

/// `LinkIdentity`: a local account on an endpoint belongs to this person.
pub(super) async fn link(
    context: &Arc<Context>,
    request: Request<wire::LinkIdentityRequest>,
) -> Answer<wire::Identity> {
    let caller = context
        .auth
        .authorize(&request, Method::LinkIdentity)
        .await?;
    let request = request.into_inner();
    let (user, reason) = account_and_reason(&request.user, &request.reason)?;
    let id = context.state.find_identity(&request.id).await?;
    let endpoint = context.state.find_endpoint(&request.endpoint).await?;
    // What has come so far says whether the account exists, and its other name.
    context.accounts.settle().await?;
    let (name, uid) = if is_number(user) {
        ("", user)
    } else {
        (user, "")
    };
    let link = LinkRow {
        endpoint,
        user: name.to_owned(),
        uid: uid.to_owned(),
        source: BY_ANALYST.to_owned(),
        confidence: CERTAIN.to_owned(),
        linked_by: caller.analyst().to_owned(),
        reason: reason.to_owned(),
        linked_time_ms: now_ms(),
    };
    let moved = if request.r#move {
        ", from whoever has it"
    } else {
        ""
    };
    let detail = format!("{user} on {endpoint}{moved}: {reason}");
    let entry = AuditEntry::allowed(&caller, Method::LinkIdentity, &id.to_string(), &detail);
    context
        .state
        .link_account(id, &link, request.r#move, &entry)
        .await?;
    // The caller sees incidents that know of the link.
    context.correlator.settle().await?;
    show(context, id).await
}

/// `UnlinkIdentity`: a local account on an endpoint does not belong to this person.
pub(super) async fn unlink(
    context: &Arc<Context>,
    request: Request<wire::UnlinkIdentityRequest>,
) -> Answer<wire::Identity> {
    let caller = context
        .auth
        .authorize(&request, Method::UnlinkIdentity)
        .await?;
    let request = request.into_inner();
    let (user, reason) = account_and_reason(&request.user, &request.reason)?;
    let id = context.state.find_identity(&request.id).await?;
    let endpoint = context.state.find_endpoint(&request.endpoint).await?;
    let detail = format!("{user} on {endpoint}: {reason}");
    let entry = AuditEntry::allowed(&caller, Method::UnlinkIdentity, &id.to_string(), &detail);
    context.state.unlink(id, (endpoint, user), &entry).await?;
    // The caller sees incidents that know that the link is gone.
    context.correlator.settle().await?;
    show(context, id).await
}

fn account_and_reason<'t>(user: &'t str, reason: &'t str) -> Result<(&'t str, &'t str), Status> {
    let user = bounded("user", user.trim(), TEXT_BYTES_MAX)?;
    let reason = bounded_reason(reason)?;
    if user.is_empty() {
        let why = "user must name an account of the endpoint, or be its uid";
        return Err(ErrorCode::Invalid.status(why));
    }
    Ok((user, reason))
}

pub(super) fn bounded_reason(reason: &str) -> Result<&str, Status> {
    bounded("reason", reason.trim(), REASON_BYTES_MAX)
}

fn bounded<'t>(field: &str, text: &'t str, limit: usize) -> Result<&'t str, Status> {
    if text.len() <= limit {
        return Ok(text);
    }
    let why = format!("{field} may have at most {limit} bytes");
    Err(ErrorCode::Invalid.status(why))
}

/// Names of endpoints, each read once.
#[derive(Debug, Default)]
pub(super) struct Hostnames(BTreeMap<EndpointId, String>);

impl Hostnames {
    async fn identity(
        &mut self,
        context: &Context,
        row: IdentityRow,
    ) -> Result<wire::Identity, Status> {
        let mut local_accounts = Vec::with_capacity(row.links.len());
        let mut seen = context.state.links_seen(row.id).await?.into_iter();
        for link in row.links {
            let hostname = self.of(context, link.endpoint).await?;
            let last_seen_ms = seen.next().unwrap_or(0);
            local_accounts.push(local_account(link, hostname, last_seen_ms));
        }
        let by = [
            (row.privileged, "records"),
            (row.imported_privileged, BY_IMPORT),
        ];
        let by = by.into_iter().filter(|(is_said, _)| *is_said);
        let (covered, usual) = said(&row.coverage);
        let privileged_by: Vec<String> = by.map(|(_, by)| by.to_owned()).collect();
        Ok(wire::Identity {
            id: row.id.to_string(),
            display_name: match row.imported_name.as_str() {
                "" => row.display_name,
                _ => row.imported_name,
            },
            accounts: row.accounts.into_iter().map(account).collect(),
            local_accounts,
            privileged: !privileged_by.is_empty(),
            privileged_by,
            first_event_time_ms: row.event_time_min_ms,
            last_event_time_ms: row.event_time_max_ms,
            mfa_events: row.mfa_events,
            aliases: row.aliases.iter().map(ToString::to_string).collect(),
            coverage: coverage(covered),
            usual: habits(usual),
            devices: Vec::new(),
        })
    }

    pub(super) async fn of(
        &mut self,
        context: &Context,
        id: EndpointId,
    ) -> Result<String, StoreError> {
        if let Some(hostname) = self.0.get(&id) {
            return Ok(hostname.clone());
        }
        let hostname = match context.state.endpoint(id).await {
            Ok(endpoint) => endpoint.machine.hostname,
            Err(StoreError::NotFound { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        self.0.insert(id, hostname.clone());
        Ok(hostname)
    }
}

/// What the last correlation said of a person; nothing before the first, and of habits after one of a former version.
fn said(stored: &[u8]) -> (Coverage, Habits) {
    serde_json::from_slice(stored)
        .or_else(|_| serde_json::from_slice(stored).map(|coverage| (coverage, Habits::default())))
        .unwrap_or_default()
}

/// `None`: nothing was looked at yet.
fn coverage(coverage: Coverage) -> Option<wire::Coverage> {
    let told_percent = coverage.told_percent()?;
    let told = coverage.here.saturating_add(coverage.elsewhere);
    let step = |step: NextStep| wire::CoverageStep {
        step: step.step,
        endpoint: step.endpoint.map(|id| id.to_string()).unwrap_or_default(),
        attempts: step.attempts,
        text: step.text,
    };
    Some(wire::Coverage {
        attempts: coverage.attempts,
        here: coverage.here,
        elsewhere: coverage.elsewhere,
        unknown: coverage.attempts.saturating_sub(told),
        told_percent,
        next_steps: coverage.next_steps.into_iter().map(step).collect(),
    })
}

/// `None`: no sign-in was taken as theirs yet.
fn habits(habits: Habits) -> Option<wire::Habits> {
    let list = |habits: Vec<Habit>| {
        let habits = habits.into_iter().map(|habit| wire::Habit {
            text: habit.text,
            last_seen_time_ms: habit.last_seen_time_ms,
        });
        habits.collect()
    };
    (habits.sign_ins > 0).then(|| wire::Habits {
        sign_ins: habits.sign_ins,
        days: habits.days,
        enough_known: habits.enough_known,
        enough_known_of_hours: habits.enough_known_of_hours,
        networks: list(habits.networks),
        addresses: list(habits.addresses),
        devices: list(habits.devices),
        clients: list(habits.clients),
        hours_utc: habits.hours_utc,
    })
}

pub(super) fn account(row: AccountRow) -> wire::IdentityAccount {
    wire::IdentityAccount {
        source: match row.provider.as_str() {
            IMPORT_PROVIDER => BY_IMPORT.to_owned(),
            _ => "provider".to_owned(),
        },
        provider: row.provider,
        login: row.login,
        provider_id: row.provider_id,
        confidence: CERTAIN.to_owned(),
    }
}

fn local_account(link: LinkRow, hostname: String, last_seen_ms: i64) -> wire::LocalAccount {
    let linked_by = match link.reason.as_str() {
        "" => link.linked_by,
        reason => format!("{}: {reason}", link.linked_by),
    };
    wire::LocalAccount {
        endpoint: link.endpoint.to_string(),
        hostname,
        user: link.user,
        uid: link.uid,
        source: link.source,
        confidence: link.confidence,
        linked_by,
        linked_time_ms: link.linked_time_ms,
        never_seen: last_seen_ms == 0,
        last_seen_time_ms: last_seen_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_former_version_stored_is_coverage_alone_and_what_makes_no_sense_is_nothing() {
        let known = Coverage {
            attempts: 3,
            here: 1,
            ..Coverage::default()
        };
        let usual = Habits {
            sign_ins: 7,
            hours_utc: vec![1; 24],
            ..Habits::default()
        };
        let both = serde_json::to_vec(&(&known, &usual)).unwrap();
        let (covered, found) = said(&both);
        assert_eq!((covered.attempts, found.sign_ins), (3, 7));
        assert_eq!(habits(found).unwrap().hours_utc.len(), 24);
        let former = serde_json::to_vec(&known).unwrap();
        assert_eq!(said(&former), (known, Habits::default()));
        assert_eq!(habits(Habits::default()), None);
        for bad in [&b""[..], b"[]", b"[1,2]", b"x"] {
            assert_eq!(said(bad), (Coverage::default(), Habits::default()));
        }
    }
}
