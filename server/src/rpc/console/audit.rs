//! The audit log: list, verify.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use tocsin_proto::console::v1 as wire;
use tocsin_proto::limits::PAGE_SIZE_MAX;
use tonic::{Request, Response, Status};

use super::{Answer, Context, page_size};
use crate::audit::{AuditRow, Verifier};
use crate::rpc::auth::Method;
use crate::rpc::status::ErrorCode;
use crate::store::StoreError;
use crate::store::trust::TrustStore;

/// `ListAudit`.
pub(super) async fn list(
    context: &Arc<Context>,
    request: Request<wire::ListAuditRequest>,
) -> Answer<wire::ListAuditResponse> {
    context.auth.authorize(&request, Method::ListAudit).await?;
    let request = request.into_inner();
    let after = match request.page_token.as_str() {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| ErrorCode::Invalid.status("page_token is not one of this listing"))?,
    };
    let limit = page_size(request.page_size);
    let rows = context.state.audit_rows(after, limit).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|rows| rows >= limit);
    let last = rows.last().filter(|_| full);
    Ok(Response::new(wire::ListAuditResponse {
        next_page_token: last.map_or_else(String::new, |row| row.number.to_string()),
        rows: rows.into_iter().map(row).collect(),
    }))
}

fn row(row: AuditRow) -> wire::AuditRow {
    let [actor_kind, actor, action, target, detail, decision] = row.texts;
    wire::AuditRow {
        id: row.number.to_string(),
        time_ms: row.time_ms,
        actor_kind,
        actor,
        action,
        target,
        detail,
        decision,
        hash: HEXLOWER.encode(&row.hash),
    }
}

/// `VerifyAudit`.
pub(super) async fn verify(
    context: &Arc<Context>,
    request: Request<wire::VerifyAuditRequest>,
) -> Answer<wire::AuditVerification> {
    context
        .auth
        .authorize(&request, Method::VerifyAudit)
        .await?;
    let verifier = walk(context.state.as_ref()).await.map_err(Status::from)?;
    let (first_bad_row, detail) = verifier.bad().unwrap_or((0, ""));
    Ok(Response::new(wire::AuditVerification {
        intact: verifier.bad().is_none(),
        rows: verifier.rows(),
        first_bad_row,
        detail: detail.to_owned(),
        head_hash: HEXLOWER.encode(&verifier.head()),
    }))
}

/// Takes every row, page by page.
async fn walk(store: &dyn TrustStore) -> Result<Verifier, StoreError> {
    let mut verifier = Verifier::new();
    let mut after = 0;
    loop {
        let rows = store.audit_rows(after, PAGE_SIZE_MAX).await?;
        let Some(last) = rows.last() else {
            return Ok(verifier);
        };
        after = last.number;
        for row in &rows {
            verifier.take(row);
        }
    }
}
