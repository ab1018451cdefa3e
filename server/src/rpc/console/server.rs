//! The server itself, and who is asking.

use std::sync::Arc;

use tocsin_proto::capability;
use tocsin_proto::console::v1 as wire;
use tonic::{Request, Response};

use super::{Answer, Context};
use crate::clock::now_ms;
use crate::rpc::auth::{Method, Who};

/// `GetServer`.
pub(super) async fn get(
    context: &Arc<Context>,
    request: Request<wire::GetServerRequest>,
) -> Answer<wire::GetServerResponse> {
    let caller = context.auth.authorize(&request, Method::GetServer).await?;
    let role = match &caller.who {
        Who::Analyst { role, .. } => role.word(),
        Who::Nobody | Who::Endpoint(_) => "",
    };
    let key = caller.peer.key.as_ref();
    Ok(Response::new(wire::GetServerResponse {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        capability: capability::CURRENT,
        analyst: caller.analyst().to_owned(),
        role: role.to_owned(),
        server_time_ms: now_ms(),
        certificate_expiry_time_ms: key.map_or(0, |key| key.expiry_time_ms),
    }))
}
