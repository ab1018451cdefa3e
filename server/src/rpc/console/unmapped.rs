//! `ListUnmapped`: accounts of endpoints that are nobody's, and people without an account on any endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::{EndpointId, IdentityId};
use tonic::Request;

use super::identity::account;
use super::{Answer, Context, fit, page_size};
use crate::people::suggest::{CANDIDATES_MAX, Suggested, suggest};
use crate::people::{fold_user, is_system};
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;
use crate::store::StoreError;
use crate::store::people::LocalAccountRow;

/// Accounts that are looked at for one page, most of which may be the system's.
const LOOKED_AT_MAX: u32 = 1_000;

/// Where a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// After the local account with this number.
    Account(i64),
    /// After this identity; before all where none.
    Identity(Option<IdentityId>),
}

impl Place {
    fn parse(token: &str) -> Option<Self> {
        match token.split_once('/') {
            None if token.is_empty() => Some(Self::Account(0)),
            Some(("account", number)) => Some(Self::Account(number.parse().ok()?)),
            Some(("identity", "")) => Some(Self::Identity(None)),
            Some(("identity", id)) => Some(Self::Identity(Some(id.parse().ok()?))),
            _ => None,
        }
    }

    fn token(self) -> String {
        match self {
            Self::Account(number) => format!("account/{number}"),
            Self::Identity(None) => "identity/".to_owned(),
            Self::Identity(Some(id)) => format!("identity/{id}"),
        }
    }
}

/// `ListUnmapped`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListUnmappedRequest>,
) -> Answer<wire::ListUnmappedResponse> {
    context
        .auth
        .authorize(&request, Method::ListUnmapped)
        .await?;
    let request = request.into_inner();
    let place = Place::parse(&request.page_token)
        .ok_or_else(|| ErrorCode::Invalid.status("page_token is not one of this method"))?;
    let size = page_size(request.page_size);
    let (mut rows, next) = match place {
        Place::Account(after) => {
            if after == 0 {
                context.accounts.settle().await?;
            }
            accounts(context, after, size, request.suggested_only).await?
        }
        Place::Identity(after) => identities(context, after, size).await?,
    };
    let mut next_page_token = next.map_or_else(String::new, Place::token);
    if fit(&mut rows)
        && let Some(last) = rows.last()
    {
        next_page_token = after_row(last).map_or_else(String::new, Place::token);
    }
    Ok(tonic::Response::new(wire::ListUnmappedResponse {
        rows,
        next_page_token,
    }))
}

/// Where a page goes on after a row.
fn after_row(row: &wire::Unmapped) -> Option<Place> {
    match row.kind.as_str() {
        "identity" => row
            .identity
            .parse()
            .ok()
            .map(|id| Place::Identity(Some(id))),
        _ => row.id.parse().ok().map(Place::Account),
    }
}

/// A page of accounts of endpoints. It may be empty although there are more.
async fn accounts(
    context: &Context,
    after: i64,
    size: u32,
    suggested_only: bool,
) -> Result<(Vec<wire::Unmapped>, Option<Place>), StoreError> {
    let limit = LOOKED_AT_MAX.min(size.saturating_mul(4));
    let found = context.state.unlinked_accounts(after, limit).await?;
    let is_last = found.len() < limit as usize;
    let end = (!suggested_only).then_some(Place::Identity(None));
    let mut next = match found.last() {
        Some(last) if !is_last => Some(Place::Account(last.number)),
        _ => end,
    };
    let mut machines = Machines::default();
    let mut rows = Vec::new();
    for one in found {
        let machine = machines.of(context, one.endpoint).await?;
        let is_asked = one.interactive_ms > 0 || suggested_only;
        if !is_asked || machine.is_revoked || is_system(&one.uid, &machine.os) {
            continue;
        }
        if rows.len() >= size as usize {
            next = rows.last().and_then(after_row);
            break;
        }
        let row = account_row(context, one, machine.hostname).await?;
        if !suggested_only || !row.suggestions.is_empty() {
            rows.push(row);
        }
    }
    Ok((rows, next))
}

async fn account_row(
    context: &Context,
    row: LocalAccountRow,
    hostname: String,
) -> Result<wire::Unmapped, StoreError> {
    let folded = fold_user(&row.user);
    let candidates = context
        .state
        .candidates(&folded, &row.uid, CANDIDATES_MAX)
        .await?;
    let suggested = suggest(&row, &candidates).into_iter();
    let suggestions: Vec<wire::Suggestion> = suggested
        .map(|one| suggestion(&row, &hostname, one))
        .collect();
    let named = name(&row);
    let next_step = match suggestions.first() {
        Some(best) => best.next_step.clone(),
        None => format!(
            "tocsin identities link PERSON --endpoint {} --user {named}",
            short(&row.endpoint.to_string())
        ),
    };
    Ok(wire::Unmapped {
        id: row.number.to_string(),
        kind: "local_account".to_owned(),
        endpoint: row.endpoint.to_string(),
        hostname,
        last_interactive_time_ms: row.interactive_ms,
        first_seen_time_ms: row.first_seen_ms,
        last_seen_time_ms: row.last_seen_ms.max(row.interactive_ms),
        user: row.user,
        uid: row.uid,
        suggestions,
        next_step,
        ..wire::Unmapped::default()
    })
}

