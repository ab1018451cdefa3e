//! The audit log: list, verify.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tonic::{Request, Status};

use super::{Answer, Context};
use crate::rpc::auth::Method;

/// `ListAudit`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListAuditRequest>,
) -> Answer<wire::ListAuditResponse> {
    context.auth.authorize(&request, Method::ListAudit).await?;
    Err(Status::unimplemented("list"))
}

/// `VerifyAudit`.
pub(super) async fn verify(
    context: &Arc<Context>,
    request: Request<wire::VerifyAuditRequest>,
) -> Answer<wire::AuditVerification> {
    context.auth.authorize(&request, Method::VerifyAudit).await?;
    Err(Status::unimplemented("verify"))
}
