//! A file of this side on its way to the server, piece by piece, no faster than the server takes it.
//!
//! Where reading fails in the middle the call is broken off, so that the server does not take what it has for the whole.

use std::io;
use std::path::Path;

use tocsin_proto::limits::IMPORT_CHUNK_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use crate::client::ClientError;
use crate::exit::Failure;
use crate::text;

/// The file that is imported.
pub(super) struct Source {
    /// Its name, clean.
    pub(super) name: String,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Its size, where it has one.
    pub(super) bytes: Option<u64>,
}

impl Source {
    /// Opens it; `-` is standard input.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) async fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                name: "standard input".to_owned(),
                reader: Box::new(tokio::io::stdin()),
                bytes: None,
            });
        }
        let failure = |source| Failure::Input {
            file: text::path(path),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(failure)?;
        let metadata = file.metadata().await.map_err(failure)?;
        if metadata.is_dir() {
            return Err(failure(io::ErrorKind::IsADirectory.into()));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: text::path(Path::new(name)),
            reader: Box::new(file),
            bytes: metadata.is_file().then_some(metadata.len()),
        })
    }

    /// The whole of a small one.
    ///
    /// # Errors
    /// Where it cannot be read, or is longer than `bytes_max`.
    pub(super) async fn read(self, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let mut content = Vec::new();
        let mut reader = self.reader.take(bytes_max as u64 + 1);
        let read = reader.read_to_end(&mut content).await;
        let is_long = content.len() > bytes_max;
        let long = || {
            io::Error::other(format!(
                "it has more than {} MiB: split it",
                bytes_max >> 20
            ))
        };
        match read {
            Ok(_) if is_long => Err(long()),
            Ok(_) => Ok(content),
            Err(error) => Err(error),
        }
        .map_err(|source| Failure::Input {
            file: self.name,
            source,
        })
    }
}

/// Sends the file while the server answers; ends as soon as either fails.
pub(super) async fn transfer<T>(
    source: Source,
    sender: mpsc::Sender<Vec<u8>>,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    let file = source.name.clone();
    let mut call = std::pin::pin!(call);
    tokio::select! {
        // The server's word counts more than whether all was sent.
        biased;
        result = &mut call => return Ok(result?),
        sent = send(source, sender) => {
            // On failure the sender is still alive here, and outlives the call.
            if let Err((source, sender)) = sent {
                let failed = Err(Failure::Input { file, source });
                return Held { call, sender }.give_up(failed);
            }
        }
    }
    Ok(call.await?)
}

/// A call that must end before its sender does.
struct Held<C> {
    call: C,
    sender: mpsc::Sender<Vec<u8>>,
}

impl<C> Held<C> {
    fn give_up<T>(self, result: T) -> T {
        drop(self.call);
        drop(self.sender);
        result
    }
}

/// Reads the file piece by piece. On failure the sender comes back: dropping it would mean the end of
/// the file.
async fn send(
    mut source: Source,
    sender: mpsc::Sender<Vec<u8>>,
) -> Result<(), (io::Error, mpsc::Sender<Vec<u8>>)> {
    loop {
        let mut chunk = Vec::with_capacity(IMPORT_CHUNK_BYTES);
        let mut piece = (&mut source.reader).take(IMPORT_CHUNK_BYTES as u64);
        if let Err(error) = piece.read_to_end(&mut chunk).await {
            return Err((error, sender));
        }
        // A receiver that is gone means that the call has ended; it says why.
        if chunk.is_empty() || sender.send(chunk).await.is_err() {
            return Ok(());
        }
    }
}

/// The longest beginning of so many bytes.
pub(super) fn cut_bytes(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;
    use crate::client::import_channel;

    /// Gives so many bytes, then an error.
    struct Failing(usize);

    impl AsyncRead for Failing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0 == 0 {
                return Poll::Ready(Err(io::Error::other("disk on fire")));
            }
            let some = self.0.min(buf.remaining());
            buf.put_slice(&vec![b'x'; some]);
            self.0 -= some;
            Poll::Ready(Ok(()))
        }
    }

    fn source(reader: impl AsyncRead + Send + Unpin + 'static) -> Source {
        Source {
            name: "x.json".into(),
            reader: Box::new(reader),
            bytes: None,
        }
    }

    #[tokio::test]
    async fn a_file_goes_in_pieces_of_bounded_size() {
        let (sender, mut receiver) = import_channel();
        let content = vec![7; IMPORT_CHUNK_BYTES * 2 + 1];
        let reader = io::Cursor::new(content.clone());
        let sent = tokio::spawn(send(source(reader), sender));
        let mut all = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            assert!(!chunk.is_empty() && chunk.len() <= IMPORT_CHUNK_BYTES);
            all.extend(chunk);
        }
        assert!(sent.await.unwrap().is_ok());
        assert_eq!(all, content);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_to_its_end_is_not_taken_for_whole() {
        let (sender, mut receiver) = import_channel();
        // Stands for the call: it would see the end of the file if there were one.
        let call = async {
            while receiver.recv().await.is_some() {}
            Ok("taken for whole")
        };
        let failure = transfer(source(Failing(10)), sender, call)
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::Input { .. }));
        assert_eq!(crate::exit::chain(&failure), "read x.json: disk on fire");
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(cut_bytes("aé", 2), "a");
        assert_eq!(cut_bytes("aé", 3), "aé");
    }
}
