//! Live feeds: add, test, remove, and how they are listed. A secret comes in once and goes out never.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tocsin_proto::limits::{FEED_CA_BYTES_MAX, FEED_SECRET_BYTES_MAX, TEXT_BYTES_MAX};
use tonic::{Request, Response, Status};

use super::{Answer, Context};
use crate::audit::AuditEntry;
use crate::clock::now_ms;
use crate::feed::Format;
use crate::feed::live::{Draft, Settings};
use crate::http::Origin;
use crate::import::FILE;
use crate::rpc::auth::Method;
use crate::rpc::status::{ErrorCode, status};
use crate::seal::{Secret, seal};
use crate::store::StoreError;
use crate::store::case::FeedRow;
use crate::store::connection::ConnectionRow;
use crate::task::feed::{ConnectionError, bound_to, fetcher_of};

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 32;

/// Records that a feed begins with where nobody says: what is usual for a person is learned from them.
const HISTORY_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// No provider keeps its records longer.
const HISTORY_MS_MAX: u64 = 400 * 24 * 60 * 60 * 1000;

/// `AddFeed`. When it returns, the feed is stored and has begun.
pub(super) async fn add(
    context: &Arc<Context>,
    request: Request<wire::AddFeedRequest>,
) -> Answer<wire::Feed> {
    let caller = context.auth.authorize(&request, Method::AddFeed).await?;
    let request = request.into_inner();
    let provider = request.provider.clone();
    let name = name(&request.name, &provider)?;
    let secret = Secret::new(request.secret.clone());
    let settings = settings(&request, &secret)?;
    let origin = settings.url.clone();
    // Made once before it is stored, so that what cannot work is told to who can mend it.
    fetcher_of(&provider, settings.clone(), secret.clone()).map_err(refused)?;
    let settings = serde_json::to_vec(&settings).map_err(|_| refused(ConnectionError::Damaged))?;
    let bound = bound_to(&name, &provider, &settings);
    let row = ConnectionRow {
        no: 0,
        secret: seal(&context.feed_key, &secret, &bound).map_err(|e| refused(e.into()))?,
        name,
        provider,
        settings,
        added_by: caller.analyst().to_owned(),
        added_time_ms: now_ms(),
        cursor: String::new(),
        page_time_ms: 0,
        pages: 0,
    };
    let detail = format!("{} {origin}", row.provider);
    let entry = AuditEntry::allowed(&caller, Method::AddFeed, &row.name, &detail);
    context.state.add_connection(&row, &entry).await?;
    let row = context.state.connection(&row.name).await?;
    context.feeds.start(row.clone());
    tracing::info!(name = row.name, url = origin, "a live feed was added");
    Ok(Response::new(live(context, &row, None)))
}

/// `TestFeed`.
pub(super) async fn test(
    context: &Arc<Context>,
    request: Request<wire::TestFeedRequest>,
) -> Answer<wire::TestFeedResponse> {
    let caller = context.auth.authorize(&request, Method::TestFeed).await?;
    let row = context.state.connection(&request.get_ref().name).await?;
    let audit = &context.audit;
    audit
        .allowed(&caller, Method::TestFeed, &row.name, &row.provider)
        .await?;
    Ok(Response::new(context.feeds.test(&row).await?))
}

/// `RemoveFeed`. When it returns, no page of it is stored any more.
pub(super) async fn remove(
    context: &Arc<Context>,
    request: Request<wire::RemoveFeedRequest>,
) -> Answer<wire::RemoveFeedResponse> {
    let caller = context.auth.authorize(&request, Method::RemoveFeed).await?;
    let name = request.into_inner().name;
    let row = context.state.connection(&name).await?;
    let entry = AuditEntry::allowed(&caller, Method::RemoveFeed, &name, &row.provider);
    context.state.remove_connection(&name, &entry).await?;
    context.feeds.stop(row.no);
    tracing::info!(name, "a live feed was removed");
    Ok(Response::new(wire::RemoveFeedResponse { name }))
}

