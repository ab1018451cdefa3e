//! Enrolment: an expiring token becomes a certificate. The token's pin is all that has to be trusted; the key is
//! made here and never leaves.

use tocsin_proto::agent::v1::EnrollRequest;
use tocsin_proto::agent::v1::enrollment_service_client::EnrollmentServiceClient;
use tocsin_proto::tls;
use tocsin_proto::token::EnrollmentToken;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::ANSWER_TIMEOUT;
use super::connect::{ConnectError, connect, told};
use crate::address::ServerAddress;
use crate::clock;
use crate::identity::{EndpointKey, Identity, IdentityError, Issued};
use crate::machine;

/// An enrolment that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrollError {
    /// The server cannot be reached, or is another one.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Key or certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The server says no.
    #[error("enroll: {}", told(.0))]
    Refused(Box<Status>),
    /// The server does not answer.
    #[error("enroll: the server does not answer")]
    Silent,
}

impl EnrollError {
    /// Whether trying again later may help.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Address(_)) | Self::Identity(_) | Self::Tls(_) => false,
            Self::Connect(_) | Self::Silent => true,
            Self::Refused(status) => {
                matches!(
                    status.code(),
                    Code::Unavailable | Code::Cancelled | Code::Unknown
                )
            }
        }
    }

    /// Whether the server refused this token.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(status) if matches!(
            status.code(),
            Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::NotFound
        ))
    }
}

fn refused(status: Status) -> EnrollError {
    EnrollError::Refused(Box::new(status))
}

/// Enrolls at `server`. A former identity of its CA is presented, so that the server knows that this machine is
/// enrolled anew; one that the server no longer accepts (revoked, expired long ago) is left out then.
pub(crate) async fn enroll(
    server: &ServerAddress,
    token: &EnrollmentToken,
    former: Option<&Identity>,
) -> Result<Identity, EnrollError> {
    if let Some(former) = former.filter(|former| former.is_of(&token.ca_pin)) {
        match enroll_as(server, token, Some(former)).await {
            Err(EnrollError::Refused(status)) if may_be_about_the_former(&status) => {
                tracing::debug!(reason = told(&status), "enroll without the former identity");
            }
            ended => return ended,
        }
    }
    enroll_as(server, token, None).await
}

/// A certificate that the server does not accept breaks the connection, or is refused like a bad token.
fn may_be_about_the_former(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
    )
}

async fn enroll_as(
    server: &ServerAddress,
    token: &EnrollmentToken,
    former: Option<&Identity>,
) -> Result<Identity, EnrollError> {
    let key = EndpointKey::generate()?;
    let request = EnrollRequest {
        token_id: token.id.to_vec(),
        token_secret: token.secret.to_vec(),
        certificate_request: key.certificate_request()?,
        hostname: machine::hostname(),
        agent_version: crate::version::text().into(),
    };
    let config = tls::enrolling_client(token.ca_pin, former.map(Identity::client_identity))?;
    let channel = connect(server, config).await?;
    let mut client = EnrollmentServiceClient::new(channel);
    let response = timeout(ANSWER_TIMEOUT, client.enroll(request))
        .await
        .map_err(|_| EnrollError::Silent)?
        .map_err(refused)?
        .into_inner();
    let issued = Issued {
        certificate: response.certificate,
        ca: response.ca_certificate,
        obtained_ms: clock::now_ms(),
    };
    Ok(Identity::new(server.clone(), key, issued, &token.ca_pin)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_told_apart_from_a_server_that_is_away() {
        let denied = refused(Status::failed_precondition("the token has expired"));
        assert!(denied.is_denied() && !denied.is_unreachable());
        assert_eq!(denied.to_string(), "enroll: the token has expired");
        let away = refused(Status::unavailable("stopping"));
        assert!(away.is_unreachable() && !away.is_denied());
        assert!(EnrollError::Silent.is_unreachable());
    }
}
