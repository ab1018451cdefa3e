//! The only place where an error becomes a gRPC status.
//!
//! A caller's own mistake is told to the caller in full. What went wrong inside is logged with an id, and
//! the caller gets that id and nothing else.

use std::error::Error;

use tonic::{Code, Status};

use crate::ca::CaError;
use crate::store::StoreError;
use crate::store::trust::EnrollError;

/// What kind of failure it is, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// The request makes no sense; sent again it fails again.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The thing's state does not allow it.
    State,
    /// The caller is known, and may not.
    NotPermitted,
    /// The caller is not known.
    NotKnown,
    /// A limit is reached; later it may work.
    Busy,
    /// An endpoint is not connected, or does not answer.
    Unreachable,
    /// The server is stopping or a part of it is away; try again.
    Unavailable,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// The code on the wire.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::State => Code::FailedPrecondition,
            Self::NotPermitted => Code::PermissionDenied,
            Self::NotKnown => Code::Unauthenticated,
            Self::Busy => Code::ResourceExhausted,
            Self::Unreachable => Code::DeadlineExceeded,
            Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    /// A refusal with this text.
    pub(crate) fn status(self, text: impl Into<String>) -> Status {
        Status::new(self.code(), text)
    }
}

/// An error and its causes as one line. Where a library's error repeats its cause, it is said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// The status of an error of this kind.
pub(crate) fn status(code: ErrorCode, error: &dyn Error) -> Status {
    if code != ErrorCode::Internal {
        return code.status(chain(error));
    }
    let id = format!("{:08x}", rand::random::<u32>());
    tracing::error!(id, error = chain(error), "a call failed inside the server");
    code.status(format!(
        "the server failed; its log has the cause under {id}"
    ))
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound { .. } => ErrorCode::NotFound,
            StoreError::Ambiguous { .. } => ErrorCode::Invalid,
            StoreError::State { .. } | StoreError::Taken { .. } | StoreError::Bound { .. } => {
                ErrorCode::State
            }
            StoreError::Full { .. } => ErrorCode::Busy,
            StoreError::Damaged { .. } | StoreError::Engine { .. } => ErrorCode::Internal,
        };
        status(code, &error)
    }
}

impl From<EnrollError> for Status {
    fn from(error: EnrollError) -> Self {
        let code = match error {
            EnrollError::TokenUnknown | EnrollError::KeyRefused => ErrorCode::NotPermitted,
            EnrollError::TokenExpired | EnrollError::TokenUsedUp => ErrorCode::State,
            EnrollError::Store(error) => return error.into(),
        };
        status(code, &error)
    }
}

impl From<CaError> for Status {
    fn from(error: CaError) -> Self {
        let code = match &error {
            CaError::Request { .. } => ErrorCode::Invalid,
            CaError::Stored { .. } | CaError::Make { .. } => ErrorCode::Internal,
        };
        status(code, &error)
    }
}