/// Every feed: files, live ones, and those that were live.
pub(super) async fn rows(context: &Context) -> Result<Vec<wire::Feed>, StoreError> {
    let connections = context.state.connections().await?;
    let key = |provider: &str, name: &str| (provider.to_owned(), name.to_owned());
    let mut live_ones: BTreeMap<_, _> = connections
        .iter()
        .map(|row| (key(&row.provider, &row.name), row))
        .collect();
    let mut feeds = Vec::new();
    for feed in context.state.feeds().await? {
        let connection = live_ones.remove(&key(&feed.provider, &feed.kind));
        feeds.push(match connection {
            Some(row) => live(context, row, Some(&feed)),
            None => stored(&feed),
        });
    }
    // Those that have not had a page yet.
    feeds.extend(live_ones.values().map(|row| live(context, row, None)));
    Ok(feeds)
}

/// [`rows`] without what changes by itself while a live feed is well.
pub(super) async fn settled(context: &Context) -> Result<Vec<wire::Feed>, StoreError> {
    let settle = |feed| wire::Feed {
        behind_ms: 0,
        last_success_time_ms: 0,
        next_try_time_ms: 0,
        pages: 0,
        ..feed
    };
    Ok(rows(context).await?.into_iter().map(settle).collect())
}

/// Id of a feed: "okta.file", or "okta." and its connection's name.
pub(super) fn feed_id(feed: &FeedRow) -> String {
    format!("{}.{}", feed.provider, feed.kind)
}

/// How far a feed is behind: of a file, how old its newest record is; of a connection, since when the provider may have
/// said more.
pub(super) fn behind_ms(feed: &FeedRow, now_ms: i64) -> u64 {
    let until_ms = feed.complete_until_ms.max(feed.event_time_max_ms);
    now_ms.saturating_sub(until_ms).max(0).unsigned_abs()
}

fn stored(feed: &FeedRow) -> wire::Feed {
    let is_file = feed.kind == FILE;
    wire::Feed {
        id: feed_id(feed),
        provider: feed.provider.clone(),
        kind: if is_file { "file" } else { "live" }.to_owned(),
        mfa_events: feed.mfa_events,
        last_event_time_ms: feed.event_time_max_ms,
        last_receive_time_ms: feed.receive_time_ms,
        malformed: feed.malformed,
        malformed_reason: feed.malformed_reason.clone(),
        name: if is_file { "" } else { &feed.kind }.to_owned(),
        state: if is_file { "" } else { "removed" }.to_owned(),
        ..wire::Feed::default()
    }
}

fn live(context: &Context, row: &ConnectionRow, feed: Option<&FeedRow>) -> wire::Feed {
    let settings: Option<Settings> = serde_json::from_slice(&row.settings).ok();
    let since_ms = settings.as_ref().map_or(0, |settings| settings.since_ms);
    let empty = FeedRow {
        provider: row.provider.clone(),
        kind: row.name.clone(),
        mfa_events: 0,
        malformed: 0,
        malformed_reason: String::new(),
        event_time_max_ms: 0,
        receive_time_ms: 0,
        complete_until_ms: since_ms,
    };
    let feed = feed.unwrap_or(&empty);
    let status = context.feeds.status(row.no);
    let status = status.as_ref();
    wire::Feed {
        url: settings.map(|settings| settings.url).unwrap_or_default(),
        state: status
            .map_or("starting", |status| status.state.word())
            .to_owned(),
        state_time_ms: status.map_or(0, |status| status.state_ms),
        behind_ms: behind_ms(feed, now_ms()),
        last_success_time_ms: status.map_or(row.page_time_ms, |status| status.success_ms),
        last_error: status
            .map(|status| status.error.clone())
            .unwrap_or_default(),
        last_error_time_ms: status.map_or(0, |status| status.error_ms),
        next_try_time_ms: status.map_or(0, |status| status.next_try_ms),
        pages: row.pages,
        ..stored(feed)
    }
}

fn refused(error: ConnectionError) -> Status {
    let code = match &error {
        ConnectionError::Seal(_) | ConnectionError::Damaged => ErrorCode::Internal,
        _ => ErrorCode::Invalid,
    };
    status(code, &error)
}

/// The name that is given, or the provider's word.
fn name(said: &str, provider: &str) -> Result<String, Status> {
    let name = if said.is_empty() { provider } else { said };
    let is_fine = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != FILE
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    match is_fine {
        true => Ok(name.to_owned()),
        false => Err(ErrorCode::Invalid.status(format!(
            "a live feed's name has 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _, and is not '{FILE}'"
        ))),
    }
}

