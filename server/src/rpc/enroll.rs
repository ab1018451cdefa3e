//! `Enroll` and `RenewCertificate`: how a key becomes an endpoint and stays one.
//!
//! A request for a certificate is checked ([`CheckedRequest`]), the certificate is made, and it is handed out
//! only after the store has committed that this key is that endpoint, in the transaction that uses up the
//! token and writes the audit log.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::id::EndpointId;
use tocsin_proto::limits::TEXT_BYTES_MAX;
use tocsin_proto::token::key_pin;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::Context;
use super::auth::{Caller, Method};
use super::status::ErrorCode;
use crate::audit::AuditEntry;
use crate::ca::{CheckedRequest, Validity};
use crate::clock::{millis, now_ms};
use crate::per_minute::PerMinute;
use crate::store::trust::{Enrollment, Renewal};

/// Enrollments of one address that may fail in a minute; more are refused without a look at their token.
const FAILURES_PER_MINUTE_MAX: u32 = 30;

/// Addresses whose failures are told apart in a minute.
const ADDRESSES_MAX: usize = 4096;

/// Endpoints whose renewals are told apart in a minute: more than are enrolled.
const ENDPOINTS_MAX: usize = 1 << 20;

/// Enrollments and renewals at work at once; the others wait. Each costs two signatures and a commit.
const AT_WORK_MAX: usize = 8;

/// Renewals of one endpoint in a minute. Each is a row in the audit log; an ordinary agent renews every few weeks.
const RENEWALS_PER_MINUTE_MAX: u32 = 4;

/// How long a key that was replaced still works: the reply that brought the new certificate may be lost.
const RETIRE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Keeps enrollment within bounds.
#[derive(Debug)]
pub(crate) struct Enroller {
    failures: Mutex<PerMinute<IpAddr>>,
    renewals: Mutex<PerMinute<EndpointId>>,
    at_work: Semaphore,
}

impl Default for Enroller {
    fn default() -> Self {
        Self {
            failures: Mutex::new(PerMinute::new(ADDRESSES_MAX)),
            renewals: Mutex::new(PerMinute::new(ENDPOINTS_MAX)),
            at_work: Semaphore::new(AT_WORK_MAX),
        }
    }
}

