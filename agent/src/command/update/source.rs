//! Where releases come from, as seen from here: a file by its name, from an offset on, in pieces.
//!
//! Whoever answers is not trusted with anything but the work: what comes is bounded here and verified by the callers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::release::Kind;
use tokio_stream::{Stream, StreamExt};
use tough::{Bytes, Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

/// What the URLs of the metadata begin with. No network is behind it.
pub(super) const BASE: &str = "tocsin://release/";

/// How long a piece may take to come.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// A file that does not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    /// The server has no such file.
    #[error("the server has no {name}")]
    Missing {
        /// Which.
        name: String,
    },
    /// The server is busy, or the connection broke: to be tried again.
    #[error("get {name}: {reason}")]
    Broken {
        /// Which.
        name: String,
        /// What happened.
        reason: String,
    },
}

/// A file, piece by piece.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send + Sync>>;

/// Somebody who has the files of a repository.
#[tough::async_trait]
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// The file from `offset` on.
    async fn read(&self, name: &str, offset: u64) -> Result<Pieces, SourceError>;
}

/// The next piece, or that it takes too long.
pub(super) async fn next(pieces: &mut Pieces, name: &str) -> Option<Result<Bytes, SourceError>> {
    match tokio::time::timeout(PIECE_TIMEOUT, pieces.next()).await {
        Ok(piece) => piece,
        Err(_) => Some(Err(SourceError::Broken {
            name: name.to_owned(),
            reason: format!("nothing came for {} s", PIECE_TIMEOUT.as_secs()),
        })),
    }
}

/// A source as what TUF fetches metadata by. It gives metadata and nothing else.
#[derive(Debug, Clone)]
pub(super) struct Metadata(pub(super) Arc<dyn Source>);

#[tough::async_trait]
impl Transport for Metadata {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.as_str().strip_prefix(BASE).unwrap_or_default();
        if !matches!(Kind::of(name), Some(Kind::Metadata | Kind::Timestamp)) {
            return Err(TransportError::new(
                TransportErrorKind::UnsupportedUrlScheme,
                url,
            ));
        }
        let pieces = self.0.read(name, 0).await;
        let pieces = pieces.map_err(|error| told(&url, error))?;
        Ok(Box::pin(pieces.map(move |piece| {
            piece.map_err(|error| told(&url, error))
        })))
    }
}

fn told(url: &Url, error: SourceError) -> TransportError {
    let kind = match error {
        SourceError::Missing { .. } => TransportErrorKind::FileNotFound,
        SourceError::Broken { .. } => TransportErrorKind::Other,
    };
    TransportError::new_with_cause(kind, url, error)
}
