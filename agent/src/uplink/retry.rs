//! Why a connection ended, and when to try again. Pure.
//!
//! Three answers: at once (there is a new certificate), by the back-off (it may pass), slowly (the server answered
//! and does not want this run). No server can send an agent away for longer than [`REFUSED_RETRY_MAX`].

use std::time::Duration;

use tocsin_proto::agent::v1::{Refused, RefusedReason};
use tonic::{Code, Status};

use super::connect::{self, ConnectError};
use super::upload::UploadError;
use crate::backoff::Backoff;
use crate::health::ConnectionState;
use crate::identity::IdentityError;

/// First and longest delay between two tries.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(200);
/// See [`RETRY_FIRST`].
pub(super) const RETRY_CAP: Duration = Duration::from_secs(30);

/// Delay after a refusal that no quick try will change.
const REFUSED_RETRY: Duration = Duration::from_secs(60);

/// Longest delay that a server can ask for.
const REFUSED_RETRY_MAX: Duration = Duration::from_secs(600);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The server answered a call with an error, or the connection broke.
    #[error("{doing}: {}", connect::told(status))]
    Status {
        doing: &'static str,
        status: Box<Status>,
    },
    /// The server does not want this run.
    #[error("open a session: the server refused it: {}", .0.detail)]
    Refused(Refused),
    #[error("{doing}: the server does not answer")]
    Silent { doing: &'static str },
    #[error("keep the session: the server ended it")]
    Ended,
    #[error("keep the session: the server sent {0}")]
    Protocol(&'static str),
    /// Not an error: there is a new certificate to connect with.
    #[error("the certificate was renewed")]
    Renewed,
}

impl SessionError {
    pub(super) fn status(doing: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| Self::Status {
            doing,
            status: Box::new(status),
        }
    }

    /// Whether another copy of this machine has used this run.
    pub(super) fn is_reuse(&self) -> bool {
        match self {
            Self::Refused(refused) => refused.reason() == RefusedReason::RunReused,
            Self::Upload(error) => matches!(error, UploadError::Reused),
            _ => false,
        }
    }

    /// Whether the server knows us and says no.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self, Self::Status { status, .. }
            if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied))
    }

    /// When to try again, and what the connection is until then.
    pub(super) fn retry(&self) -> (Retry, ConnectionState) {
        match self {
            Self::Renewed => (Retry::Now, ConnectionState::Connecting),
            Self::Refused(refused) => {
                let asked = Duration::from_millis(refused.retry_delay_ms.into());
                let or_slow = |delay: Duration| {
                    if delay.is_zero() {
                        REFUSED_RETRY
                    } else {
                        delay
                    }
                };
                match refused.reason() {
                    RefusedReason::Conflict => {
                        (Retry::After(or_slow(asked)), ConnectionState::Conflict)
                    }
                    // Until the next run begins.
                    RefusedReason::RunReused => {
                        (Retry::After(or_slow(asked)), ConnectionState::Waiting)
                    }
                    RefusedReason::Busy => (Retry::AtLeast(asked), ConnectionState::Waiting),
                    RefusedReason::Capability
                    | RefusedReason::Invalid
                    | RefusedReason::Unspecified => {
                        (Retry::After(or_slow(asked)), ConnectionState::Refused)
                    }
                }
            }
            _ if self.is_denial() => (Retry::After(REFUSED_RETRY), ConnectionState::Refused),
            _ => (Retry::AtLeast(Duration::ZERO), ConnectionState::Waiting),
        }
    }
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// At once.
    Now,
    /// By the back-off, and not before this.
    AtLeast(Duration),
    /// After this.
    After(Duration),
}

impl Retry {
    pub(super) fn delay(self, backoff: &mut Backoff, chance: f64) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::AtLeast(least) => {
                let by_backoff = backoff.next_delay(chance);
                by_backoff.max(least.min(REFUSED_RETRY_MAX))
            }
            Self::After(delay) => delay.min(REFUSED_RETRY_MAX).mul_f64(0.8 + chance * 0.4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: RefusedReason, retry_delay_ms: u32) -> SessionError {
        SessionError::Refused(Refused {
            reason: reason.into(),
            detail: "because".into(),
            retry_delay_ms,
        })
    }

    #[test]
    fn a_refusal_is_tried_again_slowly_and_shown() {
        let slow = Retry::After(REFUSED_RETRY);
        assert_eq!(
            refused(RefusedReason::Conflict, 0).retry(),
            (slow, ConnectionState::Conflict)
        );
        assert_eq!(
            refused(RefusedReason::Conflict, 5000).retry().0,
            Retry::After(Duration::from_secs(5))
        );
        assert_eq!(
            refused(RefusedReason::Capability, 0).retry(),
            (slow, ConnectionState::Refused)
        );
        let revoked = SessionError::status("open a session")(Status::permission_denied("revoked"));
        assert_eq!(revoked.retry(), (slow, ConnectionState::Refused));
    }

    #[test]
    fn what_may_pass_is_tried_again_soon() {
        let soon = Retry::AtLeast(Duration::ZERO);
        assert_eq!(
            SessionError::Ended.retry(),
            (soon, ConnectionState::Waiting)
        );
        let away = SessionError::status("open a session")(Status::unavailable("stopping"));
        assert_eq!(away.retry(), (soon, ConnectionState::Waiting));
        assert_eq!(
            refused(RefusedReason::Busy, 700).retry(),
            (
                Retry::AtLeast(Duration::from_millis(700)),
                ConnectionState::Waiting
            )
        );
    }

    #[test]
    fn no_server_can_send_an_agent_away_for_long() {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        for retry in [Retry::After(Duration::MAX), Retry::AtLeast(Duration::MAX)] {
            assert!(retry.delay(&mut backoff, 1.0) <= REFUSED_RETRY_MAX.mul_f64(1.2));
        }
        assert_eq!(Retry::Now.delay(&mut backoff, 0.5), Duration::ZERO);
    }
}