impl Enroller {
    fn failures(&self) -> MutexGuard<'_, PerMinute<IpAddr>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewals(&self) -> MutexGuard<'_, PerMinute<EndpointId>> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a token and a certificate request into a certificate.
pub(crate) async fn enroll(
    context: &Context,
    request: Request<wire::EnrollRequest>,
) -> Result<Response<wire::EnrollResponse>, Status> {
    let caller = context.auth.authorize(&request, Method::Enroll).await?;
    let address = caller.peer.address.ip();
    if context.enroller.failures().get(address, now_ms()) >= FAILURES_PER_MINUTE_MAX {
        return Err(ErrorCode::Busy
            .status("too many enrollments from this address have failed: try again in a minute"));
    }
    let result = enroll_checked(context, &caller, request.into_inner()).await;
    if let Err(failed) = &result {
        context.enroller.failures().count(address, now_ms());
        context
            .audit
            .refused(&caller, Method::Enroll, failed.message())
            .await?;
    }
    result.map(Response::new)
}

async fn enroll_checked(
    context: &Context,
    caller: &Caller,
    request: wire::EnrollRequest,
) -> Result<wire::EnrollResponse, Status> {
    let invalid =
        |field| ErrorCode::Invalid.status(format!("{field} is missing or over its limit"));
    let token_id: [u8; 8] = request
        .token_id
        .as_slice()
        .try_into()
        .map_err(|_| invalid("token_id"))?;
    if request.token_secret.len() != 24 {
        return Err(invalid("token_secret"));
    }
    if request.hostname.len() > TEXT_BYTES_MAX {
        return Err(invalid("hostname"));
    }
    if request.agent_version.len() > TEXT_BYTES_MAX {
        return Err(invalid("agent_version"));
    }
    let _place = context.enroller.at_work.acquire().await;
    let checked = CheckedRequest::parse(&request.certificate_request)?;
    let time_ms = now_ms();
    let validity = Validity::starting(time_ms, context.config.certificate.endpoint_lifetime);
    let certificate = context
        .authority
        .endpoint(&checked, checked.endpoint, validity)?;
    let enrollment = Enrollment {
        token_id,
        secret_sha256: key_pin(&request.token_secret),
        endpoint: checked.endpoint,
        key_pin: checked.pin,
        former: caller.endpoint(),
        hostname: request.hostname,
        agent_version: request.agent_version,
        address: caller.peer.address,
        certificate_expiry_time_ms: validity.expiry_time_ms(),
        time_ms,
    };
    context
        .state
        .enroll(&enrollment, &enrolled(caller, &enrollment))
        .await?;
    context.correlator.wake();
    tracing::info!(endpoint = %checked.endpoint, peer = %caller.peer.address, "an endpoint has enrolled");
    Ok(wire::EnrollResponse {
        endpoint_id: checked.endpoint.to_string(),
        certificate: certificate.to_vec(),
        ca_certificate: context.authority.certificate().to_vec(),
    })
}

fn enrolled(caller: &Caller, enrollment: &Enrollment) -> AuditEntry {
    let token = data_encoding::HEXLOWER.encode(&enrollment.token_id);
    let mut detail = format!("token {token}, hostname {}", enrollment.hostname);
    if let Some(former) = enrollment.former {
        detail.push_str(&format!(", formerly {former}"));
    }
    AuditEntry::allowed(
        caller,
        Method::Enroll,
        &enrollment.endpoint.to_string(),
        &detail,
    )
}

/// A new certificate for an endpoint, for its key or for a new one.
pub(crate) async fn renew(
    context: &Context,
    request: Request<wire::RenewCertificateRequest>,
) -> Result<Response<wire::RenewCertificateResponse>, Status> {
    let caller = context
        .auth
        .authorize(&request, Method::RenewCertificate)
        .await?;
    let endpoint = caller
        .endpoint()
        .ok_or_else(|| ErrorCode::NotPermitted.status("only endpoints renew certificates"))?;
    let count = context.enroller.renewals().count(endpoint, now_ms());
    if count > RENEWALS_PER_MINUTE_MAX {
        return Err(ErrorCode::Busy.status("too many renewals: try again in a minute"));
    }
    let renewed = renew_checked(context, &caller, endpoint, &request.into_inner()).await;
    if let Err(failed) = &renewed {
        context
            .audit
            .refused(&caller, Method::RenewCertificate, failed.message())
            .await?;
    }
    renewed.map(Response::new)
}

async fn renew_checked(
    context: &Context,
    caller: &Caller,
    endpoint: EndpointId,
    request: &wire::RenewCertificateRequest,
) -> Result<wire::RenewCertificateResponse, Status> {
    let _place = context.enroller.at_work.acquire().await;
    let checked = CheckedRequest::parse(&request.certificate_request)?;
    let time_ms = now_ms();
    let validity = Validity::starting(time_ms, context.config.certificate.endpoint_lifetime);
    let certificate = context.authority.endpoint(&checked, endpoint, validity)?;
    let renewal = Renewal {
        key_pin: checked.pin,
        certificate_expiry_time_ms: validity.expiry_time_ms(),
        retire_time_ms: time_ms + millis(RETIRE_AFTER),
    };
    let same = caller.peer.key.as_ref().map(|key| key.pin) == Some(checked.pin);
    let entry = AuditEntry::allowed(
        caller,
        Method::RenewCertificate,
        &endpoint.to_string(),
        if same { "same key" } else { "new key" },
    );
    context
        .state
        .renew_endpoint(endpoint, &renewal, &entry)
        .await?;
    Ok(wire::RenewCertificateResponse {
        certificate: certificate.to_vec(),
        ca_certificate: context.authority.certificate().to_vec(),
    })
}
