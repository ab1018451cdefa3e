//! What can go wrong with a call, and which exit code and which cure it stands for.

use std::error::Error as _;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

use super::connect::{ConnectError, ProfileContentError};
use crate::exit::Exit;

/// Columns of a server's own text at most.
const MESSAGE_COLUMNS_MAX: usize = 1000;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The profile's content cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileContentError),
    /// The address cannot stand in a request.
    #[error("use the server's address")]
    Address(#[source] tonic::transport::Error),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended in the middle.
    #[error("{attempt}: connection to {server} broke")]
    Broken {
        /// What was attempted.
        attempt: String,
        /// Which server.
        server: String,
        /// Why.
        #[source]
        source: Box<BrokenError>,
    },
    /// Nothing came in time.
    #[error("{attempt}: no answer from {server} in {} s", after.as_secs())]
    Silent {
        /// What was attempted.
        attempt: String,
        /// Which server.
        server: String,
        /// For how long.
        after: Duration,
    },
    /// The server says no.
    #[error("{attempt}: {message}")]
    Refused {
        /// What was attempted.
        attempt: String,
        /// In one word.
        code: Code,
        /// In the server's words, clean.
        message: String,
    },
    /// The server says something that makes no sense.
    #[error("{attempt}: {what}")]
    Nonsense {
        /// What was attempted.
        attempt: String,
        /// What is wrong with the answer.
        what: &'static str,
    },
}

/// What a connection died of.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct BrokenError {
    text: String,
    /// What TLS said, where that was it.
    tls: Option<rustls::Error>,
}

impl ClientError {
    /// Whether the server has never heard of what was attempted.
    pub(crate) fn is_unknown_method(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == Code::Unimplemented)
    }
}

impl BrokenError {
    /// From the deepest cause, which is the one that says something.
    fn from_status(status: &Status) -> Self {
        let mut text = status.message().to_owned();
        let mut cause = status.source();
        while let Some(error) = cause {
            if let Some(connect) = error.downcast_ref::<ConnectError>() {
                return Self {
                    text: crate::exit::chain(connect),
                    tls: connect.tls().cloned(),
                };
            }
            text = error.to_string();
            cause = error.source();
        }
        Self { text, tls: None }
    }
}

impl ClientError {
    /// Reads a status. One that was made on this side has a source; one that the server sent has none.
    pub(super) fn from_status(attempt: String, server: String, status: &Status) -> Self {
        let was_made_here = status.source().is_some() || status.code() == Code::Unavailable;
        if was_made_here {
            let source = Box::new(BrokenError::from_status(status));
            return Self::Broken {
                attempt,
                server,
                source,
            };
        }
        let message = match status.message() {
            "" => status.code().description(),
            said => said,
        };
        Self::Refused {
            attempt,
            code: status.code(),
            message: crate::text::fit(message, MESSAGE_COLUMNS_MAX).into_owned(),
        }
    }

    /// The code that stands for it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Profile(_) | Self::Address(_) => Exit::Config,
            Self::Connect(_) | Self::Broken { .. } | Self::Silent { .. } => Exit::Unreachable,
            Self::Refused { code, .. } => match code {
                Code::PermissionDenied | Code::Unauthenticated => Exit::NotPermitted,
                Code::InvalidArgument => Exit::Usage,
                // The endpoint's, not the server's: see the server's `ErrorCode::Unreachable`.
                Code::DeadlineExceeded => Exit::Unreachable,
                _ => Exit::Failed,
            },
            Self::Nonsense { .. } => Exit::Failed,
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Refused { code, .. } => matches!(code, Code::ResourceExhausted | Code::Aborted),
            Self::Profile(_) | Self::Address(_) | Self::Nonsense { .. } => false,
        }
    }

    /// What the reader can do about it.
    pub(crate) fn cure(&self) -> Option<&'static str> {
        match self {
            Self::Profile(_) | Self::Address(_) => {
                Some("have a new profile made ('tocsin-server analyst renew NAME --out FILE')")
            }
            Self::Connect(ConnectError::Tcp { .. } | ConnectError::Silent { .. }) => Some(
                "check that the server runs and that this address is the one in the profile's 'servers'",
            ),
            Self::Connect(error) => error.tls().and_then(cure_of_tls),
            Self::Broken { source, .. } => source.tls.as_ref().and_then(cure_of_tls),
            Self::Refused {
                code: Code::Unauthenticated,
                ..
            } => Some(
                "have the server's operator look at 'tocsin-server analyst list' and make a new profile",
            ),
            Self::Refused {
                code: Code::PermissionDenied,
                ..
            } => Some(
                "ask somebody who may; the server's operator sees who may what with 'tocsin-server analyst list'",
            ),
            Self::Refused {
                code: Code::Unimplemented,
                ..
            } => Some("the server is older than this console: update it"),
            Self::Silent { .. } | Self::Refused { .. } | Self::Nonsense { .. } => None,
        }
    }
}

/// A console's words where those for an endpoint would mislead.
fn cure_of_tls(error: &rustls::Error) -> Option<&'static str> {
    use rustls::Error::{AlertReceived, InvalidCertificate};
    match error {
        // The latter where the other CA has the same name as ours.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Some(
                "the server's certificate is not from the CA in the profile: wrong server, or one that was set up anew (have a new profile made)",
            )
        }
        AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError,
        ) => Some("the server does not know the profile's CA: have a new profile made"),
        AlertReceived(AlertDescription::CertificateExpired) => Some(
            "the profile's certificate has expired: have it renewed ('tocsin-server analyst renew')",
        ),
        _ => tocsin_proto::tls::explain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: &Status) -> ClientError {
        ClientError::from_status("list incidents".into(), "a:1".into(), status)
    }

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        for (status, exit) in [
            (Status::permission_denied("no"), Exit::NotPermitted),
            (Status::unauthenticated("who"), Exit::NotPermitted),
            (Status::unavailable("later"), Exit::Unreachable),
            (Status::invalid_argument("what"), Exit::Usage),
            (Status::deadline_exceeded("offline"), Exit::Unreachable),
            (Status::not_found("where"), Exit::Failed),
            (Status::internal("oh"), Exit::Failed),
        ] {
            assert_eq!(refused(&status).exit(), exit, "{status}");
        }
    }

    #[test]
    fn what_was_made_on_this_side_is_a_broken_connection() {
        let status = Status::from_error(Box::new(std::io::Error::other("reset")));
        let error = refused(&status);
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(error.is_passing());
        assert_eq!(
            crate::exit::chain(&error),
            "list incidents: connection to a:1 broke: reset"
        );
    }

    #[test]
    fn a_refused_certificate_is_explained() {
        let said = rustls::Error::AlertReceived(AlertDescription::CertificateExpired);
        let error = ClientError::from(ConnectError::Tls {
            address: "a:1".into(),
            source: std::io::Error::other(said),
        });
        assert!(error.cure().unwrap().contains("analyst renew"));
    }

    #[test]
    fn the_servers_words_come_out_clean() {
        let message = refused(&Status::not_found("no \x1b[31m\u{202e}")).to_string();
        assert_eq!(message, "list incidents: no \\x1b[31m\\u{202e}");
        let empty = refused(&Status::new(Code::Internal, "")).to_string();
        assert_eq!(empty, "list incidents: Internal error");
    }
}
