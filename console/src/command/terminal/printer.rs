//! Standard output, written by a thread of its own: whoever reads it slowly, or not at all, holds up what is printed and
//! nothing else, so that a terminal can be closed however full the pipe is.
//!
//! It holds no more than was asked for by credit, since credit is given back only for what has been written.

use std::io::{self, Write as _};
use std::time::Duration;

use tocsin_proto::limits::TERMINAL_OUTPUT_WINDOW_BYTES;
use tokio::sync::mpsc;

/// Pieces that wait for the thread; what comes meanwhile is one more piece, however much it is.
const PIECES_MAX: usize = 4;

/// Bytes that wait at most: more than a server sends that keeps to the credit it was given.
const BYTES_MAX: usize = 2 * TERMINAL_OUTPUT_WINDOW_BYTES as usize;

/// How long the end waits for a reader once somebody wants the program to end.
const PARTING: Duration = Duration::from_secs(1);

/// What is to be written, and how many bytes of the endpoint's it stands for.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    stands_for: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Printer {
    pieces: mpsc::Sender<Piece>,
    written: mpsc::Receiver<io::Result<u32>>,
    next: Piece,
    /// Pieces that the thread has and has not written.
    under_way: usize,
}

impl Printer {
    /// Starts the thread. It ends with this value, or with the program where nobody reads.
    pub(super) fn start() -> io::Result<Self> {
        let (pieces, mut queue) = mpsc::channel::<Piece>(PIECES_MAX);
        let (tell, written) = mpsc::channel(PIECES_MAX);
        std::thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                while let Some(piece) = queue.blocking_recv() {
                    let result = write(&piece.bytes).map(|()| piece.stands_for);
                    if tell.blocking_send(result).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            pieces,
            written,
            next: Piece::default(),
            under_way: 0,
        })
    }

    /// Takes what is to be written for so many bytes of the endpoint's.
    pub(super) fn print(&mut self, bytes: &[u8], stands_for: usize) {
        self.next.bytes.extend_from_slice(bytes);
        let stands_for = u32::try_from(stands_for).unwrap_or(u32::MAX);
        self.next.stands_for = self.next.stands_for.saturating_add(stands_for);
    }

    /// Hands over and hears what has been written: how many bytes of the endpoint's. Waits for ever where there is nothing.
    pub(super) async fn work(&mut self) -> io::Result<u32> {
        let has_more = self.next.stands_for > 0;
        tokio::select! {
            permit = self.pieces.reserve(), if has_more => match permit {
                Ok(permit) => {
                    permit.send(std::mem::take(&mut self.next));
                    self.under_way += 1;
                    Ok(0)
                }
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            },
            written = self.written.recv(), if self.under_way > 0 => {
                self.under_way -= 1;
                written.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
            }
            else => std::future::pending().await,
        }
    }

    /// Whether nothing more is to come for now.
    pub(super) fn is_full(&self) -> bool {
        self.next.bytes.len() >= BYTES_MAX
    }

    /// Whether all has been written.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.next.stands_for == 0
    }

    /// Waits until all has been written, or until somebody wants the program to end and the reader takes nothing.
    pub(super) async fn finish(&mut self, end: impl Future<Output = ()>) -> io::Result<()> {
        let all = async {
            while !self.is_idle() {
                self.work().await?;
            }
            Ok(())
        };
        let patience = async {
            end.await;
            tokio::time::sleep(PARTING).await;
        };
        tokio::select! {
            biased;
            written = all => written,
            () = patience => Ok(()),
        }
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