/// What a connection is made from, checked.
fn settings(request: &wire::AddFeedRequest, secret: &Secret) -> Result<Settings, Status> {
    let invalid = |text: String| Err(ErrorCode::Invalid.status(text));
    if secret.bytes().len() > FEED_SECRET_BYTES_MAX || secret.text().is_empty() {
        return invalid(format!(
            "the secret is 1 to {FEED_SECRET_BYTES_MAX} bytes of text"
        ));
    }
    if request.ca_pem.len() > FEED_CA_BYTES_MAX {
        return invalid(format!("the CA file is over {FEED_CA_BYTES_MAX} bytes"));
    }
    for (what, text) in [
        ("client id", &request.client_id),
        ("tenant", &request.tenant),
    ] {
        if text.len() > TEXT_BYTES_MAX || text.chars().any(|c| !c.is_ascii_graphic()) {
            return invalid(format!("the {what} is not one"));
        }
    }
    if request.history_ms > HISTORY_MS_MAX {
        return invalid("no provider keeps its records for more than 400 days".to_owned());
    }
    let history_ms = match request.history_ms {
        0 => HISTORY_MS,
        said => said,
    };
    let draft = Draft {
        url: request.url.clone(),
        login_url: request.login_url.clone(),
        client_id: request.client_id.clone(),
        tenant: request.tenant.clone(),
        secret: secret.text(),
    };
    let format = Format::of(&request.provider, b"");
    let format = format.map_err(|error| ErrorCode::Invalid.status(error.to_string()))?;
    let draft = format
        .complete(draft)
        .map_err(|why| ErrorCode::Invalid.status(why))?;
    Ok(Settings {
        url: origin(&draft.url)?,
        login_url: match draft.login_url.as_str() {
            "" => String::new(),
            url => origin(url)?,
        },
        ca_pem: request.ca_pem.clone(),
        client_id: draft.client_id,
        tenant: draft.tenant,
        since_ms: now_ms().saturating_sub_unsigned(history_ms),
    })
}

/// An address without a path, in one spelling.
fn origin(url: &str) -> Result<String, Status> {
    let invalid = |text: String| ErrorCode::Invalid.status(text);
    let (origin, path) = Origin::of(url).map_err(|error| invalid(error.to_string()))?;
    if path != "/" {
        let only = origin.url();
        return Err(invalid(format!("the URL has a path: give {only} alone")));
    }
    Ok(origin.url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(provider: &str, url: &str) -> wire::AddFeedRequest {
        wire::AddFeedRequest {
            provider: provider.into(),
            url: url.into(),
            secret: b"00token".to_vec(),
            ..wire::AddFeedRequest::default()
        }
    }

    fn said(request: &wire::AddFeedRequest) -> String {
        let secret = Secret::new(request.secret.clone());
        match settings(request, &secret) {
            Ok(settings) => settings.url,
            Err(status) => status.message().to_owned(),
        }
    }

    #[test]
    fn an_address_is_kept_in_one_spelling_and_without_a_path() {
        assert_eq!(
            said(&request("okta", "https://Example.okta.com/")),
            "https://example.okta.com"
        );
        assert_eq!(
            said(&request("okta", "https://example.okta.com/admin")),
            "the URL has a path: give https://example.okta.com alone"
        );
        assert_eq!(
            said(&request("okta", "http://example.okta.com")),
            "'http://example.okta.com' is not https"
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(
            said(&request("okta", "")).contains("needs a URL"),
            "{}",
            said(&request("okta", ""))
        );
        let empty = wire::AddFeedRequest {
            secret: b" \n".to_vec(),
            ..request("okta", "https://a")
        };
        assert!(said(&empty).starts_with("the secret is"));
        assert!(said(&request("auth0", "https://a")).contains("no live feed"));
    }

    #[test]
    fn a_name_is_the_providers_word_or_a_plain_one() {
        assert_eq!(name("", "okta").unwrap(), "okta");
        assert_eq!(name("okta-eu_2", "okta").unwrap(), "okta-eu_2");
        for wrong in ["file", "Okta", "a b", "a/b", "\u{fc}", &"x".repeat(33)] {
            assert!(name(wrong, "okta").is_err(), "{wrong}");
        }
    }
}