fn suggestion(row: &LocalAccountRow, hostname: &str, one: Suggested) -> wire::Suggestion {
    let who = one.who;
    let endpoint = row.endpoint.to_string();
    wire::Suggestion {
        id: format!("{}/{}", row.number, who.identity),
        hostname: hostname.to_owned(),
        user: row.user.clone(),
        uid: row.uid.clone(),
        next_step: format!(
            "tocsin identities link {} --endpoint {} --user {}",
            short(&who.identity.to_string()),
            short(&endpoint),
            name(row)
        ),
        endpoint,
        identity: who.identity.to_string(),
        display_name: who.display_name,
        login: who.login,
        reason: one.reason,
        confidence: one.confidence.to_owned(),
        last_seen_time_ms: row.last_seen_ms,
    }
}

/// An account as a command takes it: by its number where its name is no plain word.
fn name(row: &LocalAccountRow) -> String {
    let is_plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "-_.@".contains(c))
    };
    match (row.user.as_str(), row.uid.as_str()) {
        (user, _) if is_plain(user) => user.to_owned(),
        (_, uid) if is_plain(uid) => uid.to_owned(),
        _ => "USER".to_owned(),
    }
}

/// The beginning of an id, by which commands take it.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// A page of people.
async fn identities(
    context: &Context,
    after: Option<IdentityId>,
    size: u32,
) -> Result<(Vec<wire::Unmapped>, Option<Place>), StoreError> {
    let ids = context.state.unlinked_identities(after, size).await?;
    let is_last = ids.len() < size as usize;
    let next = ids.last().filter(|_| !is_last);
    let next = next.map(|id| Place::Identity(Some(*id)));
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let row = match context.state.identity(id).await {
            Ok(row) => row,
            // It became part of another meanwhile.
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        let id = row.id.to_string();
        rows.push(wire::Unmapped {
            kind: "identity".to_owned(),
            display_name: match row.imported_name.as_str() {
                "" => row.display_name,
                _ => row.imported_name,
            },
            accounts: row.accounts.into_iter().map(account).collect(),
            first_seen_time_ms: row.event_time_min_ms,
            last_seen_time_ms: row.event_time_max_ms,
            next_step: format!(
                "tocsin identities link {} --endpoint ENDPOINT --user USER",
                short(&id)
            ),
            identity: id.clone(),
            id,
            ..wire::Unmapped::default()
        });
    }
    Ok((rows, next))
}

/// An endpoint, as far as it counts here.
#[derive(Debug, Clone, Default)]
struct Machine {
    hostname: String,
    os: String,
    /// It says nothing any more: its accounts are no work left to do.
    is_revoked: bool,
}

/// Endpoints, each read once.
#[derive(Debug, Default)]
struct Machines(BTreeMap<EndpointId, Machine>);

impl Machines {
    async fn of(&mut self, context: &Context, id: EndpointId) -> Result<Machine, StoreError> {
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let machine = match context.state.endpoint(id).await {
            Ok(endpoint) => Machine {
                hostname: endpoint.machine.hostname,
                os: endpoint.machine.os,
                is_revoked: endpoint.revoked_time_ms != 0,
            },
            Err(StoreError::NotFound { .. }) => Machine::default(),
            Err(error) => return Err(error),
        };
        self.0.insert(id, machine.clone());
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_there_and_back_as_tokens() {
        let id = IdentityId::derive(&[b"dana"]);
        for place in [
            Place::Account(7),
            Place::Identity(None),
            Place::Identity(Some(id)),
        ] {
            assert_eq!(Place::parse(&place.token()), Some(place));
        }
        assert_eq!(Place::parse(""), Some(Place::Account(0)));
        assert_eq!(Place::parse("x/1"), None);
    }

    #[test]
    fn a_name_that_a_shell_would_take_apart_is_not_put_into_a_command() {
        let row = |user: &str, uid: &str| LocalAccountRow {
            number: 1,
            endpoint: EndpointId::from_public_key(b"key"),
            user: user.into(),
            uid: uid.into(),
            first_seen_ms: 0,
            last_seen_ms: 0,
            interactive_ms: 0,
        };
        assert_eq!(name(&row("dana", "1000")), "dana");
        assert_eq!(name(&row("x; rm -rf ~", "1000")), "1000");
        assert_eq!(name(&row("$(id)", "")), "USER");
        assert_eq!(name(&row("-x", "S-1-5-21-1")), "S-1-5-21-1");
    }
}
